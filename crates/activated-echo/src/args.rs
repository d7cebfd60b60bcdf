//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::number::whole;
use netcore::port::ListenPort;
use netcore::time::{Span, Timeout};

/// Echo what each peer sends, on a listener that outlives its server. With --port it is the launcher, which
/// holds the listener and starts this program as the server when a client comes.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --port 7777 --idle-exit 1s --json")]
pub(crate) struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p')]
    pub(crate) port: Option<ListenPort>,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    pub(crate) host: Host,
    /// connections that the kernel may queue (net.core.somaxconn)
    #[argh(option, arg_name = "n", default = "i32::MAX", from_str_fn(whole))]
    pub(crate) backlog: i32,
    /// serve the connection that is standard input, as inetd passes it
    #[argh(switch)]
    pub(crate) inetd: bool,
    /// time without a client after which the server ends (30s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(30)")]
    pub(crate) idle_exit: Timeout,
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    pub(crate) idle_timeout: Timeout,
    /// time that clients have to finish after SIGTERM (5s)
    #[argh(option, arg_name = "time", default = "Span::seconds(5)")]
    pub(crate) grace: Span,
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
