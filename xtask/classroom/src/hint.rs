//! `cargo xtask exercise hint`.

use argh::FromArgs;

use crate::place::{self, progress};
use xtask::{Failure, Output};

/// Print the next hint for the first check that fails.
#[derive(FromArgs)]
#[argh(subcommand, name = "hint")]
pub struct Args {
    /// the exercise, or its folder; the one of this folder by default
    #[argh(positional)]
    id: Option<String>,
}

/// Prints the hints given so far, and one more.
///
/// # Errors
/// There is no such exercise or folder.
pub fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let (task, folder) = place::find(args.id.as_deref())?;
    let Some(mut progress) = progress(&folder) else {
        out.line("a hint is for a check that fails: run cargo xtask exercise check first")?;
        return Ok(true);
    };
    let Some(failed) = progress.failed.first() else {
        out.line(format_args!("{}: no check failed in the last run", task.id()))?;
        return Ok(true);
    };
    let check = task.check(failed)?;
    let hints = &task.worth(check)?.hints;
    let given = progress.hints.entry(failed.clone()).or_default();
    *given = hints.len().min(*given + 1);
    out.line(format_args!("{failed}: {}\n", check.statement))?;
    for (number, hint) in (1..).zip(hints.iter().take(*given)) {
        out.line(format_args!("  {number} of {}  {hint}", hints.len()))?;
    }
    if *given == hints.len() {
        out.line("\nno more hints; cargo xtask exercise solution shows the lines")?;
    }
    progress.save(&folder)?;
    Ok(true)
}
