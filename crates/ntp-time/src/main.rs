//! Say what time it really is, by the majority of several servers (RFC 5905).
//!
//! # What it shows
//! One server can be wrong, and nobody who asks it alone can tell. So ask several, all at the same
//! time: a socket each, and one `poll` that waits for whichever answers first. A server that is not
//! there costs one time-out, however many of them there are. Each answer allows some offsets of our
//! clock, [offset - bound, offset + bound]; those of the servers that are right have some in common.
//! The time is what most servers allow, and whoever does not is named as a falseticker.
//! It shows the time when it prints it, and sets no clock.
//!
//! # System calls
//! (`getrandom` → `socket` → `setsockopt(SO_TIMESTAMPNS)` → `connect` → `sendto`)* → `poll` →
//! (`recvmsg` → `close`)*
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
//! - No majority: of the servers that answered no more than half agree. What each says is shown, and
//!   it ends with 65. One server is its own majority; two that differ tell only that one is wrong.
//! - A server that does not answer has no vote: it is named on standard error, and the rest decide.
//!   If none is left, it ends as `sntp-client` does: 65, 68, 69, 75 or 77.
//! - A kiss-o'-death: no further request to that server, and no vote, whatever it said before.
//! - An address that is given twice has one vote, or a server could be its own majority.
//! - More samples are better, a second apart at least (`--count`): the one of least delay counts.
//! - `--check` is a monitoring plug-in, with exit codes of its own: 0 ok, 1 warning, 2 critical, 3
//!   unknown, whatever the reason. A wrong command line is 2 with it too, and so is noticed.
//! - What a server said is old when it comes. The Python original prints its transmit time, without
//!   the way back, cut to the second; `--raw` shows that, and how far off it is.
//!
//! # Next
//! `sntp-client` spells out the exchange with one server; `ntp-responder` plays the falsetickers.
//!
//! # Source
//! poll(2), socket(7), udp(7), recvmsg(2); RFC 5905 §10 and §11.2.1, RFC 4330 §5 and §10; UNP §6.10;
//! Monitoring Plugins Guidelines, "Plugin Output"; the Python cookbook's recipe 1.11, NTP client.

mod args;
mod check;
mod peer;
mod report;
mod vote;

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::ntp::packet::Packet;
use netcore::ntp::time::{Timestamp, Utc};
use netcore::ntp::validate::{LONGEST, Refusal, Request, validate};
use netcore::poll::timeout_until;
use netcore::sys::getrandom;
use netcore::timestamp::{Datagram, recvmsg};
use netcore::{cli, recipe};

use args::Args;
use peer::{Peer, State};

fn main() -> ExitCode {
    let codes =
        recipe!(0 1="--check: warning" 2="usage; --check: critical" 3 65 68 69 71 74 75 77 130);
    cli::run(&codes, report::report)
}

/// Asks all of them at the same time, until each has answered as often as it is to, or won't.
fn ask(peers: &mut [Peer], args: &Args) -> Result<(), Error> {
    let mut buffer = [0; LONGEST + 1];
    loop {
        let now = Instant::now();
        for peer in peers.iter_mut() {
            if peer.is_overdue(now) {
                peer.has_not_answered(args);
            }
            if peer.is_due(now) {
                match send(peer, args) {
                    Ok(asked) => peer.state = asked,
                    Err(error) => peer.has_failed(error),
                }
            }
        }
        if peers.iter().all(|peer| matches!(peer.state, State::Done(_))) {
            return Ok(());
        }

        let sockets = peers.iter().filter_map(Peer::socket);
        let mut fds: Vec<PollFd<'_>> =
            sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout_until(peers.iter().filter_map(Peer::next).min())) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("poll"),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();

        let now = Instant::now();
        let asked = peers.iter_mut().filter(|peer| peer.socket().is_some());
        for (peer, _) in asked.zip(ready).filter(|(_, ready)| *ready) {
            // Looked at first: a flood of garbage keeps the socket ready for ever.
            if !peer.is_overdue(now)
                && let Err(error) = receive(peer, &mut buffer, args)
            {
                peer.has_failed(error);
            }
        }
    }
}

/// Sends one request, from a port of its own, and does not wait.
fn send(peer: &mut Peer, args: &Args) -> Result<State, Error> {
    let server = peer.address().ok_or(Errno::EDESTADDRREQ).attempt("ask")?;
    let mut nonce = [0; 8];
    getrandom(&mut nonce).attempt("getrandom")?;
    let nonce = Timestamp(u64::from_ne_bytes(nonce).max(1));
    let earlier = peer.nonces.clone();
    peer.nonces.push(nonce);
    peer.asked = Some(Instant::now());

    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None).attempt("socket")?;
    // Where there is no such option, our own reading of the clock has to do.
    let _ = setsockopt(&socket, ReceiveTimestampns, &true);
    socket.connect(&server.into()).attempt(format_args!("connect to {server}"))?;
    let bytes = Packet::request(args.ntp_version, nonce).to_bytes();
    let deadline = args.timeout.deadline();
    // 0.0.0.0 has become 127.0.0.1.
    let server = socket.peer_addr().ok().and_then(|peer| peer.as_socket()).unwrap_or(server);
    let (version, sent) = (args.ntp_version, Utc::now());
    socket.send(&bytes).attempt(format_args!("ask {server}"))?;
    let request = Request { server, version, nonce, earlier, sent };
    Ok(State::Asked { socket, request, deadline })
}

/// Takes one datagram, which may be the answer.
fn receive(peer: &mut Peer, buffer: &mut [u8], args: &Args) -> Result<(), Error> {
    let State::Asked { socket, request, .. } = &peer.state else { return Ok(()) };
    let Datagram { length, from, stamp } = match recvmsg(socket.as_fd(), buffer) {
        // The kernel dropped it meanwhile: its checksum was wrong.
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
        received => received.attempt(format_args!("ask {}", request.server))?,
    };
    let arrived = stamp.unwrap_or_else(Utc::now);
    let bytes = buffer.get(..length).unwrap_or_default();
    let from = from.unwrap_or(request.server);
    match validate(request, from, bytes, arrived, Utc::pivot(args.pivot)) {
        Ok(sample) => peer.has_answered(sample, args),
        Err(Refusal::Kiss(kiss)) => peer.has_kissed(kiss),
        Err(reason) => peer.refused.add(reason),
    }
    Ok(())
}
