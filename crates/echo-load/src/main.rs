//! The load that an echo server bears, each byte verified, and how long each round trip took.
//!
//! # What it shows
//! A client that waits for each reply before it sends again goes easy on a slow server: while that
//! stands still, nothing is sent, and so nothing is measured ("coordinated omission"). A server was
//! stopped for 200 of 2000 ms: the p99 was 0.041 ms, since one message of 73,239 met the stop. With
//! `--rate 1000` the clock says when a message is due, and its wait counts from then: the p99 was
//! 188.4 ms, and from when it was sent 0.125 ms, the number that looks so good. Nor does a load count
//! bytes that it has not compared, or measure itself: one thread holds all connections in one epoll,
//! makes no other call for a message than `send`, `epoll_wait` and `recv`, and says what it took of a CPU.
//!
//! # System calls
//! `socket` → `connect` → `epoll_create1` → `send` → `epoll_ctl` → (`epoll_wait` → `recv` → `send`)*
//! → `shutdown(SHUT_WR)` → `recv` → `close`
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
//! - A timeout: the server takes fewer connections at once than are opened. `echo-server` takes one.
//! - `EMFILE`: a connection is a descriptor. The soft limit is raised to the hard one, and no further.
//! - `EADDRNOTAVAIL`: with `--churn`, TIME_WAIT holds a port for 60 s, on the side that closes first.
//!   To 127.0.0.0/8 it connects from 200 addresses in turn, each with ports of its own.
//! - A maximum of 1 s or 3 s with `--churn`: the listener's queue was full, and the kernel has
//!   repeated the SYN. A longer `--backlog` of the server mends it.
//! - `ECONNRESET`: the server had too many connections, or died.
//!
//! # Next
//! `echo-client` says more about one exchange; `forking-echo` is a server to load.
//!
//! # Source
//! epoll(7), timerfd_create(2), connect(2), ip(7); UNP §6.9 and §16.2, TLPI §63.4; G. Tene, "How NOT to
//! Measure Latency", and his HdrHistogram.

mod bytes;
mod connection;
mod load;
mod plan;
mod report;
mod tally;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::sys::signal::raise;

use netcore::addr::Host;
use netcore::connect::connect;
use netcore::error::{Attempt, Error};
use netcore::number::{at_least_one, whole};
use netcore::output::Output;
use netcore::port::Port;
use netcore::resolve::{AddressFamily, addresses};
use netcore::signal::{Signal, Signals};
use netcore::time::Timeout;
use netcore::{cli, recipe};

use load::Load;
use plan::{Kind, Plan};

/// The load that an echo server bears, each byte verified.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --connections 8")]
#[argh(example = "{command_name} --port 7777 --connections 8 --rate 1000")]
#[argh(example = "{command_name} --port 7777 --churn --duration 200ms")]
struct Args {
    /// port of the server: a number or a service name
    #[argh(option, short = 'p')]
    port: Port,
    /// address or name of the server (localhost)
    #[argh(option, default = "Host::Name(String::from(\"localhost\"))")]
    host: Host,
    /// IPv4 only
    #[argh(switch, short = '4')]
    ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    ipv6: bool,
    /// connections at once (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(at_least_one))]
    connections: u32,
    /// bytes of a message (64)
    #[argh(option, arg_name = "bytes", default = "64", from_str_fn(at_least_one))]
    size: u32,
    /// how long messages are begun (1s), or none: until a signal
    #[argh(option, arg_name = "time", default = "Timeout::seconds(1)")]
    duration: Timeout,
    /// begin so many messages a second, all connections together, whatever the server does
    #[argh(option, arg_name = "n", from_str_fn(at_least_one))]
    rate: Option<u32>,
    /// a connection for each message
    #[argh(switch)]
    churn: bool,
    /// send and receive without pause: bytes a second
    #[argh(switch)]
    bulk: bool,
    /// open the connections and keep them silent for the duration
    #[argh(switch)]
    idle: bool,
    /// longest wait for the connection, and for the next byte (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    timeout: Timeout,
    /// seed of the pattern (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    seed: u64,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// print nothing but errors
    #[argh(switch, short = 'q')]
    quiet: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 130), measure)
}

fn measure(args: &Args, out: &mut Output) -> Result<(), Error> {
    let plan = Plan::of(args)?;
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let found = addresses(&args.host, args.port.0, family, args.timeout)?;
    plan::allow_descriptors(args.connections)?;
    // One of the addresses answers first, and is the one that is measured.
    let (first, peer) = connect(&found, args.timeout)?;

    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    let mut load = Load::new(&plan, peer, signals)?;
    load.open(first)?;
    if plan.kind == Kind::Idle && load.stopped.is_none() && !args.quiet {
        out.line(report::opened(peer, args.connections, args.json))?;
    }
    let result = load.run();
    // What was measured is said also after an error or a signal: it was verified all the same.
    if !args.quiet {
        let complete = result.is_ok() && load.stopped.is_none();
        let said = match args.json {
            true => out.line(report::json(&load.tally, &plan, peer, complete)),
            false => out.line(report::text(&load.tally, &plan)),
        };
        result.and(said)?;
    } else {
        result?;
    }
    if let Some(signal) = load.stopped {
        // It ends as it would have without us: by the signal, which a shell shows as 130 or 143.
        load.signals.unblock()?;
        raise(signal).attempt(format_args!("raise {signal}"))?;
    }
    Ok(())
}
