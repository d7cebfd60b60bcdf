//! What is asked, as people type it.

use argh::{ArgsInfo, FromArgs};

use netcore::error::Error;
use netcore::ntp::server::{interval, version};
use netcore::ntp::time::Utc;
use netcore::number::{at_least_one, whole};
use netcore::time::{Span, Timeout};

use crate::report::formatted;

/// Say what time it really is, by the majority of several servers.
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
    /// longest wait for each answer (1s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(1)")]
    pub(crate) timeout: Timeout,
    /// requests that follow one without an answer (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
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
    /// version of the request, 3 or 4 (4)
    #[argh(option, arg_name = "n", default = "4", from_str_fn(version))]
    pub(crate) ntp_version: u8,
    /// date within 68 years of the server's (this machine's, if it is possible)
    #[argh(option, arg_name = "date")]
    pub(crate) pivot: Option<Utc>,
    /// print the time in this form only, as date(1) does: %H:%M:%S.%N
    #[argh(option, arg_name = "text")]
    pub(crate) format: Option<String>,
    /// print what the source said, as ctime(3) has it, and how far off that is
    #[argh(switch)]
    pub(crate) raw: bool,
    /// print a table of the servers first
    #[argh(switch)]
    pub(crate) compare: bool,
    /// be a monitoring plug-in: one line, and 0 ok, 1 warning, 2 critical, 3 unknown
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
    /// servers, each a name or an address, with :PORT if that is not 123
    #[argh(positional)]
    pub(crate) server: Vec<String>,
}

/// What is printed.
pub(crate) enum Form {
    Answer,
    Format(String),
    Raw,
    Compare,
    /// From which offset on it is a warning, and critical.
    Check(Span, Span),
    Json,
}

impl Args {
    pub(crate) fn form(&self) -> Result<Form, Error> {
        let usage = |why: &str| Err(Error::Usage(why.to_owned()));
        let forms = [self.format.is_some(), self.raw, self.compare, self.check, self.json];
        if forms.into_iter().filter(|chosen| *chosen).count() > 1 {
            return usage("--format, --raw, --compare, --check and --json: one of them");
        }
        if !self.check && (self.warning.is_some() || self.critical.is_some()) {
            return usage("--warning and --critical: only with --check");
        }
        Ok(match &self.format {
            Some(format) if formatted(Utc::now(), format).is_none() => {
                return usage("--format: more than 64 KiB of text");
            }
            Some(format) => Form::Format(format.clone()),
            None if self.raw => Form::Raw,
            None if self.compare => Form::Compare,
            None if self.json => Form::Json,
            None if !self.check => Form::Answer,
            None => {
                let critical = self.critical.unwrap_or(Span::seconds(1));
                let default = Span(std::time::Duration::from_millis(100));
                let warning = self.warning.unwrap_or(Span(default.0.min(critical.0)));
                if warning.0 > critical.0 {
                    return usage("--warning: larger than --critical, and so never");
                }
                Form::Check(warning, critical)
            }
        })
    }
}
