//! Show an IPv4 address in every form, and how two parsers read it.
//!
//! # What it shows
//! An IPv4 address is four bytes; what is typed and printed are notations of them. Two parsers are
//! in use, and they disagree: inet_pton, which is strict as Rust's parser is, accepts four decimal
//! numbers; inet_aton, which getaddrinfo and so most programs use, also accepts one to three numbers,
//! hex and octal. A filter that reads 010.0.0.1 as 10.0.0.1 lets a connection to 8.0.0.1 pass.
//!
//! # System calls
//! None is made: inet_pton(3) and inet_aton(3) are functions of the C library that compute. In Rust
//! Ipv4Addr::from_str is the first and netcore::addr::inet_aton the second; a test compares both with C.
//!
//! # Try it
//! ```console
//! $ ipv4-convert 192.0.2.1 | grep -v host
//! dotted          192.0.2.1
//! hex             0xc0000201
//! decimal         3221225985
//! binary          11000000.00000000.00000010.00000001
//! bytes           c0 00 02 01
//! reverse name    1.2.0.192.in-addr.arpa
//! mapped in IPv6  ::ffff:192.0.2.1
//! purpose         documentation (RFC 5737)
//! inet_pton       192.0.2.1
//! inet_aton       192.0.2.1
//! $ ipv4-convert 010.0.0.1
//! ipv4-convert: 010.0.0.1: strict: refused, leading zero; inet_aton: 8.0.0.1
//! $ ipv4-convert --aton 010.0.0.1 | grep inet_
//! inet_pton       refused, leading zero
//! inet_aton       8.0.0.1
//! $ ipv4-convert 192.0.2.9/255.255.255.248 | tail -n 9
//! network         192.0.2.8/29
//! host bits set   0.0.0.1
//! netmask         255.255.255.248
//! wildcard        0.0.0.7
//! broadcast       192.0.2.15
//! first host      192.0.2.9
//! last host       192.0.2.14
//! hosts           6
//! addresses       8
//! ```
//!
//! # What can go wrong
//! - One text, two addresses: check an address with the parser that makes the connection.
//! - The Python original converts two constants with inet_aton and prints their bytes in hex; it
//!   converts an address of fewer than four numbers, or with octal ones, without a warning.
//! - The last number fills all bytes that are left: 1.2.65535 is 1.2.255.255, and `10/8`, which is
//!   written for 10.0.0.0/8, is a network of 0.0.0.10. So a network needs four numbers here.
//! - inet_aton stops at a blank and accepts `1.2.3.4 foo`: a text that it accepts is not safe to print.
//! - `s_addr` printed as a number without `ntohl`: on most hosts 127.0.0.1 is then 16777343.
//! - A network of 31 bits has two hosts and no broadcast address (RFC 3021).
//!
//! # Next
//! `byte-order` has the two orders of bytes; `remote-ip` the addresses of a name.
//!
//! # Source
//! inet(3), inet_pton(3); RFC 791, RFC 4632, RFC 6943 §3.1.1, IANA's special-purpose registry; UNP
//! §3.6, TLPI §59.6; the Python cookbook's recipe 1.3.

mod args;
mod report;

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::str::FromStr;

use netcore::addr::inet_aton;
use netcore::error::Error;
use netcore::input::each_word;
use netcore::output::Output;
use netcore::text::escape;
use netcore::{cli, recipe};

use args::{Args, bytes, number};
use report::{Item, Network, Readings, json, lines};

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.address.is_empty() {
        return Err(Error::Usage("ADDRESS: required".to_owned()));
    }
    // One address is plain lines for a script; several get a block each.
    let blocks = args.address.len() > 1 || args.address.iter().any(|word| word == "-");
    each_word(&args.address, |word| match read(word, args.aton) {
        Ok(item) => {
            let text = if args.json { json(&item) } else { lines(&item, blocks) };
            out.bytes(text.as_bytes())
        }
        Err(why) => {
            out.report(&Error::Usage(format!("{}: {why}", escape(word.as_bytes()))));
            Ok(())
        }
    })
}

/// Reads an address in one of its forms; with `aton` also what inet_aton(3) accepts. The error says
/// how each of the two parsers reads it.
fn read(text: &str, aton: bool) -> Result<Item<'_>, String> {
    // First the whole: inet_aton reads `192.0.2.1 /8`, and stops at the blank.
    let readings = parse(text);
    let whole = readings.pton.or_else(|| number(text)).or_else(|| bytes(text));
    if let Some(address) = whole.or(readings.aton.filter(|_| aton)) {
        return Ok(Item { text, address, network: None, readings });
    }
    let Some((before, length)) = text.split_once('/') else { return Err(readings.to_string()) };
    // Four numbers only: 10/8 is written for 10.0.0.0/8, while the number 10 is 0.0.0.10.
    let readings = parse(before);
    let address = readings.pton.or(readings.aton.filter(|_| aton));
    let address = address.ok_or_else(|| readings.to_string())?;
    let network = Some(Network::read(address, length)?);
    Ok(Item { text, address, network, readings })
}

/// The same text, two parsers: inet_pton(3), which in Rust is `Ipv4Addr::from_str`, and inet_aton(3).
fn parse(text: &str) -> Readings<'_> {
    Readings { text, pton: Ipv4Addr::from_str(text).ok(), aton: inet_aton(text) }
}

#[cfg(test)]
#[path = "main_tests.rs"]
mod tests;
