//! Show an IPv4 address in every form, and how two parsers read it.
//!
//! # What it shows
//! An IPv4 address is four bytes; what is typed and printed are notations of them. Two parsers are
//! in use, and they disagree: the strict one, of inet_pton and of this language, takes four decimal
//! numbers; inet_aton, behind getaddrinfo and so behind most programs, also takes one to three
//! numbers, hex and octal. A filter that reads 010.0.0.1 as 10.0.0.1 guards a connection to 8.0.0.1.
//!
//! # System calls
//! None is made: inet_pton(3) and inet_aton(3) are functions of the C library that compute.
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
//! $ ipv4-convert 192.0.2.9/29 | tail -n 8
//! network         192.0.2.8/29
//! host bits set   0.0.0.1
//! netmask         255.255.255.248
//! broadcast       192.0.2.15
//! first host      192.0.2.9
//! last host       192.0.2.14
//! hosts           6
//! addresses       8
//! ```
//!
//! # What can go wrong
//! - One address, two readings: check an address with the parser that the connection is made with.
//! - The Python original converts two constants with inet_aton and prints their bytes in hex; an
//!   address of fewer than four numbers, or with octal ones, it converts without a word.
//! - The last number fills all bytes that are left: 1.2.65535 is 1.2.255.255, and `10/8`, where one
//!   means 10.0.0.0/8, is a network of 0.0.0.10. That is why a network takes four numbers here.
//! - inet_aton stops at a blank and takes `1.2.3.4 foo`: what it took is not safe to print.
//! - `s_addr` printed as a number without `ntohl`: on most hosts 127.0.0.1 is then 16777343.
//! - A network of 31 bits has two hosts and no broadcast address (RFC 3021).
//!
//! # Next
//! `byte-order` has the two orders of bytes; `remote-ip` the addresses of a name.
//!
//! # Source
//! inet(3), inet_pton(3); RFC 791, RFC 4632, RFC 6943 §3.1.1, IANA's special-purpose registry; UNP
//! §3.6, TLPI §59.6; the Python cookbook's recipe 1.3.

mod address;
mod form;
mod network;
mod purpose;

use std::fmt::Write;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use netcore::error::Error;
use netcore::input::each_word;
use netcore::output::Output;
use netcore::text::{Json, escape};
use netcore::{cli, recipe};

use address::Item;
use form::Value;

/// Show an IPv4 address in every form, and how two parsers read it.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} 192.0.2.1")]
#[argh(example = "{command_name} --aton 127.1 0x7f.1 && {command_name} 192.0.2.8/29")]
struct Args {
    /// take what inet_aton takes
    #[argh(switch)]
    aton: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// 192.0.2.1, 0xc0000201, 3221225985, c0:00:02:01 or 192.0.2.0/24; - reads them from standard
    /// input
    #[argh(positional)]
    address: Vec<String>,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.address.is_empty() {
        return Err(Error::Usage("ADDRESS: required".to_owned()));
    }
    // One address is plain lines for a script; several get a block each.
    let blocks = args.address.len() > 1 || args.address.iter().any(|word| word == "-");
    each_word(&args.address, |word| match Item::read(word, args.aton) {
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

fn lines(item: &Item<'_>, block: bool) -> String {
    let indent = if block { "  " } else { "" };
    let mut text = String::new();
    if block {
        // inet_aton looks at nothing that follows a blank, so anything may stand there.
        text = escape(item.text.as_bytes()) + "\n";
    }
    for form in item.forms() {
        let _ = writeln!(text, "{indent}{:<15} {}", form.label, form.value);
    }
    text
}

fn json(item: &Item<'_>) -> String {
    let mut json = Json::new("address").text("input", &escape(item.text.as_bytes()));
    for form in item.forms() {
        json = match form.value {
            Value::Text(text) => json.text(form.key, &text),
            Value::Number(number) => json.number(form.key, number),
            Value::None => json,
        };
    }
    format!("{json}\n")
}
