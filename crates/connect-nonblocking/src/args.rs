//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::time::Timeout;

/// Connect without waiting in the call, and show how and when the connection was made or refused.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name}")]
#[argh(example = "{command_name} --json")]
pub(crate) struct Args {
    /// connect to a peer that does not answer, until Ctrl-C or --timeout
    #[argh(switch)]
    pub(crate) cancel: bool,
    /// longest wait for a connection (none)
    #[argh(option, arg_name = "time")]
    pub(crate) timeout: Option<Timeout>,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}
