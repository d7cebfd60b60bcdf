//! Echo what each peer sends, all connections in one thread, with `io_uring`.
//!
//! # What it shows
//! `epoll` says when a call would not block, and the server still makes the call. Here the calls
//! themselves are submitted: a request for a `recv` lies in memory that the kernel reads, and its
//! result comes in memory that the kernel writes. One `io_uring_enter` submits all new requests and
//! waits for the first result, so that one system call may stand for many: with a hundred clients
//! there are several messages for each. In return a buffer belongs to the kernel until the result of
//! its request has come, and so does the connection.
//!
//! # System calls
//! `io_uring_setup`
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! (`io_uring_enter` → `accept`)* → `io_uring_enter`*, which stands for poll, recv and send → `close`
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
//! - A buffer is freed, or used for another request, while its request is under way: the kernel
//!   writes into memory that belongs to something else by then.
//! - `close` does not end a request that is under way: the request keeps the connection open, or the
//!   listener. `shutdown` ends it, and its result says when the buffer is the server's again.
//! - A client may have 64 KiB here. With RLIMIT_AS, `ENOMEM` closes that client only. With `memory.max`
//!   of a control group no call fails: the kernel kills the process, unless `--max-clients` times that
//!   fits.
//! - `EADDRINUSE` after `kill -9`: the kernel takes the ring down some 30 ms after the process, and with
//!   it the listener. Start again after a pause (systemd: `RestartSec=100ms`, its default).
//! - The submission queue is full: submit, and continue. When the completion queue is full no result
//!   is lost, but the kernel then keeps a list in its own memory, which costs time.
//!
//! # Next
//! `epoll-echo` makes the calls itself, when they will not block; `udp-echo` has no connections.
//!
//! # Source
//! io_uring(7), io_uring_setup(2), io_uring_enter(2), shutdown(2); the Python cookbook's chapter 2
//! goes on where its recipe 2.4 ends.

mod args;
mod report;

use std::io;
use std::mem::take;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::Instant;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;
use socket2::Socket;

use netcore::error::{Attempt, Error, errno};
use netcore::idle::Idle;
use netcore::limits::{Limits, raise_rlimit_nofile};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Failures, Log, Record};
use netcore::output::Output;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::Signals;
use netcore::stop::Stop;
use netcore::{cli, recipe};

use args::Args;
use report::{Client, Clients};

/// The number that comes back with a result: a client's key in the slab, or one of these.
const SIGNALS: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

/// Requests that one call submits at most, and results that wait to be read.
const REQUESTS: u32 = 1024;
const RESULTS: u32 = 4096;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?;
    raise_rlimit_nofile(args.max_clients);

    let ring = new_ring().attempt("io_uring_setup")?; // first: a kernel without it refuses at once
    let socket = listen(local, args.backlog)?; // echo-server writes these calls out
    let listener = Listener::new(socket)?;
    let limits = Limits::new(log, args.max_clients, args.max_per_source);
    let mut clients = Clients::new(ring, limits);
    let failures = Failures::new(&log);
    log::ready(listener.local()?, args.json, "", out)?;
    let mut stop = Stop::new(signals, listener, args.grace.0);
    let mut idle = Idle::new(args.idle_timeout);
    while stop.listener.is_some() || !clients.all.is_empty() {
        let (signal, connection) = wait(&mut clients, &failures, &stop, stop.deadline(idle.next))?;
        let now = Instant::now();
        serve_ready(&mut clients, now)?;
        end_idle(&mut clients, &mut idle, now);
        if connection
            && let Some(listener) = &mut stop.listener
            && let Some((stream, peer)) = listener.accept(&log)?
            && clients.limits.admit(peer)
        {
            add(&mut clients, stream, peer, log.open(peer), now)?;
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

fn new_ring() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_cqsize(RESULTS)
        // Results are written when this thread asks for them, and do not interrupt it.
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(REQUESTS)
        // Linux 6.1 has both; an older kernel goes without.
        .or_else(|_| IoUring::builder().setup_cqsize(RESULTS).build(REQUESTS))
}

/// Submits all new requests, and waits for a result. Returns whether there are a signal and a
/// connection.
fn wait(
    clients: &mut Clients,
    failures: &Failures,
    stop: &Stop,
    deadline: Option<Instant>,
) -> Result<(bool, bool), Error> {
    if !clients.signal_requested {
        submit(&mut clients.ring, readable(&stop.signals, SIGNALS))?;
        clients.signal_requested = true;
    }
    // A full server makes no request: new clients wait in the kernel's queue. There is a request for
    // accept too, but what to do about its errors needs more than a number.
    let open = stop.listener.as_ref().filter(|_| !clients.limits.is_full());
    if let Some(listener) = open.filter(|_| !clients.listener_requested) {
        submit(&mut clients.ring, readable(listener, LISTENER))?;
        clients.listener_requested = true;
    }
    enter(&mut clients.ring, failures, deadline)?;
    let (mut signal, mut connection) = (false, false);
    for entry in clients.ring.completion() {
        match entry.user_data() {
            SIGNALS => signal = true,
            LISTENER => connection = true,
            key => clients.ready.extend(usize::try_from(key).map(|key| (key, entry.result()))),
        }
    }
    clients.signal_requested &= !signal;
    clients.listener_requested &= !connection;
    Ok((signal, connection))
}

/// Submits what is new and waits for a result, or for the deadline.
fn enter(ring: &mut IoUring, failures: &Failures, deadline: Option<Instant>) -> Result<(), Error> {
    let entered = match deadline {
        None => ring.submit_and_wait(1),
        Some(deadline) => {
            let time = Timespec::from(deadline.saturating_duration_since(Instant::now()));
            ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time))
        }
    };
    match entered.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default())) {
        // EBUSY: there are results to be read first.
        Ok(_) | Err(Errno::ETIME | Errno::EINTR | Errno::EBUSY) => Ok(()),
        // No memory for the requests: those that are under way free some when they complete.
        Err(why @ (Errno::EAGAIN | Errno::ENOMEM)) => {
            failures.pause("io_uring_enter", why);
            Ok(())
        }
        Err(why) => Err(why).attempt("io_uring_enter"),
    }
}

/// A request that completes when there is something to read, or to accept: `poll`.
fn readable(fd: &impl AsFd, number: u64) -> squeue::Entry {
    let events = u32::try_from(PollFlags::POLLIN.bits()).unwrap_or_default();
    opcode::PollAdd::new(Fd(fd.as_fd().as_raw_fd()), events).build().user_data(number)
}

/// Serves every client whose request has completed.
fn serve_ready(clients: &mut Clients, now: Instant) -> Result<(), Error> {
    let mut ready = take(&mut clients.ready);
    for (key, result) in ready.drain(..) {
        match completed(clients, key, result, now) {
            Some(end) => clients.close(key, end),
            None => submit_next(clients, key)?,
        }
    }
    clients.ready = ready; // its memory is used again
    Ok(())
}

/// The request of a client has completed. Its result is what the call would have returned, or the
/// errno as a negative number. Returns how the client ends, if it does.
#[expect(clippy::indexing_slicing, reason = "a result is at most the length that was submitted")]
fn completed(
    clients: &mut Clients,
    key: usize,
    result: i32,
    now: Instant,
) -> Option<Result<(), String>> {
    let client = clients.all.get_mut(key)?;
    let sending = client.is_sending();
    match (client.over.take(), usize::try_from(result)) {
        (Some(why), _) => return Some(Err(why)),
        (None, Ok(0)) if !sending => return Some(Ok(())), // FIN: the peer has sent all
        (None, Ok(sent)) if sending => {
            client.record.sent(sent);
            client.sent += sent;
            client.last = now;
            clients.grow(key);
        }
        (None, Ok(received)) => {
            client.record.received(&client.buffer[..received]);
            (client.received, client.sent) = (received, 0);
            client.last = now;
        }
        (None, Err(_)) => match Errno::from_raw(-result) {
            Errno::EINTR | Errno::EAGAIN => {}
            why => {
                let call = if sending { "send" } else { "recv" };
                return Some(Err(format!("{call}: {}", errno(why))));
            }
        },
    }
    None
}

/// Submits the one request of a client: to send what is left, or to receive more.
#[expect(clippy::indexing_slicing, reason = "a result is at most the length that was submitted")]
fn submit_next(clients: &mut Clients, key: usize) -> Result<(), Error> {
    let Some(client) = clients.all.get_mut(key) else { return Ok(()) };
    let fd = Fd(client.stream.as_raw_fd());
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let entry = if client.is_sending() {
        let rest = &client.buffer[client.sent..client.received];
        // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
        let flags = MsgFlags::MSG_NOSIGNAL.bits();
        opcode::Send::new(fd, rest.as_ptr(), length(rest)).flags(flags).build()
    } else {
        let buffer = &mut client.buffer;
        opcode::Recv::new(fd, buffer.as_mut_ptr(), length(buffer)).build()
    };
    submit(&mut clients.ring, entry.user_data(key as u64))
}

/// Puts a request into the submission queue; `enter` submits what is in it.
fn submit(ring: &mut IoUring, entry: squeue::Entry) -> Result<(), Error> {
    // SAFETY: what a request points to is a client's buffer. It stays where it is as long as the
    // client, which has one request at a time, and only `serve_ready` removes it, with the result of
    // that request. Until then the server neither reads nor writes the buffer.
    #[expect(unsafe_code, reason = "requests are what this recipe shows")]
    while unsafe { ring.submission().push(&entry) }.is_err() {
        // The queue is full: the kernel takes all that is in it.
        ring.submit().attempt("io_uring_enter")?;
    }
    Ok(())
}

fn add<'a>(
    clients: &mut Clients<'a>,
    stream: Socket,
    peer: SocketAddr,
    record: Record<'a>,
    now: Instant,
) -> Result<(), Error> {
    match clients.insert(stream, peer, record, now) {
        Some(key) => submit_next(clients, key),
        None => Ok(()),
    }
}

fn end_idle(clients: &mut Clients, idle: &mut Idle, now: Instant) {
    if idle.is_due(now) {
        for (_, client) in &mut clients.all {
            end(client, idle.expired(client.last, client.is_sending(), now));
        }
    }
}

fn end_all(clients: &mut Clients, why: &str) {
    clients.all.iter_mut().for_each(|(_, client)| end(client, Some(why.to_owned())));
}

/// Shuts the connection down if there is a reason. The request of the client completes then, and that
/// closes it.
fn end(client: &mut Client, why: Option<String>) {
    if client.over.is_none() && why.is_some() {
        client.over = why;
        let _ = client.stream.shutdown(Shutdown::Both);
    }
}
