//! Send over a unix socket, and say which process listens there.
//!
//! # What it shows
//! A client that connects to a path learns from the kernel who is at the other end: the user and the
//! process that called `listen` (SO_PEERCRED). So it can refuse to talk to a server that somebody else has
//! put in the place of the one that it wants. `connect` does not send a packet: it finds the listener by
//! the file, and puts the connection into its queue. Where the queue is full it waits.
//!
//! # System calls
//! `socket` → `setsockopt(SO_SNDTIMEO)` → `connect` → `getsockopt(SO_PEERCRED)` →
//! (`send` → `poll` → `recv`)* → `close`
//!
//! # Try it
//! ```console
//! $ unix-echo /tmp/echo.sock &
//! listening on unix:/tmp/echo.sock
//! $ unix-client /tmp/echo.sock one two
//! unix:/tmp/echo.sock (uid 0, pid 5120) echoed 3 bytes: "one"   0.09 ms
//! unix:/tmp/echo.sock (uid 0, pid 5120) echoed 3 bytes: "two"   0.03 ms
//! ```
//!
//! # What can go wrong
//! - `ENOENT`: there is no such path. `ECONNREFUSED`: there is, and nobody listens: its server has
//!   ended, or has not called `listen` yet.
//! - `EACCES`: the mode of the file, or of a folder on the way, does not allow it.
//! - `EAGAIN`: the queue was full for as long as SO_SNDTIMEO, or `connect` on a non-blocking socket did
//!   not wait. It never is `EINPROGRESS`: wait, and call it again.
//! - `EPROTOTYPE`: the socket there is of another type.
//! - The pid is 0 for a process that cannot be seen from this pid namespace, and it may have ended.
//! - `ECONNRESET` from `recv`: the server closed with bytes of ours unread.
//!
//! # Next
//! `unix-echo` is the other end; `echo-client` checks every byte over TCP.
//!
//! # Source
//! unix(7), connect(2), socket(7); UNP §15.5, TLPI §57.2; the Python cookbook's recipe 3.9.

mod args;
mod report;

use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{MsgFlags, getsockopt, recv, send};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error, errno, to_errno};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::{cli, recipe};

use args::Args;
use report::Server;

/// Bytes that one `recv` takes at most.
const BUFFER: usize = 64 * 1024;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 69 71 74 75 77), ask)
}

fn ask(args: &Args, out: &mut Output) -> Result<(), Error> {
    let (stream, server) = connect(args)?;
    for message in args.messages() {
        let begun = Instant::now();
        let reply = echo(&stream, message, args)?;
        if reply != message {
            let fault = format!("{} bytes came back changed", reply.len());
            return Err(Error::Protocol { peer: args.name.to_string(), fault });
        }
        out.line(report::echoed(&args.name, server, &reply, begun.elapsed(), args.json))?;
    }
    Ok(()) // the drop of `stream` closes it
}

/// Connects, and asks who listens.
fn connect(args: &Args) -> Result<(Socket, Server), Error> {
    let attempt = format!("connect to {}", args.name);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).attempt("socket")?;
    // `connect` waits for room in the queue of the listener.
    socket.set_write_timeout(args.timeout.duration()).attempt("setsockopt SO_SNDTIMEO")?;
    match socket.connect(&args.name.address()?).map_err(to_errno) {
        Ok(()) => {}
        Err(Errno::EAGAIN) => return Err(timed_out(attempt, args)),
        Err(why @ Errno::ENOENT) => return Err(Error::Gone { peer: attempt, why: errno(why) }),
        Err(why) => return Err(why).attempt(attempt),
    }
    let server = getsockopt(&socket, PeerCredentials).attempt("getsockopt SO_PEERCRED")?;
    Ok((socket, Server { uid: server.uid(), pid: server.pid() }))
}

/// Sends a message, and receives as many bytes.
#[expect(clippy::indexing_slicing, reason = "send and recv return at most the length they got")]
fn echo(stream: &Socket, message: &[u8], args: &Args) -> Result<Vec<u8>, Error> {
    let attempt = || format!("echo from {}", args.name);
    let (fd, deadline) = (stream.as_raw_fd(), args.timeout.deadline());
    let (mut rest, mut reply) = (message, Vec::new());
    let mut buffer = vec![0; BUFFER];
    while reply.len() < message.len() {
        // Both directions at once: a server whose replies nobody reads stops reading too.
        let events = if rest.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLIN | events)];
        if poll(&mut fds, deadline).attempt("poll")? == 0 {
            return Err(timed_out(attempt(), args));
        }
        if !rest.is_empty() {
            match send(fd, rest, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
                Ok(sent) => rest = &rest[sent..],
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(why) => return Err(why).attempt(attempt()),
            }
        }
        match recv(fd, &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => {
                let why = "the server closed the connection before the reply was complete";
                return Err(Error::Gone { peer: attempt(), why: why.to_owned() });
            }
            Ok(received) => reply.extend_from_slice(&buffer[..received]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(why) => return Err(why).attempt(attempt()),
        }
    }
    Ok(reply)
}

fn timed_out(attempt: String, args: &Args) -> Error {
    Error::Timeout { attempt, after: args.timeout.duration().unwrap_or_default() }
}
