//! Echo what each peer sends, all connections in one thread, with `epoll`.
//!
//! # What it shows
//! `poll` is given all clients in each call. Here the list stays in the kernel: `epoll_ctl` changes
//! it, and `epoll_wait` returns only those that are ready, so that ten thousand idle clients cost
//! memory and no time. Level-triggered, a client is reported as long as there is something to do, as
//! with `poll`. Edge-triggered (`--edge`), a change is reported once: a server that does not continue
//! until EAGAIN is not told of the rest, and the call that returns EAGAIN is one call more a message.
//! The deadline is a descriptor on the list, as the signals are: with a timeout, each `epoll_wait`
//! would set a timer and cancel it.
//!
//! # System calls
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! In `netcore::timer::Timer`: `timerfd_create`
//! `epoll_create` → `epoll_ctl` → (`epoll_wait` → `accept` → `epoll_ctl`)* →
//! (`epoll_wait` → `recv` → `send`)* → `close`
//!
//! # Try it
//! ```console
//! $ epoll-echo --port 7777 &
//! listening on 127.0.0.1:7777
//! $ forking-client --port 7777 --clients 2
//! client 1 <- no pid   19 bytes   0.52 ms
//! client 2 <- no pid   19 bytes   0.61 ms
//! 2 clients, each its own bytes
//! ```
//!
//! # What can go wrong
//! - Edge-triggered, a short `recv` is no proof that all was read: the peer's FIN may have come with
//!   the bytes, and is not reported again. Only EAGAIN, or 0, is the end.
//! - Edge-triggered, a peer that sends without a pause would occupy the loop: after some steps the
//!   server serves the others, and remembers that this client is not done.
//! - `close` removes a descriptor from the list only if no other descriptor, from `dup` or in a forked
//!   child, refers to the same connection. Otherwise its events continue, for a closed descriptor.
//! - A client may leave 64 KiB here. With RLIMIT_AS, `ENOMEM` closes that client only. With `memory.max`
//!   of a control group no call fails: the kernel kills the process, unless `--max-clients` times that
//!   fits.
//! - `EPOLLOUT` requested when there is nothing to send: it is always true, and the loop spins.
//! - A full server whose list still has the listener spins too, and so does one that does not set an
//!   expired timer again.
//!
//! # Next
//! `poll-echo` passes the list in each call; in `uring-echo` the kernel makes the calls too.
//!
//! # Source
//! epoll(7), epoll_ctl(2), epoll_wait(2), timerfd_create(2); TLPI §63.4; the Python cookbook's
//! recipe 2.4, select.epoll.

mod args;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv, send};
use slab::Slab;
use socket2::Socket;

use netcore::echo::BUFFER;
use netcore::error::{Attempt, Error, errno};
use netcore::idle::Idle;
use netcore::limits::{Limits, raise_rlimit_nofile, reserve, reserve_one_more};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log, Record};
use netcore::output::Output;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::Signals;
use netcore::stop::Stop;
use netcore::timer::Timer;
use netcore::{cli, recipe};

use args::Args;

/// The number that comes back with an event: a client's key in the slab, or one of these.
const SIGNALS: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;

/// Events that one call returns at most.
const EVENTS: usize = 256;

/// Edge-triggered, how many steps one client is served before the others are.
const STEPS: usize = 16;

/// The clients, and those of them that have something to do.
struct Clients<'a> {
    epoll: Epoll,
    /// On the list too: the next deadline.
    timer: Timer,
    edge: bool,
    limits: Limits,
    /// Whether the list asks for the listener.
    accepting: bool,
    events: Vec<EpollEvent>,
    all: Slab<Client<'a>>,
    /// Those that were just reported, and with --edge those that are not done.
    ready: VecDeque<usize>,
}

impl Clients<'_> {
    fn new(epoll: Epoll, timer: Timer, edge: bool, limits: Limits) -> Self {
        let events = vec![EpollEvent::empty(); EVENTS];
        let (all, ready) = (Slab::new(), VecDeque::new());
        Clients { epoll, timer, edge, limits, accepting: true, events, all, ready }
    }
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
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?;
    raise_rlimit_nofile(args.max_clients);

    let socket = listen(local, args.backlog)?; // echo-server writes these calls out
    let listener = Listener::new(socket)?;
    let limits = Limits::new(log, args.max_clients, args.max_per_source);
    let timer = Timer::new()?;
    let epoll = new_list(&signals, &listener, &timer)?;
    let mut clients = Clients::new(epoll, timer, args.edge, limits);
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

/// The kernel's list, with what is on it from the start to the end.
fn new_list(signals: &Signals, listener: &Listener, timer: &Timer) -> Result<Epoll, Error> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).attempt("epoll_create1")?;
    epoll.add(signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS)).attempt("epoll_ctl")?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).attempt("epoll_ctl")?;
    epoll.add(timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER)).attempt("epoll_ctl")?;
    Ok(epoll)
}

/// Waits until a descriptor on the list is ready. Returns whether there are a signal and a connection.
fn wait(
    clients: &mut Clients,
    stop: &Stop,
    deadline: Option<Instant>,
) -> Result<(bool, bool), Error> {
    // A full server does not ask for its listener: new clients wait in the kernel's queue.
    let accepting = !clients.limits.is_full();
    if let Some(listener) = stop.listener.as_ref().filter(|_| accepting != clients.accepting) {
        let flags = if accepting { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
        let mut event = EpollEvent::new(flags, LISTENER);
        clients.epoll.modify(listener, &mut event).attempt("epoll_ctl")?;
        clients.accepting = accepting;
    }
    clients.timer.set(deadline)?;
    // A client that is not done is served again after a look at the others.
    let busy = !clients.ready.is_empty();
    let timeout = if busy { EpollTimeout::ZERO } else { EpollTimeout::NONE };
    let count = match clients.epoll.wait(&mut clients.events, timeout) {
        Err(Errno::EINTR) => 0,
        waited => waited.attempt("epoll_wait")?,
    };
    let (mut signal, mut connection) = (false, false);
    for event in clients.events.iter().take(count) {
        match event.data() {
            SIGNALS => signal = true,
            LISTENER => connection = true,
            TIMER => {} // set again before the next wait
            key => clients.ready.extend(usize::try_from(key)),
        }
    }
    Ok((signal, connection))
}

/// Serves every client that is ready: one step, or edge-triggered until there is no more to do.
fn serve_ready(clients: &mut Clients, buffer: &mut [u8], now: Instant) {
    let steps = if clients.edge { STEPS } else { 1 };
    for _ in 0..clients.ready.len() {
        let Some(key) = clients.ready.pop_front() else { break };
        let Some(client) = clients.all.get_mut(key) else { continue };
        let was_sending = !client.unsent.is_empty();
        let mut step = Step::Again;
        for _ in 0..steps {
            step = echo(client, buffer, now);
            if !matches!(step, Step::Again) {
                break;
            }
        }
        let sending = !client.unsent.is_empty();
        match step {
            Step::Ended(end) => close(clients, key, end),
            Step::Again if clients.edge => clients.ready.push_back(key),
            // Level-triggered, the kernel reports what was not done here.
            _ if sending != was_sending && !clients.edge => {
                let mut event = interest(clients, key, sending);
                let Some(client) = clients.all.get(key) else { continue };
                if let Err(why) = clients.epoll.modify(&client.stream, &mut event) {
                    close(clients, key, Err(format!("epoll_ctl: {}", errno(why))));
                }
            }
            _ => {}
        }
    }
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

/// What the kernel is to report of a client. Edge-triggered, that never changes.
fn interest(clients: &Clients, key: usize, sending: bool) -> EpollEvent {
    let flags = match (clients.edge, sending) {
        (true, _) => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET,
        (false, true) => EpollFlags::EPOLLOUT,
        (false, false) => EpollFlags::EPOLLIN,
    };
    EpollEvent::new(flags, key as u64)
}

/// Adds a client to the list. ENOSPC: the list of the whole system is full, epoll(7).
fn add<'a>(
    clients: &mut Clients<'a>,
    stream: Socket,
    peer: SocketAddr,
    record: Record<'a>,
    now: Instant,
) {
    let event = interest(clients, clients.all.vacant_key(), false);
    // The list here grows too: without memory for that, only this client is closed.
    let room = reserve_one_more::<Client>(clients.all.len(), clients.all.capacity());
    if let Err(why) = room.and_then(|()| clients.epoll.add(&stream, event)) {
        clients.limits.leave(peer);
        record.close(Err(format!("add to the list: {}", errno(why))));
        return;
    }
    clients.all.insert(Client { stream, peer, record, unsent: Vec::new(), last: now });
}

fn end_idle(clients: &mut Clients, idle: &mut Idle, now: Instant) {
    if !idle.is_due(now) {
        return;
    }
    for key in 0..clients.all.capacity() {
        let Some(client) = clients.all.get(key) else { continue };
        if let Some(why) = idle.expired(client.last, !client.unsent.is_empty(), now) {
            close(clients, key, Err(why));
        }
    }
}

fn end_all(clients: &mut Clients, why: &str) {
    clients.all.drain().for_each(|client| client.record.close(Err(why.to_owned())));
}

/// Drops a client, which closes its connection: that removes it from the kernel's list too.
fn close(clients: &mut Clients, key: usize, end: Result<(), String>) {
    let client = clients.all.remove(key);
    clients.limits.leave(client.peer);
    client.record.close(end);
}
