//! Show every address of a host, in the order in which it would be tried.
//!
//! # What it shows
//! A name has a list of addresses, of both families, and `getaddrinfo` sorts it (RFC 6724): a
//! client tries them one after the other. It reads what nsswitch.conf says, as a rule /etc/hosts
//! first, then asks a name server. It has no deadline; this program gives it one, by asking in a
//! child process that it can kill.
//!
//! # System calls
//! None is the lesson: getaddrinfo(3) is a function of the C library, which opens /etc/hosts, or a
//! socket to the name server. Run it under strace -f to see what it does here.
//!
//! # Try it
//! ```console
//! $ remote-ip 127.0.0.1 ::1
//! 127.0.0.1
//!   IPv4 127.0.0.1
//! ::1
//!   IPv6 ::1
//! $ remote-ip -4 localhost
//! IPv4 127.0.0.1
//! $ remote-ip 010.0.0.1
//! remote-ip: 010.0.0.1: not four decimal numbers (inet_aton would read it as 8.0.0.1)
//! Try 'remote-ip --help'.
//! ```
//!
//! # What can go wrong
//! - `EAI_NONAME`: no such host. `EAI_AGAIN`: nobody answered, so it may exist: ask again later.
//!   `EAI_NODATA`: it exists, without an address of that kind. They are codes, not errno values.
//! - One address is not the host's address. The Python original calls `gethostbyname`: one, and
//!   IPv4 only. It also prints its error where the answer belongs, and ends with 0.
//! - Each address comes three times, once for each socket type, unless one type is asked for.
//! - `AI_ADDRCONFIG`, which `getent ahosts` sets too: a family of which this machine has no address
//!   but loopback is left out. `-4` and `-6` ask for what is there.
//! - A name of an address proves nothing: whoever holds the address writes it. It counts when that
//!   name has the address (`confirmed`).
//!
//! # Next
//! `host-info` asks for this machine's own name, `ipv4-convert` reads addresses, `service-name` ports.
//!
//! # Source
//! getaddrinfo(3), getnameinfo(3), gai.conf(5); RFC 6724; UNP §11.6, TLPI §59.10; the Python
//! cookbook's recipe 1.2.

mod answer;

use std::net::SocketAddr;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::input::each_word;
use netcore::output::Output;
use netcore::port::Port;
use netcore::resolve::{AddressFamily, OnTimeout, look_up, name_of};
use netcore::text::escape;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use answer::{Answer, Name};

/// Show every address of a host, in the order in which it would be tried.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} localhost")]
#[argh(example = "{command_name} --reverse 127.0.0.1 ::1")]
struct Args {
    /// port to show with each address: a number or a service name
    #[argh(option, short = 'p')]
    port: Option<Port>,
    /// IPv4 only
    #[argh(switch, short = '4')]
    ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    ipv6: bool,
    /// show the name that the others are aliases of
    #[argh(switch)]
    canonical: bool,
    /// show the name of each address, and whether that name has the address
    #[argh(switch)]
    reverse: bool,
    /// longest wait for each answer of the resolver (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// names or addresses; - reads them from standard input, a line each
    #[argh(positional)]
    host: Vec<String>,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    if args.host.is_empty() {
        return Err(Error::Usage("HOST: required".to_owned()));
    }
    // All are read before the first is looked up: a mistyped one costs no question.
    for word in args.host.iter().filter(|word| *word != "-") {
        read(word)?;
    }
    // One answer is plain lines for a script; several get a block each.
    let blocks = several(args);
    each_word(&args.host, |word| {
        match read(word).and_then(|host| found(&host, family, args, out)) {
            Ok(answer) => out.bytes(answer.text(&escape(word.as_bytes()), blocks, args).as_bytes()),
            Err(error) => {
                out.report(&error);
                Ok(())
            }
        }
    })
}

fn several(args: &Args) -> bool {
    args.host.len() > 1 || args.host.iter().any(|word| word == "-")
}

fn read(word: &str) -> Result<Host, Error> {
    word.parse().map_err(|why| Error::Usage(format!("{}: {why}", escape(word.as_bytes()))))
}

fn found(
    host: &Host,
    family: AddressFamily,
    args: &Args,
    out: &mut Output,
) -> Result<Answer, Error> {
    // With one question the program ends when its answer is on_timeout, and need not fork to ask it.
    let on_timeout =
        if several(args) || args.reverse { OnTimeout::KillChild } else { OnTimeout::AbandonThread };
    let found =
        look_up(host, args.port.map_or(0, |port| port.0), family, args.timeout, on_timeout)?;
    let mut addresses = Vec::new();
    for address in found.addresses {
        let name = if args.reverse { name(address, args.timeout) } else { Ok(Name::NotAsked) };
        // An address whose name could not be found out is still an answer.
        let name = name.unwrap_or_else(|error| {
            out.report(&error);
            Name::Unknown
        });
        addresses.push((address, name));
    }
    Ok(Answer { canonical: found.canonical, addresses })
}

fn name(address: SocketAddr, timeout: Timeout) -> Result<Name, Error> {
    let Some(name) = name_of(address.ip(), timeout)? else { return Ok(Name::None) };
    // A name that is no name, or that nobody knows, confirms nothing.
    let family = if address.is_ipv4() { AddressFamily::V4 } else { AddressFamily::V6 };
    let look_up = |host| look_up(&host, 0, family, timeout, OnTimeout::KillChild).ok();
    let forward = name.parse().ok().and_then(look_up).map(|found| found.addresses);
    let confirmed = forward.is_some_and(|all| all.iter().any(|other| other.ip() == address.ip()));
    Ok(Name::Is { name, confirmed })
}
