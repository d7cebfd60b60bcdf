//! The command line, the request that it asks for, and how long that may take.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::number::at_least_one;
use netcore::port::Port;
use netcore::time::Timeout;

/// Show in which stage a request fails, and why: an HTTP/1.0 GET.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --host localhost --port 7777 --file /index.html -v")]
pub(crate) struct Args {
    /// port to ask (80): a number or a service name
    #[argh(option, short = 'p')]
    pub(crate) port: Option<Port>,
    /// address or name of the server (localhost)
    #[argh(option)]
    pub(crate) host: Option<Host>,
    /// path to ask for (/)
    #[argh(option, arg_name = "path")]
    pub(crate) file: Option<Path>,
    /// IPv4 only
    #[argh(switch, short = '4')]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    pub(crate) ipv6: bool,
    /// longest time for a request, from the name to the last byte of its reply (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// longest body in bytes (10485760)
    #[argh(option, arg_name = "bytes", default = "10 << 20", from_str_fn(at_least_one))]
    pub(crate) max_bytes: u64,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// print each stage, each attempt and the header too
    #[argh(switch, short = 'v')]
    pub(crate) verbose: bool,
}

/// A path, with its query: what stands between `GET ` and ` HTTP/1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) String);

impl FromStr for Path {
    type Err = String;

    /// A blank would end the path, and a newline the line: the rest of the path would be a header, or
    /// a second request. So no such byte is sent.
    fn from_str(text: &str) -> Result<Path, String> {
        if let Some(byte) = text.bytes().find(|byte| !byte.is_ascii_graphic()) {
            return Err(format!("a path must not contain the byte {byte:#04x}: write %{byte:02X}"));
        }
        if !text.starts_with('/') {
            return Err("a path begins with /".to_owned());
        }
        Ok(Path(text.to_owned()))
    }
}

/// The request. HTTP/1.0 has no `Host`, but a machine with many sites needs it to tell them apart.
pub(crate) fn request(host: &Host, port: u16, path: &Path) -> Vec<u8> {
    let host = match host {
        // The zone of an address means something on this machine only (RFC 6874 §3).
        Host::Literal { ip: IpAddr::V6(ip), .. } => format!("[{ip}]"),
        other => other.to_string(),
    };
    let port = if port == 80 { String::new() } else { format!(":{port}") };
    format!("GET {} HTTP/1.0\r\nHost: {host}{port}\r\n\r\n", path.0).into_bytes()
}

/// The instant at which the request has to be over, and how long that was from the start.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Option<Instant>,
    after: Duration,
}

impl Deadline {
    pub(crate) fn new(timeout: Timeout) -> Deadline {
        Deadline { at: timeout.deadline(), after: timeout.duration().unwrap_or_default() }
    }

    /// The share of the next of so many addresses, in whole milliseconds, so that a silent one leaves
    /// time for the others. The last has all the time that is left.
    pub(crate) fn share(self, addresses: u32) -> Deadline {
        let Some(at) = self.at.filter(|_| addresses > 1) else { return self };
        let left = at.saturating_duration_since(Instant::now()) / addresses;
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        self.at_most(Duration::from_millis(millis))
    }

    /// The same, or this long from now, whichever is earlier.
    pub(crate) fn at_most(self, after: Duration) -> Deadline {
        let own = Instant::now().checked_add(after);
        match self.at {
            Some(at) if own.is_none_or(|own| at <= own) => self,
            _ => Deadline { at: own, after },
        }
    }

    pub(crate) fn is_over(self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    pub(crate) fn missed(self, what: impl Display) -> Error {
        Error::Timeout { attempt: what.to_string(), after: self.after }
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
