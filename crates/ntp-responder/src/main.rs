//! Answer time requests over UDP, honestly or with a lie (RFC 5905).
//!
//! # What it shows
//! A UDP server has one socket and no connections: no `listen`, no `accept`. `recvfrom` says who
//! sent a datagram, `sendto` sends the answer there, and nothing is kept between two requests. So
//! nothing proves who sent a datagram either, neither to us nor to the one who asked: with `--lie`
//! it first sends what a client must not believe, and then the truth.
//! It answers from this machine's clock, for tests and for a class without the Internet. It is no
//! NTP server: it knows no other clock, and sets none.
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
//! - `EADDRINUSE`: another socket has the port. `SO_REUSEADDR` would take it all the same, and for
//!   UDP that means to take its datagrams away: it is not set here.
//! - `EACCES`: a port below 1024, such as `ntp`, without the right to it.
//! - A machine with several addresses: a server on `::` answers from the address that the route
//!   picks, and a connected client hears nothing from another one than it asked. Name the address.
//! - Two servers that answer each other's answers never stop. Only requests (mode 3) are answered.
//! - Senders can be forged: an answer that is longer than its request is a weapon against whoever
//!   is named there. `--lie long` is for loopback.
//!
//! # Next
//! `sntp-client` asks, and is not to be deceived; `ntp-time` outvotes a server that is wrong.
//!
//! # Source
//! udp(7), recvfrom(2), sendto(2), bind(2); RFC 5905 §7.3 and §9.2, RFC 4330 §6; UNP §8.2.

mod answers;
mod lies;
mod way;

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::poll::PollFlags;
use socket2::{Domain, Socket, Type};

use netcore::addr::{Host, unmap_ipv4};
use netcore::error::{Attempt, Error};
use netcore::log::{self, Log};
use netcore::number::whole;
use netcore::output::Output;
use netcore::port::ListenPort;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals, Woken};
use netcore::time::Span;
use netcore::{cli, recipe};

use answers::{Answers, Code};
use lies::Lie;
use way::{Shift, percent};

/// Answer time requests over UDP, honestly or with a lie.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --port 7777 --offset -1.5s --delay 20ms --loss 33")]
struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p')]
    port: ListenPort,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    host: Host,
    /// how far its clock is ahead of this machine's (0); behind it with a minus sign
    #[argh(option, arg_name = "time", default = "Shift(0)")]
    offset: Shift,
    /// begin at the first second of this era: 1 is 2036-02-07T06:28:16Z
    #[argh(option, arg_name = "n", from_str_fn(whole))]
    era: Option<u8>,
    /// time that each way takes (0)
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    delay: Span,
    /// so much longer there and shorter back (0); the other way round with a minus sign
    #[argh(option, arg_name = "time", default = "Shift(0)")]
    asymmetry: Shift,
    /// up to so much longer each way, at random (0)
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    jitter: Span,
    /// how many of a hundred requests are lost, at random (0)
    #[argh(option, arg_name = "percent", default = "0", from_str_fn(percent))]
    loss: u8,
    /// which randomness (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    seed: u64,
    /// stratum that it says it is at (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    stratum: u8,
    /// tell nobody the time but this kiss code: RATE, DENY, RSTR, ...
    #[argh(option, arg_name = "code")]
    kiss: Option<Code>,
    /// lie first, then tell the truth; --lie list names the lies
    #[argh(option, arg_name = "name")]
    lie: Option<Lie>,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    quiet: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.lie.as_ref().is_some_and(Lie::is_list) {
        return lies::NAMES
            .iter()
            .try_for_each(|(name, what)| out.line(format!("{name:16}{what}")));
    }
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, false, args.json);
    let mut answers = Answers::new(args)?;
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;

    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None).attempt("socket")?;
    if local.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
    }
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    // The kernel drops a datagram whose checksum is wrong only when it is read: after a poll that
    // said ready there may be nothing, and a blocking recvfrom would be deaf to signals.
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let socket = UdpSocket::from(socket);
    log::ready(socket.local_addr().attempt("getsockname")?, args.json, "", out)?;

    // A byte more than the longest request that is looked at.
    let mut buffer = [0; 1501];
    loop {
        match signals.wait(Some(socket.as_fd()), PollFlags::POLLIN, answers.next_due())? {
            Woken::Signal(_) => return Ok(()),
            Woken::Deadline => {}
            Woken::Ready => {
                if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    let request = buffer.get(..length).unwrap_or_default();
                    answers.take(request, unmap_ipv4(peer), peer, &log);
                }
            }
        }
        answers.send_due(&socket, &log);
    }
}
