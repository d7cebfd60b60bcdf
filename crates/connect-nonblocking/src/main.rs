//! Connect without waiting in the call, and show how and when the connection was made or refused.
//!
//! # What it shows
//! `connect` on a non-blocking TCP socket sends the SYN and fails with `EINPROGRESS`: the handshake
//! goes on in the kernel. `poll` returns when it has ended, with POLLOUT whether it succeeded or
//! failed; SO_ERROR, which is cleared when it is read, says which. To call the connect off, close the
//! socket: the kernel then sends no more SYNs.
//!
//! # System calls
//! To a listener, and to a port without one: `socket` → `fcntl(O_NONBLOCK)` → `connect` → `poll` →
//! `getsockopt(SO_ERROR)` → `getsockopt(SO_ERROR)` → `close` → `socket` → `fcntl(O_NONBLOCK)` →
//! `connect` → `poll` → `getsockopt(SO_ERROR)` → `getsockopt(SO_ERROR)` → `close`
//!
//! # Try it
//! ```console
//! $ connect-nonblocking
//! connect to a listener:
//!   EINPROGRESS, poll: POLLOUT after 0.0102 ms, SO_ERROR 0, then 0
//! connect to a port without a listener:
//!   EINPROGRESS, poll: POLLOUT|POLLERR|POLLHUP after 0.0013 ms, SO_ERROR ECONNREFUSED, then 0
//! ```
//! To a peer that does not answer it waits until Ctrl-C, --timeout, or until TCP gives up. Ctrl-C here is
//! a signal after a second:
//! ```console
//! $ timeout --preserve-status --signal=INT 1s connect-nonblocking --cancel; echo $?
//! connecting to 127.0.0.1:38601: EINPROGRESS; poll waits, Ctrl-C cancels
//! cancelled by SIGINT after 1002 ms
//! 130
//! ```
//!
//! # What can go wrong
//! - A loop that calls `connect` again at once after `EINPROGRESS` (`EALREADY` then) takes a whole
//!   core: wait in `poll`.
//! - `poll` returns POLLOUT for a connect that was refused, too: read SO_ERROR. Read it once: the
//!   second reader gets 0, and takes the socket for connected.
//! - No answer: TCP sends the SYN again (net.ipv4.tcp_syn_retries), and fails with `ETIMEDOUT` after a
//!   minute or two. `poll` with a deadline ends earlier.
//! - A unix `connect` never returns `EINPROGRESS`: a full queue is `EAGAIN`, and nothing goes on in
//!   the kernel. Call it again.
//! - After a connect that failed, use a new socket: the state of the old one is unspecified.
//!
//! # Next
//! `socket-modes` makes the other calls without waiting, `socket-timeout` bounds those that wait,
//! `echo-client` connects to every address of a name in this way.
//!
//! # Source
//! connect(2), poll(2), socket(7), tcp(7); UNP §16.3 and §16.4, TLPI §63.2.

mod args;
mod report;

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::raise;
use socket2::{Domain, SockAddr, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::signal::{Signal, Signals};
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::Args;
use report::{Outcome, errno};

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74 75 130), |args: &Args, out| {
        if args.cancel { cancel(args, out) } else { show(args, out) }
    })
}

/// Both ends that a connect has on one machine.
fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let (_listener, local) = listen(1)?;
    // A port that is taken, so that no other program listens there, and where this one does not.
    let bound = stream()?;
    let refused = bind(&bound)?;
    for (to, peer, documented) in
        [("a listener", local, "0"), ("a port without a listener", refused, "ECONNREFUSED")]
    {
        let outcome = connect(&peer, args.timeout)?;
        out.line(outcome.text(to, args.json))?;
        let error = outcome.error;
        if error != documented {
            let difference = format!("connect to {to}: SO_ERROR is {error}, not {documented}");
            out.report(&Error::No(difference));
        }
    }
    Ok(())
}

/// Connects and waits until the kernel has the result.
fn connect(peer: &SockAddr, timeout: Option<Timeout>) -> Result<Outcome, Error> {
    let socket = stream()?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    // EINPROGRESS is no failure: the SYN is on its way.
    let begun = errno(socket.connect(peer).err().as_ref());
    let since = Instant::now();
    // Writable: the connection was made, or could not be made.
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, timeout.and_then(Timeout::deadline)).attempt("poll")? == 0 {
        return Err(timed_out("connect", timeout));
    }
    let after = since.elapsed();
    let events = fds.first().and_then(PollFd::revents).unwrap_or(PollFlags::empty());
    let error = socket.take_error().attempt("getsockopt SO_ERROR")?;
    let again = socket.take_error().attempt("getsockopt SO_ERROR")?;
    drop(socket); // close
    Ok(Outcome { begun, events, after, error: errno(error.as_ref()), again: errno(again.as_ref()) })
}

/// Connects to a listener that does not answer, until a signal calls it off, the time is over, or
/// TCP gives up.
fn cancel(args: &Args, out: &mut Output) -> Result<(), Error> {
    // Caught before the connect: a signal between the two must not be lost.
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    let (_full, peer) = full_listener()?;
    let socket = stream()?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let begun = errno(socket.connect(&peer).err().as_ref());
    let since = Instant::now();
    let peer = peer.as_socket().ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")?;
    out.line(report::connecting(peer, &begun, args.json))?;

    // Signals come out of a descriptor (signalfd), so one poll waits for them and for the connect.
    let mut fds = [
        PollFd::new(socket.as_fd(), PollFlags::POLLOUT),
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
    ];
    if poll(&mut fds, args.timeout.and_then(Timeout::deadline)).attempt("poll")? == 0 {
        return Err(timed_out(&format!("connect to {peer}"), args.timeout));
    }
    if let Some(signal) = signals.next()? {
        drop(socket); // close: the kernel sends no more SYNs
        out.line(report::cancelled(signal, since.elapsed(), args.json))?;
        // Ended by the signal itself, so that a shell that runs a script stops too.
        signals.unblock()?;
        return raise(signal).attempt(format_args!("raise {signal}"));
    }
    let error = socket.take_error().attempt("getsockopt SO_ERROR")?;
    let why = error.and_then(|why| why.raw_os_error()).map_or(Errno::EISCONN, Errno::from_raw);
    Err(why).attempt(format_args!("connect to {peer}"))
}

fn timed_out(attempt: &str, timeout: Option<Timeout>) -> Error {
    let after = timeout.and_then(Timeout::duration).unwrap_or_default();
    Error::Timeout { attempt: attempt.to_owned(), after }
}

fn stream() -> Result<Socket, Error> {
    Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")
}

/// Binds to a free port of this machine, and returns its address.
fn bind(socket: &Socket) -> Result<SockAddr, Error> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).attempt("bind 127.0.0.1:0")?;
    socket.local_addr().attempt("getsockname")
}

fn listen(backlog: i32) -> Result<(Socket, SockAddr), Error> {
    let listener = stream()?;
    let local = bind(&listener)?;
    listener.listen(backlog).attempt("listen")?;
    Ok((listener, local))
}

/// A listener that does not answer, and its address: a backlog of 0 admits one client, which is
/// here. Both sockets have to stay open.
fn full_listener() -> Result<([Socket; 2], SockAddr), Error> {
    let (listener, local) = listen(0)?;
    let queued = stream()?;
    queued.connect(&local).attempt("connect to a listener of our own")?;
    // The client is connected a moment before its listener has it in the queue.
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, Timeout::seconds(5).deadline()).attempt("poll")?;
    Ok(([listener, queued], local))
}
