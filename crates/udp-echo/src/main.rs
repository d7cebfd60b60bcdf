//! Echo each datagram to its sender, from the address that it was sent to (RFC 862).
//!
//! # What it shows
//! UDP has no connections: no `listen`, no `accept`, no end of a stream. One socket and one descriptor
//! serve all peers. The kernel delivers a datagram whole or not at all, an empty one too, and drops it
//! without an error when the receive queue is full. A reply has to leave from the address that the
//! request was sent to; a socket that is bound to all addresses learns it from `IP_PKTINFO` only.
//!
//! # System calls
//! `socket` → `setsockopt(IP_PKTINFO)` → `bind` → (`recvmsg` → `sendmsg`)*
//!
//! # Try it
//! ```console
//! $ udp-echo --port 7777 &
//! listening on 127.0.0.1:7777
//! $ udp-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   0.14 ms
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE`: another socket is bound to the port. With `SO_REUSEADDR` on both, `bind` succeeds,
//!   and the new socket receives the datagrams of the other: it is not set here.
//! - A short buffer truncates a datagram, and only `MSG_TRUNC` reports it. A part is not an echo, so
//!   nothing is sent back. The default holds the longest: 65,507 bytes, 65,527 over IPv6.
//! - `EAGAIN` after `poll` reported a datagram: `recvmsg` verifies the checksum, and drops it.
//! - `recvmsg` fails: `ENOMEM`, `ENOBUFS`. The datagram may stay in the queue, and `poll` reports it
//!   again at once: the server pauses for 50 ms, and goes on.
//! - `sendmsg` fails: `EPERM` (a firewall), `ENETUNREACH`, `ENOBUFS`. That datagram is lost. An
//!   unconnected socket is not told of ICMP errors that arrive later.
//! - Two servers that reply to each other never stop, and one datagram with a forged source address
//!   starts it. There is no reply to the ports of services that reply to any datagram, to our own
//!   port, and to a broadcast. Two servers on two other ports are not protected, and loop until one of
//!   them ends: a limit per source would end that, and each fast client too. Serve a network only if it
//!   drops forged source addresses; `nft` can limit the packets of a source.
//! - A reply longer than its request would amplify an attack on a forged source address. This one has
//!   the same length.
//!
//! # Next
//! `udp-client` is the client, and counts the losses; `echo-server` is the same service over TCP.
//!
//! # Source
//! udp(7), ip(7), ipv6(7), recvmsg(2), sendmsg(2), cmsg(3); RFC 862, RFC 1122 §4.1.3.5, RFC 8085 §3.5;
//! UNP §8.4 and §22.2, TLPI §56.6.

mod args;
mod report;

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo, RxqOvfl};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage};
use nix::sys::socket::{RecvMsg, recvmsg, sendmsg, setsockopt};
use socket2::{Domain, Socket, Type};

use netcore::addr::{socket_address, unmap_ipv4};
use netcore::error::{Attempt, Error};
use netcore::log;
use netcore::output::Output;
use netcore::pktinfo::Destination;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::{Signals, Woken};
use netcore::{cli, recipe};

use args::Args;
use report::{Counts, Datagram, refusal};

/// After `recvmsg` has failed: its error may last, and the datagram stays in the queue.
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?;

    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None).attempt("socket")?;
    if local.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only is.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
        setsockopt(&socket, Ipv6RecvPacketInfo, &true).attempt("setsockopt IPV6_RECVPKTINFO")?;
    }
    // On an IPv6 socket too: for its IPv4 peers.
    setsockopt(&socket, Ipv4PacketInfo, &true).attempt("setsockopt IP_PKTINFO")?;
    // Each datagram then carries the number of datagrams that the full queue has dropped so far.
    setsockopt(&socket, RxqOvfl, &1).attempt("setsockopt SO_RXQ_OVFL")?;
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    let local = socket.local_addr().attempt("getsockname")?;
    let local = local.as_socket().ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")?;
    log::ready(local, args.json, "", out)?;

    let mut counts = Counts::new(args);
    let mut buffer = vec![0; args.buffer.into()];
    let mut pause: Option<Instant> = None;
    loop {
        let readable = pause.is_none().then_some(socket.as_fd());
        match signals.wait(readable, PollFlags::POLLIN, pause.take())? {
            Woken::Signal(SIGUSR1) => {
                counts.report();
                continue;
            }
            Woken::Signal(_) => break,
            Woken::Deadline => continue,
            Woken::Ready => {}
        }
        let datagram = match receive(&socket, &mut buffer) {
            Ok(datagram) => datagram,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            // A defect of this program: it would fail again.
            Err(why @ (Errno::EBADF | Errno::EFAULT | Errno::EINVAL | Errno::ENOTSOCK)) => {
                return Err(why).attempt("recvmsg");
            }
            Err(why) => {
                counts.receive_failed(why);
                pause = Instant::now().checked_add(PAUSE);
                continue;
            }
        };
        // `None` if the datagram is longer than the buffer.
        let whole = buffer.get(..datagram.length);
        counts.received(&datagram, whole.unwrap_or(&buffer));
        match (refusal(&datagram, local.port()), whole) {
            (Some(why), _) => counts.refused(&datagram, why),
            (None, None) => counts.truncated(&datagram),
            (None, Some(bytes)) => match reply(&socket, bytes, &datagram) {
                Ok(_) => counts.echoed += 1,
                Err(why) => counts.failed(format_args!("echo to {}", datagram.peer), why),
            },
        }
    }
    counts.report();
    Ok(())
}

/// Receives a datagram, with its source, its destination, and the count of those that were dropped.
fn receive(socket: &Socket, buffer: &mut [u8]) -> nix::Result<Datagram> {
    let mut control = nix::cmsg_space!(in_pktinfo, in6_pktinfo, u32);
    let mut parts = [IoSliceMut::new(buffer)];
    // MSG_TRUNC: the result is the length of the datagram, and not of its part in the buffer.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let message: RecvMsg<SockaddrStorage> =
        recvmsg(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let (mut destination, mut dropped) = (Destination::Unknown, None);
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => destination = Destination::V4(info),
            // An IPv6 socket gets both for an IPv4 peer; only IP_PKTINFO identifies a broadcast.
            ControlMessageOwned::Ipv6PacketInfo(info) if destination.is_unknown() => {
                destination = Destination::V6(info);
            }
            ControlMessageOwned::RxqOvfl(count) => dropped = Some(count),
            _ => {}
        }
    }
    let from = message.address.ok_or(Errno::EAFNOSUPPORT)?;
    let peer = socket_address(&from).map(unmap_ipv4).ok_or(Errno::EAFNOSUPPORT)?;
    Ok(Datagram { length: message.bytes, peer, from, destination, dropped })
}

/// Sends the bytes back, from the address that they were sent to.
fn reply(socket: &Socket, bytes: &[u8], to: &Datagram) -> nix::Result<usize> {
    let source = to.destination.as_source();
    let control = match &source {
        Destination::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
        Destination::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
        Destination::Unknown => None, // the route decides
    };
    let parts = [IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_DONTWAIT;
    sendmsg(socket.as_raw_fd(), &parts, control.as_slice(), flags, Some(&to.from))
}
