//! The command line.

use std::str::FromStr;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::number::{at_least_one, whole};
use netcore::port::Port;
use netcore::time::{Span, Timeout};

use crate::report::{FIELDS, Field};

/// Watch a TCP connection from inside: one of its own (--port), or that of another process (--pid).
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --port 7777 --bulk --interval 100ms --count 3")]
#[argh(example = "{command_name} --port 7777 --fields mss,rtt,minrtt,cwnd")]
pub(crate) struct Args {
    /// port of the server: a number or a service name
    #[argh(option, short = 'p')]
    pub(crate) port: Option<Port>,
    /// address or name of the server (localhost)
    #[argh(option, default = "Host::Name(String::from(\"localhost\"))")]
    pub(crate) host: Host,
    /// IPv4 only
    #[argh(switch, short = '4')]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    pub(crate) ipv6: bool,
    /// send as much as the peer takes, and receive what it sends
    #[argh(switch)]
    pub(crate) bulk: bool,
    /// process whose connection is watched
    #[argh(option, arg_name = "n", from_str_fn(at_least_one))]
    pub(crate) pid: Option<i32>,
    /// its descriptor (its only connection)
    #[argh(option, arg_name = "n", from_str_fn(whole))]
    pub(crate) fd: Option<i32>,
    /// time between two samples (1s); without --count there are samples until the connection ends
    #[argh(option, arg_name = "time", from_str_fn(pause))]
    pub(crate) interval: Option<Duration>,
    /// number of samples (1)
    #[argh(option, arg_name = "n", from_str_fn(at_least_one))]
    pub(crate) count: Option<u64>,
    /// columns of the table, by the names of ss(8) and with commas between them
    #[argh(option, arg_name = "list", default = "Fields::usual()")]
    pub(crate) fields: Fields,
    /// longest time to connect, from the name to the connection (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

/// The columns between the state and what limits the connection.
pub(crate) struct Fields(pub(crate) Vec<&'static Field>);

impl Fields {
    fn usual() -> Fields {
        let usual = ["rtt", "rto", "cwnd", "unacked", "notsent", "backoff", "retrans"];
        Fields(usual.iter().filter_map(|name| field(name)).collect())
    }
}

impl FromStr for Fields {
    type Err = String;

    fn from_str(text: &str) -> Result<Fields, String> {
        let fields = text.split(',').map(|name| {
            field(name).ok_or_else(|| {
                let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
                format!("the fields are {}", names.join(","))
            })
        });
        fields.collect::<Result<_, _>>().map(Fields)
    }
}

fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

fn pause(text: &str) -> Result<Duration, String> {
    match text.parse()? {
        Span(Duration::ZERO) => Err("0 would take a whole processor".to_owned()),
        Span(pause) => Ok(pause),
    }
}

/// Whose connection it is.
pub(crate) enum Watched {
    Own(u16),
    Of(i32),
}

impl Args {
    pub(crate) fn watched(&self) -> Result<Watched, Error> {
        let usage = |what: &str| Err(Error::Usage(what.to_owned()));
        match (self.port, self.pid) {
            (Some(_), None) if self.fd.is_some() => usage("--fd: goes with --pid"),
            (Some(port), None) => Ok(Watched::Own(port.0)),
            (None, Some(_)) if self.bulk => usage("--bulk: goes with --port"),
            (None, Some(pid)) => Ok(Watched::Of(pid)),
            _ => usage("--port and --pid: one of them"),
        }
    }

    pub(crate) fn samples(&self) -> u64 {
        self.count.unwrap_or(if self.interval.is_some() { u64::MAX } else { 1 })
    }

    pub(crate) fn pause(&self) -> Duration {
        self.interval.unwrap_or(Duration::from_secs(1))
    }
}
