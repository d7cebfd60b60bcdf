//! Echo what each peer sends, all connections in one thread, with `io_uring`.
//!
//! # What it shows
//! `epoll` says when a call would not block, and the call is still ours to make. Here the calls
//! themselves are handed over: a request for a `recv` lies in memory that the kernel reads, and its
//! result comes in memory that the kernel writes, when there is one. One `io_uring_enter` submits all
//! that is new and waits for the first result. Seen with one client, a hundred, and a thousand: 1.9,
//! 0.08 and 0.8 system calls a message, where `epoll-echo` makes 2.8, 1.9 and 1.9.
//! In return a buffer is the kernel's until the result is there, and so is the connection.
//!
//! # System calls
//! `io_uring_setup` → `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` → (`io_uring_enter` →
//! `accept`)* → `io_uring_enter`*, which stands for poll, recv and send → `close`
//!
//! # Try it
//! ```console
//! $ uring-echo --port 7777 &
//! listening on 127.0.0.1:7777
//! $ forking-client --port 7777 --clients 2
//! client 1 <- no pid   19 bytes   0.52 ms
//! client 2 <- no pid   19 bytes   0.61 ms
//! 2 clients, each its own bytes
//! ```
//!
//! # What can go wrong
//! - `ENOSYS`, `EPERM`: no io_uring in this kernel, or `kernel.io_uring_disabled`, or a container that
//!   forbids it. `epoll-echo` works everywhere.
//! - A buffer is freed, or lent to another request, while its request is under way: the kernel
//!   writes into whatever lies there by then.
//! - `close` ends no request that is under way: it holds the connection open, and a listener as well.
//!   `shutdown` ends it, and its result says when the buffer is ours again.
//! - The queue of requests is full: submit, and go on. The queue of results is not lost when it is
//!   full, but the kernel then keeps a list of its own, which costs time.
//!
//! # Next
//! `epoll-echo` makes the calls itself, when they will not block; `udp-echo` has no connections.
//!
//! # Source
//! io_uring(7), io_uring_setup(2), io_uring_enter(2), shutdown(2); the Python cookbook's chapter 2
//! goes on where its recipe 2.4 ends.

mod args;
mod clients;
mod ring;

use std::process::ExitCode;
use std::time::Instant;

use netcore::error::Error;
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
use ring::{Ring, Whose};

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    raise_rlimit_nofile(args.max_clients);
    // Before there is a listener: a kernel without it refuses at once.
    let mut ring = Ring::new()?;

    let listener = Listener::new(listen(local, args.backlog.into())?)?;
    log::ready(listener.local()?, args.json, "", out)?;

    let mut stop = Stop::new(signals, listener, args.grace.0);
    let mut idle = Idle::new(args.idle_timeout);
    let limits = Limits::new(log, args.max_clients, args.max_per_source);
    let mut clients = Clients::new(&log, limits);
    // Whether the ring has a request for them.
    let (mut waits_for_signal, mut waits_for_client) = (false, false);
    while stop.listener.is_some() || !clients.is_empty() {
        if !waits_for_signal {
            ring.readable(&stop.signals, Whose::Signals)?;
            waits_for_signal = true;
        }
        // A full server does not ask: the next clients wait in the kernel's queue. There is a
        // request for accept, too; but what to do about its errors needs more than a number.
        if let Some(listener) = &stop.listener
            && !waits_for_client
            && !clients.limits.is_full()
        {
            ring.readable(listener, Whose::Listener)?;
            waits_for_client = true;
        }
        let results = ring.enter(stop.deadline(idle.next))?;
        let (mut signal, mut connection, now) = (false, false, Instant::now());
        for (whose, result) in results {
            match whose {
                Whose::Signals => (signal, waits_for_signal) = (true, false),
                Whose::Listener => (connection, waits_for_client) = (true, false),
                Whose::Client(key) => clients.go_on(key, result, now, &mut ring)?,
            }
        }
        if connection
            && let Some(listener) = &mut stop.listener
            && let Some((stream, peer)) = listener.accept(&log)?
        {
            clients.welcome(stream, peer, now, &mut ring)?;
        }
        if idle.is_due(now) {
            clients.end_idle(&idle, now);
        }
        if signal {
            stop.next_signal(now)?;
        }
        if let Some(why) = stop.is_over(now) {
            clients.end_all(why);
        }
    }
    Ok(())
}
