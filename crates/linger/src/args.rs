//! The command line.

use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use crate::report::{CASES, Case};

/// Close a TCP connection in five ways, and show what its peer still receives.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name}")]
#[argh(example = "{command_name} --case unread")]
pub(crate) struct Args {
    /// way to close (all): close, unread, linger-0, linger-1s, drain, or all
    #[argh(option, arg_name = "case", default = "Wanted(&CASES)")]
    pub(crate) case: Wanted,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

/// What `--case` asks for.
pub(crate) struct Wanted(pub(crate) &'static [Case]);

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        if text == "all" {
            return Ok(Wanted(&CASES));
        }
        let case = CASES.iter().find(|case| case.name == text);
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        let case = case.ok_or_else(|| format!("write {} or all", names.join(", ")))?;
        Ok(Wanted(std::slice::from_ref(case)))
    }
}
