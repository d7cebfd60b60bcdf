//! Send datagrams, and count those that are echoed, lost, changed, duplicated and reordered (RFC 862).
//!
//! # What it shows
//! UDP keeps the boundaries of datagrams, and guarantees nothing else: a datagram may be lost,
//! duplicated, or reordered. `connect` on a UDP socket sends nothing: from then on the kernel drops
//! datagrams from other addresses, and reports an ICMP error as `ECONNREFUSED`. The program has to do
//! the rest: it waits, sends again with a backoff that doubles, and gives up. With `--count` each
//! datagram begins with its number and its attempt, 4 bytes each, so that each reply belongs to one
//! `send`.
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
//! 1000 of 1000 datagrams echoed: 0 lost, 0 changed; 0 duplicated, 0 reordered, 0 late, 0 sent again
//! 1000 round trips: minimum 0.01 ms, median 0.01 ms, p99 0.15 ms
//! ```
//!
//! # What can go wrong
//! - No reply arrives. A lost datagram, a lost echo and a server that is down look the same:
//!   `--timeout` and `--retries` bound the wait. The first retry is after 1 s (RFC 8085): an earlier
//!   one would take a slow path for one that loses datagrams, and add to its load.
//! - `ECONNREFUSED`: no program listens on that port. An earlier `send` caused the ICMP message, the
//!   next call returns the error. With `--count` a server that has replied may come back: the retries
//!   go on until a datagram is lost.
//! - `EMSGSIZE`: a datagram has at most 65,507 bytes, over IPv6 65,527. One that is longer than the
//!   MTU of a link is sent in fragments, and lost if any of them is lost.
//! - A reply is duplicated, late or reordered. A client that takes each reply for that to its last
//!   datagram then has the wrong reply, and so has each request after it.
//! - The round-trip time of a retry is known only if the reply says which attempt it echoes (Karn's
//!   algorithm).
//! - A socket connected to itself: `connect` may pick the port that it connects to as its own, and
//!   the client receives what it sends. Here this counts as refused.
//!
//! # Next
//! `udp-echo` is the server; `sntp-client` sends a request to a server that it cannot trust.
//!
//! # Source
//! udp(7), connect(2), send(2), recv(2), poll(2); RFC 862, RFC 8085 §3.1.1, RFC 4737 §3; UNP §8.5, §8.11
//! and §22.5; the Python cookbook has no recipe for it.

mod args;
mod flight;
mod plan;
mod report;

use std::io::{Read, stdin};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error, to_errno};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::counted;
use netcore::time::share;
use netcore::{cli, recipe};

use args::Args;
use flight::Flight;
use plan::Plan;

/// In bytes: longer than any datagram.
const BUFFER: usize = 64 * 1024;

/// Of standard input, in bytes.
const LONGEST_INPUT: u64 = 64 << 20;

/// The most datagrams that are received before the deadlines are checked: in a flood there is always
/// one more.
const BURST: usize = 1024;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 77 130), run)
}

/// Sends to the addresses of the server in order, up to the first that replies. Until then each has its
/// share of the time that is left: one that does not reply costs no more.
fn run(args: &Args, out: &mut Output) -> Result<(), Error> {
    let lines = if args.stdin { lines_of_stdin()? } else { Vec::new() };
    let plan = Plan::new(args, lines)?;
    if plan.total == 0 {
        return Ok(()); // standard input is empty
    }
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let deadline = args.timeout.deadline();
    let addresses = addresses(&args.host, args.port.0, family, args.timeout)?;
    let mut failures = Vec::new();
    for (index, peer) in addresses.iter().enumerate() {
        let parts = addresses.len() - index;
        let now = Instant::now();
        let first = share(deadline, parts).map(|end| end.saturating_duration_since(now));
        let mut flight = Flight::new(args, &plan, parts > 1, first);
        let end = exchange(*peer, &plan, &mut flight, args, out);
        if flight.is_unanswered() && !matches!(end, Err(Error::Output(_))) {
            failures.extend(end.and_then(|()| flight.result(*peer)).err());
            continue;
        }
        if args.count > 1 && !args.quiet {
            out.bytes(report::summary(*peer, &mut flight, args).as_bytes())?;
        }
        return end.and_then(|()| flight.result(*peer));
    }
    Err(report::all_failed(failures))
}

/// All lines are read before the first is sent: a datagram that is lost is sent again.
fn lines_of_stdin() -> Result<Vec<Vec<u8>>, Error> {
    let mut text = Vec::new();
    let input = stdin().lock().take(LONGEST_INPUT + 1).read_to_end(&mut text);
    if input.map_err(|why| Error::Input(to_errno(why)))? as u64 > LONGEST_INPUT {
        return Err(Error::Usage(format!("--stdin: more than {LONGEST_INPUT} bytes")));
    }
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    Ok(lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec()).collect())
}

#[expect(clippy::indexing_slicing, reason = "recv returns at most the length of the buffer")]
fn exchange(
    peer: SocketAddr,
    plan: &Plan,
    flight: &mut Flight,
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, None).attempt("socket")?;
    socket.connect(&peer.into()).attempt(format_args!("connect to {peer}"))?;
    let known = |address: std::io::Result<socket2::SockAddr>| address.ok()?.as_socket();
    if known(socket.local_addr()) == known(socket.peer_addr()) {
        return Err(Errno::ECONNREFUSED).attempt(format_args!("echo from {peer}"));
    }
    let mut buffer = vec![0; BUFFER];
    let mut refused = false;
    while !flight.is_over(Instant::now()) {
        let mut events = PollFlags::POLLIN;
        while let Some(sending) = flight.due(Instant::now()) {
            let bytes = plan.bytes(sending);
            match send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_DONTWAIT) {
                // A full queue of the network device loses a datagram as any other queue does.
                Ok(_) | Err(Errno::ENOBUFS) => flight.sent(sending, Instant::now()),
                Err(Errno::EINTR) => {}
                // Of an earlier one: this datagram was not sent.
                Err(Errno::ECONNREFUSED) if flight.may_resume() => refused = true,
                Err(Errno::EAGAIN) => {
                    events |= PollFlags::POLLOUT;
                    break;
                }
                Err(why @ Errno::ECONNREFUSED) => {
                    return Err(why).attempt(format_args!("echo from {peer}"));
                }
                Err(why) => {
                    let count = counted(bytes.len() as u64, "byte");
                    return Err(why).attempt(format_args!("send {count} to {peer}"));
                }
            }
        }
        let mut fds = [PollFd::new(socket.as_fd(), events)];
        poll(&mut fds, flight.next_deadline()).attempt("poll")?;
        // Replies that have arrived are received before the deadlines are checked.
        for _ in 0..BURST {
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(received) => {
                    refused = false;
                    let reply = plan.identify(&buffer[..received], flight.newest());
                    if let Some(echo) = flight.received(reply, Instant::now())
                        && !args.quiet
                        && (args.count == 1 || args.verbose)
                    {
                        out.line(report::echoed(peer, plan, &echo, args))?;
                    }
                }
                // No more datagrams; or `recv` dropped the one that `poll` reported: its checksum is wrong.
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(Errno::ECONNREFUSED) if flight.may_resume() => refused = true,
                Err(why) => return Err(why).attempt(format_args!("echo from {peer}")),
            }
        }
        let is_lost = flight.expire(Instant::now());
        if refused && (is_lost || flight.next_deadline().is_none()) {
            flight.give_up();
            return Err(Errno::ECONNREFUSED).attempt(format_args!("echo from {peer}"));
        }
    }
    Ok(())
}
