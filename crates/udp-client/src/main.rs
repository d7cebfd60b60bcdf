//! Send datagrams, and count what comes back, what is lost, doubled and reordered (RFC 862).
//!
//! # What it shows
//! UDP keeps the bounds of each datagram and promises nothing else: it may be lost, come twice, or
//! overtake another. `connect` sends nothing; it lets the kernel drop what comes from elsewhere, and
//! tell us when the other machine says that nobody listens. All else the program does itself: it
//! waits, sends again, each time twice as late, and gives up. With `--count` each datagram begins
//! with its number and how often it was sent before, 4 bytes each, so that every reply can be told.
//!
//! # System calls
//! `socket` → `connect` → (`send` → `poll` → `recv`)* → `close`
//!
//! # Try it
//! ```console
//! $ udp-echo --port 7777 &
//! listening on 127.0.0.1:7777
//! $ udp-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   0.14 ms
//! $ udp-client --port 7777 --count 1000
//! 1000 of 1000 datagrams came back: 0 lost, 0 changed; 0 doubled, 0 reordered, 0 late, 0 sent again
//! 1000 round trips: minimum 0.01 ms, median 0.01 ms, p99 0.15 ms
//! ```
//!
//! # What can go wrong
//! - Nothing comes. Whether the datagram or its echo was lost, or nobody is there, looks the same:
//!   `--timeout`, `--retries`. The first retry is after 1 s, as RFC 8085 has it: sooner, every slow
//!   line would look like a lossy one and be made worse.
//! - `ECONNREFUSED`: nobody listens there. ICMP said so to an earlier `send`; the next call tells it.
//! - `EMSGSIZE`: a datagram has 65,507 bytes at most, over IPv6 65,527. Past the MTU of a link it goes
//!   in fragments, and one of them that is lost is all of it lost.
//! - A reply comes twice, late, or after the next one. A client that takes the first that comes
//!   for the answer to its last question is then wrong by one for ever.
//! - The time of a reply is known only if it is known which of the sendings it echoes (Karn).
//! - A socket connected to itself: `connect` may pick the very port that it connects to, and then
//!   all comes back. Here that counts as refused.
//!
//! # Next
//! `udp-echo` is the other end; `sntp-client` does the same with a server that it must not believe.
//!
//! # Source
//! udp(7), connect(2), send(2), recv(2), poll(2); RFC 862, RFC 8085 §3.1.1, RFC 4737 §3; UNP §8.5, §8.11 and
//! §22.5; the Python cookbook has no recipe for it.

mod args;
mod flight;
mod plan;
mod report;

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::resolve::{AddressFamily, addresses};
use netcore::{cli, recipe};

use args::Args;
use flight::Flight;
use plan::Plan;

/// Longer than any datagram.
const BUFFER: usize = 64 * 1024;

/// Datagrams that are taken before the clock is looked at: a flood must not stop it.
const BURST: usize = 1024;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 77 130), ask)
}

/// Asks the addresses of the server in their order, up to the first from which something comes.
fn ask(args: &Args, out: &mut Output) -> Result<(), Error> {
    let plan = Plan::new(args)?;
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let addresses = addresses(&args.host, args.port.0, family, args.timeout)?;
    let mut failures = Vec::new();
    for (more, peer) in (0..addresses.len()).rev().zip(&addresses) {
        let mut flight = Flight::new(args, &plan, more > 0);
        let end = exchange(*peer, &plan, &mut flight, args, out);
        if flight.is_unanswered() && !matches!(end, Err(Error::Output(_))) {
            failures.extend(end.and_then(|()| flight.verdict(*peer)).err());
            continue;
        }
        if args.count > 1 && !args.quiet {
            out.bytes(report::summary(*peer, &mut flight, args).as_bytes())?;
        }
        return end.and_then(|()| flight.verdict(*peer));
    }
    Err(report::all_failed(failures))
}

fn exchange(
    peer: SocketAddr,
    plan: &Plan,
    flight: &mut Flight,
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, None).attempt("socket")?;
    socket.connect(&peer.into()).attempt(format_args!("connect to {peer}"))?;
    let own = |address: std::io::Result<socket2::SockAddr>| address.ok()?.as_socket();
    if own(socket.local_addr()) == own(socket.peer_addr()) {
        return Err(Errno::ECONNREFUSED).attempt(format_args!("echo from {peer}"));
    }
    let mut buffer = vec![0; BUFFER];
    while !flight.is_over(Instant::now()) {
        let mut events = PollFlags::POLLIN;
        while let Some(sending) = flight.due(Instant::now()) {
            let bytes = plan.bytes(sending);
            match send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_DONTWAIT) {
                // No room on the way out is the first place at which a datagram may be lost.
                Ok(_) | Err(Errno::ENOBUFS) => flight.sent(sending, Instant::now()),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    events |= PollFlags::POLLOUT;
                    break;
                }
                Err(why @ Errno::ECONNREFUSED) => {
                    return Err(why).attempt(format_args!("echo from {peer}"));
                }
                Err(why) => {
                    let count = bytes.len();
                    return Err(why).attempt(format_args!("send {count} bytes to {peer}"));
                }
            }
        }
        let mut fds = [PollFd::new(socket.as_fd(), events)];
        match poll(&mut fds, timeout_until(flight.wake())) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("poll"),
        }
        // What has come in time is taken before the clock is asked what has not.
        for _ in 0..BURST {
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    let reply = plan.recognise(bytes, flight.newest());
                    if let Some(echo) = flight.take(reply, Instant::now())
                        && !args.quiet
                        && (args.count == 1 || args.verbose)
                    {
                        out.line(report::echoed(peer, plan, &echo, args))?;
                    }
                }
                // Nothing (more); or it was dropped after poll had said ready, its checksum was wrong.
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(why) => return Err(why).attempt(format_args!("echo from {peer}")),
            }
        }
        flight.expire(Instant::now());
    }
    Ok(())
}
