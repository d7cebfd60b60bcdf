//! The command line.

use argh::{ArgsInfo, FromArgs};

/// Show why a request of two small writes is slow, and what ends the wait.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name}")]
#[argh(example = "{command_name} --json")]
pub(crate) struct Args {
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}
