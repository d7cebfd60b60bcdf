//! Show in which stage a request fails, and why: an HTTP/1.0 GET.
//!
//! # What it shows
//! A request is a row of calls, and each has different errors: a name that does not exist is not a
//! refused connection, and neither is a reply that ends too early. So each stage (resolve, socket,
//! connect, send, receive, parse) is reported with its errno, its time and what to do about it. The
//! first stage is getaddrinfo(3), a function of the C library with other error codes.
//!
//! # System calls
//! `socket` → `connect` → `poll` → `getsockopt(SO_ERROR)` → `send` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ epoll-web --port 7777 --dir crates/epoll-web/site &
//! listening on 127.0.0.1:7777
//! $ socket-errors --port 7777
//! <!DOCTYPE html>
//! <title>One page</title>
//! <p>Hello from a server of one thread.</p>
//! ```
//! A server that does not speak HTTP:
//! ```console
//! $ echo-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ socket-errors --port 7777 --file /index.html
//! socket-errors: 127.0.0.1:7777: not HTTP: the reply begins with "GET /index.html HTTP/1.0"
//! hint: is it a web server? that port is another service's
//! stage parse, after 0.04 ms; total 2.33 ms
//! ```
//!
//! # What can go wrong
//! - `resolve`: the name does not exist (exit 68), or the name server does not answer (75).
//! - `socket`: `EMFILE`, or `EAFNOSUPPORT`, where the next address may work (71).
//! - `connect`: `ECONNREFUSED`, `ENETUNREACH`, `EHOSTUNREACH` (69), `ETIMEDOUT` or the deadline (75),
//!   `EACCES` (77). A socket that is writable may have failed: `SO_ERROR` says whether it did.
//! - `send` and `receive`: `EPIPE`, `ECONNRESET` (69), the deadline (75), a body that is shorter or
//!   longer than its header says (65): the part that was received is written.
//! - `parse`: not HTTP, or TLS (65). A status that is not 2xx is a negative result (1).
//! - A path with a blank or a newline could become a second request. The Python original sends it as it
//!   is, and passes its port on as a string.
//!
//! # Next
//! `make-errors` makes twelve socket errors on purpose; `socket-timeout` waits with a limit,
//! `socket-modes` does not wait. `epoll-web` is a server of HTTP.
//!
//! # Source
//! connect(2), send(2), recv(2), getsockopt(2), tcp(7), errno(3); RFC 1945, RFC 9112; UNP §5.11 to
//! §5.15, TLPI §56.5; the Python cookbook's recipe 1.7.

mod args;
mod report;

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage};
use nix::sys::socket::{connect, getsockname, getsockopt, recv, send, socket, sockopt};

use netcore::addr::Host;
use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{self, addresses};
use netcore::text::{counted, escape};
use netcore::{cli, recipe};

use args::{Args, Deadline, Path};
use report::{Stage, Stages, end_of_header, parse};

/// Bytes that one `recv` takes at most.
const BUFFER: usize = 64 * 1024;

/// How long a server may take to close after the last byte that it announced: HTTP/1.0 has no second
/// reply on a connection, and bytes that come in place of the end are too many.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The most replies with a status from 100 to 199, which announce another (RFC 9110 §15.2). HTTP/1.0
/// does not have them, and some servers send them nevertheless.
const INTERIM: u32 = 8;

/// A connection to the server, which has to be over at the deadline.
struct Connection {
    fd: OwnedFd,
    peer: SocketAddr,
    deadline: Deadline,
}

fn main() -> ExitCode {
    let recipe = recipe!(0 1 2 65 68 69 71 74 75 77 130, moved "--provoke" = "make-errors");
    cli::run(&recipe, show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.host.is_none() && args.port.is_none() && args.file.is_none() {
        return Err(Error::Usage("--host, --port or --file: required".to_owned()));
    }
    let mut stages = Stages::new(out, args.verbose, args.json);
    request(args, &mut stages).or_else(|error| stages.failed(error))
}

/// The request, stage by stage. An error belongs to the stage that was begun last.
fn request(args: &Args, stages: &mut Stages<'_>) -> Result<(), Error> {
    let family = resolve::AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let host = args.host.clone().unwrap_or_else(|| Host::Name("localhost".to_owned()));
    let port = args.port.map_or(80, |port| port.0);
    let path = args.file.clone().unwrap_or_else(|| Path("/".to_owned()));
    let deadline = Deadline::new(args.timeout);

    stages.begin(Stage::Resolve);
    let found = addresses(&host, port, family, args.timeout)?; // getaddrinfo, with a deadline
    stages.done(format_args!("{host}, addresses: {}", found.len()))?;
    let server = connect_to_one(&found, deadline, stages)?; // its drop is the `close`

    stages.begin(Stage::Send);
    let bytes = args::request(&host, port, &path);
    send_all(&server, &bytes)?;
    stages.done(counted(bytes.len() as u64, "byte"))?;

    let (mut rest, mut interim) = (Vec::new(), 0);
    let head = loop {
        stages.begin(Stage::Receive);
        let (head, more) = receive_header(&server, rest)?;
        rest = more;
        stages.done(format_args!("{} of the header", counted(head.len() as u64, "byte")))?;
        stages.begin(Stage::Parse);
        let head = parse(&head).map_err(|fault| server.wrong(fault))?;
        stages.done(escape(&head.line))?;
        for (name, value) in &head.fields {
            stages.field(name, value)?;
        }
        match head.status {
            200.. => break head,
            _ if interim == INTERIM => {
                return Err(server.wrong(format!("more than {INTERIM} interim replies")));
            }
            _ => interim += 1,
        }
    };
    stages.begin(Stage::Receive);
    let bytes = receive_body(&server, rest, head.length, args.max_bytes, stages)?;
    stages.done(format_args!("{} of the body", counted(bytes, "byte")))?;
    stages.reply(head.status, bytes)?;
    match head.status {
        200..300 => Ok(()),
        _ => Err(Error::No(format!("{}: {}", server.peer, escape(&head.line)))),
    }
}

impl Connection {
    fn wrong(&self, fault: String) -> Error {
        Error::Protocol { peer: self.peer.to_string(), fault }
    }
}

/// Connects to the first address that accepts, in the resolver's order: RFC 6724 puts IPv6 first
/// where this machine has it. A program for people overlaps the attempts (RFC 8305); one after the
/// other, each failure can be seen.
fn connect_to_one(
    found: &[SocketAddr],
    deadline: Deadline,
    stages: &mut Stages<'_>,
) -> Result<Connection, Error> {
    let mut failed = Vec::new();
    for (&peer, left) in found.iter().zip((1..=found.len()).rev()) {
        let share = deadline.share(u32::try_from(left).unwrap_or(u32::MAX));
        match connect_to(peer, share, stages) {
            Ok(fd) => return Ok(Connection { fd, peer, deadline }),
            Err(error) => {
                stages.attempt_failed(&error)?;
                failed.push(error);
            }
        }
    }
    Err(report::one_of_all(failed))
}

/// EMFILE from `socket`: this process has no descriptor left. EAFNOSUPPORT: this machine has no such
/// address family.
fn connect_to(
    address: SocketAddr,
    deadline: Deadline,
    stages: &mut Stages<'_>,
) -> Result<OwnedFd, Error> {
    stages.begin(Stage::Socket);
    let (family, name) = match address {
        SocketAddr::V4(_) => (AddressFamily::Inet, "IPv4"),
        SocketAddr::V6(_) => (AddressFamily::Inet6, "IPv6"),
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, SockType::Stream, flags, None);
    let fd = fd.attempt(format_args!("socket for {address}"))?;
    stages.done(name)?;

    stages.begin(Stage::Connect);
    connect_until(&fd, address, deadline)?;
    stages.done(address)?;
    Ok(fd)
}

/// On a socket that does not block, `EINPROGRESS` means that the handshake is under way.
fn connect_until(fd: &OwnedFd, address: SocketAddr, deadline: Deadline) -> Result<(), Error> {
    let what = format!("connect to {address}");
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(why) => return Err(why).attempt(what),
    }
    wait(fd, PollFlags::POLLOUT, &what, deadline)?;
    // Writable means decided, not connected: a socket that was refused is writable too.
    match getsockopt(fd, sockopt::SocketError).attempt("getsockopt SO_ERROR")? {
        0 => {}
        errno => return Err(Errno::from_raw(errno)).attempt(what),
    }
    // The kernel may choose the port that we connect to as our own: the socket is then connected to
    // itself, and nobody listens there.
    match getsockname(fd.as_raw_fd()) == Ok(SockaddrStorage::from(address)) {
        true => Err(Errno::ECONNREFUSED).attempt(what),
        false => Ok(()),
    }
}

/// Waits until the socket is ready for these events, or has failed.
fn wait(fd: &OwnedFd, events: PollFlags, what: &str, deadline: Deadline) -> Result<(), Error> {
    match poll(&mut [PollFd::new(fd.as_fd(), events)], deadline.at).attempt("poll")? {
        0 => Err(deadline.missed(what)),
        _ => Ok(()),
    }
}

/// Sends all of it. If the server has closed, but replied before it did, the reply counts.
#[expect(clippy::indexing_slicing, reason = "send returns at most the length that it was given")]
fn send_all(server: &Connection, bytes: &[u8]) -> Result<(), Error> {
    let Connection { fd, peer, deadline } = server;
    let what = format!("send to {peer}");
    let mut sent = 0;
    while sent < bytes.len() {
        // Without MSG_NOSIGNAL a peer that has closed is SIGPIPE, which ends the program.
        match send(fd.as_raw_fd(), &bytes[sent..], MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait(fd, PollFlags::POLLOUT, &what, *deadline)?,
            Err(Errno::EPIPE | Errno::ECONNRESET)
                if recv(fd.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK)
                    .is_ok_and(|seen| seen > 0) =>
            {
                return Ok(());
            }
            Err(why) => return Err(why).attempt(what),
        }
    }
    Ok(())
}

/// Receives what is there, or waits for it; 0 is the end of the stream.
fn receive(
    fd: &OwnedFd,
    buffer: &mut [u8],
    what: &str,
    deadline: Deadline,
) -> Result<usize, Error> {
    // A server that never stops sending must not outlast the deadline either.
    while !deadline.is_over() {
        match recv(fd.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(count) => return Ok(count),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait(fd, PollFlags::POLLIN, what, deadline)?,
            Err(why) => return Err(why).attempt(what),
        }
    }
    Err(deadline.missed(what))
}

/// Receives the header, or bytes that can't become one; returns the bytes behind it too. It may begin
/// with bytes that were received before.
#[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it was given")]
fn receive_header(server: &Connection, mut head: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let Connection { fd, peer, deadline } = server;
    let (mut buffer, mut looked_at) = (vec![0; BUFFER], 0);
    loop {
        if let Some(end) = end_of_header(&head, looked_at) {
            let rest = head.split_off(end);
            return Ok((head, rest));
        }
        looked_at = head.len();
        let so_far = counted(looked_at as u64, "byte");
        let what = format!("receive from {peer} (the header, {so_far} so far)");
        let count = receive(fd, &mut buffer, &what, *deadline)?;
        if count == 0 {
            return Err(server.wrong(format!("closed within the header, after {so_far} of it")));
        }
        head.extend_from_slice(&buffer[..count]);
    }
}

/// Receives the body, and writes each piece when it comes, so that it is there however the stream
/// ends. Returns the length of the body.
#[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it was given")]
fn receive_body(
    server: &Connection,
    mut buffer: Vec<u8>,
    length: Option<u64>,
    most: u64,
    stages: &mut Stages<'_>,
) -> Result<u64, Error> {
    let Connection { fd, peer, deadline } = server;
    // The bytes behind the header are the first piece.
    let (mut count, mut taken) = (buffer.len(), 0);
    buffer.resize(count.max(BUFFER), 0);
    loop {
        // What is more than announced, or more than --max-bytes, is not written.
        let room = length.unwrap_or(u64::MAX).min(most) - taken;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (body, more) = buffer[..count].split_at(room.min(count));
        stages.body(body)?;
        taken += body.len() as u64;
        if !more.is_empty() {
            return Err(server.wrong(report::too_long(more.len(), taken, length, most)));
        }
        if length == Some(taken) {
            // All is here: a server that does not close, or resets, takes nothing of it away.
            count = receive(fd, &mut buffer, "", deadline.at_most(CLOSE_TIMEOUT)).unwrap_or(0);
        } else {
            let so_far = counted(taken, "byte");
            let what = format!("receive from {peer} (the end of the body, {so_far} so far)");
            count = receive(fd, &mut buffer, &what, *deadline)?;
        }
        match (count, length) {
            (0, Some(length)) if taken < length => {
                let taken = counted(taken, "byte");
                let fault = format!("after {taken} of the body, Content-Length is {length}");
                return Err(server.wrong(format!("closed {fault}")));
            }
            (0, _) => return Ok(taken),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "main_tests.rs"]
mod tests;
