//! `docs/exercises.md`: the course, and which check catches which wrong solution, as the files of the exercises
//! say it. `verify` finds out whether that is so.

use std::fmt::Write;
use std::fs;

use netcheck::workspace;

use crate::task::{Mutant, Task};
use xtask::Failure;

/// The file, from the workspace's root.
const FILE: &str = "docs/exercises.md";

/// What writes it.
const COMMAND: &str = "cargo xtask exercise list --markdown > docs/exercises.md";

/// The text of the file.
pub(crate) fn text(tasks: &[Task]) -> String {
    let mutants: usize = tasks.iter().map(|task| task.spec.mutant.len()).sum();
    let mut text = format!(
        "# The exercises\n\n\
         {} exercises, {mutants} wrong solutions. This file is made by `{COMMAND}`.\n\n\
         | exercise | title | level | minutes | points | recipe | after | languages |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        tasks.len(),
    );
    for task in tasks {
        let (id, recipe, spec) = (task.id(), task.code.recipe, &task.spec);
        let (title, level, minutes, points) = (&spec.title, spec.level, spec.minutes, spec.points);
        let after = spec.after.join(", ");
        let languages = if spec.only_here.is_none() { "any" } else { "Rust" };
        let _ = writeln!(
            text,
            "| [`{id}`](../crates/{recipe}/exercises/{id}.md) | {title} | {level} | {minutes} | {points} | \
             `{recipe}` | {after} | {languages} |"
        );
    }
    text += "\n## Which check catches what\n\n\
             A row is a wrong solution, a column a check: × is where it fails. A check with 0 points is a \
             precondition.\n\
             `cargo xtask exercise verify --matrix` runs each solution against each check; the right solutions pass \
             all.\n";
    for task in tasks {
        text += &matrix(task);
    }
    text
}

/// The checks of one exercise, and its mutants against them.
fn matrix(task: &Task) -> String {
    let mut text = format!("\n### {}\n\n", task.id());
    for check in task.code.checks {
        let points = task.worth(check).map_or(0, |worth| worth.points);
        let _ = writeln!(text, "- `{}` ({points}): {}", check.id, check.statement);
    }
    let row = |first: &str, cells: &mut dyn Iterator<Item = &str>| {
        format!("| {first} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let checks = || task.code.checks.iter();
    text += "\n";
    text += &row("", &mut checks().map(|check| check.id));
    text += &row("---", &mut checks().map(|_| "---"));
    for Mutant { id, caught_by, .. } in &task.spec.mutant {
        let is_caught = |check: &str| caught_by.iter().any(|by| by == check);
        text += &row(id, &mut checks().map(|check| if is_caught(check.id) { "×" } else { "" }));
    }
    text
}

/// What is wrong with the file, if it is not as it would be written now.
///
/// # Errors
/// It cannot be read.
pub(crate) fn difference(tasks: &[Task]) -> Result<Option<String>, Failure> {
    let path = workspace().join(FILE);
    let old = fs::read_to_string(&path);
    let old = old.map_err(Failure::file(format_args!("read {}", path.display())))?;
    Ok((old != text(tasks)).then(|| format!("{FILE} is out of date: {COMMAND}")))
}
