//! Send what each client says to all clients, in one thread that waits for none of them.
//!
//! # What it shows
//! TCP has no messages, so the program makes its own: a frame is a length and a text. And what one
//! client sends goes to all the others, at whatever speed each of them reads. So each client has a
//! bounded queue in the process, and one in the kernel (SO_SNDBUF); all queues share the bytes of a
//! message. A client whose queue is full is told so and dropped, and no other waits for it.
//!
//! # The protocol
//! A frame is four bytes, the length of the text in network order, and the text, UTF-8. A client
//! sends its name, then what it says, up to 4096 bytes each. The server sends words with tabs between:
//! `joined NAME`, `left NAME`, `said NAME TEXT` to all, NAME too, in one order; `refused WHY` or
//! `closed WHY` before it closes. What comes before your own `joined` is history. Shut down your
//! sending side, and you receive everything up to your own `left`. In Python:
//! `socket.sendall(struct.pack("!I", len(text)) + text)`, where `text` is bytes.
//!
//! # System calls
//! In `netcore::listener::listen_with`: `socket` → `setsockopt(SO_REUSEADDR)` → `setsockopt(SO_SNDBUF)` → `bind` → `listen`
//! `epoll_create` → `epoll_ctl` → (`epoll_wait` → `accept`)*
//! In `room.rs`: `epoll_ctl`, for each client
//! In `client.rs`: (`recv` → `sendmsg`)* → `shutdown(SHUT_WR)` → `close`
//!
//! # Try it
//! ```console
//! $ chat-server --port 7777 --history 10 &
//! listening on 127.0.0.1:7777
//! $ printf 'hello\nanybody here?\n' | chat-client --port 7777 --name alice
//! * alice joined
//! * alice left
//! $ chat-client --port 7777 --name bob < /dev/null
//! alice: hello
//! alice: anybody here?
//! * bob joined
//! * bob left
//! ```
//!
//! # What can go wrong
//! - A slow client: the kernel's buffers fill, then its queue, then it is dropped. A server with a
//!   blocking `send` would stop for all; one with unbounded queues would run out of memory.
//! - `pickle` from the network runs whatever the peer likes. A frame here is text, and its length
//!   is checked before the text is waited for.
//! - Closed with bytes of the peer unread, a socket is reset: the peer's `send` fails, and a reset that
//!   overtakes the reason loses it. `shutdown` first, then `recv` until the peer has closed too.
//! - A name does not prove who a client is. Names that only look alike are not the same.
//!
//! # Next
//! `chat-client` is the other end; `epoll-echo` is the same loop, in which no client hears another.
//!
//! # Source
//! epoll(7), sendmsg(2), socket(7), tcp(7); UNP §6.8, TLPI §63.4; the Python cookbook's recipe 2.3,
//! a chat with select.select.

mod args;
mod client;
mod room;

use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use netcore::error::{Attempt, Error};
use netcore::limits::raise_rlimit_nofile;
use netcore::listener::{Listener, listen_with};
use netcore::log::{self, Log};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::Signals;
use netcore::stop::Stop;
use netcore::{cli, recipe};

use args::Args;
use client::{Client, SEND_BUFFER};
use room::Room;

/// The number that comes back with an event: a client's key in the slab, or one of these.
const SIGNALS: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

/// Events that one call returns at most.
const EVENTS: usize = 256;

/// Bytes that one `recv` takes at most.
const BUFFER: usize = 8 * 1024;

/// Clients that are accepted before those in the room are served.
const ACCEPTED: usize = 64;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    args.check()?;
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?;
    raise_rlimit_nofile(args.max_clients);

    // The sockets that `accept` returns inherit the size of the buffer.
    let listener = Listener::new(listen_with(local, args.backlog, |listener| {
        listener.set_send_buffer_size(SEND_BUFFER).attempt("setsockopt SO_SNDBUF")
    })?)?;

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).attempt("epoll_create1")?;
    epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS)).attempt("epoll_ctl")?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).attempt("epoll_ctl")?;

    log::ready(listener.local()?, args.json, "", out)?;

    let mut stop = Stop::new(signals, listener, args.grace.0);
    let mut room = Room::new(epoll, &log, args);
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut buffer = vec![0; BUFFER];
    while stop.listener.is_some() || !room.is_empty() {
        let deadline = stop.deadline(room.idle.next).into_iter().chain(room.deadline()).min();
        let busy = !room.ready.is_empty();
        let timeout = if busy { EpollTimeout::ZERO } else { timeout_until(deadline) };
        let count = match room.epoll.wait(&mut events, timeout) {
            Err(Errno::EINTR) => continue,
            waited => waited.attempt("epoll_wait")?,
        };
        let (mut signal, mut connection, was_full) = (false, false, room.limits.is_full());
        for event in events.iter().take(count) {
            match event.data() {
                SIGNALS => signal = true,
                LISTENER => connection = true,
                key => room.ready.extend(usize::try_from(key)),
            }
        }

        let now = Instant::now();
        room.serve_ready(&mut buffer, now);
        room.end_late(now);
        if connection && let Some(listener) = &mut stop.listener {
            accept_some(listener, &mut room, &log, now)?;
        }
        let was_open = stop.listener.is_some();
        if signal && stop.next_signal(now)? == Some(SIGUSR1) {
            room.limits.report();
        }
        if let Some(why) = stop.is_over(now) {
            room.close_all(why);
            break;
        }
        if was_open && stop.listener.is_none() {
            room.end_all("the server stops", args.grace.0, now);
        }
        room.flush(now);
        if room.limits.is_full() != was_full {
            set_accepting(&room, &stop)?;
        }
    }
    Ok(())
}

/// Accepts several clients at once: each of them is announced to all, and one `sendmsg` takes many
/// frames.
fn accept_some<'a>(
    listener: &mut Listener,
    room: &mut Room<'a>,
    log: &'a Log,
    now: Instant,
) -> Result<(), Error> {
    for _ in 0..ACCEPTED {
        if room.limits.is_full() {
            break;
        }
        let Some((stream, peer)) = listener.accept(log)? else { break };
        if room.limits.admit(peer) {
            room.add(Client::new(stream, peer, log.open(peer), now), now);
        }
    }
    Ok(())
}

/// A full server does not have its listener on the list: new clients wait in the kernel's queue.
fn set_accepting(room: &Room, stop: &Stop) -> Result<(), Error> {
    let Some(listener) = &stop.listener else { return Ok(()) };
    let full = room.limits.is_full();
    let flags = if full { EpollFlags::empty() } else { EpollFlags::EPOLLIN };
    room.epoll.modify(listener, &mut EpollEvent::new(flags, LISTENER)).attempt("epoll_ctl")
}
