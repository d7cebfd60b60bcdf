//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::number::at_least_one;
use netcore::port::ListenPort;

/// Echo each datagram to its sender, from the address that it was sent to.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --host :: --port 0 --json -v")]
pub(crate) struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p')]
    pub(crate) port: ListenPort,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    pub(crate) host: Host,
    /// receive buffer in bytes (65535); a longer datagram is not echoed
    #[argh(option, arg_name = "bytes", default = "u16::MAX", from_str_fn(at_least_one))]
    pub(crate) buffer: u16,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,
    /// log what each peer sends, escaped
    #[argh(switch, short = 'v')]
    pub(crate) verbose: bool,
}
