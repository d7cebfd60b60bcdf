//! Echo what each peer sends, a thread for each connection.
//!
//! # What it shows
//! A thread shares everything with its parent that a forked child has copies of: one table of
//! descriptors, so nobody has two of them to close; one address space, so the pages of the parent
//! need no copies; one fate, so a crash ends all. It is cheaper to start, and what `waitpid` says of
//! a child, `join` says of a thread. A thread can't be killed: to end one that waits in `recv`, its
//! connection is shut down under it.
//!
//! # System calls
//! `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` → (`accept` → `pthread_create`)*, in
//! the thread (`recv` → `send`)* → `close` → `write`; shutdown for those that are still there at the end
//!
//! # Try it
//! ```console
//! $ threaded-echo --port 7777 --show-tid &
//! listening on 127.0.0.1:7777, pid 5120
//! $ forking-client --port 7777 --clients 2
//! client 1 <- pid 5123   19 bytes   0.52 ms
//! client 2 <- pid 5124   19 bytes   0.61 ms
//! 2 clients, 2 processes, each its own bytes
//! ```
//! What the client takes for process ids are those of two threads.
//!
//! # What can go wrong
//! - A descriptor is a number, and free again once it is closed: the next `accept` gets the same.
//!   Whoever shuts down a connection of another thread has to know that it still is that one.
//! - Libraries open files in any thread: glibc's malloc asks once how many processors there are. So
//!   the descriptor that was closed to make room may be gone before it is needed: ask again.
//! - Threads that nobody joins keep their stacks, detached ones nobody can wait for: the process
//!   ends, and cuts their replies off.
//! - `EAGAIN` from `pthread_create`: too many threads. That client is closed, the server goes on.
//! - One connection that goes wrong in memory takes all others along; a forked child dies alone.
//!
//! # Next
//! `forking-echo` has a process where this has a thread; `poll-echo` has neither.
//!
//! # Source
//! pthread_create(3), clone(2), shutdown(2), pipe(7); UNP §26.2 to §26.4, TLPI §29; the Python
//! cookbook's recipe 2.2, ThreadingMixIn.

mod threads;

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use argh::{ArgsInfo, FromArgs};
use nix::poll::PollFlags;
use nix::unistd::getpid;

use netcore::addr::Host;
use netcore::echo::inherit_timeouts;
use netcore::error::Error;
use netcore::limits::{Limits, raise_rlimit_nofile};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log};
use netcore::number::{at_least_one, whole};
use netcore::output::Output;
use netcore::port::ListenPort;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals, Woken};
use netcore::time::{Span, Timeout};
use netcore::{cli, recipe};

use threads::{Ends, Threads, serve_one};

/// Bytes of a thread's stack. Only the pages that it touches are ever there.
const STACK: usize = 128 * 1024;

/// Echo what each peer sends, a thread for each connection.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --show-tid")]
#[argh(example = "{command_name} --port 0 --max-clients 8")]
struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p')]
    port: ListenPort,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    host: Host,
    /// connections that the kernel may queue (5)
    #[argh(option, arg_name = "n", default = "5", from_str_fn(whole))]
    backlog: u16,
    /// clients at once (1000)
    #[argh(option, arg_name = "n", default = "1000", from_str_fn(at_least_one))]
    max_clients: usize,
    /// clients at once of one address (no limit)
    #[argh(option, arg_name = "n", default = "usize::MAX", from_str_fn(at_least_one))]
    max_per_source: usize,
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    idle_timeout: Timeout,
    /// time that clients have to finish after SIGTERM (5s)
    #[argh(option, arg_name = "time", default = "Span::seconds(5)")]
    grace: Span,
    /// begin each reply with the id of its thread
    #[argh(switch)]
    show_tid: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// log what each peer sends, escaped
    #[argh(switch, short = 'v')]
    verbose: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    // Blocked before there is a thread: each inherits the mask, and none is interrupted.
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    raise_rlimit_nofile(args.max_clients);

    let socket = listen(local, args.backlog.into())?;
    inherit_timeouts(&socket, args.idle_timeout)?;
    let mut listener = Listener::new(socket)?;
    let ends = Ends::new()?;
    let pid = if args.show_tid { format!(", pid {}", getpid()) } else { String::new() };
    log::ready(listener.local()?, args.json, &pid, out)?;

    let limits = Limits::new(log, args.max_clients, args.max_per_source);
    // Inside the scope threads may borrow what lives outside of it; it ends when they all have.
    thread::scope(|scope| {
        let mut threads = Threads::new(log, &ends, limits);
        loop {
            // A full server waits for a thread to end: the next clients wait in the kernel's queue.
            let full = threads.limits.is_full();
            let fd = if full { ends.as_fd() } else { listener.as_fd() };
            match signals.wait(Some(fd), PollFlags::POLLIN, None)? {
                Woken::Signal(_) => break,
                Woken::Deadline => {}
                Woken::Ready => {
                    threads.join_ended();
                    let Some((stream, peer)) = listener.accept(&log)? else { continue };
                    if !threads.limits.admit(peer) {
                        continue; // Dropping the stream closes it.
                    }
                    let (stream, ends, number) = (Arc::new(stream), &ends, threads.next);
                    let weak = Arc::downgrade(&stream);
                    let thread = thread::Builder::new().stack_size(STACK);
                    let started = thread.spawn_scoped(scope, move || {
                        serve_one(stream, peer, log, ends, args);
                        ends.tell(number);
                    });
                    threads.started(peer, weak, started);
                }
            }
        }
        // From here on the kernel refuses new clients.
        drop(listener);
        threads.drain(&signals, args.grace.0)
    })
}
