//! Several clients at once, each with its own bytes.
//!
//! # What it shows
//! Whether a server really serves several clients at the same time: all connect, wait for each
//! other, and send in the same instant. The kernel completes a connection before the server
//! accepts it, so to be connected proves nothing; a reply does. A server that puts its pid before
//! its reply (`forking-echo --show-pid`) shows that each client had a process of its own.
//!
//! # System calls
//! (`socket` → `connect`)*, then in a thread for each client
//! `send` → `recv` → `shutdown(SHUT_WR)` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ forking-echo --port 7777 --show-pid &
//! listening on 127.0.0.1:7777, pid 5120
//! $ forking-client --port 7777
//! client 1 <- pid 5123   19 bytes   0.52 ms
//! client 2 <- pid 5124   19 bytes   0.61 ms
//! client 3 <- pid 5125   19 bytes   0.70 ms
//! 3 clients, 3 processes, each its own bytes
//! ```
//!
//! # What can go wrong
//! - `ECONNREFUSED`: nobody listens there.
//! - `ECONNRESET`: the server was full and refused the client.
//! - A timeout: more clients than the server has children and the kernel has places in its queue.
//! - The Python original takes the reply from its sixth byte on, which is right for pids of four
//!   digits only; it never looks at whose bytes came back, and its clients run one by one.
//!
//! # Next
//! `forking-echo` is the other end; `echo-client` sends more, over one connection.
//!
//! # Source
//! connect(2), shutdown(2), pthreads(7); UNP §26.3, TLPI §60.3; the Python cookbook's recipe 2.1,
//! ForkingClient.

mod client;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::number::at_least_one;
use netcore::output::Output;
use netcore::port::Port;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::Json;
use netcore::time::{Span, Timeout, millis};
use netcore::{cli, recipe};

use client::{ForkingClient, Reply};

/// Several clients at once, each with its own bytes.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --port 7777 --clients 10 --hold 2s")]
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
    /// clients at once (3)
    #[argh(option, arg_name = "n", default = "3", from_str_fn(at_least_one))]
    clients: u16,
    /// time that each client stays after its reply (0)
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    hold: Span,
    /// longest wait for the connection, and for the whole reply (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// print nothing but errors
    #[argh(switch, short = 'q')]
    quiet: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 130), compare)
}

fn compare(args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let found = addresses(&args.host, args.port.0, family, args.timeout)?;
    // All connect before any sends: the threads below have nothing to wait for but each other.
    let mut clients = Vec::new();
    for number in 1..=args.clients {
        clients.push(ForkingClient::new(&found, number, args.timeout)?);
    }
    let start = Barrier::new(clients.len());
    let results: Vec<Result<Reply, Error>> = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(|| client.run(&start, args.hold.0)))
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });

    let mut pids = BTreeSet::new();
    let mut failure = None;
    for (result, number) in results.into_iter().zip(1_u16..) {
        match result {
            Ok(reply) => {
                if !args.quiet {
                    out.line(row(number, &reply, args.json))?;
                }
                if reply.pid.is_some_and(|pid| !pids.insert(pid)) {
                    let fault =
                        format!("pid {} served two clients at once", reply.pid.unwrap_or(0));
                    failure.get_or_insert(Error::Protocol { peer: args.host.to_string(), fault });
                }
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None if args.quiet || args.json => Ok(()),
        None => match (args.clients, pids.len()) {
            (clients, 0) => out.line(format_args!("{clients} clients, each its own bytes")),
            (clients, processes) => out
                .line(format_args!("{clients} clients, {processes} processes, each its own bytes")),
        },
    }
}

fn row(number: u16, reply: &Reply, json: bool) -> String {
    let Reply { pid, bytes, time } = reply;
    if json {
        let json = Json::new("client").number("client", number).number("bytes", *bytes as u64);
        let json = json.nanos("time_ns", *time);
        return match pid {
            Some(pid) => json.number("pid", *pid).to_string(),
            None => json.to_string(),
        };
    }
    let pid = pid.map_or_else(|| "no pid".to_owned(), |pid| format!("pid {pid}"));
    format!("client {number} <- {pid}   {bytes} bytes   {}", millis(*time))
}
