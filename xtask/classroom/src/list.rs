//! `cargo xtask exercise list`.

use std::env;
use std::fmt::Write;
use std::path::Path;

use argh::FromArgs;
use serde_json::json;

use crate::course;
use crate::place::{exercise_in, progress};
use crate::task::Task;
use xtask::{Failure, Output};

/// List the exercises, in the order of the course, and how far those are that were started here.
#[derive(FromArgs)]
#[argh(subcommand, name = "list")]
pub struct Args {
    /// JSON Lines
    #[argh(switch)]
    json: bool,

    /// the whole course and what its checks catch, as docs/exercises.md
    #[argh(switch)]
    markdown: bool,

    /// only those that can be done in any language
    #[argh(switch)]
    any: bool,
}

/// Prints a line for each exercise.
///
/// # Errors
/// A file of an exercise is wrong.
pub fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let here = env::current_dir().map_err(Failure::file("find the current folder"))?;
    // In an exercise its neighbours are meant.
    let here = match exercise_in(&here) {
        Some(_) => here.parent().unwrap_or(&here),
        None => &here,
    };
    let tasks = Task::all()?;
    if args.markdown {
        out.begin(course::text(&tasks))?;
        return Ok(true);
    }
    let width = tasks.iter().map(|task| task.id().len()).max().unwrap_or(0);
    let titles = tasks.iter().map(|task| task.spec.title.len()).max().unwrap_or(0);
    for (number, task) in (1..).zip(&tasks) {
        if args.any && task.spec.only_here.is_some() {
            continue;
        }
        let (id, spec) = (task.id(), &task.spec);
        let state = state(task, here);
        let mut line = String::new();
        if args.json {
            let object = json!({
                "type": "exercise", "number": number, "id": id, "title": spec.title,
                "level": spec.level, "minutes": spec.minutes, "points": spec.points,
                "after": spec.after, "recipe": task.code.recipe, "state": state,
                "any_language": spec.only_here.is_none(),
            });
            line = object.to_string();
        } else {
            let _ = write!(line, "{number:>3}  {id:width$}  {:titles$}  ", spec.title);
            let _ = write!(line, "level {}  {:>3} min  ", spec.level, spec.minutes);
            let _ = write!(line, "{:>2} points  {state}", spec.points);
        }
        out.line(line)?;
    }
    Ok(true)
}

fn state(task: &Task, here: &Path) -> String {
    let folder = here.join(task.id());
    match progress(&folder) {
        Some(progress) if progress.done => "done".to_owned(),
        Some(progress) => format!("{} of {}", progress.points, task.spec.points),
        None if exercise_in(&folder).is_some() => "started".to_owned(),
        None => "new".to_owned(),
    }
}
