//! The command line.

use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use netcore::ntp::server::{interval, version};
use netcore::ntp::time::Utc;
use netcore::number::{at_least_one, whole};
use netcore::time::{Span, Timeout};

/// Query an NTP server for the time, and accept only a valid reply.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} 127.0.0.1:7777")]
#[argh(example = "{command_name} -v --retries 1 --max-bound 100ms --json 127.0.0.1:7777")]
pub(crate) struct Args {
    /// IPv4 only
    #[argh(switch, short = '4')]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    pub(crate) ipv6: bool,
    /// longest wait for each sample, retries and all addresses included (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// how often a request without a reply is sent again (3)
    #[argh(option, arg_name = "n", default = "3", from_str_fn(whole))]
    pub(crate) retries: u8,
    /// samples of each server (1); the one with the least delay is used
    #[argh(option, arg_name = "n", default = "1", from_str_fn(at_least_one))]
    pub(crate) count: u32,
    /// pause between two samples (1s), at least 1s
    #[argh(option, arg_name = "time", default = "Span::seconds(1)", from_str_fn(interval))]
    pub(crate) interval: Span,
    /// query every address of a name, not only the first that replies
    #[argh(switch)]
    pub(crate) all_addresses: bool,
    /// fail if the error bound is larger, or none (none)
    #[argh(option, arg_name = "time", default = "Limit(None)")]
    pub(crate) max_bound: Limit,
    /// fail if the offset is larger, or none (none)
    #[argh(option, arg_name = "time", default = "Limit(None)")]
    pub(crate) max_offset: Limit,
    /// version of the request, 3 or 4 (4)
    #[argh(option, arg_name = "n", default = "4", from_str_fn(version))]
    pub(crate) ntp_version: u8,
    /// date within 68 years of the server's (this machine's, if plausible)
    #[argh(option, arg_name = "date")]
    pub(crate) pivot: Option<Utc>,
    /// which time is T4: user (of the program), receive (of the kernel), both (receive)
    #[argh(option, arg_name = "who", default = "Clock::Receive")]
    pub(crate) clock: Clock,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// print the address of the server and the local time too
    #[argh(switch, short = 'v')]
    pub(crate) verbose: bool,
    /// servers, each a name or an address, with :PORT if it is not 123
    #[argh(positional)]
    pub(crate) server: Vec<String>,
}

/// Which reading of the clock is T4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// By this program, after `recvmsg`.
    User,
    /// By the kernel, when the datagram arrives.
    Receive,
    /// By the kernel; the other reading is printed too.
    Both,
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Clock, String> {
        match text {
            "user" => Ok(Clock::User),
            "receive" => Ok(Clock::Receive),
            "both" => Ok(Clock::Both),
            _ => Err("write user, receive or both".to_owned()),
        }
    }
}

/// The largest value that is accepted, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(Option<i128>);

impl Limit {
    pub(crate) fn is_exceeded_by(self, nanos: i128) -> bool {
        self.0.is_some_and(|most| nanos > most)
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        if text == "none" {
            return Ok(Limit(None));
        }
        text.parse().map(|Span(most)| Limit(Some(most.as_nanos().cast_signed())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_be_none() {
        let limit = |text: &str| text.parse::<Limit>().unwrap();
        assert!(!limit("none").is_exceeded_by(i128::MAX));
        assert!(limit("100ms").is_exceeded_by(100_000_001) && !limit("1d").is_exceeded_by(1));
        assert!(limit("0").is_exceeded_by(1) && !limit("0").is_exceeded_by(0));
        assert!("-1".parse::<Limit>().is_err());
    }

    #[test]
    fn a_clock_is_one_of_three() {
        assert_eq!("both".parse(), Ok(Clock::Both));
        assert_eq!("kernel".parse::<Clock>(), Err("write user, receive or both".to_owned()));
    }
}
