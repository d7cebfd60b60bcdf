//! `cargo xtask exercise reset`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use argh::FromArgs;

use crate::bundle;
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
    if sources.symlink_metadata().is_ok() {
        let kept = dated(&folder)?;
        fs::rename(&sources, &kept)
            .map_err(Failure::file(format_args!("move {}", sources.display())))?;
        out.line(format_args!("kept what you wrote in {}", kept.display()))?;
    }
    // A bundle keeps its settings: they are about the machine that it is on.
    match bundle::is_one(&folder) {
        true => starter::write_sources(&task.stubs()?, &folder)?,
        false => starter::write(&task, &task.stubs()?, &folder)?,
    }
    out.line(format_args!("{}: begun anew in {}", task.id(), folder.display()))?;
    Ok(true)
}

/// A name for what is kept: `src.2026-11-30.134500`.
fn dated(folder: &Path) -> Result<PathBuf, Failure> {
    let output = Command::new("date").arg("+%Y-%m-%d.%H%M%S").output();
    let output = output.map_err(Failure::program("run date"))?;
    let path = folder.join(format!("src.{}", String::from_utf8_lossy(&output.stdout).trim()));
    // A clock may go back, and two resets may share a second.
    let numbered = (2..1000).map(|number| folder.join(format!("{}.{number}", path.display())));
    let mut names = std::iter::once(path.clone()).chain(numbered);
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    names.find(is_free).ok_or_else(|| Failure::File(format!("{} exists", path.display())))
}
