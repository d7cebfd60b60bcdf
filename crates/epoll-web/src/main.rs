//! Serve the files of a folder over HTTP, all connections in one thread, with `sendfile`.
//!
//! # What it shows
//! `epoll-echo` with another conversation: a request is received byte by byte, as the peer pleases,
//! and answered with a file, which `sendfile` moves inside the kernel. The head goes before it with
//! MSG_MORE, so that a small file needs one segment and not two. `openat2` opens the file, and takes
//! care that no path and no link leads out of the folder: not we, by looking at dots.
//!
//! # System calls
//! `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` → `epoll_create` → `epoll_ctl` →
//! (`epoll_wait` → `accept` → `fcntl(O_NONBLOCK)` → `setsockopt(TCP_NODELAY)` → `epoll_ctl`)* →
//! (`epoll_wait` → `recv` → `openat2(RESOLVE_BENEATH)` → `send(MSG_MORE)` → `sendfile`)* → `close`
//!
//! # Try it
//! ```console
//! $ epoll-web --port 7777 --dir crates/epoll-web/site &
//! listening on 127.0.0.1:7777
//! $ curl -s http://127.0.0.1:7777/
//! <!DOCTYPE html>
//! <title>One page</title>
//! <p>Hello from a server of one thread.</p>
//! $ curl -s -r 43-47 -w '\n%{http_code}\n' http://127.0.0.1:7777/
//! Hello
//! 206
//! $ curl -s --path-as-is http://127.0.0.1:7777/../Cargo.toml
//! 404 Not Found
//! ```
//!
//! # What can go wrong
//! - `recv` returns 0 inside a request: that is no request, but the end. The book's server asks again,
//!   is told the same, and takes a whole core.
//! - A peer that sends a byte a minute is never silent: the time is for the whole head, then 408.
//! - `sendfile` returns fewer bytes than it was asked for, as `send` does; and 0 where the file has
//!   become shorter: the length was promised, so the connection is closed, never kept.
//! - EPIPE comes with SIGPIPE, which ends whoever does not ignore it: `sendfile` has no MSG_NOSIGNAL.
//! - To close with bytes unread resets the connection, and the peer may lose the answer (413) that was
//!   on its way: first `shutdown`, then what still comes is read and forgotten.
//! - O_NONBLOCK does not hold for files: a disk that is slow to read keeps all clients waiting.
//! - EMFILE in `openat2`: 503, and the connection is closed, for descriptors are what is short.
//!
//! # Next
//! `epoll-echo` is the loop alone; `socket-errors` is a client of HTTP.
//!
//! # Source
//! sendfile(2), openat2(2), tcp(7), epoll(7); RFC 9110, RFC 9112; TLPI §61.4; the Python cookbook's
//! recipe 2.4, select.epoll.

mod answer;
mod args;
mod clients;
mod connection;
mod folder;
mod request;
mod sending;
mod status;

use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use netcore::echo::BUFFER;
use netcore::error::{Attempt, Error};
use netcore::idle::Idle;
use netcore::limits::{Limits, raise_rlimit_nofile};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals};
use netcore::stop::Stop;
use netcore::{cli, recipe};

use answer::{Clock, Site};
use args::Args;
use clients::Clients;
use connection::Connection;
use folder::Folder;

/// What an event says of whom it is about: a client's place in the list, or one of these.
const SIGNALS: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

/// Events that one call returns at most.
const EVENTS: usize = 256;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let folder = Folder::open(&args.dir)?;
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    // A client may have a file as well.
    raise_rlimit_nofile(args.max_clients.saturating_mul(2));

    let listener = Listener::new(listen(local, args.backlog.into())?)?;
    log::ready(listener.local()?, args.json, "", out)?;

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).attempt("epoll_create1")?;
    epoll.add(&signals, report(SIGNALS, true)).attempt("epoll_ctl")?;
    epoll.add(&listener, report(LISTENER, true)).attempt("epoll_ctl")?;

    let mut stop = Stop::new(signals, listener, args.grace.0);
    let mut idle = Idle::new(args.idle_timeout);
    let limits = Limits::new(log, args.max_clients, args.max_per_source);
    let site = Site { folder, clock: Clock::default(), log: &log, is_stopping: false };
    let mut clients = Clients::new(epoll, limits, site);
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut buffer = vec![0; BUFFER];
    while stop.listener.is_some() || !clients.all.is_empty() {
        let timeout = match clients.ready.is_empty() {
            true => timeout_until(stop.deadline(idle.next)),
            false => EpollTimeout::ZERO,
        };
        let count = match clients.epoll.wait(&mut events, timeout) {
            Err(Errno::EINTR) => continue,
            waited => waited.attempt("epoll_wait")?,
        };
        let (mut signal, mut connection, was_full) = (false, false, clients.limits.is_full());
        for event in events.iter().take(count) {
            match event.data() {
                SIGNALS => signal = true,
                LISTENER => connection = true,
                client => clients.ready.extend(usize::try_from(client)),
            }
        }
        let now = Instant::now();
        clients.go_on(&mut buffer, now);
        if idle.is_due(now) {
            clients.end_idle(args.idle_timeout, now);
        }
        if let Some(listener) = &mut stop.listener {
            if connection
                && let Some((stream, peer)) = listener.accept(&log)?
                && clients.limits.admit(peer)
            {
                clients.welcome(Connection::new(stream, peer, log.open(peer), now));
            }
            // A full server is not told of its listener: the next clients wait in its queue.
            if clients.limits.is_full() != was_full {
                let mut event = report(LISTENER, was_full);
                clients.epoll.modify(listener, &mut event).attempt("epoll_ctl")?;
            }
        }
        if signal && stop.next_signal(now)?.is_some() {
            clients.stop(&mut buffer, now);
        }
        if let Some(why) = stop.is_over(now) {
            clients.all.iter_mut().for_each(|(_, client)| client.end(why));
            break;
        }
    }
    Ok(())
}

/// What the kernel is to report of a descriptor that is only read, if anything.
fn report(whom: u64, wanted: bool) -> EpollEvent {
    EpollEvent::new(if wanted { EpollFlags::EPOLLIN } else { EpollFlags::empty() }, whom)
}
