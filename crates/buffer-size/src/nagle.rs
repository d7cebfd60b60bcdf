//! The other way to be slow: a request in two small writes, and TCP_NODELAY.

use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt::TcpNoDelay};
use nix::time::{ClockId, clock_getres};
use socket2::Socket;

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::text::Json;
use netcore::time::millis;

use crate::Args;
use crate::pairs::{Kind, pair};
use crate::wanted::Wanted;

/// Requests of each way.
const ROUNDS: usize = 20;

/// A request; its first half is what a program sends as a header.
const REQUEST: &[u8] = b"headbody";

/// How a request is sent.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    no_delay: bool,
    writes: usize,
}

/// Nagle's algorithm (RFC 896) holds a small segment back while another is on its way. The peer's
/// delayed ACK (RFC 1122 §4.2.3.2) holds back the word that it has arrived. Each waits for the other.
const WAYS: [Way; 3] = [
    Way { name: "two writes", no_delay: false, writes: 2 },
    Way { name: "two writes, TCP_NODELAY", no_delay: true, writes: 2 },
    Way { name: "one write", no_delay: false, writes: 1 },
];

/// Asks a server a few times in each way, and shows how long a reply takes.
pub(crate) fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let (delay, tick) = delayed_ack()?;
    // The first tick of a timer has begun when it is set.
    let least = delay.saturating_sub(tick);
    for way in WAYS {
        let times = ask(way)?;
        let zero = Duration::ZERO;
        let median = times.get(times.len() / 2).copied().unwrap_or(zero);
        let longest = times.last().copied().unwrap_or(zero);
        let stalls = way.writes > 1 && !way.no_delay;
        let agrees = (median >= least) == stalls;
        let verdict = if agrees { "as documented" } else { "different" };
        if args.json {
            let line = Json::new("nagle").text("way", way.name).number("rounds", ROUNDS as u64);
            let line = line.nanos("median_ns", median).nanos("longest_ns", longest);
            out.line(line.nanos("delayed_ack_ns", delay).flag("as_documented", agrees))?;
        } else {
            let (median, longest) = (millis(median), millis(longest));
            out.line(format_args!("{:25}median {median}, longest {longest}  {verdict}", way.name))?;
        }
        if !agrees {
            out.report(&Error::No(format!("{}: median {}", way.name, millis(median))));
        }
    }
    if !args.json {
        let (delay, tick) = (millis(delay), millis(tick));
        let note = format_args!("a delayed ACK waits {delay} here, HZ / 25 ticks of {tick}");
        out.line(note)?;
    }
    Ok(())
}

/// TCP_DELACK_MIN of the kernel, HZ / 25 clock ticks, and one of them.
fn delayed_ack() -> Result<(Duration, Duration), Error> {
    let clock = ClockId::CLOCK_MONOTONIC_COARSE;
    let tick = clock_getres(clock).attempt("clock_getres CLOCK_MONOTONIC_COARSE")?;
    let tick = Duration::from(tick).max(Duration::from_micros(1));
    let hz = 1_000_000_000 / tick.as_nanos();
    // Below 100 ticks a second it is 4 of them.
    let ticks = u32::try_from(hz / 25).unwrap_or(u32::MAX).max(4);
    Ok((tick.saturating_mul(ticks), tick))
}

/// The times of all requests, sorted.
fn ask(way: Way) -> Result<Vec<Duration>, Error> {
    let (client, server) = pair(Kind::Tcp, Wanted::NOTHING)?;
    if way.no_delay {
        setsockopt(&client, TcpNoDelay, &true).attempt("setsockopt TCP_NODELAY")?;
    }
    thread::scope(|scope| {
        thread::Builder::new().spawn_scoped(scope, || serve(server)).attempt("start a thread")?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for part in REQUEST.chunks(REQUEST.len() / way.writes) {
                send(client.as_raw_fd(), part, MsgFlags::MSG_NOSIGNAL).attempt("send")?;
            }
            if !receive(&client).attempt("recv")? {
                return Err(Errno::ECONNRESET).attempt("recv");
            }
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        // Closing it ends the server's wait.
        drop(client);
        Ok(times)
    })
}

/// Answers each whole request with as many bytes, until the client has gone.
fn serve(server: Socket) {
    while let Ok(true) = receive(&server) {
        if send(server.as_raw_fd(), REQUEST, MsgFlags::MSG_NOSIGNAL).is_err() {
            return;
        }
    }
}

/// Receives as many bytes as a request has; false at the end of the stream.
fn receive(socket: &Socket) -> nix::Result<bool> {
    let mut buffer = [0; REQUEST.len()];
    let mut got = 0;
    while got < buffer.len() {
        match recv(socket.as_raw_fd(), buffer.get_mut(got..).unwrap_or_default(), MsgFlags::empty())
        {
            Ok(0) => return Ok(false),
            Ok(more) => got += more,
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(true)
}
