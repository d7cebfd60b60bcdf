//! Echo what each peer sends, all connections in one thread, with `poll`.
//!
//! # What it shows
//! One thread serves all clients if it never waits for one of them. `poll` says which can be served,
//! and every other call is one that does not block. What a blocked thread keeps on its stack the
//! server must now keep for each client: the bytes that the kernel had no room for. There is nothing
//! to lock. Each call of `poll` passes the list of all clients, and the kernel looks at each one:
//! with a thousand idle clients that is most of the work.
//!
//! # System calls
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! (`poll` → `accept`)* → (`poll` → `recv` → `send`)* → `close`
//!
//! # Try it
//! ```console
//! $ poll-echo --port 7777 &
//! listening on 127.0.0.1:7777
//! $ forking-client --port 7777 --clients 2
//! client 1 <- no pid   19 bytes   0.52 ms
//! client 2 <- no pid   19 bytes   0.61 ms
//! 2 clients, each its own bytes
//! ```
//!
//! # What can go wrong
//! - One call that blocks stops all clients: `recv` on a connection that `poll` reported may still
//!   find nothing. Hence `MSG_DONTWAIT` on each call.
//! - A peer that does not read: its bytes would pile up in the server. Nothing more is received from
//!   it until it has taken what was left to send.
//! - A client may leave 64 KiB here. With RLIMIT_AS, `ENOMEM` closes that client only. With `memory.max`
//!   of a control group no call fails: the kernel kills the process, unless `--max-clients` times that
//!   fits.
//! - `POLLOUT` requested when there is nothing to send: it is always true, and the loop spins.
//! - A full server that still polls its listener spins too.
//! - `EINVAL`: the list is longer than RLIMIT_NOFILE, which an admin has lowered (prlimit(1)); `ENOMEM`:
//!   no memory to copy it. To end would cut off all clients. Each is tried, 20 times a second.
//! - `POLLHUP` and `POLLERR` are reported unrequested. `recv` says what they mean.
//!
//! # Next
//! `threaded-echo` has a thread where this has a list entry; `epoll-echo` leaves the list in the kernel.
//!
//! # Source
//! poll(2), recv(2), fcntl(2); UNP §6.10 and §6.11, TLPI §63.2; the Python cookbook's recipe 2.3,
//! select.select.

mod args;

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::Socket;

use netcore::echo::BUFFER;
use netcore::error::{Error, errno};
use netcore::idle::Idle;
use netcore::limits::{Limits, raise_rlimit_nofile, reserve};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log, Record};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::Signals;
use netcore::stop::Stop;
use netcore::{cli, recipe};

use args::Args;

/// The clients, and which of them are ready.
struct Clients<'a> {
    limits: Limits,
    all: Vec<Client<'a>>,
    ready: Vec<bool>,
}

/// One client's connection.
struct Client<'a> {
    stream: Socket,
    peer: SocketAddr,
    record: Record<'a>,
    /// What the kernel had no room for. While there is any, nothing more is received: so it is never
    /// more than one buffer, and a peer that does not read blocks in its own `send` at last.
    unsent: Vec<u8>,
    /// When bytes last went either way.
    last: Instant,
}

/// What one step of an echo came to.
enum Step {
    /// Bytes went, and there may be more.
    Again,
    /// The kernel has nothing to receive, or no room to send.
    Blocked,
    /// The peer's FIN, or the reason to end before it.
    Ended(Result<(), String>),
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?.with_log(&log);
    raise_rlimit_nofile(args.max_clients);

    let socket = listen(local, args.backlog)?; // echo-server writes these calls out
    let listener = Listener::new(socket)?;
    let limits = Limits::new(log, args.max_clients, args.max_per_source);
    let mut clients = Clients { limits, all: Vec::new(), ready: Vec::new() };
    let mut buffer = vec![0; BUFFER];
    log::ready(listener.local()?, args.json, "", out)?;
    let mut stop = Stop::new(signals, listener, args.grace.0);
    let mut idle = Idle::new(args.idle_timeout);
    while stop.listener.is_some() || !clients.all.is_empty() {
        let (signal, connection) = wait(&mut clients, &stop, stop.deadline(idle.next))?;
        let now = Instant::now();
        serve_ready(&mut clients, &mut buffer, now);
        end_idle(&mut clients, &mut idle, now);
        if connection
            && let Some(listener) = &mut stop.listener
            && let Some((stream, peer)) = listener.accept(&log)?
            && clients.limits.admit(peer)
        {
            add(&mut clients, stream, peer, log.open(peer), now);
        }
        if signal && stop.next_signal(now)? == Some(SIGUSR1) {
            clients.limits.report();
        }
        if let Some(why) = stop.is_over(now) {
            end_all(&mut clients, why);
        }
    }
    Ok(())
}

/// Passes the list of all descriptors to the kernel, and waits until one is ready. Returns whether
/// there are a signal and a connection.
fn wait(
    clients: &mut Clients,
    stop: &Stop,
    deadline: Option<Instant>,
) -> Result<(bool, bool), Error> {
    let mut fds = Vec::with_capacity(clients.all.len() + 2);
    fds.push(PollFd::new(stop.signals.as_fd(), PollFlags::POLLIN));
    fds.extend(clients.all.iter().map(|client| {
        let sending = !client.unsent.is_empty();
        let events = if sending { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        PollFd::new(client.stream.as_fd(), events)
    }));
    // A full server does not poll its listener: new clients wait in the kernel's queue.
    let open = stop.listener.as_ref().filter(|_| !clients.limits.is_full());
    fds.extend(open.map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
    let mut try_all = false;
    match poll(&mut fds, timeout_until(deadline)) {
        Ok(_) => {}
        Err(Errno::EINTR) => fds.clear(), // as if none was ready
        Err(why) => {
            // ENOMEM, or EINVAL: the list is longer than RLIMIT_NOFILE. No call below would block.
            stop.signals.poll_failed(why)?;
            try_all = true;
        }
    }
    let mut ready = fds.iter().map(|fd| try_all || fd.any().unwrap_or(true));
    let signal = ready.next() == Some(true);
    clients.ready.clear();
    clients.ready.extend(ready.by_ref().take(clients.all.len()));
    Ok((signal, ready.next() == Some(true)))
}

/// Serves every client that is ready. A client that is not retained is dropped: close.
fn serve_ready(clients: &mut Clients, buffer: &mut [u8], now: Instant) {
    let Clients { limits, all, ready } = clients;
    let mut ready = ready.drain(..);
    all.retain_mut(|client| {
        let step =
            if ready.next() == Some(true) { echo(client, buffer, now) } else { Step::Blocked };
        let Step::Ended(end) = step else { return true };
        client.record.close(end);
        limits.leave(client.peer);
        false
    });
}

/// Receives once and sends that back, or sends what was left; it never waits.
#[expect(clippy::indexing_slicing, reason = "recv and send return at most the length they got")]
fn echo(client: &mut Client, buffer: &mut [u8], now: Instant) -> Step {
    let fd = client.stream.as_raw_fd();
    let bytes = if client.unsent.is_empty() {
        // The socket is a blocking one: without MSG_DONTWAIT a silent peer would stop the server.
        match recv(fd, buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Step::Ended(Ok(())), // FIN: the peer has sent all that it wanted to send
            Ok(received) => {
                client.record.received(&buffer[..received]);
                client.last = now;
                &buffer[..received]
            }
            Err(Errno::EAGAIN) => return Step::Blocked,
            Err(Errno::EINTR) => return Step::Again,
            Err(why) => return Step::Ended(Err(format!("recv: {}", errno(why)))),
        }
    } else {
        &client.unsent
    };
    // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let sent = loop {
        match send(fd, bytes, flags) {
            Ok(sent) => break sent,
            Err(Errno::EAGAIN) => break 0,
            Err(Errno::EINTR) => {}
            Err(why) => return Step::Ended(Err(format!("send: {}", errno(why)))),
        }
    };
    if sent > 0 {
        client.record.sent(sent);
        client.last = now;
    }
    let mut unsent = Vec::new();
    if sent < bytes.len() {
        if reserve(|| unsent.try_reserve_exact(bytes.len() - sent)).is_err() {
            return Step::Ended(Err("no memory for what is left to send".to_owned()));
        }
        unsent.extend_from_slice(&bytes[sent..]);
    }
    client.unsent = unsent; // none: no memory
    if client.unsent.is_empty() { Step::Again } else { Step::Blocked }
}

fn end_idle(clients: &mut Clients, idle: &mut Idle, now: Instant) {
    if !idle.is_due(now) {
        return;
    }
    let Clients { limits, all, .. } = clients;
    all.retain(|client| {
        let Some(why) = idle.expired(client.last, !client.unsent.is_empty(), now) else {
            return true;
        };
        client.record.close(Err(why));
        limits.leave(client.peer);
        false
    });
}

fn add<'a>(
    clients: &mut Clients<'a>,
    stream: Socket,
    peer: SocketAddr,
    record: Record<'a>,
    now: Instant,
) {
    // Both lists grow: without memory for that, only this client is closed.
    let Clients { all, ready, .. } = clients;
    if reserve(|| all.try_reserve(1).and_then(|()| ready.try_reserve(all.len() + 1))).is_err() {
        clients.limits.leave(peer);
        record.close(Err("no memory for one more client".to_owned()));
        return;
    }
    clients.all.push(Client { stream, peer, record, unsent: Vec::new(), last: now });
}

fn end_all(clients: &mut Clients, why: &str) {
    clients.all.drain(..).for_each(|client| client.record.close(Err(why.to_owned())));
}
