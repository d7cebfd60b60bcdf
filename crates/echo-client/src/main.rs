//! Send, and check what comes back byte for byte (RFC 862).
//!
//! # What it shows
//! TCP carries a stream of bytes, not messages: what one `send` took may come back in several
//! `recv`s, or two messages in one. And both directions have to move: a client that sends all before
//! it receives stops the server, whose replies fill the buffers, and then itself. This one waits
//! in `poll` for either. `shutdown` says that nothing more is to come, and still lets it receive.
//!
//! # System calls
//! `socket` → `connect` → (`send` → `recv`)* → `shutdown(SHUT_WR)` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ echo-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ echo-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   0.11 ms
//! $ echo-client --port 7777 --count 1000
//! 1000 round trips: minimum 0.01 ms, median 0.02 ms, p99 0.05 ms
//! ```
//!
//! # What can go wrong
//! - `ECONNREFUSED`: nobody listens there. Each address of the name is tried before it is said.
//! - The server closes early: `recv` returns 0, for ever. The Python original adds up the lengths
//!   of what it received, and so never ends; it also counts bytes without looking at them.
//! - `ECONNRESET`: the server closed with bytes of ours unread.
//! - A connection to oneself: a connect to a free port of the ephemeral range may be given that
//!   very port as its own, and succeed. Here that counts as refused.
//!
//! # Next
//! `echo-server` is the other end; `forking-client` is several clients at once.
//!
//! # Source
//! connect(2), send(2), recv(2), shutdown(2), poll(2); RFC 862, RFC 8305; UNP §5.4 and §6.4, TLPI
//! §61.2; the Python cookbook's recipe 1.13, echo client.

mod echo;
mod report;

use std::process::ExitCode;
use std::time::Instant;

use argh::{ArgsInfo, FromArgs};
use nix::poll::poll;

use netcore::addr::Host;
use netcore::connect::connect;
use netcore::error::Error;
use netcore::number::{at_least_one, whole};
use netcore::output::Output;
use netcore::pattern::pattern;
use netcore::poll::timeout_until;
use netcore::port::Port;
use netcore::resolve::{AddressFamily, addresses};
use netcore::time::{Span, Timeout};
use netcore::{cli, recipe};

use echo::Echo;

/// What is sent when nothing else is said.
const MESSAGE: &str = "Test message. This will be echoed";

/// Send, and check what comes back byte for byte.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 'Hello, server'")]
#[argh(example = "{command_name} --port 7777 --stdin < /etc/services > copy")]
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
    /// longest wait for the connection, and for the next byte (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    timeout: Timeout,
    /// send standard input; what comes back goes to standard output
    #[argh(switch)]
    stdin: bool,
    /// send this many bytes of a pattern
    #[argh(option, arg_name = "bytes", from_str_fn(whole))]
    size: Option<u32>,
    /// which pattern (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    seed: u64,
    /// send everything this many times (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(at_least_one))]
    count: u32,
    /// pause between two times (0)
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    interval: Span,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// print nothing but errors
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// print each round trip of --count too
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// what to send, one after the other
    #[argh(positional)]
    message: Vec<String>,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 130), ask)
}

fn ask(args: &Args, out: &mut Output) -> Result<(), Error> {
    let sources = [args.stdin, args.size.is_some(), !args.message.is_empty()];
    if sources.into_iter().filter(|given| *given).count() > 1 || args.stdin && args.count != 1 {
        return Err(Error::Usage("--stdin, --size, messages: one of them, --stdin once".into()));
    }
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let (stream, peer) =
        connect(&addresses(&args.host, args.port.0, family, args.timeout)?, args.timeout)?;
    let mut echo = Echo::new(stream, peer, args.timeout);
    if args.stdin {
        echo.copy_stdin(out)?;
    } else {
        let messages: Vec<Vec<u8>> = match args.size {
            Some(size) => vec![pattern(args.seed, size)],
            None if args.message.is_empty() => vec![MESSAGE.into()],
            None => args.message.iter().map(|message| message.clone().into_bytes()).collect(),
        };
        exchange(&mut echo, &messages, args, out)?;
    }
    echo.finish()
}

/// Sends the messages as often as was asked for, each when the one before it has come back.
fn exchange(
    echo: &mut Echo,
    messages: &[Vec<u8>],
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    let mut times = Vec::new();
    for turn in 0..args.count {
        for message in messages {
            let begun = Instant::now();
            echo.round_trip(message)?;
            times.push(begun.elapsed());
            if !args.quiet && (args.count == 1 || args.verbose) {
                out.line(report::echoed(echo.peer, message, begun.elapsed(), args))?;
            }
        }
        if turn + 1 < args.count {
            let pause = Instant::now().checked_add(args.interval.0);
            while pause.is_some_and(|end| Instant::now() < end) {
                let _ = poll(&mut [], timeout_until(pause));
            }
        }
    }
    if args.count > 1 && !args.quiet { out.line(report::summary(times, args)) } else { Ok(()) }
}
