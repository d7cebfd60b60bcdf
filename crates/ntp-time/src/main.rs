//! Print the time that the majority of several NTP servers agrees on (RFC 5905).
//!
//! # What it shows
//! A client cannot detect the error of a single server. So the program queries several at the same
//! time: a socket for each, and one `poll` for all sockets. Servers that are down cost one timeout
//! together. The reply of a server allows an interval of offsets, [offset - bound, offset + bound].
//! The intervals of correct servers have offsets in common: the program takes the interval that most
//! of them have in common, and names each server outside of it, a falseticker.
//! The program prints the time at the moment of printing, and does not set the clock.
//!
//! # System calls
//! (`getrandom` → `socket` → `setsockopt(SO_TIMESTAMPNS)` → `connect` → `send`)* → `poll` → (`recvmsg`
//! → `close`)*
//!
//! # Try it
//! ```console
//! $ ntp-responder --port 7777 --offset 40ms &
//! listening on 127.0.0.1:7777
//! $ ntp-time 127.0.0.1:7777
//! 2026-11-25T03:10:02.163456Z +0.040021 +/- 0.001065 127.0.0.1:7777 127.0.0.1 s1 leap=none
//!     Time=Wed Nov 25 03:10:02 UTC 2026
//! $ ntp-time --check --warning 100ms --critical 1s 127.0.0.1:7777
//! NTP OK: offset +0.040023 s +/- 0.001071, 1 of 1 server agrees | offset=0.040023s;-0.1:0.1;-1:1 bound=0.001071s;;;0 jitter=0.000000s;;;0 stratum=1;;;0;16
//! ```
//!
//! # What can go wrong
//! - No majority: at most half of the servers that replied agree. The program prints the time of each
//!   on standard error, and ends with 65. One server is a majority of one; two that disagree show
//!   only that one of them is wrong.
//! - A server does not reply: its error is printed, and the others decide. Without any reply the exit
//!   code is that of `sntp-client`: 65, 68, 69, 75 or 77.
//! - A kiss-o'-death: the program sends no further request to that server, and drops its samples.
//! - The same address twice: it counts once, otherwise one server could be the majority.
//! - A sample with a long delay: with `--count` the program takes several, at least a second apart,
//!   and uses the one with the least delay.
//! - `--check` is a monitoring plug-in with its own exit codes: 0 ok, 1 warning, 2 critical, 3
//!   unknown. A usage error is 2 as well.
//! - A timestamp is old when it arrives. The Python original prints the transmit timestamp, without
//!   the delay of the reply, in whole seconds; `--raw` prints that, and its error.
//!
//! # Next
//! `sntp-client` is the exchange with a single server; `ntp-responder` plays the falsetickers.
//!
//! # Source
//! poll(2), socket(7), udp(7), recvmsg(2), cmsg(3); RFC 5905 §10 and §11.2.1, RFC 4330 §5 and §10; UNP
//! §6.10; Monitoring Plugins Guidelines, "Plugin Output"; the Python cookbook's recipe 1.11, NTP client.

mod args;
mod check;
mod format;
mod peer;
mod report;
mod vote;

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
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
use netcore::ntp::packet::Packet;
use netcore::ntp::time::{Timestamp, Utc};
use netcore::ntp::validate::{LONGEST, Rejection, Request, validate};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::sys::getrandom;
use netcore::{cli, recipe};

use args::{Args, Format};
use peer::{Peer, State};
use vote::Vote;

fn main() -> ExitCode {
    let codes =
        recipe!(0 1="--check: warning" 2="usage; --check: critical" 3 65 68 69 71 74 75 77 130);
    cli::run(&codes, tell_time)
}

fn tell_time(args: &Args, out: &mut Output) -> Result<(), Error> {
    let format = args.format()?;
    let mut peers = Peer::all(args, out)?;
    let end = query_all(&mut peers, args);
    let vote = Vote::new(&peers, Utc::now());
    if let Format::Check(warning, critical) = format {
        let (state, line) = check::check(&vote, end.err(), warning, critical);
        out.state(state);
        return out.line(line);
    }
    end?;
    report::report(&vote, peers.len(), &format, out)
}

/// Queries all servers at the same time, until each has all its samples or has failed.
fn query_all(peers: &mut [Peer], args: &Args) -> Result<(), Error> {
    let mut buffer = [0; LONGEST + 1];
    loop {
        let now = Instant::now();
        for peer in peers.iter_mut() {
            if peer.is_overdue(now) {
                peer.timed_out(args);
            }
            if peer.is_due(now) {
                match send_request(peer, args) {
                    Ok(waiting) => peer.state = waiting,
                    Err(error) => peer.failed(error),
                }
            }
        }
        if peers.iter().all(|peer| matches!(peer.state, State::Done(_))) {
            return Ok(());
        }

        let sockets = peers.iter().filter_map(Peer::socket);
        let mut fds: Vec<PollFd<'_>> =
            sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut fds, peers.iter().filter_map(Peer::next).min()).attempt("poll")?;
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();

        let now = Instant::now();
        let waiting = peers.iter_mut().filter(|peer| peer.socket().is_some());
        for (peer, _) in waiting.zip(ready).filter(|(_, ready)| *ready) {
            // Checked before the socket: in a flood of garbage that is always ready.
            if !peer.is_overdue(now)
                && let Err(error) = receive_reply(peer, &mut buffer, args)
            {
                peer.failed(error);
            }
        }
    }
}

/// Sends a request from a new socket, and does not wait for the reply.
fn send_request(peer: &mut Peer, args: &Args) -> Result<State, Error> {
    let server = peer.address().ok_or(Errno::EDESTADDRREQ).attempt("query")?;
    let mut nonce = [0; 8];
    getrandom(&mut nonce).attempt("getrandom")?;
    let nonce = Timestamp(u64::from_ne_bytes(nonce).max(1)); // 0 means no timestamp
    let earlier = peer.nonces.clone();
    peer.nonces.push(nonce);
    peer.last_request = Some(Instant::now());

    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None).attempt("socket")?;
    // Without this option T4 is the time at which this program reads the clock.
    let _ = setsockopt(&socket, ReceiveTimestampns, &true);
    socket.connect(&server.into()).attempt(format_args!("connect to {server}"))?;
    // `connect` to 0.0.0.0 has connected to 127.0.0.1.
    let connected = socket.peer_addr().ok().and_then(|address| address.as_socket());
    let bytes = Packet::request(args.ntp_version, nonce).to_bytes();
    let deadline = peer.begin_try();
    let t1 = Utc::now();
    socket.send(&bytes).attempt(format_args!("query {server}"))?;
    let (server, version) = (connected.unwrap_or(server), args.ntp_version);
    let request = Request { server, version, nonce, earlier, sent: t1 };
    Ok(State::Waiting { socket, request, deadline })
}

/// Receives one datagram, and checks whether it is the reply.
#[expect(clippy::indexing_slicing, reason = "recvmsg returns at most the length of the buffer")]
fn receive_reply(peer: &mut Peer, buffer: &mut [u8], args: &Args) -> Result<(), Error> {
    let State::Waiting { socket, request, .. } = &peer.state else { return Ok(()) };
    let (received, from, kernel_t4) = match receive(socket, buffer) {
        // `poll` reports a datagram that `recvmsg` then drops: its checksum is wrong.
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
        received => received.attempt(format_args!("query {}", request.server))?,
    };
    let t4 = kernel_t4.unwrap_or_else(Utc::now);
    let (from, pivot) = (from.unwrap_or(request.server), Utc::pivot(args.pivot));
    match validate(request, from, &buffer[..received], t4, pivot) {
        Ok(sample) => peer.replied(sample, args),
        Err(Rejection::Kiss(kiss)) => peer.kissed(kiss),
        Err(reason) => peer.rejected.add(reason),
    }
    Ok(())
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
