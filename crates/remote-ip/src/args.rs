//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::port::Port;
use netcore::text::escape;
use netcore::time::Timeout;

/// Show every address of a host, in the order in which it would be tried.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} localhost")]
#[argh(example = "{command_name} --reverse 127.0.0.1 ::1")]
pub(crate) struct Args {
    /// port to show with each address: a number or a service name
    #[argh(option, short = 'p')]
    pub(crate) port: Option<Port>,
    /// IPv4 only
    #[argh(switch, short = '4')]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    pub(crate) ipv6: bool,
    /// show the name that the others are aliases of
    #[argh(switch)]
    pub(crate) canonical: bool,
    /// show the name of each address, and whether that name has the address
    #[argh(switch)]
    pub(crate) reverse: bool,
    /// longest wait for all answers about a host (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// names or addresses; - reads them from standard input, a line each
    #[argh(positional)]
    pub(crate) host: Vec<String>,
}

impl Args {
    /// Whether several hosts are asked for: each then gets a block of lines.
    pub(crate) fn several(&self) -> bool {
        self.host.len() > 1 || self.host.iter().any(|word| word == "-")
    }
}

pub(crate) fn read(word: &str) -> Result<Host, Error> {
    word.parse().map_err(|why| Error::Usage(format!("{}: {why}", escape(word.as_bytes()))))
}
