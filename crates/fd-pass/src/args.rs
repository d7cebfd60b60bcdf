//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::port::ListenPort;
use netcore::time::{Span, Timeout};
use netcore::unix::Name;

/// Hand a live connection to another process, which serves it.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} @worker")]
#[argh(example = "{command_name} @worker --port 7777")]
pub(crate) struct Args {
    /// name to listen on, with --port to hand connections to: @ and an abstract name
    #[argh(positional, from_str_fn(abstract_name))]
    pub(crate) name: Name,
    /// the front: port to accept on, 0 for any that is free; without it: the worker
    #[argh(option, short = 'p')]
    pub(crate) port: Option<ListenPort>,
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
}

/// A path would outlive the worker, and take a lock, as unix-echo shows.
fn abstract_name(text: &str) -> Result<Name, String> {
    let name: Name = text.parse()?;
    if name.path().is_some() { Err("write @ and an abstract name".to_owned()) } else { Ok(name) }
}
