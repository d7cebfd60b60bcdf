//! `cargo xtask exercise reset`.

use std::fs;
use std::path::PathBuf;

use argh::FromArgs;

use crate::place;
use crate::starter;
use xtask::{Failure, Output};

/// Begin an exercise anew; what was written is kept beside it.
#[derive(FromArgs)]
#[argh(subcommand, name = "reset")]
pub struct Args {
    /// the exercise, or its folder; the one of this folder by default
    #[argh(positional)]
    id: Option<String>,
}

/// Moves `src` away, and writes the starter again.
///
/// # Errors
/// There is no such exercise or folder, or a file cannot be written.
pub fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let (task, folder) = place::find(args.id.as_deref())?;
    let sources = folder.join("src");
    // The first number that is free: a clock may go back, and two resets may share a second.
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    let numbered = (1..).map(|number| folder.join(format!("src.{number}")));
    let kept = numbered.into_iter().find(is_free).unwrap_or_else(|| folder.join("src.old"));
    let was_there = sources.symlink_metadata().is_ok();
    if was_there {
        fs::rename(&sources, &kept)
            .map_err(Failure::file(format_args!("move {}", sources.display())))?;
        out.line(format_args!("kept what you wrote in {}", kept.display()))?;
    }
    starter::write(&task, &task.stubs()?, &folder)?;
    out.line(format_args!("{}: begun anew in {}", task.id(), folder.display()))?;
    Ok(true)
}
