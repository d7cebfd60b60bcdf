//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::number::{at_least_one, whole};
use netcore::pattern::pattern;
use netcore::port::Port;
use netcore::time::{Span, Timeout};

/// What is sent when nothing else is given.
const MESSAGE: &str = "Test message. This will be echoed";

/// Send, and check what comes back byte for byte.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 'Hello, server'")]
#[argh(example = "{command_name} --port 7777 --stdin < /etc/services > copy")]
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
    /// longest time for a request, from the name to the last byte of its reply (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    pub(crate) idle_timeout: Timeout,
    /// send standard input; what comes back goes to standard output
    #[argh(switch)]
    pub(crate) stdin: bool,
    /// send this many bytes of a pattern
    #[argh(option, arg_name = "bytes", from_str_fn(whole))]
    pub(crate) size: Option<u32>,
    /// seed of the pattern (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(whole))]
    pub(crate) seed: u64,
    /// send everything this many times (1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(at_least_one))]
    pub(crate) count: u32,
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
    /// what to send, one after the other
    #[argh(positional)]
    pub(crate) message: Vec<String>,
}

impl Args {
    /// There is one source of what is sent, and standard input is read once.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let sources = [self.stdin, self.size.is_some(), !self.message.is_empty()];
        if sources.into_iter().filter(|given| *given).count() > 1 || self.stdin && self.count != 1 {
            return Err(Error::Usage(
                "--stdin, --size, messages: one of them, --stdin once".into(),
            ));
        }
        Ok(())
    }

    /// What is sent, without --stdin.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        match self.size {
            Some(size) => vec![pattern(self.seed, size)],
            None if self.message.is_empty() => vec![MESSAGE.into()],
            None => self.message.iter().map(|message| message.clone().into_bytes()).collect(),
        }
    }
}
