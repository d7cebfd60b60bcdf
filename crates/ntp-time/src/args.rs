//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::error::Error;
use netcore::ntp::server::{interval, version};
use netcore::ntp::time::Utc;
use netcore::number::{at_least_one, whole};
use netcore::time::{Span, Timeout};

use crate::format::formatted;

/// Print the time that the majority of several NTP servers agrees on.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} 127.0.0.1:7777")]
#[argh(example = "{command_name} --format '%H:%M:%S.%N' 127.0.0.1:7777")]
#[argh(example = "{command_name} --check --warning 100ms --critical 1s 127.0.0.1:7777")]
pub(crate) struct Args {
    /// IPv4 only
    #[argh(switch, short = '4')]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    pub(crate) ipv6: bool,
    /// longest wait for each sample, retries and all addresses included (2s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(2)")]
    pub(crate) timeout: Timeout,
    /// how often a request without a reply is sent again (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
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
    /// version of the request, 3 or 4 (4)
    #[argh(option, arg_name = "n", default = "4", from_str_fn(version))]
    pub(crate) ntp_version: u8,
    /// date within 68 years of the server's (this machine's, if plausible)
    #[argh(option, arg_name = "date")]
    pub(crate) pivot: Option<Utc>,
    /// print only the time, in this format of date(1): %H:%M:%S.%N
    #[argh(option, arg_name = "text")]
    pub(crate) format: Option<String>,
    /// print the transmit timestamp in the format of ctime(3), and its error
    #[argh(switch)]
    pub(crate) raw: bool,
    /// print a table of the servers first
    #[argh(switch)]
    pub(crate) compare: bool,
    /// be a monitoring plug-in: one line; exit code 0 ok, 1 warning, 2 critical, 3 unknown
    #[argh(switch)]
    pub(crate) check: bool,
    /// with --check: a larger offset is a warning (100ms)
    #[argh(option, arg_name = "time")]
    pub(crate) warning: Option<Span>,
    /// with --check: a larger offset is critical (1s)
    #[argh(option, arg_name = "time")]
    pub(crate) critical: Option<Span>,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// servers, each a name or an address, with :PORT if it is not 123
    #[argh(positional)]
    pub(crate) server: Vec<String>,
}

/// What is printed.
pub(crate) enum Format {
    Answer,
    /// A format of strftime(3).
    Strftime(String),
    Raw,
    Compare,
    /// The offsets above which the state is warning, and critical.
    Check(Span, Span),
    Json,
}

impl Args {
    pub(crate) fn format(&self) -> Result<Format, Error> {
        let usage = |why: &str| Err(Error::Usage(why.to_owned()));
        let formats = [self.format.is_some(), self.raw, self.compare, self.check, self.json];
        if formats.into_iter().filter(|chosen| *chosen).count() > 1 {
            return usage("--format, --raw, --compare, --check, --json: only one of them");
        }
        if !self.check && (self.warning.is_some() || self.critical.is_some()) {
            return usage("--warning and --critical: only with --check");
        }
        Ok(match &self.format {
            Some(format) if formatted(Utc::now(), format).is_none() => {
                return usage("--format: more than 64 KiB of text");
            }
            Some(format) => Format::Strftime(format.clone()),
            None if self.raw => Format::Raw,
            None if self.compare => Format::Compare,
            None if self.json => Format::Json,
            None if !self.check => Format::Answer,
            None => {
                let critical = self.critical.unwrap_or(Span::seconds(1));
                let default = Span(std::time::Duration::from_millis(100));
                let warning = self.warning.unwrap_or(Span(default.0.min(critical.0)));
                if warning.0 > critical.0 {
                    return usage("--warning: larger than --critical");
                }
                Format::Check(warning, critical)
            }
        })
    }
}
