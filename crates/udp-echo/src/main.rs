//! Echo each datagram to its sender, from the address that it was sent to (RFC 862).
//!
//! # What it shows
//! UDP has no connections: no `listen`, no `accept`, no end of a stream. One socket and one descriptor
//! serve all peers. The kernel delivers a datagram whole or not at all, an empty one too, and drops it
//! without an error when the receive queue is full. A system call costs more than a short datagram:
//! `recvmmsg` takes as many as have arrived, up to 32, and `sendmmsg` sends all their replies. A reply
//! has to leave from the address that the request was sent to; a socket that is bound to all addresses
//! (`--host 0.0.0.0`, `--host ::`) learns it from `IP_PKTINFO` only.
//!
//! # System calls
//! `socket` → `setsockopt(IP_PKTINFO)` → `bind` → (`recvmmsg` → `sendmmsg`)*
//!
//! # Try it
//! ```console
//! $ udp-echo --port 7777 --host 0.0.0.0 &
//! listening on 0.0.0.0:7777
//! $ udp-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   0.14 ms
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE`: another socket is bound to the port. With `SO_REUSEADDR` on both, `bind` succeeds,
//!   and the new socket receives the datagrams of the other: it is not set here.
//! - A short buffer truncates a datagram, and only `MSG_TRUNC` reports it. A part is not an echo, so
//!   nothing is sent back. The default holds the longest: 65,507 bytes, 65,527 over IPv6.
//! - `EAGAIN` after `poll` reported a datagram: `recvmmsg` verifies the checksum, and drops it.
//! - `recvmmsg` fails: `ENOMEM`, `ENOBUFS`. The datagram may stay in the queue, and `poll` reports it
//!   again at once: the server pauses for 50 ms, and goes on.
//! - `sendmmsg` fails: `EPERM` (a firewall), `ENETUNREACH`, `ENOBUFS`. It returns the number of replies
//!   before the one that failed, and the error only if that is the first: call it again. That
//!   datagram is lost. An unconnected socket is not told of ICMP errors that arrive later.
//! - Two servers that reply to each other do so until a datagram is lost, and one with a forged source
//!   address starts it. There is no reply to the ports of services that reply to any datagram, to our
//!   own port, and to a broadcast. Two servers on two other ports are not protected: a limit per source
//!   would end their loop, and each fast client too. Serve a network only if it drops forged source
//!   addresses; `nft` can limit the packets of a source.
//! - A reply longer than its request would amplify an attack on a forged source address. This one has
//!   the same length.
//!
//! # Next
//! `udp-client` is the client, and counts the losses; `echo-server` is the same service over TCP.
//!
//! # Source
//! udp(7), ip(7), ipv6(7), recvmmsg(2), sendmmsg(2), cmsg(3); RFC 862, RFC 1122 §4.1.3.5, RFC 8085 §3.5;
//! UNP §8.4 and §22.2, TLPI §56.6.

mod args;
mod report;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{MsgFlags, setsockopt};
use socket2::{Domain, Socket, Type};

use netcore::addr::{socket_address, unmap_ipv4};
use netcore::error::{Attempt, Error};
use netcore::log::{self, Log};
use netcore::mmsg::{Batch, Control, Outgoing, Received, recvmmsg, sendmmsg};
use netcore::output::Output;
use netcore::pktinfo::Destination;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::{Signals, Woken};
use netcore::sys::so_meminfo_drops;
use netcore::{cli, recipe};

use args::Args;
use report::{Counts, Datagram, refusal};

/// Datagrams of one call. Those that arrive while it is made wait for the next one.
const BATCH: usize = 32;

/// After `recvmmsg` has failed: its error may last, and the datagram stays in the queue.
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?.with_log(&log);

    let socket = bind(local)?;
    let local = socket.local_addr().attempt("getsockname")?;
    let local = local.as_socket().ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")?;
    log::ready(local, args.json, "", out)?;

    let mut counts = Counts::new(log, args, local.ip());
    // A buffer that no datagram has filled takes no memory.
    let mut batch = Batch::new(BATCH, args.buffer.into()).attempt("allocate the buffers")?;
    let mut pause: Option<Instant> = None;
    loop {
        let readable = pause.is_none().then_some(socket.as_fd());
        match signals.wait(readable, PollFlags::POLLIN, pause.take())? {
            Woken::Signal(SIGUSR1) => {
                counts.report(so_meminfo_drops(&socket));
                continue;
            }
            Woken::Signal(_) => break,
            Woken::Deadline => continue,
            Woken::Ready => {}
        }
        // MSG_TRUNC: the result is the length of a datagram, and not of its part in the buffer.
        match recvmmsg(&socket, &mut batch, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            // A defect of this program: it would fail again.
            Err(why @ (Errno::EBADF | Errno::EFAULT | Errno::EINVAL | Errno::ENOTSOCK)) => {
                return Err(why).attempt("recvmmsg");
            }
            Err(why) => {
                counts.receive_failed(why);
                pause = Instant::now().checked_add(PAUSE);
                continue;
            }
        }
        let mut replies = Vec::with_capacity(BATCH);
        for received in batch.datagrams() {
            let Some(datagram) = describe(&received) else { continue };
            counts.received(&datagram, received.bytes);
            if let Some(why) = refusal(&datagram, local.port()) {
                counts.refused(&datagram, why);
            } else if received.bytes.len() < datagram.length {
                counts.truncated(&datagram);
            } else {
                replies.push(reply(&datagram, received.bytes));
            }
        }
        send(&socket, &replies, &mut counts);
    }
    counts.report(so_meminfo_drops(&socket));
    Ok(())
}

/// A socket for both families, bound to `local`, that learns which address each datagram was sent to.
fn bind(local: SocketAddr) -> Result<Socket, Error> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None).attempt("socket")?;
    if local.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only is.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
    }
    // Bound to one address, a socket receives what was sent to that, and replies from it. Bound to all,
    // it learns the address with each datagram, and names it with each reply, which costs time.
    if !is_one_address(local) {
        if local.is_ipv6() {
            setsockopt(&socket, Ipv6RecvPacketInfo, &true)
                .attempt("setsockopt IPV6_RECVPKTINFO")?;
        }
        // On an IPv6 socket too: for its IPv4 peers.
        setsockopt(&socket, Ipv4PacketInfo, &true).attempt("setsockopt IP_PKTINFO")?;
    }
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    Ok(socket)
}

/// Whether it is an address of this machine alone, and not all of them, nor a group. Only the kernel knows
/// which are broadcast addresses: it refuses to connect to one (EACCES).
fn is_one_address(local: SocketAddr) -> bool {
    let ip = local.ip();
    let connects = || UdpSocket::bind((ip, 0))?.connect((ip, 9));
    !ip.is_unspecified() && !ip.is_multicast() && connects().is_ok()
}

/// The source of a datagram, and its destination if the kernel says it.
fn describe(received: &Received<'_>) -> Option<Datagram> {
    let mut destination = Destination::Unknown;
    for control in received.control.iter() {
        match control {
            Control::Ipv4PacketInfo(info) => destination = Destination::V4(info),
            // An IPv6 socket gets both for an IPv4 peer; only IP_PKTINFO identifies a broadcast.
            Control::Ipv6PacketInfo(info) if destination.is_unknown() => {
                destination = Destination::V6(info);
            }
            Control::Ipv6PacketInfo(_) => {}
        }
    }
    let from = received.from?;
    let peer = socket_address(&from).map(unmap_ipv4)?;
    Some(Datagram { length: received.length, peer, from, destination })
}

/// The same bytes, to where they came from, and from the address that they were sent to.
fn reply<'a>(datagram: &Datagram, bytes: &'a [u8]) -> Outgoing<'a> {
    Outgoing { bytes, to: Some(datagram.from), source: datagram.destination.as_source() }
}

/// `sendmmsg` sends until one fails, and returns the number of those before it. The next call begins with
/// that one, and returns its error: the reply is lost, and the others follow.
fn send(socket: &Socket, mut replies: &[Outgoing<'_>], counts: &mut Counts) {
    while let [first, others @ ..] = replies {
        match sendmmsg(socket, replies, MsgFlags::MSG_DONTWAIT) {
            Ok(sent) => {
                counts.echoed += sent as u64;
                replies = replies.get(sent..).unwrap_or_default();
            }
            Err(Errno::EINTR) => {}
            Err(why) => {
                counts.failed(first.to.as_ref(), why);
                replies = others;
            }
        }
    }
}
