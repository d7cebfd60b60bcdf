//! The grades for other programs: `grades.csv`, `junit.xml`, and a `results.json` of Gradescope for each student.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::ledger::{Graded, Marked, State};
use super::{Class, Detail, feedback};
use crate::report::Verdict;
use xtask::Failure;

/// Writes all three.
pub(crate) fn write(class: &Class, folder: &Path) -> Result<(), Failure> {
    let put = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Failure::file(format_args!("write {}", path.display())))
    };
    put("grades.csv", &grades(class).map_err(Failure::file("write grades.csv"))?)?;
    put("junit.xml", junit(class).as_bytes())?;
    let place = folder.join("gradescope");
    fs::create_dir_all(&place).map_err(Failure::file(format_args!("make {}", place.display())))?;
    for student in &class.students {
        let text = format!("{:#}\n", gradescope(class, student));
        put(&format!("gradescope/{}.json", feedback::file_name(student)), text.as_bytes())?;
    }
    Ok(())
}

/// A line a student: the points of each exercise, their sum, and all points that there are. What could not be
/// graded is empty.
fn grades(class: &Class) -> io::Result<Vec<u8>> {
    let shown = |points: Option<u32>| points.map(|points| points.to_string()).unwrap_or_default();
    let mut table = csv::Writer::from_writer(Vec::new());
    let ids = class.tasks.iter().map(|task| task.id());
    table.write_record(["student"].into_iter().chain(ids).chain(["total", "of"]))?;
    for student in &class.students {
        let points = class.tasks.iter().map(|task| class.of(student, task)?.points());
        let mut record = vec![no_formula(student)];
        record.extend(points.map(shown));
        record.extend([shown(class.total(student)), class.most().to_string()]);
        table.write_record(record)?;
    }
    table.into_inner().map_err(|why| io::Error::other(why.to_string()))
}

/// A spreadsheet takes what begins so for a formula, and runs it.
fn no_formula(name: &str) -> String {
    let is_one = name.starts_with(['=', '+', '-', '@']);
    if is_one { format!("'{name}") } else { name.to_owned() }
}

/// What is said of a check, as far as students read it.
pub(crate) fn said(check: &Marked, detail: Detail) -> Vec<(&'static str, String)> {
    let report = &check.report;
    let mut said = Vec::new();
    let mut add = |label, text: &str| {
        if !text.is_empty() {
            said.push((label, text.to_owned()));
        }
    };
    let how = match report.verdict {
        Verdict::Crash => " (it crashed)",
        Verdict::Timeout => " (timeout)",
        _ => "",
    };
    if detail >= Detail::Got && report.verdict != Verdict::Pass {
        add("expected", &report.expected);
        add("got", &format!("{}{how}", report.got));
    }
    if detail == Detail::Full {
        add("evidence", &report.evidence);
        if report.verdict != Verdict::Pass {
            add("again", &report.again.join("\n"));
        }
    }
    said
}

fn text_of(check: &Marked, detail: Detail) -> String {
    let lines = said(check, detail).into_iter().map(|(label, text)| format!("{label}: {text}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A suite for each submission.
fn junit(class: &Class) -> String {
    let mut all = Report::new("grades");
    for student in &class.students {
        for task in &class.tasks {
            let Some(graded) = class.of(student, task) else { continue };
            let name = format!("{student}/{}", task.id());
            let mut suite = TestSuite::new(name.clone());
            suite.set_time(Duration::from_secs_f64(graded.seconds));
            for (id, status) in cases(graded, class.detail) {
                let mut case = TestCase::new(id, status);
                case.set_classname(name.clone());
                suite.add_test_case(case);
            }
            all.add_test_suite(suite);
        }
    }
    all.to_string().unwrap_or_default()
}

fn cases(graded: &Graded, detail: Detail) -> Vec<(String, TestCaseStatus)> {
    let failed = |kind, message: String, text: String| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message).set_description(text);
        status
    };
    let kind = match graded.state {
        State::Checked => {
            let status = |check: &Marked| match check.report.verdict {
                Verdict::Pass => TestCaseStatus::success(),
                _ => {
                    let text = text_of(check, detail);
                    let first = text.lines().next().unwrap_or_default().to_owned();
                    failed(NonSuccessKind::Failure, first, text)
                }
            };
            let checks = graded.checks.iter();
            return checks.map(|check| (check.report.check.clone(), status(check))).collect();
        }
        State::NotGraded => NonSuccessKind::Error,
        _ => NonSuccessKind::Failure,
    };
    vec![("submission".to_owned(), failed(kind, graded.sum(), graded.message.clone()))]
}

/// What Gradescope reads: <https://gradescope-autograders.readthedocs.io/en/latest/specs/>.
fn gradescope(class: &Class, student: &str) -> Value {
    let mut tests = Vec::new();
    for task in &class.tasks {
        let Some(graded) = class.of(student, task) else { continue };
        if graded.state != State::Checked {
            tests.push(json!({
                "name": task.id(), "score": 0, "max_score": graded.of, "status": "failed",
                "output": format!("{}\n{}", graded.sum(), graded.message), "output_format": "text",
            }));
        }
        for check in &graded.checks {
            let is_pass = check.report.verdict == Verdict::Pass;
            tests.push(json!({
                "name": format!("{} {}: {}", task.id(), check.report.check, statement(task, check)),
                "score": check.points, "max_score": check.of,
                "status": if is_pass { "passed" } else { "failed" },
                "output": text_of(check, class.detail), "output_format": "text",
            }));
        }
    }
    // Without a score of the whole Gradescope adds those of the tests up.
    let note = match class.total(student) {
        Some(_) => "",
        None => {
            "Not all could be graded: the machine failed, which says nothing about the submission."
        }
    };
    json!({ "output": note, "tests": tests, "stdout_visibility": "hidden" })
}

/// What is true of a program that passes.
pub(crate) fn statement(task: &crate::Task, check: &Marked) -> &'static str {
    let mut known = task.code.checks.iter();
    known.find(|known| known.id == check.report.check).map_or("", |known| known.statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_formula() {
        for name in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)"] {
            assert_eq!(no_formula(name), format!("'{name}"));
        }
        assert_eq!(no_formula("O'Hara-Smith"), "O'Hara-Smith");
    }
}
