//! Show every address of a host, in the order in which it would be tried.
//!
//! # What it shows
//! A name has a list of addresses, of both families, and `getaddrinfo` sorts it (RFC 6724): a
//! client tries them one after the other. nsswitch.conf says where it looks, usually in /etc/hosts
//! first, then at a name server. It has no timeout: this program calls it in a thread that it need not
//! wait for, so that several hosts are asked for at once; where it goes on after that (`-`, `--reverse`),
//! in a child process, which it can kill.
//!
//! # System calls
//! None is the lesson: getaddrinfo(3) and getnameinfo(3) are functions of the C library, which opens
//! /etc/hosts, or a socket to the name server. Run it under strace -f to see what it does here.
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
//! - `EAI_NONAME`: no such host. `EAI_AGAIN`: no server answered; try again later.
//!   `EAI_NODATA`: it exists, without an address of that kind. They are codes, not errno values.
//! - A host has more than one address. The Python original calls `gethostbyname`: one address, and
//!   IPv4 only. It also prints its error on standard output, and ends with 0.
//! - Each address comes three times, once for each socket type, unless one type is asked for.
//! - `AI_ADDRCONFIG`, which `getent ahosts` sets too: a family of which this machine has no address
//!   but loopback is left out. `-4` and `-6` ask for all addresses of a family.
//! - The name of an address proves nothing: the owner of the address chooses it. It is confirmed if
//!   that name has the address.
//!
//! # Next
//! `host-info` asks for this machine's own name, `ipv4-convert` reads addresses, `service-name` ports.
//!
//! # Source
//! getaddrinfo(3), getnameinfo(3), gai.conf(5); RFC 6724; UNP §11.6, TLPI §59.10; the Python
//! cookbook's recipe 1.2.

mod args;
mod report;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use netcore::addr::Host;
use netcore::error::{Attempt, Error};
use netcore::input::each_word;
use netcore::output::Output;
use netcore::resolve::{AddressFamily, OnTimeout, getaddrinfo, getnameinfo};
use netcore::text::escape;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::{Args, read};
use report::{Answer, Name};

/// Hosts that are asked for at the same time.
const AT_ONCE: usize = 16;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    if args.host.is_empty() {
        return Err(Error::Usage("HOST: required".to_owned()));
    }
    // All are read before the first is looked up: nothing is asked if one is mistyped.
    for word in args.host.iter().filter(|word| *word != "-") {
        read(word)?;
    }
    if args.reverse || args.host.iter().any(|word| word == "-") {
        return each_word(&args.host, |word| {
            let answer = read(word).and_then(|host| look_up(&host, family, args, out));
            print(word, answer, args, out)
        });
    }
    for words in args.host.chunks(AT_ONCE) {
        ask_at_once(words, family, args, out)?;
    }
    Ok(())
}

/// Asks for some hosts, each in a thread, and prints their answers in the order of the command line: a
/// silent name server costs the timeout once.
fn ask_at_once(
    words: &[String],
    family: AddressFamily,
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    let ask = |word: &String| {
        let port = args.port.map_or(0, |port| port.0);
        let begun = Instant::now();
        getaddrinfo(&read(word)?, port, family, args.timeout, begun, OnTimeout::AbandonThread)
    };
    thread::scope(|scope| {
        let start = |word| {
            let thread = thread::Builder::new().spawn_scoped(scope, move || ask(word));
            thread.attempt("start a thread to ask the resolver")
        };
        let threads: Vec<_> = words.iter().map(start).collect();
        for (word, thread) in words.iter().zip(threads) {
            let found =
                thread.and_then(|thread| thread.join().unwrap_or_else(|why| resume_unwind(why)));
            let answer = found.map(|found| {
                let unnamed = found.addresses.into_iter().map(|address| (address, Name::NotAsked));
                Answer { canonical: found.canonical, addresses: unnamed.collect() }
            });
            print(word, answer, args, out)?;
        }
        Ok(())
    })
}

/// An answer, or the reason that there is none, after which the program continues.
fn print(
    word: &str,
    answer: Result<Answer, Error>,
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    match answer {
        Ok(answer) => out.bytes(answer.text(&escape(word.as_bytes()), args).as_bytes()),
        Err(error) => {
            out.report(&error);
            Ok(())
        }
    }
}

/// The addresses of a host, with their names where they are asked for, one question after the other. Each
/// is asked in a child, which leaves nothing behind when it is late: there may be many more.
fn look_up(
    host: &Host,
    family: AddressFamily,
    args: &Args,
    out: &mut Output,
) -> Result<Answer, Error> {
    let port = args.port.map_or(0, |port| port.0);
    let begun = Instant::now();
    let found = getaddrinfo(host, port, family, args.timeout, begun, OnTimeout::KillChild)?;
    let mut addresses = Vec::new();
    for address in found.addresses {
        let name =
            if args.reverse { name(address, args.timeout, begun) } else { Ok(Name::NotAsked) };
        // The address is printed even if the question for its name fails.
        let name = name.unwrap_or_else(|error| {
            out.report(&error);
            Name::Unknown
        });
        addresses.push((address, name));
    }
    Ok(Answer { canonical: found.canonical, addresses })
}

/// The name of an address, confirmed if that name has the address.
fn name(address: SocketAddr, timeout: Timeout, begun: Instant) -> Result<Name, Error> {
    let Some(name) = getnameinfo(address.ip(), timeout, begun)? else { return Ok(Name::None) };
    let family = if address.is_ipv4() { AddressFamily::V4 } else { AddressFamily::V6 };
    // A name that is not a host name, or that does not exist, confirms nothing.
    let forward = |host| getaddrinfo(&host, 0, family, timeout, begun, OnTimeout::KillChild).ok();
    let found = name.parse().ok().and_then(forward).map(|found| found.addresses);
    let confirmed = found.is_some_and(|all| all.iter().any(|other| other.ip() == address.ip()));
    Ok(Name::Is { name, confirmed })
}
