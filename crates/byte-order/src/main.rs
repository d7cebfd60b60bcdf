//! Show how a number lies in memory, and on the wire.
//!
//! # What it shows
//! A number of several bytes has to begin with one of them. The network's headers begin with the most
//! significant one, and so do big-endian hosts; most hosts of today begin with the least: 1234, which
//! is 0x04d2, lies in their memory as `d2 04` and goes out as `04 d2`. `htons` turns one into the
//! other. `ntohs` does the very same: to swap twice is to swap not at all, and which of the two
//! names one writes only tells the reader the direction. A big-endian host swaps nothing: it shows
//! `04 d2` twice, its `hton` is 1234 again, and a forgotten `htons` is never noticed there.
//!
//! # System calls
//! None is made: htons(3), htonl(3) and their kin are instructions of the processor. They know 16 and
//! 32 bits; a wider number takes htobe64(3), in Rust to_be.
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
//! - The Python original prints `ntohs` and `htons` of a number beside each other: two columns
//!   that are always equal. It never shows a byte.
//! - A number that is cut to its width without a word: 65536 in 16 bits is 0.
//! - A number above 2^53 in JSON, which many readers round without a word: with `--json` the numbers
//!   here are text, at every width, so that no reader has to tell two kinds apart.
//! - To send a struct as it lies in memory: order, width and padding are then the host's.
//!
//! # Next
//! `ipv4-convert` shows the four bytes of an address; `service-name` a port, which is two.
//!
//! # Source
//! byteorder(3), endian(3); RFC 1700 (data notation), IEN 137; UNP §3.4, TLPI §59.2; the Python
//! cookbook's recipe 1.5.

mod number;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use netcore::error::Error;
use netcore::input::each_word;
use netcore::output::Output;
use netcore::text::{Json, escape};
use netcore::{cli, recipe};

use number::{Bits, Number};

/// Show how a number lies in memory, and on the wire.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} 1234")]
#[argh(example = "{command_name} --bits 32 0x7f000001 -1")]
struct Args {
    /// width in bits: 16, 32, 64 or 128 (the smallest that fits)
    #[argh(option, arg_name = "width")]
    bits: Option<Bits>,
    /// the values are bytes, as they came from the network: 04 d2
    #[argh(switch)]
    decode: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// numbers: decimal, 0x, 0o or 0b, _ between digits, negative; - reads them from standard input
    #[argh(positional)]
    value: Vec<String>,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.value.is_empty() {
        return Err(Error::Usage("VALUE: required".to_owned()));
    }
    each_word(&args.value, |word| {
        let text = if args.decode { decoded(word, args) } else { encoded(word, args) };
        match text {
            Ok(text) => out.bytes(text.as_bytes()),
            Err(why) => {
                out.report(&Error::Usage(format!("{}: {why}", escape(word.as_bytes()))));
                Ok(())
            }
        }
    })
}

/// A number, as the bytes that it becomes.
fn encoded(word: &str, args: &Args) -> Result<String, String> {
    let number = Number::read(word, args.bits)?;
    let (memory, network) = (hex(&number.in_memory()), hex(&number.on_network()));
    let (hton, wrong) = (number.hton(), number.in_wrong_order());
    if args.json {
        let json = Json::new("number").text("given", word).text("value", &number.value.to_string());
        let json = json
            .number("bits", number.bits.count())
            .text("hex", &number.hex())
            .text("memory", &memory);
        let json = json.text("network", &network).text("hton", &hton.to_string());
        return Ok(format!("{}\n", json.text("wrong_order", &wrong.to_string())));
    }
    let mut lines = format!("{word} in {} bits, {}\n", number.bits.count(), number.hex());
    for (label, value) in [
        ("in this host's memory", &memory),
        ("on the network", &network),
        ("host value of hton", &hton.to_string()),
        ("read in wrong order", &wrong.to_string()),
    ] {
        lines += &format!("  {label:<21} {value}\n");
    }
    Ok(lines)
}

/// Bytes, as the number that they are.
fn decoded(word: &str, args: &Args) -> Result<String, String> {
    let number = Number::decode(word, args.bits)?;
    let bytes = hex(&number.on_network());
    let (value, wrong) = (number.value.to_string(), number.in_wrong_order().to_string());
    if args.json {
        let json = Json::new("bytes").text("bytes", &bytes).number("bits", number.bits.count());
        return Ok(format!("{}\n", json.text("value", &value).text("wrong_order", &wrong)));
    }
    let bits = number.bits.count();
    Ok(format!(
        "{bytes} in {bits} bits\n  {:<21} {value}\n  {:<21} {wrong}\n",
        "network order", "the other order"
    ))
}

/// `04 d2`, in the order of their addresses.
fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
