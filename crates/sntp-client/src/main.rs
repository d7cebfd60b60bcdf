//! Query an NTP server for the time, and accept only a valid reply (SNTP, RFC 4330).
//!
//! # What it shows
//! A request and its reply make four readings of two clocks: the client reads T1 and T4, the server
//! T2 and T3. The offset of the clocks and the delay of the network follow from them; the error of
//! the offset is at most half of the delay. `connect` on a UDP socket sends nothing: from then on the
//! kernel drops datagrams from other addresses, and reports an ICMP error as `ECONNREFUSED`. The
//! client has to check the rest: a valid reply returns the 64 random bits of the request.
//! The kernel can note the time at which a datagram arrives (`SO_TIMESTAMPNS`): it stays right when
//! a busy system schedules the program late.
//! The program prints the time, and does not set the clock.
//!
//! # System calls
//! (`getrandom` → `socket` → `setsockopt(SO_TIMESTAMPNS)` → `connect` → `send` → `poll` → `recvmsg` →
//! `close`)*
//!
//! # Try it
//! ```console
//! $ ntp-responder --port 7777 --offset 1.5s --lie origin-bit &
//! listening on 127.0.0.1:7777
//! $ sntp-client 127.0.0.1:7777
//! 2026-11-25T03:10:03.623456Z +1.500021 +/- 0.001065 127.0.0.1:7777 127.0.0.1 s1 leap=none
//!     1 datagram rejected: its origin timestamp is not that of our request
//! $ sntp-client --max-offset 1s 127.0.0.1:7777
//! sntp-client: 127.0.0.1:7777: offset +1.500018 s exceeds --max-offset
//! ```
//!
//! # What can go wrong
//! - No reply arrives: UDP may lose a datagram, and reports nothing. `--timeout` bounds the wait: each
//!   try has its share, and goes to the next address of the name. The Python original waits without a
//!   timeout.
//! - An invalid datagram arrives. It is counted by its reason, and the client waits on until the same
//!   deadline: a flood of garbage does not end the wait. The original accepts any datagram.
//! - `ECONNREFUSED`: no program listens on that port. `send` caused the error, `recvmsg` returns it.
//! - A kiss-o'-death: the exit code is 75 for `RATE`, 77 for `DENY` and `RSTR`. The client sends no
//!   further request to that server.
//! - The 32-bit seconds count from 1900, and start again at 0 in 2036. The client takes the instant
//!   nearest to a rough time (`--pivot`).
//! - Unequal delays in the two directions look like an offset. The client cannot detect them; the
//!   error is within the bound that it prints.
//!
//! # Next
//! `ntp-time` queries several servers at once, and takes the majority; `ntp-responder` is the server,
//! with faults on request.
//!
//! # Source
//! socket(7), udp(7), recvmsg(2), cmsg(3), getrandom(2); RFC 4330 §5, RFC 5905 §6 to §8; UNP §22.3;
//! the Python cookbook's recipe 1.12, SNTP client.

mod args;
mod report;

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::slice;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage};
use nix::sys::socket::{recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Socket, Type};

use netcore::addr::socket_address;
use netcore::error::{Attempt, Error};
use netcore::ntp::Sample;
use netcore::ntp::packet::Packet;
use netcore::ntp::server::servers;
use netcore::ntp::time::{Timestamp, Utc};
use netcore::ntp::validate::{LONGEST, Rejection, Request, validate};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{AddressFamily, addresses};
use netcore::sys::getrandom;
use netcore::time::share;
use netcore::{cli, recipe};

use args::{Args, Clock};
use report::{Failure, Measurement, Peer, Summary};

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 77 130), query_all)
}

fn query_all(args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    for (name, server) in servers(&args.server)? {
        let deadline = args.timeout.deadline();
        match addresses(&server.host, server.port.0, family, args.timeout) {
            Ok(addresses) => query_server(&name, &addresses, deadline, args, out)?,
            Err(error) => out.report(&error),
        }
    }
    Ok(())
}

/// Queries a server: the address that replies first, or each of them with `--all-addresses`.
fn query_server(
    name: &str,
    addresses: &[SocketAddr],
    mut deadline: Option<Instant>,
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    let together = if args.all_addresses { 1 } else { addresses.len().max(1) };
    let (mut failures, mut is_answered, mut is_kissed) = (Vec::new(), false, false);
    for group in addresses.chunks(together) {
        if args.all_addresses {
            deadline = share(args.timeout.deadline(), addresses.len());
        }
        let mut peers: Vec<Peer> = group.iter().copied().map(Peer::new).collect();
        take_samples(&mut peers, deadline, args)?;
        for peer in &mut peers {
            if let Some(summary) = Summary::new(name, peer, args) {
                is_answered = true;
                match summary.check_limits() {
                    Ok(()) => out.bytes(summary.text().as_bytes())?,
                    Err(error) => out.report(&error),
                }
            }
            is_kissed |= peer.is_kissed();
            failures.extend(peer.error(args.timeout));
        }
        // A kiss-o'-death is from the server, whatever the address.
        if is_kissed {
            break;
        }
    }
    for failure in failures {
        match is_answered && !is_kissed {
            // One address replied, and that is an answer.
            true if args.all_addresses => out.note(failure),
            true => {}
            false => out.report(&failure),
        }
    }
    Ok(())
}

/// Takes `--count` samples: the first of the address that replies first, the others of the same one.
/// A lost one is an error only if it is the first.
fn take_samples(peers: &mut [Peer], deadline: Option<Instant>, args: &Args) -> Result<(), Error> {
    take_sample(peers, deadline, args);
    let Some(peer) = peers.iter_mut().find(|peer| !peer.measurements.is_empty()) else {
        return Ok(());
    };
    for _ in 1..args.count {
        poll(&mut [], Instant::now().checked_add(args.interval.0)).attempt("poll")?;
        take_sample(slice::from_mut(peer), args.timeout.deadline(), args);
        if peer.failure.is_some() {
            break;
        }
    }
    Ok(())
}

/// Takes one sample. Each try has its share of the time that is left, and the next one goes to the next
/// address: one that does not reply costs a share, and not all of its retries.
fn take_sample(peers: &mut [Peer], deadline: Option<Instant>, args: &Args) {
    let mut tries = peers.len() * (usize::from(args.retries) + 1);
    for later_rounds in (0..=args.retries).rev() {
        for peer in peers.iter_mut().filter(|peer| peer.failure.is_none()) {
            let share = share(deadline, tries);
            tries -= 1;
            match exchange(peer, share, args) {
                Ok(measurement) => return peer.measurements.push(measurement),
                Err(Failure::Timeout) => {}
                Err(failure) => {
                    tries -= usize::from(later_rounds);
                    peer.failure = Some(failure);
                    if peer.is_kissed() {
                        return;
                    }
                }
            }
        }
    }
}

/// Sends one request, and receives datagrams until one of them is a valid reply.
#[expect(clippy::indexing_slicing, reason = "recvmsg returns at most the length of the buffer")]
fn exchange(
    peer: &mut Peer,
    deadline: Option<Instant>,
    args: &Args,
) -> Result<Measurement, Failure> {
    let server = peer.address;
    let mut nonce = [0; 8];
    getrandom(&mut nonce).attempt("getrandom")?;
    let nonce = Timestamp(u64::from_ne_bytes(nonce).max(1)); // 0 means no timestamp
    let earlier = peer.add_request(nonce);

    // A new socket has a new port, which the kernel picks at random: a late reply to an earlier
    // request does not arrive here, and who forges a reply has 15 more bits to guess.
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None).attempt("socket")?;
    // Without this option T4 is the time at which this program reads the clock.
    let _ = setsockopt(&socket, ReceiveTimestampns, &true);
    socket.connect(&server.into()).attempt(format_args!("connect to {server}"))?;
    // `connect` to 0.0.0.0 has connected to 127.0.0.1.
    let connected = socket.peer_addr().ok().and_then(|address| address.as_socket());
    let connected = connected.unwrap_or(server);
    let bytes = Packet::request(args.ntp_version, nonce).to_bytes();

    let t1 = Utc::now();
    socket.send(&bytes).attempt(format_args!("query {server}"))?;
    let version = args.ntp_version;
    let request = Request { server: connected, version, nonce, earlier, sent: t1 };

    let mut buffer = [0; LONGEST + 1];
    loop {
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, deadline).attempt("poll")?;
        // Checked before the socket: in a flood of garbage that is always ready.
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Failure::Timeout);
        }
        let (received, from, kernel_t4) = match receive(&socket, &mut buffer) {
            // `poll` reports a datagram that `recvmsg` then drops: its checksum is wrong.
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            received => received.attempt(format_args!("query {server}"))?,
        };
        let user_t4 = Utc::now();
        let t4 = kernel_t4.filter(|_| args.clock != Clock::User).unwrap_or(user_t4);
        let (from, pivot) = (from.unwrap_or(connected), Utc::pivot(args.pivot));
        match validate(&request, from, &buffer[..received], t4, pivot) {
            Ok(sample) => {
                // T2 and T3 are the receive and the transmit timestamp of the reply.
                let Sample { t1, t2, t3, t4, .. } = sample;
                return Ok(Measurement {
                    offset: offset(t1, t2, t3, t4),
                    delay: delay(t1, t2, t3, t4),
                    user_offset: offset(t1, t2, t3, user_t4),
                    user_t4,
                    has_kernel_t4: kernel_t4.is_some(),
                    sample,
                });
            }
            Err(Rejection::Kiss(kiss)) => return Err(Failure::Kiss(kiss)),
            Err(reason) => peer.rejected.add(reason),
        }
    }
}

/// The server's clock minus ours, if both directions took equally long (RFC 4330 §5).
fn offset(t1: Utc, t2: Utc, t3: Utc, t4: Utc) -> i128 {
    (t2.since(t1) + t3.since(t4)).div_euclid(2)
}

/// The round-trip time, without the time that the server spent (RFC 4330 §5).
fn delay(t1: Utc, t2: Utc, t3: Utc, t4: Utc) -> i128 {
    t4.since(t1) - t3.since(t2)
}

/// Receives a datagram: its length, its source, and the time at which the kernel received it.
fn receive(
    socket: &Socket,
    buffer: &mut [u8],
) -> nix::Result<(usize, Option<SocketAddr>, Option<Utc>)> {
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message: RecvMsg<SockaddrStorage> =
        recvmsg(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let timestamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => Some(time),
        _ => None,
    });
    let from = message.address.as_ref().and_then(socket_address);
    Ok((message.bytes, from, timestamp.map(Utc::from)))
}

#[cfg(test)]
#[path = "main_tests.rs"]
mod tests;
