//! The command line.

use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use netcore::time::{Span, Timeout};

/// Show four ways to stop waiting, and the peer that only one of them stops.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --timeout 200ms")]
#[argh(example = "{command_name} --timeout none --json")]
pub(crate) struct Args {
    /// longest wait for a peer that stays silent (200ms), or none
    #[argh(
        option,
        arg_name = "time",
        default = "Timeout::milliseconds(200)",
        from_str_fn(read_timeout)
    )]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

/// As in every recipe, but the error for 0 says what it would mean here.
fn read_timeout(text: &str) -> Result<Timeout, String> {
    match text.parse() {
        Ok(Span(Duration::ZERO)) => {
            Err("0 is no timeout to setsockopt and no wait to poll: write none, or a time".into())
        }
        _ => text.parse(),
    }
}
