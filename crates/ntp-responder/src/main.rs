//! Reply to NTP requests over UDP, correctly or with faults (RFC 5905).
//!
//! # What it shows
//! A UDP server has one socket and no connections: no `listen`, no `accept`. `recvfrom` returns the
//! source of a datagram, `sendto` sends the reply there, and the kernel keeps nothing between two
//! requests. Neither side can trust a source address. With `--lie` the program first sends what a
//! client must not accept, and then the valid reply.
//! Its time is that of this machine, for tests and for class, without the Internet. It is not a full
//! NTP server: it has no other clock, and sets none.
//!
//! # System calls
//! `socket` → `bind` → (`recvfrom` → `sendto`)*
//!
//! # Try it
//! ```console
//! $ ntp-responder --port 7777 --offset 1.5s --lie mode-6 &
//! listening on 127.0.0.1:7777
//! $ sntp-client 127.0.0.1:7777
//! 2026-11-25T03:10:03.623456Z +1.500021 +/- 0.001065 127.0.0.1:7777 127.0.0.1 s1 leap=none
//!     1 datagram rejected: its mode is not 4 (server)
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE`: another socket is bound to the port. With `SO_REUSEADDR` on both, `bind` succeeds,
//!   and the new socket receives the datagrams of the other: it is not set here.
//! - `EACCES`: a port below 1024, such as `ntp`, needs a privilege.
//! - A machine has several addresses: a server on `::` replies from the address that the route picks,
//!   and a connected client receives nothing from another address than it sent to. Give the address
//!   with `--host`.
//! - Two servers that reply to replies never stop. Only requests (mode 3) get a reply.
//! - A reply longer than its request amplifies an attack on a forged source address. `--lie long` is
//!   for loopback.
//!
//! # Next
//! `sntp-client` sends a request, and rejects the faults; `ntp-time` finds a server that is wrong.
//!
//! # Source
//! udp(7), recvfrom(2), sendto(2), bind(2); RFC 5905 §7.3 and §9.2, RFC 4330 §6; UNP §8.2.

mod args;
mod faults;
mod path;
mod replies;

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use nix::poll::PollFlags;
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::log::{self, Log};
use netcore::output::Output;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM};
use netcore::signal::{Signals, Woken};
use netcore::text::escape;
use netcore::{cli, recipe};

use args::Args;
use faults::{Datagram, FAULTS, Fault, Source};
use replies::Replies;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

#[expect(clippy::indexing_slicing, reason = "recvfrom returns at most the length of the buffer")]
fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.lie.as_ref().is_some_and(Fault::is_list) {
        return FAULTS.iter().try_for_each(|(name, what)| out.line(format!("{name:16}{what}")));
    }
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, false, args.json);
    let mut replies = Replies::new(args)?;
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[SIGINT, SIGTERM])?;

    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None).attempt("socket")?;
    if local.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only is.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
    }
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    // `poll` reports a datagram with a wrong checksum, and `recvfrom` drops it: a call that blocks
    // would then wait for the next one, and no signal would end it.
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let socket = UdpSocket::from(socket);
    log::ready(socket.local_addr().attempt("getsockname")?, args.json, "", out)?;

    // One byte longer than the longest request.
    let mut buffer = [0; 1501];
    loop {
        match signals.wait(Some(socket.as_fd()), PollFlags::POLLIN, replies.next_due())? {
            Woken::Signal(_) => return Ok(()),
            Woken::Deadline => {}
            Woken::Ready => {
                if let Ok((received, from)) = socket.recv_from(&mut buffer) {
                    replies.add(&buffer[..received], from, &log);
                }
            }
        }
        for pending in replies.take_due(Instant::now()) {
            for fault in replies.faults(&pending) {
                let sent = send(&socket, &fault, pending.from);
                note(sent, format_args!("send a fault to {}", pending.peer()), &log);
            }
            let (to, peer) = (pending.from, pending.peer());
            // Made after the faults were sent, which took time: it has the time of now.
            if let Some(reply) = replies.reply(pending) {
                let sent = socket.send_to(&reply.to_bytes(), to);
                note(sent, format_args!("send the reply to {peer}"), &log);
            }
        }
    }
}

/// Sends a faulty datagram, from another socket if its fault is the source address.
fn send(socket: &UdpSocket, fault: &Datagram, to: SocketAddr) -> io::Result<usize> {
    let local = socket.local_addr()?;
    let source = match fault.source {
        Source::Socket => return socket.send_to(&fault.bytes, to),
        Source::OtherAddress => SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), local.port())),
        Source::OtherPort => SocketAddr::new(local.ip(), 0),
    };
    UdpSocket::bind(source)?.send_to(&fault.bytes, to)
}

/// Logs the error of a datagram that could not be sent. The server goes on.
fn note(sent: io::Result<usize>, attempt: impl Display, log: &Log) {
    if let Err(why) = sent {
        log.note(format_args!("{attempt}: {}", escape(why.to_string().as_bytes())));
    }
}
