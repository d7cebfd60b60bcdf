//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::number::whole;
use netcore::port::ListenPort;

/// Show what SO_REUSEADDR does, and what it does not.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --host :: --port 0 --no-reuse")]
pub(crate) struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p', default = "ListenPort(8282)")]
    pub(crate) port: ListenPort,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    pub(crate) host: Host,
    /// connections that the kernel may queue (net.core.somaxconn)
    #[argh(option, arg_name = "n", default = "i32::MAX", from_str_fn(whole))]
    pub(crate) backlog: i32,
    /// leave the option as it is
    #[argh(switch)]
    pub(crate) no_reuse: bool,
    /// try every rule on this machine and print the results, without a server
    #[argh(switch)]
    pub(crate) matrix: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,
}
