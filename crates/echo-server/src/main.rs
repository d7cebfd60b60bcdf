//! Echo what each peer sends, one connection at a time (RFC 862).
//!
//! # What it shows
//! The life of a TCP server, in the order of its system calls. After `listen` the kernel completes
//! connections by itself and queues them, up to the backlog; `accept` takes the next one. So a
//! second client connects at once and may send, but receives nothing until the first is done.
//! `recv` returns 0 when the peer has sent all that it wanted to send; it still receives.
//! Before each `recv`, and before a `send` for which the kernel has no room, `poll` waits for the
//! peer and for signals at the same time, so that a silent peer does not keep the server from
//! stopping.
//!
//! # System calls
//! `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` →
//! (`accept` → (`poll` → `recv` → `send`)* → `close`)*
//!
//! # Try it
//! ```console
//! $ echo-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ echo-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   0.21 ms
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE`: another socket listens on the port. Connections of the last run that are in
//!   TIME_WAIT would cause it too; SO_REUSEADDR excepts those.
//! - `EACCES`: a port below 1024, without the privilege for it.
//! - `send` takes a part of the bytes when the peer reads slowly. The Python original ignores its
//!   count and loses the rest.
//! - A silent peer would occupy a server of one connection without end: `--idle-timeout`.
//! - A message longer than one `recv`: the original reads once, at most 2,048 bytes, and its `close`
//!   with unread bytes sends RST, which may destroy the reply as well.
//!
//! # Next
//! `echo-client` is the other end; `forking-echo` serves many, with a process for each.
//!
//! # Source
//! socket(7), tcp(7), listen(2), accept(2), recv(2), send(2); RFC 862; UNP §5.2, TLPI §56.5; the
//! Python cookbook's recipe 1.13, echo server.

mod args;

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Socket, Type};

use netcore::echo::BUFFER;
use netcore::error::{Attempt, Error, errno};
use netcore::limits::Limits;
use netcore::listener::Listener;
use netcore::log::{self, Log, Record};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::{Signals, Woken};
use netcore::stop::Stop;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::Args;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?.with_log(&log);

    let socket = listen(local, args.backlog)?;
    let listener = Listener::new(socket)?; // it knows what each error of accept means
    let mut limits = Limits::new(log, 1, usize::MAX);
    let mut buffer = vec![0; BUFFER];
    log::ready(listener.local()?, args.json, "", out)?;
    let mut stop = Stop::new(signals, listener, args.grace.0);
    while let Some(listener) = &mut stop.listener {
        match stop.signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, None)? {
            Woken::Signal(SIGUSR1) => limits.report(),
            Woken::Signal(_) => break,
            Woken::Deadline => {}
            Woken::Ready => {
                let Some((stream, peer)) = listener.accept(&log)? else { continue };
                if !limits.admit(peer) {
                    continue; // the drop of `stream` closes it
                }
                if args.once {
                    stop.listener = None; // the drop of the listener closes it
                }
                let mut record = log.open(peer);
                let idle = args.idle_timeout;
                let end = echo(&stream, &mut buffer, idle, &mut stop, &limits, &mut record);
                record.close(end);
                limits.leave(peer);
                drop(stream); // close: FIN, or RST if bytes of the peer were left unread
            }
        }
    }
    Ok(())
}

/// `socket`, `setsockopt`, `bind`, `listen`. The other servers call the same function of netcore.
fn listen(local: SocketAddr, backlog: i32) -> Result<Socket, Error> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, None).attempt("socket")?;
    // The side that closes first keeps the address in TIME_WAIT for a minute. Without this option
    // a restart within that minute fails; with it only another listener prevents it.
    socket.set_reuse_address(true).attempt("setsockopt SO_REUSEADDR")?;
    if local.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
    }
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    // The kernel makes the queue no longer than net.core.somaxconn. A SYN that finds it full is dropped,
    // and its client sends it again after 1 s.
    socket.listen(backlog).attempt(format_args!("listen on {local}"))?;
    Ok(socket)
}

/// Sends back what the peer sends, until its FIN. The error is the reason to end before it.
#[expect(clippy::indexing_slicing, reason = "recv and send return at most the length they got")]
fn echo(
    stream: &Socket,
    buffer: &mut [u8],
    idle: Timeout,
    stop: &mut Stop,
    limits: &Limits,
    record: &mut Record,
) -> Result<(), String> {
    let fd = stream.as_raw_fd();
    loop {
        wait_for_peer(stream, PollFlags::POLLIN, idle, stop, limits)?;
        let received = match recv(fd, buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Ok(()), // FIN: the peer has sent all that it wanted to send
            Ok(received) => received,
            // What poll reported may be gone again: without MSG_DONTWAIT this call would block.
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(why) => return Err(format!("recv: {}", errno(why))),
        };
        let mut rest = &buffer[..received];
        record.received(rest);
        // The kernel takes what it has room for, which may be less than there is.
        while !rest.is_empty() {
            // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
            match send(fd, rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => {
                    record.sent(sent);
                    rest = &rest[sent..];
                }
                Err(Errno::EAGAIN) => {
                    wait_for_peer(stream, PollFlags::POLLOUT, idle, stop, limits)?
                }
                Err(Errno::EINTR) => {}
                Err(why) => return Err(format!("send: {}", errno(why))),
            }
        }
    }
}

/// Waits until the peer has sent (POLLIN) or has taken (POLLOUT) bytes. The error is the reason to
/// wait no longer.
fn wait_for_peer(
    stream: &Socket,
    events: PollFlags,
    idle: Timeout,
    stop: &mut Stop,
    limits: &Limits,
) -> Result<(), String> {
    // The silence is counted from here: only a peer that does something gets a new deadline.
    let idle_end = idle.deadline();
    loop {
        let mut fds = [
            PollFd::new(stop.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stream.as_fd(), events),
        ];
        match poll(&mut fds, timeout_until(stop.deadline(idle_end))) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(why) => return Err(format!("poll: {}", errno(why))),
        }
        let [signal, ready] = fds.map(|fd| fd.any().unwrap_or(true));
        let now = Instant::now();
        if signal && stop.next_signal(now).map_err(|error| error.to_string())? == Some(SIGUSR1) {
            limits.report();
        }
        if let Some(why) = stop.is_over(now) {
            return Err(why.to_owned());
        }
        if ready {
            return Ok(());
        }
        if idle_end.is_some_and(|end| end <= now) {
            let what = if events == PollFlags::POLLIN { "timed out" } else { "send timed out" };
            return Err(format!("{what} after {idle}"));
        }
    }
}
