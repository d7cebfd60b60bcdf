//! What is asked, as people type it.

use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use netcore::ntp::server::{interval, version};
use netcore::ntp::time::Utc;
use netcore::number::{at_least_one, whole};
use netcore::time::{Span, Timeout};

/// Ask a server for the time, and believe only an answer to the question.
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
    /// longest wait for each answer (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// requests that follow one without an answer (3)
    #[argh(option, arg_name = "n", default = "3", from_str_fn(whole))]
    pub(crate) retries: u8,
    /// samples of each server (1); the one of least delay counts
    #[argh(option, arg_name = "n", default = "1", from_str_fn(at_least_one))]
    pub(crate) count: u32,
    /// pause between two samples (1s), 1s at least
    #[argh(option, arg_name = "time", default = "Span::seconds(1)", from_str_fn(interval))]
    pub(crate) interval: Span,
    /// ask every address of a name, not only the first that answers
    #[argh(switch)]
    pub(crate) all_addresses: bool,
    /// refuse an answer that may be farther off than this, or none (none)
    #[argh(option, arg_name = "time", default = "Limit(None)")]
    pub(crate) max_bound: Limit,
    /// refuse a time that is farther from this machine's, or none (none)
    #[argh(option, arg_name = "time", default = "Limit(None)")]
    pub(crate) max_offset: Limit,
    /// version of the request, 3 or 4 (4)
    #[argh(option, arg_name = "n", default = "4", from_str_fn(version))]
    pub(crate) ntp_version: u8,
    /// date within 68 years of the server's (this machine's, if it is possible)
    #[argh(option, arg_name = "date")]
    pub(crate) pivot: Option<Utc>,
    /// who reads the clock when the answer comes: user, receive (the kernel), both (receive)
    #[argh(option, arg_name = "who", default = "Clock::Receive")]
    pub(crate) clock: Clock,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// show below each answer who sent it, and the local time
    #[argh(switch, short = 'v')]
    pub(crate) verbose: bool,
    /// servers, each a name or an address, with :PORT if that is not 123
    #[argh(positional)]
    pub(crate) server: Vec<String>,
}

/// Who reads the clock for T4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// This program, once it is awake.
    User,
    /// The kernel, when the datagram comes.
    Receive,
    /// The kernel; the other reading is shown too.
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

/// The most that is accepted, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(Option<i128>);

impl Limit {
    pub(crate) fn is_passed_by(self, nanos: i128) -> bool {
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
        assert!(!limit("none").is_passed_by(i128::MAX));
        assert!(limit("100ms").is_passed_by(100_000_001) && !limit("1d").is_passed_by(1));
        assert!(limit("0").is_passed_by(1) && !limit("0").is_passed_by(0));
        assert!("-1".parse::<Limit>().is_err());
    }

    #[test]
    fn a_clock_is_one_of_three() {
        assert_eq!("both".parse(), Ok(Clock::Both));
        assert_eq!("kernel".parse::<Clock>(), Err("write user, receive or both".to_owned()));
    }
}
