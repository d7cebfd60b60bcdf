//! A page for the teacher: who has how many points, and what most have failed.

use std::fs;
use std::path::Path;

use maud::{Markup, html};

use super::Class;
use super::feedback::{file_name, framed};
use super::ledger::{Graded, State};
use crate::report::Verdict;
use crate::task::Task;
use xtask::Failure;

/// Writes `summary.html`.
pub(crate) fn write(class: &Class, folder: &Path) -> Result<(), Failure> {
    let path = folder.join("summary.html");
    fs::write(&path, page(class)).map_err(Failure::file(format_args!("write {}", path.display())))
}

/// How many of those that were checked fail a check.
struct Failed<'a> {
    task: &'a Task,
    check: &'static str,
    statement: &'static str,
    count: usize,
    of: usize,
}

fn page(class: &Class) -> String {
    let body = html! {
        h1 { "Grades" }
        p.total { (counted(class)) }
        (attention(class))
        section { h2 { "What most fail" } (failures(class)) }
        section { h2 { "Students" } (students(class)) }
        section { (effort(class)) }
    };
    framed("Grades", &body)
}

fn counted(class: &Class) -> String {
    let count = |state| class.graded.values().filter(|graded| graded.state == state).count();
    let some = |number: usize, noun| match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    };
    let (students, exercises) = (class.students.len(), class.tasks.len());
    let checked = some(count(State::Checked), "submission");
    let (students, exercises) = (some(students, "student"), some(exercises, "exercise"));
    let mut text = format!("{students}, {exercises}: {checked} checked");
    for (state, what) in [
        (State::BuildError, "not compiled"),
        (State::NotSubmitted, "not handed in"),
        (State::NotTaken, "not taken"),
        (State::NotGraded, "not graded"),
    ] {
        match count(state) {
            0 => {}
            count => text += &format!(", {count} {what}"),
        }
    }
    text
}

/// What a person has to look at.
fn attention(class: &Class) -> Markup {
    let needs = |graded: &&Graded| {
        matches!(graded.state, State::NotTaken | State::NotGraded) || !graded.left.is_empty()
    };
    let graded: Vec<&Graded> = class.graded.values().filter(needs).collect();
    html! {
        @if !graded.is_empty() {
            section {
                h2 { "To look at" }
                ul {
                    @for graded in graded {
                        li {
                            (graded.student) " " (graded.exercise) ": " (graded.sum())
                            @if !graded.left.is_empty() { "; not taken: " (graded.left.join(", ")) }
                        }
                    }
                }
            }
        }
    }
}

fn failures(class: &Class) -> Markup {
    let mut all = Vec::new();
    for task in &class.tasks {
        for check in task.code.checks {
            let submissions = class.students.iter().filter_map(|student| class.of(student, task));
            let marks = submissions.flat_map(|graded| &graded.checks);
            let own = marks.filter(|mark| mark.report.check == check.id);
            let (mut count, mut of) = (0, 0);
            for mark in own {
                of += 1;
                count += usize::from(mark.report.verdict != Verdict::Pass);
            }
            all.push(Failed { task, check: check.id, statement: check.statement, count, of });
        }
    }
    // By share; a check that nobody could fail is no row.
    all.retain(|failed| failed.count > 0);
    all.sort_by(|a, b| (b.count * a.of).cmp(&(a.count * b.of)));
    html! {
        @if all.is_empty() { p { "Nobody fails a check." } }
        table {
            @for Failed { task, check, statement, count, of } in all {
                tr {
                    td { (task.id()) " " b { (check) } br; (statement) }
                    td.bar { div style=(format!("width: {}%", count * 100 / of)) {} }
                    td.number { (count) " of " (of) }
                }
            }
        }
    }
}

fn students(class: &Class) -> Markup {
    let shown = |points: Option<u32>| points.map_or("?".to_owned(), |points| points.to_string());
    html! {
        table {
            tr {
                th { "student" }
                @for task in &class.tasks { th.number { (task.id()) } }
                th.number { "of " (class.most()) }
            }
            @for student in &class.students {
                tr {
                    td { a href=(format!("feedback/{}.html", file_name(student))) { (student) } }
                    @for task in &class.tasks {
                        td.number { (shown(class.of(student, task).and_then(Graded::points))) }
                    }
                    td.number { b { (shown(class.total(student))) } }
                }
            }
        }
    }
}

/// What grading took.
fn effort(class: &Class) -> Markup {
    let ran: Vec<&Graded> = class.graded.values().filter(|graded| graded.seconds > 0.0).collect();
    let seconds: f64 = ran.iter().map(|graded| graded.seconds).sum();
    let most = ran.iter().map(|graded| graded.memory).max().unwrap_or(0);
    html! {
        @if !ran.is_empty() {
            p.note {
                (format!(
                    "A submission took {:.1} s on average, compiled and checked; the largest process was {} MiB.",
                    seconds / f64::from(u32::try_from(ran.len()).unwrap_or(u32::MAX)),
                    most / 1024,
                ))
            }
        }
    }
}
