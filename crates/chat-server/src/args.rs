//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::number::{at_least_one, whole};
use netcore::port::ListenPort;
use netcore::time::{Span, Timeout};

/// Send what each client says to all clients, in one thread that waits for none of them.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --history 20")]
#[argh(example = "{command_name} --port 0 --max-clients 8 --queue 50")]
pub(crate) struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p')]
    pub(crate) port: ListenPort,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    pub(crate) host: Host,
    /// connections that the kernel may queue (net.core.somaxconn)
    #[argh(option, arg_name = "n", default = "i32::MAX", from_str_fn(whole))]
    pub(crate) backlog: i32,
    /// clients at once (2000)
    #[argh(option, arg_name = "n", default = "2000", from_str_fn(at_least_one))]
    pub(crate) max_clients: usize,
    /// clients at once of one address (no limit)
    #[argh(option, arg_name = "n", default = "usize::MAX", from_str_fn(at_least_one))]
    pub(crate) max_per_source: usize,
    /// longest silence of a peer (1h), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(3600)")]
    pub(crate) idle_timeout: Timeout,
    /// time that clients have to finish after SIGTERM (5s)
    #[argh(option, arg_name = "time", default = "Span::seconds(5)")]
    pub(crate) grace: Span,
    /// messages said before that a new client receives (0)
    #[argh(option, arg_name = "n", default = "0", from_str_fn(whole))]
    pub(crate) history: usize,
    /// messages that may wait for a client before it is dropped (256)
    #[argh(option, arg_name = "n", default = "256", from_str_fn(at_least_one))]
    pub(crate) queue: usize,
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

impl Args {
    /// The history goes into the queue of each new client, and has to leave room there.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Args { history, queue, .. } = self;
        let why = format!("--history {history}: has to be less than --queue {queue}");
        if history < queue { Ok(()) } else { Err(Error::Usage(why)) }
    }
}
