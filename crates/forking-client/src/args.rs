//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::number::at_least_one;
use netcore::port::Port;
use netcore::time::{Span, Timeout};

/// Several clients at once, each with its own bytes.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --port 7777 --clients 10 --hold 2s")]
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
    /// clients at once (3)
    #[argh(option, arg_name = "n", default = "3", from_str_fn(at_least_one))]
    pub(crate) clients: u16,
    /// time that each client stays connected after its reply (0)
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    pub(crate) hold: Span,
    /// longest time for a request, from the name to the last byte of its reply (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// print nothing but errors
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,
}
