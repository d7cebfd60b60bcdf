//! Serve the files of a folder over HTTP, all connections in one thread, with `sendfile`.
//!
//! # What it shows
//! `epoll-echo` with another protocol: a request is received byte by byte, at the speed of the peer,
//! and the response is a file, which `sendfile` copies inside the kernel. The head is sent before it
//! with MSG_MORE, so that a small file needs one segment and not two. `openat2` opens the file: the
//! kernel, and not a search for dots, refuses a path or a link that leads out of the folder.
//!
//! # System calls
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! `epoll_create` → `epoll_ctl` → (`epoll_wait` → `accept`)*
//! In `connection.rs`: `fcntl(O_NONBLOCK)` → `setsockopt(TCP_NODELAY)`
//! In `clients.rs`: `epoll_ctl`
//! In `connection.rs`: `recv`
//! In `folder.rs`: `openat2(RESOLVE_BENEATH)`
//! In `sending.rs`: `send(MSG_MORE)` → `sendfile`
//! In `connection.rs`: `close`, with a shutdown before it where a response was the last
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
//! - `recv` returns 0 inside a request: the peer has ended, and no request follows. The book's server
//!   calls it again, receives 0 again, and takes a whole core.
//! - A peer that sends a byte a minute is never silent: the timeout is for the whole head, then 408.
//! - `sendfile` returns fewer bytes than it was asked for, as `send` does; and 0 where the file has
//!   become shorter: the length was promised, so the connection is closed, never kept.
//! - EPIPE comes with SIGPIPE, which ends a process that does not ignore it: `sendfile` has no
//!   MSG_NOSIGNAL.
//! - A close with bytes unread resets the connection, and the peer may lose the response (413): first
//!   `shutdown`, then the server receives and drops what the peer still sends, for 2 s at most.
//! - O_NONBLOCK has no effect on files: while the disk is slow, all clients wait.
//! - EMFILE in `openat2`: 503, and the connection is closed, since it holds a descriptor.
//! - EAGAIN in `openat2`: anybody on this machine renamed a file while the kernel followed a link with
//!   `..`. Another try helps.
//!
//! # Next
//! `epoll-echo` is the loop alone; `socket-errors` is a client of HTTP.
//!
//! # Source
//! sendfile(2), openat2(2), tcp(7), epoll(7); RFC 9110, RFC 9112; TLPI §61.4; the Python cookbook's
//! recipe 2.4, select.epoll.

mod args;
mod clients;
mod connection;
mod folder;
mod listing;
mod request;
mod response;
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
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::Signals;
use netcore::stop::Stop;
use netcore::{cli, recipe};

use args::Args;
use clients::Clients;
use connection::Connection;
use folder::Folder;
use response::Site;

/// The number that comes back with an event: a client's key in the slab, or one of these.
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
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?;
    // Each client may have a file too.
    raise_rlimit_nofile(args.max_clients.saturating_mul(2));

    // echo-server writes these calls out.
    let listener = Listener::new(listen(local, args.backlog)?)?;

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).attempt("epoll_create1")?;
    epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS)).attempt("epoll_ctl")?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).attempt("epoll_ctl")?;

    log::ready(listener.local()?, args.json, "", out)?;

    let mut stop = Stop::new(signals, listener, args.grace.0);
    let mut idle = Idle::new(args.idle_timeout);
    let limits = Limits::new(log, args.max_clients, args.max_per_source);
    let mut clients = Clients::new(epoll, limits, Site::new(folder, args.list, &log));
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut buffer = vec![0; BUFFER];
    while stop.listener.is_some() || !clients.all.is_empty() {
        let deadline = stop.deadline(idle.next).into_iter().chain(clients.deadline()).min();
        let busy = !clients.ready.is_empty();
        let timeout = if busy { EpollTimeout::ZERO } else { timeout_until(deadline) };
        let count = match clients.epoll.wait(&mut events, timeout) {
            Err(Errno::EINTR) => continue,
            waited => waited.attempt("epoll_wait")?,
        };
        let (mut signal, mut connection, was_full) = (false, false, clients.limits.is_full());
        for event in events.iter().take(count) {
            match event.data() {
                SIGNALS => signal = true,
                LISTENER => connection = true,
                key => clients.ready.extend(usize::try_from(key)),
            }
        }

        let now = Instant::now();
        clients.serve_ready(&mut buffer, now);
        clients.end_late(now);
        if idle.is_due(now) {
            clients.end_idle(args.idle_timeout, now);
        }
        if connection
            && let Some(listener) = &mut stop.listener
            && let Some((stream, peer)) = listener.accept(&log)?
            && clients.limits.admit(peer)
        {
            clients.add(Connection::new(stream, peer, log.open(peer), now));
        }
        if clients.limits.is_full() != was_full {
            set_accepting(&clients, &stop)?;
        }
        match if signal { stop.next_signal(now)? } else { None } {
            Some(SIGUSR1) => clients.limits.report(),
            Some(_) => clients.stop(&mut buffer, now),
            None => {}
        }
        if let Some(why) = stop.is_over(now) {
            clients.all.iter_mut().for_each(|(_, client)| client.end(why));
            break;
        }
    }
    Ok(())
}

/// A full server does not have its listener on the list: new clients wait in the kernel's queue.
fn set_accepting(clients: &Clients, stop: &Stop) -> Result<(), Error> {
    let Some(listener) = &stop.listener else { return Ok(()) };
    let full = clients.limits.is_full();
    let flags = if full { EpollFlags::empty() } else { EpollFlags::EPOLLIN };
    clients.epoll.modify(listener, &mut EpollEvent::new(flags, LISTENER)).attempt("epoll_ctl")
}
