//! Echo what each peer sends, all connections in one thread, with `epoll`.
//!
//! # What it shows
//! `poll` is told about all clients in each call; here the list stays in the kernel, `epoll_ctl`
//! changes it, and `epoll_wait` returns only those that are ready: ten thousand idle clients cost
//! memory and no time. Level-triggered, a client is reported as long as there is something to do, as
//! with `poll`; edge-triggered (`--edge`) once, when that begins, and whoever does not go on until
//! EAGAIN never hears of the rest. Asking until EAGAIN is a call more: seen with a hundred clients,
//! 3.0 system calls a message, without it 1.9. Time is a descriptor as well (`timerfd`), as signals
//! are: with a time-out, each call that waits would set a timer and take it back, which was a
//! twentieth of the CPU that a round trip took.
//!
//! # System calls
//! `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` → `timerfd_create` → `epoll_create` →
//! `epoll_ctl` → `timerfd_settime` → (`epoll_wait` → `accept` → `epoll_ctl`)* →
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
//! - Edge-triggered, a peer that sends without pause keeps the loop to itself: after some steps the
//!   others have their turn, and we have to remember that this one is not done.
//! - `close` takes a descriptor off the list only if no other descriptor, of `dup` or of a forked
//!   child, has the same connection open. Its events would go on, with a number that is ours no more.
//! - `EPOLLOUT` asked for when there is nothing to send: it is always true, and the loop spins.
//! - A full server that still asks about its listener spins too, and one that leaves a timer ringing.
//!
//! # Next
//! `poll-echo` hands the list over each time; `uring-echo` has the kernel make the calls too.
//!
//! # Source
//! epoll(7), epoll_ctl(2), epoll_wait(2), timerfd_create(2); TLPI §63.4; the Python cookbook's
//! recipe 2.4, select.epoll.

mod args;
mod clients;
mod timer;

use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use netcore::conversation::Conversation;
use netcore::echo::BUFFER;
use netcore::error::{Attempt, Error};
use netcore::idle::Idle;
use netcore::limits::{Limits, raise_rlimit_nofile};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log};
use netcore::output::Output;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals};
use netcore::stop::Stop;
use netcore::{cli, recipe};

use args::Args;
use clients::Clients;
use timer::Timer;

/// What an event says of whom it is about: a client's place in the list, or one of these.
const SIGNALS: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;

/// Events that one call returns at most.
const EVENTS: usize = 256;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    raise_rlimit_nofile(args.max_clients);

    let listener = Listener::new(listen(local, args.backlog.into())?)?;
    log::ready(listener.local()?, args.json, "", out)?;

    let timer = Timer::new()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).attempt("epoll_create1")?;
    epoll.add(&signals, report(SIGNALS, true)).attempt("epoll_ctl")?;
    epoll.add(&listener, report(LISTENER, true)).attempt("epoll_ctl")?;
    epoll.add(&timer, report(TIMER, true)).attempt("epoll_ctl")?;

    let mut stop = Stop::new(signals, listener, args.grace.0);
    let mut idle = Idle::new(args.idle_timeout);
    let limits = Limits::new(log, args.max_clients, args.max_per_source);
    let mut clients = Clients::new(epoll, args.edge, limits);
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut buffer = vec![0; BUFFER];
    timer.ring_at(stop.deadline(idle.next))?;
    while stop.listener.is_some() || !clients.all.is_empty() {
        let count = match clients.epoll.wait(&mut events, clients.timeout()) {
            Err(Errno::EINTR) => continue,
            waited => waited.attempt("epoll_wait")?,
        };
        let (mut signal, mut connection, mut rang) = (false, false, false);
        let was_full = clients.limits.is_full();
        for event in events.iter().take(count) {
            match event.data() {
                SIGNALS => signal = true,
                LISTENER => connection = true,
                TIMER => rang = true,
                client => clients.ready.extend(usize::try_from(client)),
            }
        }
        let now = Instant::now();
        clients.go_on(&mut buffer, now);
        if idle.is_due(now) {
            clients.end_idle(&idle, now);
        }
        if let Some(listener) = &mut stop.listener {
            if connection
                && let Some((stream, peer)) = listener.accept(&log)?
                && clients.limits.admit(peer)
            {
                clients.welcome(Conversation::new(stream, peer, log.open(peer), now));
            }
            // A full server is not told of its listener: the next clients wait in its queue.
            if clients.limits.is_full() != was_full {
                let mut event = report(LISTENER, was_full);
                clients.epoll.modify(listener, &mut event).attempt("epoll_ctl")?;
            }
        }
        if signal {
            stop.next_signal(now)?;
        }
        if let Some(why) = stop.is_over(now) {
            clients.all.iter_mut().for_each(|(_, client)| client.end(why));
            break;
        } else if rang || signal {
            timer.ring_at(stop.deadline(idle.next))?;
        }
    }
    Ok(())
}

/// What the kernel is to report of a descriptor that is only read, if anything.
fn report(whom: u64, wanted: bool) -> EpollEvent {
    EpollEvent::new(if wanted { EpollFlags::EPOLLIN } else { EpollFlags::empty() }, whom)
}
