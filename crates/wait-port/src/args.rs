//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::port::Port;
use netcore::time::{Span, Timeout};

/// Wait until services accept connections, many at once, and say why one does not. What follows -- is a
/// command, which it becomes then.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} localhost:7777")]
#[argh(example = "{command_name} localhost:7777 --stay 200ms")]
#[argh(example = "{command_name} localhost:7777 -- echo ready")]
#[argh(example = "{command_name} --gone localhost:9")]
pub(crate) struct Args {
    /// what to wait for: host:port (an IPv6 address in brackets) or unix:path
    #[argh(positional)]
    pub(crate) target: Vec<Target>,
    /// longest wait for all targets (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    pub(crate) timeout: Timeout,
    /// pause between two tries (100ms)
    #[argh(option, arg_name = "time", default = "INTERVAL", from_str_fn(pause))]
    pub(crate) interval: Span,
    /// time that a connection has to last (0): a proxy without a server behind it closes it
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    pub(crate) stay: Span,
    /// wait until nobody listens
    #[argh(switch)]
    pub(crate) gone: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

impl Args {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.target.is_empty() {
            return Err(Error::Usage("TARGET: required".to_owned()));
        }
        if self.gone && self.stay.0 > Duration::ZERO {
            return Err(Error::Usage("--gone and --stay: one of them".to_owned()));
        }
        Ok(())
    }
}

const INTERVAL: Span = Span(Duration::from_millis(100));

fn pause(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span(Duration::ZERO) => Err("0 would take a whole processor".to_owned()),
        span => Ok(span),
    }
}

/// What to wait for, as it was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) typed: String,
    pub(crate) place: Place,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(Host, u16),
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let typed = text.to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            // sockaddr_un has room for 108 bytes, the NUL among them.
            return match path.len() {
                1..=107 => Ok(Target { typed, place: Place::Unix(path.into()) }),
                _ => Err("the path of a unix socket has 1 to 107 bytes".to_owned()),
            };
        }
        let accepted = "write host:port, [::1]:port or unix:path";
        let (host, port) = text.rsplit_once(':').ok_or(accepted)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(accepted.to_owned());
        }
        Ok(Target { place: Place::Tcp(host.parse()?, port.parse::<Port>()?.0), typed })
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
