//! Reply to NTP requests over UDP, correctly or with faults (RFC 5905).
//!
//! # What it shows
//! A UDP server has one socket and no connections: no `listen`, no `accept`. `recvmsg` returns the
//! source of a datagram, `sendmsg` sends the reply there, and the kernel keeps nothing between two
//! requests. On a machine with several addresses the reply has to leave from the address that was
//! asked, which `udp-echo` explains. Neither side can trust a source address. With `--lie` the program first sends what a
//! client must not accept, and then the valid reply.
//! Its time is that of this machine, for tests and for class, without the Internet. It is not a full
//! NTP server: it has no other clock, and sets none.
//!
//! # System calls
//! `socket` → `setsockopt(IP_PKTINFO)` → `bind` → (`recvmsg` → `sendmsg`)*
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
//! - `recvmsg` fails: `ENOMEM`, `ENOBUFS`. The datagram may stay in the queue, and `poll` reports it
//!   again at once: the server pauses for 50 ms, and goes on.
//! - A connected client receives nothing from another address than it sent to. Without `IP_PKTINFO` a
//!   server on `::` replies from the address that the route picks.
//! - Two servers that reply to replies never stop, and one datagram with a forged source address starts
//!   it. Only requests (mode 3) get a reply, and none that claims to come from our own address and port.
//!   `--lie mirror`, `mode-3` and `all` send requests: they reply to no copy of a request, and to no
//!   request with an origin timestamp, which a reply has.
//! - A reply longer than its request amplifies an attack on a forged source address. `--lie long` and
//!   `all` send 65,507 bytes. These two, `mirror` and `mode-3` are for loopback, and never for a port
//!   below 1024; `--lie-to-network` sends them to any peer: in a network of your own.
//!
//! # Next
//! `sntp-client` sends a request, and rejects the faults; `ntp-time` finds a server that is wrong.
//!
//! # Source
//! udp(7), ip(7), recvmsg(2), sendmsg(2), bind(2); RFC 5905 §7.3 and §9.2, RFC 4330 §6; UNP §8.2.

mod args;
mod faults;
mod path;
mod replies;

use std::fmt::Display;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage};
use nix::sys::socket::{RecvMsg, recvmsg, sendmsg, setsockopt};
use socket2::{Domain, Socket, Type};

use netcore::addr::{socket_address, unmap_ipv4};
use netcore::error::{Attempt, Error, errno, to_errno};
use netcore::log::{self, Log};
use netcore::output::Output;
use netcore::pktinfo::Destination;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM};
use netcore::signal::{Signals, Woken};
use netcore::{cli, recipe};

use args::Args;
use faults::{Datagram, FAULTS, Fault, Source};
use replies::{Asker, Replies};

/// After `recvmsg` has failed: its error may last, and the datagram stays in the queue.
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

#[expect(clippy::indexing_slicing, reason = "recvmsg returns at most the length of the buffer")]
fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.lie.as_ref().is_some_and(Fault::is_list) {
        return FAULTS.iter().try_for_each(|(name, what)| out.line(format!("{name:16}{what}")));
    }
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, false, args.json);
    let mut replies = Replies::new(args)?;
    let port = args.port.ok_or_else(|| Error::Usage("--port: required".to_owned()))?;
    let local = first_address(&args.host, port.0)?;
    let signals = Signals::catch(&[SIGINT, SIGTERM])?.with_log(&log);

    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None).attempt("socket")?;
    if local.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only is.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
        setsockopt(&socket, Ipv6RecvPacketInfo, &true).attempt("setsockopt IPV6_RECVPKTINFO")?;
    }
    // On an IPv6 socket too: for its IPv4 peers.
    setsockopt(&socket, Ipv4PacketInfo, &true).attempt("setsockopt IP_PKTINFO")?;
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    let local = socket.local_addr().attempt("getsockname")?;
    let local = local.as_socket().ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")?;
    log::ready(local, args.json, "", out)?;

    // One byte longer than the longest request.
    let mut buffer = [0; 1501];
    let mut pause: Option<Instant> = None;
    loop {
        let readable = pause.is_none().then_some(socket.as_fd());
        let deadline = pause.take().into_iter().chain(replies.next_due()).min();
        match signals.wait(readable, PollFlags::POLLIN, deadline)? {
            Woken::Signal(_) => return Ok(()),
            Woken::Deadline => {}
            Woken::Ready => match receive(&socket, &mut buffer) {
                Ok((received, asker)) => {
                    replies.add(&buffer[..received], asker, local.port(), &log);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // A defect of this program: it would fail again.
                Err(why @ (Errno::EBADF | Errno::EFAULT | Errno::EINVAL | Errno::ENOTSOCK)) => {
                    return Err(why).attempt("recvmsg");
                }
                Err(why) => {
                    replies.receive_failed(why, &log);
                    pause = Instant::now().checked_add(PAUSE);
                }
            },
        }
        for pending in replies.take_due(Instant::now()) {
            let asker = pending.asker;
            for fault in replies.faults(&pending) {
                let sent = send_fault(&socket, &fault, &asker, local.port());
                note(sent, format_args!("send a fault to {}", asker.peer), &log);
            }
            // Made after the faults were sent, which took time: it has the time of now.
            if let Some(reply) = replies.reply(pending) {
                let sent = send(&socket, &reply.to_bytes(), &asker);
                note(sent, format_args!("send the reply to {}", asker.peer), &log);
            }
        }
    }
}

/// Receives a datagram: its length, its source, and the address that it was sent to.
fn receive(socket: &Socket, buffer: &mut [u8]) -> nix::Result<(usize, Asker)> {
    let mut control = nix::cmsg_space!(in_pktinfo, in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    // `poll` reports a datagram with a wrong checksum, and `recvmsg` drops it: a call that blocks
    // would then wait for the next one, and no signal would end it.
    let flags = MsgFlags::MSG_DONTWAIT;
    let message: RecvMsg<SockaddrStorage> =
        recvmsg(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut asked = Destination::Unknown;
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => asked = Destination::V4(info),
            // An IPv6 socket gets both for an IPv4 peer.
            ControlMessageOwned::Ipv6PacketInfo(info) if asked.is_unknown() => {
                asked = Destination::V6(info);
            }
            _ => {}
        }
    }
    let from = message.address.ok_or(Errno::EAFNOSUPPORT)?;
    let peer = socket_address(&from).map(unmap_ipv4).ok_or(Errno::EAFNOSUPPORT)?;
    Ok((message.bytes, Asker { from, peer, asked }))
}

/// Sends a datagram, from the address that was asked.
fn send(socket: &Socket, bytes: &[u8], to: &Asker) -> nix::Result<usize> {
    let source = to.asked.as_source();
    let control = match &source {
        Destination::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
        Destination::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
        Destination::Unknown => None, // the route decides
    };
    let parts = [IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_DONTWAIT;
    sendmsg(socket.as_raw_fd(), &parts, control.as_slice(), flags, Some(&to.from))
}

/// Sends a faulty datagram, from another socket if its fault is the source address.
fn send_fault(socket: &Socket, fault: &Datagram, to: &Asker, own_port: u16) -> nix::Result<usize> {
    let source = match (&fault.source, to.asked.address()) {
        (Source::OtherAddress, _) => SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), own_port)),
        (Source::OtherPort, Some(asked)) => SocketAddr::new(asked, 0),
        _ => return send(socket, &fault.bytes, to),
    };
    let other = UdpSocket::bind(source).map_err(to_errno)?;
    other.send_to(&fault.bytes, to.peer).map_err(to_errno)
}

/// Logs the error of a datagram that could not be sent. The server goes on.
fn note(sent: nix::Result<usize>, attempt: impl Display, log: &Log) {
    if let Err(why) = sent {
        log.note(format_args!("{attempt}: {}", errno(why)));
    }
}
