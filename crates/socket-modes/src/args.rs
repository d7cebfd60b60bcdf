//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::time::Timeout;

/// Make the same calls blocking and non-blocking, and show what each of them returns and when.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name}")]
#[argh(example = "{command_name} --timeout none --json")]
pub(crate) struct Args {
    /// longest wait for a peer that stays silent (200ms), or none
    #[argh(option, arg_name = "time", default = "Timeout::milliseconds(200)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}
