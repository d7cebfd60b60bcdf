//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::number::{at_least_one, whole};
use netcore::port::Port;
use netcore::time::{Span, Timeout};

/// Send datagrams, and count those that are echoed, lost, duplicated and reordered.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 'Hello, server'")]
#[argh(example = "{command_name} --port 7777 --stdin < /etc/services")]
#[argh(example = "{command_name} --port 7777 --count 1000 --window 8 --size 512")]
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
    /// longest wait for each reply, retries included, for the first all addresses too (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// how often a datagram without a reply is sent again (2)
    #[argh(option, arg_name = "n", default = "2", from_str_fn(whole))]
    pub(crate) retries: u8,
    /// wait before the first retry (1s), doubled for each further retry
    #[argh(option, arg_name = "time", default = "Timeout::seconds(1)")]
    pub(crate) backoff: Timeout,
    /// send standard input, a datagram a line
    #[argh(switch)]
    pub(crate) stdin: bool,
    /// send this many bytes of a pattern
    #[argh(option, arg_name = "bytes", from_str_fn(whole))]
    pub(crate) size: Option<u16>,
    /// seed of the pattern (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    pub(crate) seed: u64,
    /// send everything this many times (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(at_least_one))]
    pub(crate) count: u32,
    /// with --count: datagrams in flight at once (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(at_least_one))]
    pub(crate) window: u16,
    /// pause between repetitions (0)
    #[argh(option, arg_name = "time", default = "Span::seconds(0)")]
    pub(crate) interval: Span,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// print nothing but errors
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,
    /// print each round trip of --count too
    #[argh(switch, short = 'v')]
    pub(crate) verbose: bool,
    /// messages to send, one after the other
    #[argh(positional)]
    pub(crate) message: Vec<String>,
}
