//! `cargo xtask exercise start`.

use std::path::PathBuf;

use argh::FromArgs;

use crate::bundle;
use crate::starter;
use crate::task::Task;
use xtask::{Failure, Output};

/// Write an exercise into a new folder.
#[derive(FromArgs)]
#[argh(subcommand, name = "start")]
pub struct Args {
    /// the exercise
    #[argh(positional)]
    id: String,

    /// the folder in which ./ID is made (.)
    #[argh(option, arg_name = "dir")]
    into: Option<PathBuf>,

    /// with all that it is built from, for a machine without this workspace and without a network
    #[argh(switch)]
    bundle: bool,
}

/// Writes the starter, and says what to do next.
///
/// # Errors
/// There is no such exercise, there is such a folder, or a file cannot be written.
pub fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let task = Task::find(&args.id)?;
    let (id, spec) = (task.id(), &task.spec);
    let folder = args.into.as_ref().map_or_else(|| id.into(), |into| into.join(id));
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::Usage(format!(
            "{} exists; nothing was written (cargo xtask exercise reset begins anew)",
            folder.display()
        )));
    }
    let write = if args.bundle { bundle::write } else { starter::write };
    write(&task, &task.stubs()?, &folder)?;
    let hole = starter::first_hole(&task)?;
    out.line(format_args!(
        "{id}: {} (level {}, about {} minutes, {} points)\n\n  task       {}\n  your part  {}\n\n\
         next: cargo xtask exercise check {}",
        spec.title,
        spec.level,
        spec.minutes,
        spec.points,
        folder.join("README.md").display(),
        folder.join(hole).display(),
        folder.display(),
    ))?;
    Ok(true)
}
