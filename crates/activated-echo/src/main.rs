//! Echo what each peer sends, on a listener that outlives its server.
//!
//! # What it shows
//! Who listens and who serves may be two processes. The kernel completes connections, and keeps what the
//! clients send, as long as somebody has the listener open: a launcher, systemd or inetd. The server is
//! started when a client comes, finds the listener as descriptor 3, and may end, be replaced or crash
//! without any client being refused. What tells it so are two variables, LISTEN_PID and LISTEN_FDS.
//!
//! # System calls
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! In `launcher.rs`: `fork`, in the child `setpgid` → `getpid` → `dup2` → `execve`
//! `getpid` → `fcntl(F_SETFD)` → `getsockopt(SO_ACCEPTCONN)` → `getsockopt(SO_TYPE)` →
//! (`accept` → `recv` → `send` → `close`)*
//!
//! # Try it
//! ```console
//! $ activated-echo --port 7777 --idle-exit 1s &
//! listening on 127.0.0.1:7777, no server yet
//! $ echo-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   4.1 ms
//! ```
//! `kill -HUP` of the launcher starts a new server first, and then ends the old one. With systemd:
//! `systemd-socket-activate -l 7777 activated-echo`; with inetd, for each connection: `activated-echo --inetd`.
//!
//! # What can go wrong
//! - LISTEN_PID is that of another process: the variables were meant for a parent, which has passed them
//!   on. That is no error: they mean nothing here.
//! - The listener arrives without FD_CLOEXEC, and the variables stay: every child would have both.
//! - `dup2` of a descriptor to itself does nothing: FD_CLOEXEC stays, and `execve` closes it.
//! - Descriptor 3 may be a file, a connection or a socket of datagrams: SO_ACCEPTCONN and SO_TYPE say so.
//! - `shutdown` of the listener ends it for the launcher as well (`ECONNREFUSED` for each client): close
//!   it only.
//! - O_NONBLOCK belongs to the listener and not to the descriptor: it is set for the launcher too. A
//!   launcher that calls `accept` itself has to know that.
//! - A server that ends at once would be started again and again, while the client waits: the launcher
//!   waits longer each time.
//! - Under inetd descriptor 2 is the connection too: what is logged there, the client receives.
//!
//! # Next
//! `fd-pass` hands over connections, between processes that already run; `echo-server` has its own
//! listener; `unix-echo` keeps a name from being taken twice.
//!
//! # Source
//! sd_listen_fds(3), systemd-socket-activate(1), inetd(8), dup2(2), execve(2), environ(7); UNP §13.5, TLPI
//! §60.5.

mod args;
mod launcher;

use std::env;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::sockopt::{AcceptConn, SockType};
use nix::sys::socket::{MsgFlags, getsockopt, recv, send};
use nix::unistd::getpid;
use socket2::Socket;

use netcore::addr::unmap_ipv4;
use netcore::echo::BUFFER;
use netcore::error::{Attempt, Error, errno};
use netcore::listener::{Listener, local_address};
use netcore::log::{Log, Record};
use netcore::poll::timeout_until;
use netcore::port::ListenPort;
use netcore::signal::Signal::{SIGINT, SIGTERM};
use netcore::signal::{Signals, Woken};
use netcore::stop::Stop;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::Args;

/// The descriptors that a parent passes begin here (SD_LISTEN_FDS_START).
const PASSED: RawFd = 3;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), |args: &Args, out| match (passed()?, args.port) {
        (Some(listener), _) => serve(listener, args),
        (None, _) if args.inetd => serve_standard_input(args),
        (None, Some(ListenPort(port))) => launcher::launch(port, args, out),
        (None, None) => Err(Error::Usage(
            "no listener was passed: give --port, or --inetd, or start it under systemd".to_owned(),
        )),
    })
}

/// The listener that the parent has passed, if it has (sd_listen_fds(3)).
#[expect(unsafe_code, reason = "a descriptor that was passed is known by its number only")]
fn passed() -> Result<Option<Socket>, Error> {
    let [pid, fds] = ["LISTEN_PID", "LISTEN_FDS"].map(|name| env::var(name).unwrap_or_default());
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
        // SAFETY: this process has one thread: no other reads its environment.
        unsafe { env::remove_var(name) };
    }
    // Of a parent, which did not take them out.
    if pid != getpid().to_string() || fds == "0" {
        return Ok(None);
    }
    if fds != "1" {
        return Err(Error::Usage(format!(
            "LISTEN_FDS={}: one socket is served",
            fds.escape_debug()
        )));
    }
    // SAFETY: it is used for this call only, which fails with EBADF if nothing was passed.
    let fd = unsafe { BorrowedFd::borrow_raw(PASSED) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).attempt("fcntl F_SETFD of descriptor 3")?;
    // SAFETY: it is open, and was passed to this process, in which nothing else knows of it.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(PASSED) });
    let listens = getsockopt(&socket, AcceptConn);
    let listens = listens.attempt("getsockopt SO_ACCEPTCONN of descriptor 3")?;
    let kind = getsockopt(&socket, SockType).attempt("getsockopt SO_TYPE of descriptor 3")?;
    if !listens || kind != nix::sys::socket::SockType::Stream {
        return Err(Errno::EINVAL).attempt("accept on descriptor 3, which does not listen");
    }
    local_address(&socket)?;
    Ok(Some(socket))
}

/// The server: it has the listener, as the launcher has.
fn serve(socket: Socket, args: &Args) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let signals = Signals::catch(&[SIGINT, SIGTERM])?.with_log(&log);
    let listener = Listener::shared(socket)?; // it knows what each error of accept means
    let mut buffer = vec![0; BUFFER];
    let mut stop = Stop::new(signals, listener, args.grace.0);
    while let Some(listener) = &mut stop.listener {
        let idle_exit = args.idle_exit.deadline();
        match stop.signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, idle_exit)? {
            // A client that comes now waits for the next server.
            Woken::Signal(_) | Woken::Deadline => break,
            Woken::Ready => {
                // Another server, which is about to end, may have been faster.
                let Some((stream, peer)) = listener.accept(&log)? else { continue };
                let mut record = log.open(peer);
                let end = echo(&stream, &mut buffer, args.idle_timeout, &mut stop, &mut record);
                record.close(end);
                drop(stream); // close
            }
        }
    }
    Ok(())
}

/// One connection, as inetd passes it: standard input, output and error.
#[expect(unsafe_code, reason = "a descriptor that was passed is known by its number only")]
fn serve_standard_input(args: &Args) -> Result<(), Error> {
    // SAFETY: std has opened it if it was closed, and nothing else here reads standard input.
    let stream = Socket::from(unsafe { OwnedFd::from_raw_fd(0) });
    let peer = stream.peer_addr().attempt("getpeername of standard input")?;
    let peer = peer.as_socket().ok_or(Errno::EAFNOSUPPORT);
    let peer = unmap_ipv4(peer.attempt("getpeername of standard input")?);
    // Standard error is the connection too.
    let log = Log::new(env!("CARGO_PKG_NAME"), true, false, false);
    let signals = Signals::catch(&[SIGINT, SIGTERM])?.with_log(&log);
    let mut stop = Stop::new(signals, None, args.grace.0);
    let mut record = log.open(peer);
    let end = echo(&stream, &mut vec![0; BUFFER], args.idle_timeout, &mut stop, &mut record);
    record.close(end);
    Ok(())
}

/// Sends back what the peer sends, until the end. The error is the reason to end before it.
#[expect(clippy::indexing_slicing, reason = "recv and send return at most the length they got")]
fn echo(
    stream: &Socket,
    buffer: &mut [u8],
    idle: Timeout,
    stop: &mut Stop,
    record: &mut Record,
) -> Result<(), String> {
    let fd = stream.as_raw_fd();
    loop {
        wait_for_peer(stream, PollFlags::POLLIN, idle, stop)?;
        let received = match recv(fd, buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Ok(()),
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
                Err(Errno::EAGAIN) => wait_for_peer(stream, PollFlags::POLLOUT, idle, stop)?,
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
        if signal {
            stop.next_signal(now).map_err(|error| error.to_string())?;
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
