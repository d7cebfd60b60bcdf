//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::number::{at_least_one, whole};
use netcore::port::Port;
use netcore::time::Timeout;

/// The highest --rate: the time between two messages is then what one of them takes to send.
const MAX_RATE: u32 = 1_000_000;

/// A datagram begins with its number; a size is at least that, and at most what UDP over IPv4 carries.
pub(crate) const NUMBER: u32 = 8;
const LARGEST: u32 = 65_507;

/// Load an echo server, and measure each round trip; each byte is verified.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --connections 8")]
#[argh(example = "{command_name} --port 7777 --connections 8 --rate 1000")]
#[argh(example = "{command_name} --port 7777 --churn --duration 200ms")]
pub(crate) struct Args {
    /// port of the server: a number or a service name
    #[argh(option, short = 'p')]
    pub(crate) port: Port,
    /// address or name of the server (localhost)
    #[argh(option, default = "Host::Name(String::from(\"localhost\"))")]
    pub(crate) host: Host,
    /// IPv4 only
    #[argh(switch, short = '4')]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    pub(crate) ipv6: bool,
    /// connections at once (1)
    #[argh(option, short = 'c', arg_name = "n", default = "1", from_str_fn(at_least_one))]
    pub(crate) connections: u32,
    /// bytes of a message (64)
    #[argh(option, arg_name = "bytes", default = "64", from_str_fn(at_least_one))]
    pub(crate) size: u32,
    /// time in which messages are begun (1s), or none: until a signal
    #[argh(option, short = 'd', arg_name = "time", default = "Timeout::seconds(1)")]
    pub(crate) duration: Timeout,
    /// messages to begin a second, of all connections together, however slow the server is
    #[argh(option, arg_name = "n", from_str_fn(at_least_one))]
    pub(crate) rate: Option<u32>,
    /// a connection for each message
    #[argh(switch)]
    pub(crate) churn: bool,
    /// send and receive without a pause, to measure bytes a second
    #[argh(switch)]
    pub(crate) bulk: bool,
    /// open the connections, and send nothing for the duration
    #[argh(switch)]
    pub(crate) idle: bool,
    /// datagrams from one socket; --connections is how many are under way at once
    #[argh(switch)]
    pub(crate) udp: bool,
    /// longest time to connect, from the name to the first reply (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    pub(crate) idle_timeout: Timeout,
    /// seed of the pattern (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    pub(crate) seed: u64,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// print nothing but errors
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,
}

/// What the connections do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A message there and back, then the next one.
    PingPong,
    /// The same, with a connection for each message.
    Churn,
    /// Bytes without a pause in both directions.
    Bulk,
    /// Nothing.
    Idle,
    /// Datagrams there and back.
    Udp,
}

impl Mode {
    /// The word for it in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::PingPong => "ping-pong",
            Mode::Churn => "churn",
            Mode::Bulk => "bulk",
            Mode::Idle => "idle",
            Mode::Udp => "udp",
        }
    }
}

impl Args {
    /// The mode, if the options go together.
    pub(crate) fn mode(&self) -> Result<Mode, Error> {
        let switches = [
            (self.churn, Mode::Churn),
            (self.bulk, Mode::Bulk),
            (self.idle, Mode::Idle),
            (self.udp, Mode::Udp),
        ];
        let mut chosen = switches.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mode)| mode);
        let mode = chosen.next().unwrap_or(Mode::PingPong);
        if chosen.next().is_some() {
            return Err(Error::Usage("--churn, --bulk, --idle, --udp: one of them".to_owned()));
        }
        if mode == Mode::Udp && !(NUMBER..=LARGEST).contains(&self.size) {
            let sizes = format!("with --udp from {NUMBER} to {LARGEST}");
            return Err(Error::Usage(format!("--size {}: {sizes}", self.size)));
        }
        let fault = match self.rate {
            Some(_) if mode == Mode::Udp => "--udp sends when a reply comes".to_owned(),
            Some(_) if matches!(mode, Mode::Bulk | Mode::Idle) => {
                format!("--{} sends no messages", mode.name())
            }
            Some(rate) if rate > MAX_RATE => {
                format!("write a whole number from 1 to {MAX_RATE}")
            }
            _ => return Ok(mode),
        };
        Err(Error::Usage(format!("--rate {}: {fault}", self.rate.unwrap_or_default())))
    }
}
