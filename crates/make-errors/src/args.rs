//! The command line.

use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use crate::report::{CASES, Case};

/// Make twelve socket errors on this machine, and say what each one means.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name}")]
#[argh(example = "{command_name} --case refused")]
pub(crate) struct Args {
    /// error to make (all): a name, all, or list for the names
    #[argh(option, arg_name = "case", default = "Wanted::All")]
    pub(crate) case: Wanted,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

/// What `--case` asks for.
pub(crate) enum Wanted {
    List,
    All,
    One(&'static Case),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        match text {
            "list" => Ok(Wanted::List),
            "all" => Ok(Wanted::All),
            name => {
                let case = CASES.iter().find(|case| case.name == name).map(Wanted::One);
                case.ok_or_else(|| "write all, or a name that --case list prints".to_owned())
            }
        }
    }
}
