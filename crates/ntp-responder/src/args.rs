//! The command line.

use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::number::whole;
use netcore::port::ListenPort;
use netcore::time::Span;

use crate::faults::Fault;

/// Reply to NTP requests over UDP, correctly or with faults.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --port 7777 --offset -1.5s --delay 20ms --loss 33")]
pub(crate) struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p')]
    pub(crate) port: Option<ListenPort>,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    pub(crate) host: Host,
    /// offset of its clock from this machine's (0); may be negative
    #[argh(option, arg_name = "time", default = "SignedSpan(0)")]
    pub(crate) offset: SignedSpan,
    /// start its clock at the first second of this era: 1 is 2036-02-07T06:28:16Z
    #[argh(option, arg_name = "n", from_str_fn(whole))]
    pub(crate) era: Option<u8>,
    /// delay of each direction (0)
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    pub(crate) delay: Span,
    /// add this to the delay of requests, and subtract it from that of replies (0); may be negative
    #[argh(option, arg_name = "time", default = "SignedSpan(0)")]
    pub(crate) asymmetry: SignedSpan,
    /// largest random delay to add in each direction (0)
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    pub(crate) jitter: Span,
    /// percentage of requests that are lost, at random (0)
    #[argh(option, arg_name = "percent", default = "0", from_str_fn(percent))]
    pub(crate) loss: u8,
    /// seed of the random numbers (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    pub(crate) seed: u64,
    /// stratum of the replies (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    pub(crate) stratum: u8,
    /// send this kiss code and not the time: RATE, DENY, RSTR, ...
    #[argh(option, arg_name = "code")]
    pub(crate) kiss: Option<Code>,
    /// send a faulty datagram before each reply; --lie list prints the names
    #[argh(option, arg_name = "name")]
    pub(crate) lie: Option<Fault>,
    /// send the faults that are for loopback (mirror, mode-3, long, all) to any peer
    #[argh(switch)]
    pub(crate) lie_to_network: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,
}

/// A kiss code: one to four capital letters or digits.
#[derive(Clone, Copy)]
pub(crate) struct Code(pub(crate) [u8; 4]);

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Code, String> {
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if !(1..=4).contains(&text.len()) || !text.bytes().all(is_code) {
            return Err("write one to four capital letters or digits, such as RATE".to_owned());
        }
        let mut code = [0; 4];
        code.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Ok(Code(code))
    }
}

/// A duration with a sign, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedSpan(pub(crate) i128);

impl FromStr for SignedSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<SignedSpan, String> {
        let (sign, text) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        text.parse().map(|Span(length)| SignedSpan(sign * length.as_nanos().cast_signed()))
    }
}

/// Parses a percentage.
fn percent(text: &str) -> Result<u8, String> {
    let percent = whole(text).ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| "write a whole number from 0 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kiss_code_is_padded_with_zeros() {
        let code = |text: &str| text.parse::<Code>().map(|Code(code)| code);
        assert_eq!((code("RATE"), code("X")), (Ok(*b"RATE"), Ok(*b"X\0\0\0")));
        for text in ["", "rate", "RATES", "R TE", "-1e99", "\u{c4}B"] {
            assert!(code(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_signed_span_has_a_sign() {
        for (text, nanos) in [("1.5s", 1_500_000_000), ("-2", -2_000_000_000), ("+1ns", 1)] {
            assert_eq!(text.parse(), Ok(SignedSpan(nanos)), "{text}");
        }
        for text in ["", "-", "--1", "+-1", "-1e99", "1 s"] {
            assert!(text.parse::<SignedSpan>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_percentage_is_at_most_100() {
        assert_eq!((percent("0"), percent("100")), (Ok(0), Ok(100)));
        for text in ["101", "256", "-1", "1.5", "", "33%"] {
            assert_eq!(percent(text), Err("write a whole number from 0 to 100".to_owned()));
        }
    }
}
