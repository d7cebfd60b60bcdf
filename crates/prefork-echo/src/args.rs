//! The command line.

use argh::{ArgsInfo, FromArgs};
use nix::unistd::getpid;

use netcore::addr::Host;
use netcore::number::{at_least_one, whole};
use netcore::port::ListenPort;
use netcore::time::{Span, Timeout};

/// Echo what each peer sends, with processes that were forked before the clients came.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --show-pid")]
#[argh(example = "{command_name} --port 0 --workers 2 --reuse-port")]
#[argh(example = "{command_name} --port 0 --clients-per-worker 1")]
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
    /// worker processes, and so clients at once (8)
    #[argh(option, arg_name = "n", default = "8", from_str_fn(at_least_one))]
    pub(crate) workers: u16,
    /// clients that a worker serves before it ends, and another takes its place (no limit)
    #[argh(option, arg_name = "n", default = "u64::MAX", from_str_fn(at_least_one))]
    pub(crate) clients_per_worker: u64,
    /// a listener for each worker, on the same port
    #[argh(switch)]
    pub(crate) reuse_port: bool,
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    pub(crate) idle_timeout: Timeout,
    /// time that clients have to finish after SIGTERM (5s)
    #[argh(option, arg_name = "time", default = "Span::seconds(5)")]
    pub(crate) grace: Span,
    /// begin each reply with the pid of its process
    #[argh(switch)]
    pub(crate) show_pid: bool,
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
    /// What follows the address in the readiness line.
    pub(crate) fn shown_pid(&self) -> String {
        if self.show_pid { format!(", pid {}", getpid()) } else { String::new() }
    }
}
