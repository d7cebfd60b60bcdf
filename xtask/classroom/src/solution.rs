//! `cargo xtask exercise solution`.

use std::fs;
use std::io::{BufRead, stdin};

use argh::FromArgs;
use similar::TextDiff;

use crate::place::{self, progress};
use xtask::{Failure, Output};

/// Print what differs between the learner's files and the solution.
#[derive(FromArgs)]
#[argh(subcommand, name = "solution")]
pub struct Args {
    /// the exercise, or its folder; the one of this folder by default
    #[argh(positional)]
    id: Option<String>,

    /// ask no questions
    #[argh(switch)]
    yes: bool,
}

/// Asks twice, unless every check passed, and prints the difference.
///
/// # Errors
/// There is no such exercise or folder, or a file cannot be read.
pub fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let (task, folder) = place::find(args.id.as_deref())?;
    let progress = progress(&folder).unwrap_or_default();
    if !progress.done && !args.yes {
        let points = format!("{} of {} points", progress.points, task.spec.points);
        let first = format!("{points} so far, and there are hints. Show the solution? [y/N] ");
        let second = "It is worth more when it is your own. Show it all the same? [y/N] ";
        if !(agreed(&first, out)? && agreed(second, out)?) {
            out.line("not shown")?;
            return Ok(true);
        }
    }
    let solution = task.solution()?;
    let mut files: Vec<_> = task.spec.hole.iter().map(|hole| hole.file.as_str()).collect();
    files.dedup();
    for file in files {
        // What was deleted differs in every line.
        let own = fs::read_to_string(folder.join(file)).unwrap_or_default();
        let right = solution.get(file).map_or("", String::as_str);
        let difference = TextDiff::from_lines(own.as_str(), right);
        let mut text = difference.unified_diff();
        text.context_radius(3).header(&format!("yours/{file}"), &format!("solution/{file}"));
        // The last line may be a blank of the context: `patch` wants it.
        out.line(text.to_string().trim_end_matches('\n'))?;
    }
    Ok(true)
}

fn agreed(question: &str, out: &mut Output) -> Result<bool, Failure> {
    out.begin(question)?;
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    read.map_err(Failure::file("read the answer"))?;
    // Without one there is no newline on the screen either.
    if answer.is_empty() {
        out.line("")?;
    }
    Ok(matches!(answer.trim(), "y" | "yes"))
}
