//! The command line.

use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};
use nix::unistd::getpid;

use netcore::addr::Host;
use netcore::number::{at_least_one, whole};
use netcore::port::ListenPort;
use netcore::time::{Span, Timeout};

/// Echo what each peer sends, a process for each connection.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --show-pid")]
#[argh(example = "{command_name} --port 0 --max-clients 8 --when-full refuse")]
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
    /// clients at once (40)
    #[argh(option, arg_name = "n", default = "40", from_str_fn(at_least_one))]
    pub(crate) max_clients: usize,
    /// clients beyond that: wait in the queue, or refuse (wait)
    #[argh(option, arg_name = "what", default = "WhenFull::Wait")]
    pub(crate) when_full: WhenFull,
    /// clients at once of one address (no limit)
    #[argh(option, arg_name = "n", default = "usize::MAX", from_str_fn(at_least_one))]
    pub(crate) max_per_source: usize,
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

/// What becomes of a client when there are `--max-clients` already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// It stays in the kernel's queue until a child has ended.
    Wait,
    /// Its connection is closed at once.
    Refuse,
}

impl FromStr for WhenFull {
    type Err = String;

    fn from_str(text: &str) -> Result<WhenFull, String> {
        match text {
            "wait" => Ok(WhenFull::Wait),
            "refuse" => Ok(WhenFull::Refuse),
            _ => Err("write wait or refuse".to_owned()),
        }
    }
}
