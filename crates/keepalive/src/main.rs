//! Notice a peer that has gone silent, on a connection that is idle and on one that sends.
//!
//! # What it shows
//! A connection on which nothing is sent does not end by itself: when a machine loses its power or a cable
//! is pulled, no packet says so. With SO_KEEPALIVE the kernel asks after a silence, and ends the
//! connection when a number of probes has no answer. It does not ask while bytes of ours are without an
//! acknowledgement: it sends those again, for a quarter of an hour, unless TCP_USER_TIMEOUT is shorter.
//! To notice a silent peer in both cases takes both options.
//!
//! # System calls
//! In `netcore::connect::connect`: `socket` → `connect`
//! `setsockopt(SO_KEEPALIVE)` → `setsockopt(TCP_KEEPIDLE)` → `setsockopt(TCP_KEEPINTVL)` →
//! `setsockopt(TCP_KEEPCNT)` → `setsockopt(TCP_USER_TIMEOUT)` → `getsockopt` →
//! (`poll` → `recv` → `getsockopt(TCP_INFO)`)*, and with --send also send(2)
//!
//! # Try it
//! ```console
//! $ echo-server --port 7777 --idle-timeout 300ms &
//! listening on 127.0.0.1:7777
//! $ keepalive --port 7777 --idle 1s --every 1s --probes 3 --user-timeout 4s
//! SO_KEEPALIVE on, TCP_KEEPIDLE 1 s, TCP_KEEPINTVL 1 s, TCP_KEEPCNT 3
//! TCP_USER_TIMEOUT 4000 ms
//! nothing sent  a silent peer is noticed after 4 s
//! bytes sent    a silent peer is noticed after 4 s
//! 127.0.0.1:7777 connected
//! 300.4 ms  closed by the peer, the last ACK from the peer 0.00 ms ago
//! ```
//! This server closes, which a FIN says at once. `cargo xtask scenario dead-peer` pulls a cable:
//! ```text
//! 4093 ms  ETIMEDOUT, the last ACK from the peer 4093 ms ago
//! ```
//!
//! # What can go wrong
//! - `ETIMEDOUT`: no answer for as long as the options say. `EHOSTUNREACH`: the same, and a router or the
//!   kernel has said that nobody is there. `ECONNRESET`: the peer has been started again, and does not know
//!   the connection.
//! - A process that is stopped is not noticed: its kernel answers the probes. Ask for an answer of the
//!   program itself, and bound the wait for it.
//! - Without TCP_USER_TIMEOUT a heartbeat switches the probes off: bytes without an acknowledgement are
//!   sent again `sysctl net.ipv4.tcp_retries2` times. `--send` shows it.
//! - TCP_USER_TIMEOUT alone does nothing for a connection on which nothing is sent. With the probes it
//!   takes the place of their number.
//! - TCP_USER_TIMEOUT also ends a connection to a peer that lives and does not receive: its window is
//!   closed, and what waits is not acknowledged. `--send 10ms --size 64K` shows it.
//! - Setters that are given a duration cut it to whole seconds. The kernel refuses 0 (`EINVAL`).
//! - The system's 7200 s are longer than a firewall or a NAT remembers a silent connection.
//!
//! # Next
//! `tcp-info` shows what TCP_INFO has on a connection; `socket-timeout` bounds the wait for an answer;
//! `linger` is about the end that both sides want.
//!
//! # Source
//! tcp(7), socket(7), `Documentation/networking/ip-sysctl.rst`; RFC 9293 §3.8.4, RFC 5482; UNP §7.5 and
//! §7.9, TLPI §61.9.

mod args;
mod report;

use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::sockopt::{
    KeepAlive, TcpKeepCount, TcpKeepIdle, TcpKeepInterval, TcpUserTimeout,
};
use nix::sys::socket::{MsgFlags, getsockopt, recv, send, setsockopt};
use nix::{getsockopt_impl, sockopt_impl};
use socket2::{Domain, Socket, Type};

use netcore::connect::connect;
use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{AddressFamily, addresses};
use netcore::{cli, recipe};

use args::{Args, Idle};
use report::{Options, Unanswered};

/// How often the kernel is asked what it has sent in vain.
const SAMPLE: Duration = Duration::from_millis(100);

/// Bytes that one `recv` takes at most.
const BUFFER: usize = 64 * 1024;

sockopt_impl!(
    /// What the kernel knows of a connection. nix does not have it.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info
);

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 69 71 74 75 77), |args: &Args, out| match args.port {
        Some(port) => watch(port.0, args, out),
        None => {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
            set_options(&socket, args)?.print(args.json, out)
        }
    })
}

/// Waits until the connection ends, and says what the kernel does meanwhile.
fn watch(port: u16, args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let deadline = args.timeout.deadline();
    let addresses = addresses(&args.host, port, family, args.timeout)?;
    let (socket, peer) = connect(&addresses, args.timeout, deadline)?;
    set_options(&socket, args)?.print(args.json, out)?;
    out.line(report::connected(peer, args.json))?;

    let begun = Instant::now();
    let message = vec![b'x'; usize::try_from(args.size).unwrap_or(usize::MAX)];
    let mut next_message = args.send.and_then(|pause| begun.checked_add(pause));
    let mut buffer = vec![0; BUFFER];
    let mut known = Unanswered::default();
    let end = loop {
        let soon = Instant::now() + SAMPLE;
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let until = next_message.map_or(soon, |next| next.min(soon));
        poll(&mut fds, Some(until)).attempt("poll")?;
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => break None,
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {} // what it says is of no interest
            Err(why) => break Some(why),
        }
        if next_message.is_some_and(|next| next <= Instant::now()) {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(socket.as_raw_fd(), &message, flags) {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {} // EAGAIN: enough waits already
                Err(why) => break Some(why),
            }
            next_message = args.send.and_then(|pause| Instant::now().checked_add(pause));
        }
        let info = getsockopt(&socket, TcpInfo).attempt("getsockopt TCP_INFO")?;
        let unanswered =
            Unanswered { probes: info.tcpi_probes, retransmissions: info.tcpi_retransmits };
        if unanswered != known {
            known = unanswered;
            out.line(known.line(begun.elapsed(), args.json))?;
        }
    };
    let info = getsockopt(&socket, TcpInfo).attempt("getsockopt TCP_INFO")?;
    let silence = Duration::from_millis(info.tcpi_last_ack_recv.into());
    out.line(report::ended(end, begun.elapsed(), silence, args.json))?;
    end.map_or(Ok(()), Err).attempt(format_args!("connection to {peer}"))
}

/// Sets what was asked for, and returns what the socket has then.
fn set_options(socket: &Socket, args: &Args) -> Result<Options, Error> {
    setsockopt(socket, KeepAlive, &(args.idle != Idle::Off)).attempt("setsockopt SO_KEEPALIVE")?;
    if let Idle::Seconds(idle) = args.idle {
        setsockopt(socket, TcpKeepIdle, &idle).attempt("setsockopt TCP_KEEPIDLE")?;
    }
    if let Some(every) = args.every {
        setsockopt(socket, TcpKeepInterval, &every).attempt("setsockopt TCP_KEEPINTVL")?;
    }
    if let Some(probes) = args.probes {
        setsockopt(socket, TcpKeepCount, &probes).attempt("setsockopt TCP_KEEPCNT")?;
    }
    setsockopt(socket, TcpUserTimeout, &args.user_timeout)
        .attempt("setsockopt TCP_USER_TIMEOUT")?;
    Ok(Options {
        keepalive: getsockopt(socket, KeepAlive).attempt("getsockopt SO_KEEPALIVE")?,
        idle: getsockopt(socket, TcpKeepIdle).attempt("getsockopt TCP_KEEPIDLE")?,
        every: getsockopt(socket, TcpKeepInterval).attempt("getsockopt TCP_KEEPINTVL")?,
        probes: getsockopt(socket, TcpKeepCount).attempt("getsockopt TCP_KEEPCNT")?,
        user_timeout: getsockopt(socket, TcpUserTimeout).attempt("getsockopt TCP_USER_TIMEOUT")?,
    })
}
