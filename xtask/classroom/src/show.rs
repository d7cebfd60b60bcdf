//! How reports are printed.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use scenarios::exercise::Check;
use serde_json::{Value, json};

use crate::report::{Report, Verdict};
use crate::task::Task;
use xtask::{Failure, Output};

/// What the checks of one run came to.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) points: u32,
    /// Points of checks that were not made.
    pub(crate) unchecked: u32,
    pub(crate) failed: Vec<String>,
    pub(crate) skipped: Vec<String>,
    pub(crate) broken: Vec<String>,
}

impl Sum {
    pub(crate) fn add(&mut self, points: u32, report: &Report) {
        let list = match report.verdict {
            Verdict::Pass => {
                self.points += points;
                return;
            }
            Verdict::Skipped => &mut self.skipped,
            Verdict::InfraError => &mut self.broken,
            Verdict::Fail | Verdict::Timeout | Verdict::Crash => &mut self.failed,
        };
        list.push(report.check.clone());
        if !report.is_failure() {
            self.unchecked += points;
        }
    }

    /// `6 of 10 points`, `8 of 10 points checked, 2 not checked`.
    pub(crate) fn line(&self, task: &Task, of: u32) -> String {
        let mut line = format!("{}: {} of {of} points", task.id(), self.points);
        if self.unchecked > 0 {
            line += &format!("; {} not checked", self.unchecked);
        }
        match self.failed.len() {
            0 => {}
            1 => line += ", 1 check fails",
            count => line += &format!(", {count} checks fail"),
        }
        line
    }
}

/// What is being done, on a terminal, until its result takes the line.
pub(crate) fn progress(text: &str, out: &mut Output) -> Result<(), Failure> {
    if stdout().is_terminal() { out.begin(format_args!("\r\x1b[K  ..  {text}")) } else { Ok(()) }
}

/// Makes room for a result.
pub(crate) fn clear(out: &mut Output) -> Result<(), Failure> {
    if stdout().is_terminal() { out.begin("\r\x1b[K") } else { Ok(()) }
}

/// One line of a check: what it says, and how it ended.
pub(crate) fn line(check: &Check, points: u32, report: &Report) -> String {
    let mark = match report.verdict {
        Verdict::Pass => "ok",
        Verdict::Skipped | Verdict::InfraError => "--",
        Verdict::Fail | Verdict::Timeout | Verdict::Crash => "NO",
    };
    let points = if points == 1 { "1 point ".to_owned() } else { format!("{points} points") };
    let mut line = format!("  {mark}  {points}  {}: {}", check.id, check.statement);
    match report.verdict {
        Verdict::Skipped => line += &format!("\n      skipped: {}", report.got),
        Verdict::InfraError => line += &format!("\n      not checked: {}", report.got),
        _ => {}
    }
    line
}

/// A failure in full. `again` are commands that show it.
pub(crate) fn details(why: &str, again: &[String], report: &Report) -> String {
    let mut lines = Vec::new();
    let mut add = |label: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("      {label:8}  {}", escaped(text)));
        }
    };
    let verdict = match report.verdict {
        Verdict::Crash => " (it crashed)",
        Verdict::Timeout => " (timeout)",
        _ => "",
    };
    add("expected", &report.expected);
    add("got", &format!("{}{verdict}", report.got));
    add("evidence", &report.evidence);
    add("why", why);
    for (number, command) in again.iter().enumerate() {
        add(if number == 0 { "again" } else { "" }, command);
    }
    lines.join("\n")
}

/// Without what would move a terminal's cursor: the program under test wrote parts of it.
fn escaped(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escaped).collect()
}

/// A report as JSON.
pub(crate) fn json(task: &Task, check: &Check, points: u32, seed: u64, report: &Report) -> Value {
    let mut object = json!(report);
    if let Value::Object(members) = &mut object {
        members.insert("type".to_owned(), "check".into());
        members.insert("exercise".to_owned(), task.id().into());
        members.insert("statement".to_owned(), check.statement.into());
        members.insert("points".to_owned(), points.into());
        members.insert("seed".to_owned(), seed.into());
    }
    object
}

/// The reports as JUnit, which many a CI shows.
pub(crate) fn junit(task: &Task, reports: &[(&Check, Report, Duration)]) -> String {
    let mut suite = TestSuite::new(task.id());
    for (check, report, time) in reports {
        let mut status = match report.verdict {
            Verdict::Pass => TestCaseStatus::success(),
            Verdict::Skipped => TestCaseStatus::skipped(),
            Verdict::InfraError => TestCaseStatus::non_success(NonSuccessKind::Error),
            _ => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        if report.verdict != Verdict::Pass {
            status.set_message(report.got.clone());
            status.set_description(details("", &report.again, report));
        }
        let mut case = TestCase::new(check.id, status);
        case.set_classname(task.id()).set_time(*time);
        suite.add_test_case(case);
    }
    let mut all = quick_junit::Report::new("exercises");
    all.add_test_suite(suite);
    all.to_string().unwrap_or_default()
}
