//! Echo each datagram to whoever sent it, from the address that was asked (RFC 862).
//!
//! # What it shows
//! UDP has no connections: no `listen`, no `accept`, no end. One socket and one descriptor serve
//! all peers. A datagram comes whole or not at all, an empty one too; what finds the queue full is
//! dropped without a word to anyone. The answer has to leave from the address that was asked, which
//! a socket that is bound to all of them only learns from `IP_PKTINFO`.
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
//! - `EADDRINUSE`: another socket has the port. `SO_REUSEADDR` would take it all the same, and for
//!   UDP that means to take its datagrams away: it is not set here.
//! - A buffer that is too short cuts a datagram, and only `MSG_TRUNC` says so. A part is no echo:
//!   nothing is sent back. The default holds the longest: 65,507 bytes, 65,527 over IPv6.
//! - `EAGAIN` after poll said ready: the kernel looks at the checksum only now, and dropped it.
//! - `sendmsg` fails: `EPERM` (a firewall), `ENETUNREACH`, `ENOBUFS`. That datagram is lost. What
//!   ICMP says later is not told to a socket that is not connected.
//! - Two servers that answer each other never stop, and a forged sender is enough to begin it. No
//!   service that answers anything, no peer on our own port and no broadcast gets an answer. Two on
//!   other ports can still be set on each other: serve a network only if it drops forged senders.
//! - An answer longer than its request would be a weapon against the forged sender. This is as long.
//!
//! # Next
//! `udp-client` is the other end, and counts what is lost; `echo-server` is the same over TCP.
//!
//! # Source
//! udp(7), ip(7), ipv6(7), recvmsg(2), sendmsg(2); RFC 862, RFC 1122 §4.1.3.5, RFC 8085 §3.5; UNP §8.4 and
//! §22.2, TLPI §56.6.

mod asked;
mod datagram;
mod tally;

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo, RxqOvfl};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt};
use socket2::{Domain, Socket, Type};

use netcore::addr::Host;
use netcore::error::{Attempt, Error};
use netcore::log;
use netcore::number::at_least_one;
use netcore::output::Output;
use netcore::port::ListenPort;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals, Woken};
use netcore::{cli, recipe};

use asked::refusal;
use datagram::Datagram;
use tally::Tally;

/// Echo each datagram to whoever sent it, from the address that was asked.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --host :: --port 0 --json -v")]
struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p')]
    port: ListenPort,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    host: Host,
    /// bytes that are taken of a datagram (65535); a longer one is not echoed
    #[argh(option, arg_name = "n", default = "u16::MAX", from_str_fn(at_least_one))]
    buffer: u16,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// log what each peer sends, escaped
    #[argh(switch, short = 'v')]
    verbose: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1])?;

    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None).attempt("socket")?;
    if local.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
        setsockopt(&socket, Ipv6RecvPacketInfo, &true).attempt("setsockopt IPV6_RECVPKTINFO")?;
    }
    // A socket of IPv6 takes it too, for its peers of IPv4.
    setsockopt(&socket, Ipv4PacketInfo, &true).attempt("setsockopt IP_PKTINFO")?;
    // How many datagrams the kernel has dropped before this one, for want of room in the queue.
    setsockopt(&socket, RxqOvfl, &1).attempt("setsockopt SO_RXQ_OVFL")?;
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    let local = socket.local_addr().attempt("getsockname")?;
    let local = local.as_socket().ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")?;
    log::ready(local, args.json, "", out)?;

    let mut tally = Tally::new(args);
    let mut buffer = vec![0; args.buffer.into()];
    loop {
        match signals.wait(Some(socket.as_fd()), PollFlags::POLLIN, None)? {
            Woken::Ready => {}
            Woken::Signal(Signal::SIGUSR1) => {
                tally.report();
                continue;
            }
            _ => break,
        }
        let datagram = match receive(&socket, &mut buffer) {
            Ok(datagram) => datagram,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(why @ (Errno::ENOBUFS | Errno::ENOMEM)) => {
                tally.failed("receive", why);
                continue;
            }
            Err(why) => return Err(why).attempt("recvmsg"),
        };
        let bytes = buffer.get(..datagram.length);
        tally.received(&datagram, bytes.unwrap_or(&buffer));
        match (refusal(datagram.peer, &datagram.asked, local.port()), bytes) {
            (Some(why), _) => tally.refused(datagram.peer, why),
            (None, None) => tally.truncated(&datagram),
            (None, Some(bytes)) => match send(&socket, bytes, &datagram) {
                Ok(_) => tally.echoed += 1,
                Err(why) => tally.failed(format_args!("echo to {}", datagram.peer), why),
            },
        }
    }
    tally.report();
    Ok(())
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> nix::Result<Datagram> {
    let mut control = nix::cmsg_space!(nix::libc::in_pktinfo, nix::libc::in6_pktinfo, u32);
    let mut parts = [IoSliceMut::new(buffer)];
    // MSG_TRUNC asks for the length of the datagram in place of that of its part in the buffer.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    Datagram::of(&message)
}

/// Sends the bytes back, from the address that they were sent to.
fn send(socket: &Socket, bytes: &[u8], to: &Datagram) -> nix::Result<usize> {
    let source = to.asked.as_source();
    let control = source.control();
    let parts = [IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_DONTWAIT;
    sendmsg(socket.as_raw_fd(), &parts, control.as_slice(), flags, Some(&to.from))
}
