//! Show how a number lies in memory, and on the wire.
//!
//! # What it shows
//! A number of several bytes is stored with its most or with its least significant byte first. The
//! headers of the network have the most significant byte first, and so have big-endian hosts; most
//! hosts have the least significant byte first: 1234, which is 0x04d2, lies in their memory as `d2 04`
//! and is sent as `04 d2`. `htons` turns one into the other. `ntohs` does the same, and its name only
//! tells the reader the direction. A big-endian host swaps nothing: it shows `04 d2` twice, its `hton`
//! is 1234 again, and a forgotten `htons` is never noticed there.
//!
//! # System calls
//! None is made: htons(3), ntohs(3), htonl(3) and ntohl(3) become an instruction of the processor. They
//! are for 16 and 32 bits; for 64 there is htobe64(3). In Rust they are to_be and from_be, at each width.
//!
//! # Try it
//! ```console
//! $ byte-order 1234 | grep -v host
//! 1234 in 16 bits, 0x04d2
//!   on the network        04 d2
//!   read in wrong order   53764
//! $ byte-order --bits 32 -1 | grep network
//!   on the network        ff ff ff ff
//! $ byte-order --decode '04 d2'
//! 04 d2 in 16 bits
//!   network order         1234
//!   the other order       53764
//! $ byte-order --bits 16 65536
//! byte-order: 65536: does not fit into 16 bits
//! ```
//!
//! # What can go wrong
//! - A forgotten `htons` in `sin_port`: the server listens on port 53764 in place of 1234.
//! - The Python original prints `ntohs` and `htons` of a number side by side: two columns that are
//!   always equal. It never shows a byte.
//! - A number is cut to its width without a warning: 65536 in 16 bits is 0.
//! - A number above 2^53 in JSON, which many readers round: with `--json` the numbers here are text,
//!   at every width.
//! - A struct is sent as it lies in memory: order, width and padding are then the host's.
//!
//! # Next
//! `ipv4-convert` shows the four bytes of an address; `service-name` a port, which is two.
//!
//! # Source
//! byteorder(3), endian(3); RFC 1700 (data notation), IEN 137; UNP §3.4, TLPI §59.2; the Python
//! cookbook's recipe 1.5.

mod args;
mod report;

use std::process::ExitCode;

use netcore::error::Error;
use netcore::input::each_word;
use netcore::output::Output;
use netcore::text::escape;
use netcore::{cli, recipe};

use args::{Args, Number};
use report::{Decoded, Encoded};

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.value.is_empty() {
        return Err(Error::Usage("VALUE: required".to_owned()));
    }
    each_word(&args.value, |word| {
        let text = if args.decode {
            Number::received(word, args.bits).map(|received| decode(received).text(args.json))
        } else {
            Number::read(word, args.bits).map(|number| encode(number).text(word, args.json))
        };
        match text {
            Ok(text) => out.bytes(text.as_bytes()),
            Err(why) => {
                out.report(&Error::Usage(format!("{}: {why}", escape(word.as_bytes()))));
                Ok(())
            }
        }
    })
}

/// A number of this host, as the bytes that are sent.
fn encode(number: Number) -> Encoded {
    let hton = hton(number);
    Encoded {
        number,
        memory: in_memory(number),
        network: in_memory(hton),
        hton,
        wrong: swap(number),
    }
}

/// Bytes that were received into memory, as a number of this host.
fn decode(received: Number) -> Decoded {
    let number = ntoh(received);
    Decoded { bytes: in_memory(received), number, wrong: swap(number) }
}

/// htons(3), htonl(3), htobe64(3): the number whose bytes in memory are those of the network.
fn hton(number: Number) -> Number {
    match number {
        Number::B16(value) => Number::B16(value.to_be()),
        Number::B32(value) => Number::B32(value.to_be()),
        Number::B64(value) => Number::B64(value.to_be()),
        Number::B128(value) => Number::B128(value.to_be()),
    }
}

/// ntohs(3), ntohl(3), be64toh(3): the way back.
fn ntoh(number: Number) -> Number {
    match number {
        Number::B16(value) => Number::B16(u16::from_be(value)),
        Number::B32(value) => Number::B32(u32::from_be(value)),
        Number::B64(value) => Number::B64(u64::from_be(value)),
        Number::B128(value) => Number::B128(u128::from_be(value)),
    }
}

/// What a reader gets that takes the bytes in the wrong order.
fn swap(number: Number) -> Number {
    match number {
        Number::B16(value) => Number::B16(value.swap_bytes()),
        Number::B32(value) => Number::B32(value.swap_bytes()),
        Number::B64(value) => Number::B64(value.swap_bytes()),
        Number::B128(value) => Number::B128(value.swap_bytes()),
    }
}

/// The bytes in the order of their addresses.
fn in_memory(number: Number) -> Vec<u8> {
    match number {
        Number::B16(value) => value.to_ne_bytes().into(),
        Number::B32(value) => value.to_ne_bytes().into(),
        Number::B64(value) => value.to_ne_bytes().into(),
        Number::B128(value) => value.to_ne_bytes().into(),
    }
}

#[cfg(test)]
#[path = "main_tests.rs"]
mod tests;
