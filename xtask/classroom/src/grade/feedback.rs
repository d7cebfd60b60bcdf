//! A page for each student, in Markdown and as HTML that needs nothing beside it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Class;
use super::ledger::{Graded, Marked, State};
use super::tables::{said, statement};
use crate::report::Verdict;
use crate::task::Task;
use xtask::Failure;

/// How all pages look.
const STYLE: &str = include_str!("pages.css");

/// Writes them.
pub(crate) fn write(class: &Class, folder: &Path) -> Result<(), Failure> {
    let place = folder.join("feedback");
    fs::create_dir_all(&place).map_err(Failure::file(format_args!("make {}", place.display())))?;
    for student in &class.students {
        let name = file_name(student);
        let pages = [("md", markdown(class, student)), ("html", page(class, student))];
        for (kind, text) in pages {
            let path = place.join(format!("{name}.{kind}"));
            fs::write(&path, text)
                .map_err(Failure::file(format_args!("write {}", path.display())))?;
        }
    }
    Ok(())
}

/// A name for the file of a student: letters, digits, `-`, `_` and dots within. Two students have never the same.
pub(crate) fn file_name(student: &str) -> String {
    const MOST: usize = 60;
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = student.chars().map(plain).take(MOST).collect();
    if name == student && !name.starts_with('.') {
        return name;
    }
    let mut hasher = DefaultHasher::new();
    student.hash(&mut hasher);
    format!("{}-{:08x}", name.replacen('.', "_", 1), hasher.finish() & 0xffff_ffff)
}

/// `16 of 30 points`.
fn total(class: &Class, student: &str) -> String {
    match class.total(student) {
        Some(points) => format!("{points} of {} points", class.most()),
        None => "not all could be graded".to_owned(),
    }
}

/// Why a check is asked for.
fn why<'a>(task: &'a Task, check: &Marked) -> &'a str {
    let worth = task.spec.check.iter().find(|worth| worth.id == check.report.check);
    worth.map_or("", |worth| &worth.why)
}

/// What is said of a submission as a whole, where there are no checks to show.
fn remark(graded: &Graded) -> &'static str {
    match graded.state {
        State::Checked => "",
        State::BuildError => "It does not build. The compiler says:",
        State::NotTaken => "Nothing was taken of it:",
        State::NotSubmitted => "Nothing was handed in.",
        State::NotGraded => {
            "It could not be graded, which says nothing about it: the machine failed."
        }
    }
}

fn markdown(class: &Class, student: &str) -> String {
    let mut text = format!("# {}\n\n{}\n", escaped(student), total(class, student));
    for task in &class.tasks {
        let Some(graded) = class.of(student, task) else { continue };
        let points = match graded.points() {
            Some(points) => format!("{points} of {} points", graded.of),
            None => "not graded".to_owned(),
        };
        text += &format!("\n## {}: {}\n\n{points}\n", task.id(), task.spec.title);
        if graded.state != State::Checked {
            text += &format!("\n{}\n", remark(graded));
            if !graded.message.is_empty() && graded.state != State::NotGraded {
                text += &fenced(&graded.message);
            }
        }
        for file in &graded.left {
            text += &format!("\n{}\n", escaped(&format!("Not taken: {file}")));
        }
        for check in &graded.checks {
            let mark = if check.report.verdict == Verdict::Pass { "ok" } else { "**NO**" };
            let statement = escaped(statement(task, check));
            let [id, points, of] =
                [check.report.check.clone(), check.points.to_string(), check.of.to_string()];
            text += &format!("\n- {mark} {id}, {points} of {of}: {statement}\n");
            if check.report.verdict != Verdict::Pass {
                let said = said(check, class.detail);
                let lines = said.iter().map(|(label, text)| {
                    // The next lines below the first.
                    format!("{label:8}  {}", text.replace('\n', "\n          "))
                });
                let lines = lines.collect::<Vec<_>>().join("\n");
                if !lines.is_empty() {
                    text += &fenced(&lines);
                }
                text += &format!("\n{}\n", escaped(why(task, check)));
            }
        }
    }
    text
}

/// A block of code that its text cannot end.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("\n{fence}text\n{}\n{fence}\n", visible(text))
}

/// Text in which nothing is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in visible(text).chars() {
        if r"\`*_{}[]<>#|~&!".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Without what a page or a terminal would obey: a program, or a compiler that quotes it, wrote parts.
pub(crate) fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => "\n".to_owned(),
        '\t' => "    ".to_owned(),
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            c.escape_unicode().to_string()
        }
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A page with that title.
pub(crate) fn framed(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

fn page(class: &Class, student: &str) -> String {
    let exercises = class.tasks.iter().filter_map(|task| Some((task, class.of(student, task)?)));
    let body = html! {
        h1 { (student) }
        p.total { (total(class, student)) }
        @for (task, graded) in exercises {
            section { (exercise(class, task, graded)) }
        }
    };
    framed(student, &body)
}

fn exercise(class: &Class, task: &Task, graded: &Graded) -> Markup {
    html! {
        header {
            h2 { (task.spec.title) " " small { (task.id()) } }
            (bar(graded))
        }
        @if graded.state != State::Checked {
            p { (remark(graded)) }
            @if !graded.message.is_empty() && graded.state != State::NotGraded {
                pre { (visible(&graded.message)) }
            }
        }
        @for file in &graded.left { p.note { "Not taken: " (file) } }
        @if !graded.checks.is_empty() {
            ol.checks {
                @for check in &graded.checks {
                    @let is_pass = check.report.verdict == Verdict::Pass;
                    li.pass[is_pass].fail[!is_pass] {
                        p {
                            span.mark { @if is_pass { "✓" } @else { "✗" } }
                            " " (statement(task, check)) " "
                            span.points { (check.points) " of " (check.of) }
                        }
                        @if !is_pass { (details(class, task, check)) }
                    }
                }
            }
        }
    }
}

fn details(class: &Class, task: &Task, check: &Marked) -> Markup {
    html! {
        dl {
            @for (label, text) in said(check, class.detail) {
                dt { (label) }
                dd { @if label == "again" { pre { (visible(&text)) } } @else { (visible(&text)) } }
            }
        }
        p.why { (why(task, check)) }
    }
}

/// The points of an exercise, as a number and as a length.
fn bar(graded: &Graded) -> Markup {
    html! {
        @match graded.points() {
            Some(points) => {
                span.points { (points) " of " (graded.of) " points" }
                meter min="0" max=(graded.of) value=(points) {}
            }
            None => span.points { "not graded" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_student_has_a_file_of_their_own_in_the_folder() {
        assert_eq!(file_name("Jürgen.Müller-2"), "Jürgen.Müller-2");
        let hostile = [".", "..", "...", "a/b", "a_b", "a b", "=1", "", &"x".repeat(300)];
        let names: Vec<String> = hostile.iter().map(|name| file_name(name)).collect();
        for name in &names {
            assert!(!name.starts_with('.') && !name.contains('/') && name.len() < 100, "{name}");
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{names:?}");
        }
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert!(fenced("a\n```\n# b").starts_with("\n````text\n"));
        assert_eq!(escaped("<b>*x*"), r"\<b\>\*x\*");
        assert_eq!(visible("a\x1b[2J\u{202e}"), r"a\u{1b}[2J\u{202e}");
    }
}
