//! Load an echo server, and measure each round trip; each byte is verified.
//!
//! # What it shows
//! A client that waits for each reply before it sends again spares a slow server: while the server
//! stands still, nothing is sent, and so nothing is measured ("coordinated omission"). A server that
//! stops for 200 ms then spoils one message of many thousand, and the p99 does not show it. With
//! `--rate` the clock says when a message is due, and its wait is counted from then: the stop is in the
//! p99. A load also has to compare the bytes that it counts, and must not measure itself: one thread
//! has all connections in one epoll, makes no other call for a message than `send`, `epoll_wait` and
//! `recv`, and reports its own share of a CPU. Datagrams (`--udp`) have a window instead: so many are
//! under way, one that does not come back within 200 ms is lost, and another one takes its place.
//!
//! # System calls
//! In `netcore::connect::connect`: `socket` → `connect`, for the first connection
//! In `load.rs`: `epoll_create1`
//! In `connection.rs`: `send` → `epoll_ctl`; socket and connect for the others
//! In `load/events.rs`: `epoll_wait`
//! In `connection.rs`: `recv` → `send`, at the end `shutdown(SHUT_WR)` → `recv` → `close`; with --udp
//! sendmmsg and recvmmsg in datagrams.rs
//!
//! # Try it
//! ```console
//! $ forking-echo --port 7777 -q &
//! listening on 127.0.0.1:7777
//! $ echo-load --port 7777 --duration 200ms
//! 1 connection, 64 bytes: 5733 round trips in 203.8 ms, 28127 a second
//! median 0.026 ms, p90 0.030 ms, p99 0.062 ms, p99.9 3.803 ms, maximum 5.272 ms
//! the client itself took 41 % of a CPU
//! $ echo-load --port 7777 --duration 200ms --connections 8 --rate 1000
//! 8 connections, 64 bytes: 200 round trips in 200.0 ms, 1000 a second, 0 due and not sent
//! from due: median 0.146 ms, p90 27.4 ms, p99 44.9 ms, p99.9 47.3 ms, maximum 47.3 ms
//! from sent: median 0.096 ms, p90 0.598 ms, p99 32.3 ms, p99.9 32.6 ms, maximum 32.6 ms
//! the client itself took 5 % of a CPU
//! ```
//!
//! # What can go wrong
//! - A timeout before the first echo of a connection (`--timeout`): the server accepts fewer at once than
//!   are opened. `echo-server` has one. Later only silence ends it (`--idle-timeout`).
//! - `EMFILE`: a connection is a descriptor. The soft limit is raised to the hard one, and no further.
//! - `EADDRNOTAVAIL`: with `--churn`, TIME_WAIT holds a port for 60 s, on the side that closes first.
//!   To 127.0.0.0/8 it connects from 200 addresses in turn, each with ports of its own.
//! - A maximum of 1 s or 3 s with `--churn`: the listener's queue was full, and the kernel has
//!   sent the SYN again. A longer `--backlog` of the server prevents it.
//! - Datagrams are lost (`--udp`): the queue of the server, or that of this client, was full. Each holds
//!   `net.core.rmem_default` bytes, and a short datagram takes some 768 of them.
//! - `ECONNRESET`, or a close between two messages: the server had too many connections, or died.
//!
//! # Next
//! `echo-client` shows more of one exchange; `forking-echo` is a server to load.
//!
//! # Source
//! epoll(7), timerfd_create(2), connect(2), ip(7); UNP §6.9 and §16.2, TLPI §63.4; G. Tene, "How NOT to
//! Measure Latency", and his HdrHistogram.

mod args;
mod bytes;
mod connection;
mod datagrams;
mod load;
mod report;
mod tally;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::raise;

use netcore::connect::connect;
use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::resolve::{AddressFamily, addresses};
use netcore::signal::Signal::{SIGINT, SIGTERM};
use netcore::signal::{Signal, Signals};
use netcore::text::counted;
use netcore::{cli, recipe};

use args::{Args, Mode};
use datagrams::Datagrams;
use load::Load;
use tally::Tally;

/// Descriptors beside the connections: standard streams, epoll, signals, timer, and some to spare.
const OTHER_DESCRIPTORS: u64 = 16;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 77 130), measure)
}

fn measure(args: &Args, out: &mut Output) -> Result<(), Error> {
    let mode = args.mode()?;
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let deadline = args.timeout.deadline();
    let addresses = addresses(&args.host, args.port.0, family, args.timeout)?;
    if mode == Mode::Udp {
        let mut load = open_datagrams(args, &addresses, deadline)?;
        let result = load.run();
        let Datagrams { peer, tally, stopped, signals, .. } = load;
        return finish(args, mode, peer, Ended { tally, result, stopped, signals }, out);
    }
    raise_rlimit_nofile(args.connections)?;
    // The address that answers first is the one that is measured.
    let (first, peer) = connect(&addresses, args.timeout, deadline)?; // echo-client writes it out

    let signals = Signals::catch(&[SIGINT, SIGTERM])?;
    let mut load = Load::new(args, mode, peer, signals)?;
    load.open(first, deadline)?;
    if mode == Mode::Idle && load.stopped.is_none() && !args.quiet {
        out.line(report::opened(peer, args))?;
    }
    let result = load.run();
    let Load { tally, stopped, signals, .. } = load;
    finish(args, mode, peer, Ended { tally, result, stopped, signals }, out)
}

/// The first address that echoes.
fn open_datagrams<'a>(
    args: &'a Args,
    addresses: &[SocketAddr],
    deadline: Option<Instant>,
) -> Result<Datagrams<'a>, Error> {
    let mut last = Err(Errno::EADDRNOTAVAIL).attempt("find an address");
    for peer in addresses {
        let signals = Signals::catch(&[SIGINT, SIGTERM])?;
        let mut load = Datagrams::new(args, *peer, signals)?;
        last = match load.open(deadline) {
            Ok(()) => return Ok(load),
            Err(why) => Err(why),
        };
    }
    last
}

/// A load that has ended, and how.
struct Ended {
    tally: Tally,
    result: Result<(), Error>,
    /// The signal that ended it.
    stopped: Option<Signal>,
    signals: Signals,
}

fn finish(
    args: &Args,
    mode: Mode,
    peer: SocketAddr,
    ended: Ended,
    out: &mut Output,
) -> Result<(), Error> {
    let Ended { tally, result, stopped, signals } = ended;
    // After an error or a signal too: what was measured until then was verified.
    if !args.quiet {
        let complete = result.is_ok() && stopped.is_none();
        let printed = match args.json {
            true => out.line(report::json(&tally, args, mode, peer, complete)),
            false => out.line(report::text(&tally, args, mode)),
        };
        result.and(printed)?;
    } else {
        result?;
    }
    if let Some(signal) = stopped {
        // It ends by the signal, as if it had not caught it; a shell shows 130 or 143.
        signals.unblock()?;
        raise(signal).attempt(format_args!("raise {signal}"))?;
    }
    Ok(())
}

/// Raises RLIMIT_NOFILE as far as this process may, if so many connections need it: the soft limit is
/// often 1,024, for programs that still use select(2), and the hard one far higher.
fn raise_rlimit_nofile(connections: u32) -> Result<(), Error> {
    let needed = u64::from(connections) + OTHER_DESCRIPTORS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).attempt("getrlimit RLIMIT_NOFILE")?;
    if needed > hard {
        let connections = counted(connections, "connection");
        let attempt = format!("open {connections} with {}", counted(hard, "descriptor"));
        return Err(Errno::EMFILE).attempt(attempt);
    }
    if needed > soft {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).attempt("setrlimit RLIMIT_NOFILE")?;
    }
    Ok(())
}
