//! Echo what each peer sends, all connections in one thread, with `poll`.
//!
//! # What it shows
//! One thread serves everybody if it never waits for one of them. It asks the kernel who can be
//! served, `poll`, and makes only calls that do not block. What a thread keeps on its stack while it
//! waits has now to be remembered for each client: the bytes that the kernel had no room for. There
//! is nothing to lock. Each call of `poll` hands over the list of all, and the kernel looks at each:
//! with a thousand idle clients that is most of the work.
//!
//! # System calls
//! `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` → (`poll` → `accept`)* →
//! (`poll` → `recv` → `send`)* → `close`
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
//! - One call that blocks stops everybody: `recv` on a connection that `poll` said is ready may still
//!   find nothing. Hence `MSG_DONTWAIT` on each.
//! - A peer that does not read: its bytes pile up in the server. Nothing more is received from it
//!   until it has taken what it is owed.
//! - `POLLOUT` asked for when there is nothing to send: it is always true, and the loop spins.
//! - A full server that still asks about its listener spins too.
//! - `POLLHUP` and `POLLERR` come unasked. They are no reason of their own: `recv` says which.
//!
//! # Next
//! `threaded-echo` has a thread where this has a list; `epoll-echo` leaves the list in the kernel.
//!
//! # Source
//! poll(2), recv(2), fcntl(2); UNP §6.10 and §6.11, TLPI §63.2; the Python cookbook's recipe 2.3,
//! select.select.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use argh::{ArgsInfo, FromArgs};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use netcore::addr::Host;
use netcore::conversation::{Conversation, Step};
use netcore::echo::BUFFER;
use netcore::error::{Attempt, Error};
use netcore::idle::Idle;
use netcore::limits::{Limits, raise_rlimit_nofile};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log};
use netcore::number::{at_least_one, whole};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::port::ListenPort;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals};
use netcore::stop::Stop;
use netcore::time::{Span, Timeout};
use netcore::{cli, recipe};

/// Echo what each peer sends, all connections in one thread, with poll.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
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
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    raise_rlimit_nofile(args.max_clients);

    let listener = Listener::new(listen(local, args.backlog.into())?)?;
    log::ready(listener.local()?, args.json, "", out)?;

    let mut stop = Stop::new(signals, listener, args.grace.0);
    let mut limits = Limits::new(log, args.max_clients, args.max_per_source);
    let mut idle = Idle::new(args.idle_timeout);
    let mut clients: Vec<Conversation> = Vec::new();
    let mut buffer = vec![0; BUFFER];
    while stop.listener.is_some() || !clients.is_empty() {
        let mut fds = vec![PollFd::new(stop.signals.as_fd(), PollFlags::POLLIN)];
        // A full server does not ask about its listener: the next clients wait in the kernel's queue.
        let open = stop.listener.as_ref().filter(|_| !limits.is_full());
        fds.extend(open.map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        let others = fds.len();
        fds.extend(clients.iter().map(|client| {
            let events = if client.is_sending() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            PollFd::new(client.as_fd(), events)
        }));
        match poll(&mut fds, timeout_until(stop.deadline(idle.next))) {
            Err(Errno::EINTR) => continue,
            polled => polled.attempt("poll")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        let (others, ready) = ready.split_at(others);

        let now = Instant::now();
        let look = idle.is_due(now);
        let mut ready = ready.iter();
        clients.retain_mut(|client| {
            let ready = ready.next() == Some(&true);
            let ended = ready && client.step(&mut buffer, now) == Step::Ended
                || look && client.end_if_idle(&idle, now);
            if ended {
                limits.leave(client.peer());
            }
            !ended // One that is not retained is dropped, and so closed.
        });
        if others.get(1) == Some(&true)
            && let Some(listener) = &mut stop.listener
            && let Some((stream, peer)) = listener.accept(&log)?
            && limits.admit(peer)
        {
            clients.push(Conversation::new(stream, peer, log.open(peer), now));
        }
        if others.first() == Some(&true) {
            stop.next_signal(now)?;
        }
        if let Some(why) = stop.is_over(now) {
            clients.iter_mut().for_each(|client| client.end(why));
            break;
        }
    }
    Ok(())
}
