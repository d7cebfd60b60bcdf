//! `cargo xtask exercise verify`: do the checks tell right from wrong?
//!
//! The recipe passes all, and so do right solutions of another shape; the starter and the programs that do
//! nothing pass none; each mutant fails the checks that its `caught_by` names, and (with `--matrix`) no
//! other; each check is the only one that catches some mutant.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use argh::FromArgs;
use scenarios::exercise::Check;

use crate::build::{self, Built, build};
use crate::check::launch;
use crate::report::{Report, Verdict};
use crate::runner;
use crate::starter;
use crate::task::{Sources, Task};
use crate::worker::Job;
use xtask::{Failure, Output};

/// Prove that the checks of exercises pass right programs and catch wrong ones.
#[derive(FromArgs)]
#[argh(subcommand, name = "verify")]
pub struct Args {
    /// the exercises (all)
    #[argh(positional)]
    ids: Vec<String>,

    /// run what has to pass so often (1)
    #[argh(option, arg_name = "n", default = "1")]
    repeat: u32,

    /// run every mutant against every check, and print who catches whom
    #[argh(switch)]
    matrix: bool,
}

/// Programs that pass no check of any exercise, whatever it is about.
const CHEATS: &[(&str, &[&str])] = &[
    ("ends at once", &["true"]),
    ("loops", &["sh", "-c", "while :; do :; done"]),
    (
        "prints what is expected",
        &["sh", "-c", "echo 'listening on 127.0.0.1:{port}'; exec sleep 60"],
    ),
];

/// Verifies each, and prints what does not hold.
///
/// # Errors
/// A file of an exercise is wrong, or this machine lacks what a check needs.
pub fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let tasks = match args.ids.as_slice() {
        [] => Task::all()?,
        ids => ids.iter().map(|id| Task::find(id)).collect::<Result<_, _>>()?,
    };
    let (mut mutants, mut findings) = (0, 0);
    for task in &tasks {
        let mut verify = Verify { args, task, findings: Vec::new(), out };
        verify.files();
        verify.programs()?;
        mutants += task.spec.mutant.len();
        findings += verify.findings.len();
        for finding in std::mem::take(&mut verify.findings) {
            out.line(format_args!("  NO  {}: {finding}", task.id()))?;
        }
    }
    let verdict = match findings {
        0 => "all hold".to_owned(),
        count => format!("{count} findings"),
    };
    out.line(format_args!("verify: {} exercises, {mutants} mutants, {verdict}", tasks.len()))?;
    Ok(findings == 0)
}

struct Verify<'a> {
    args: &'a Args,
    task: &'a Task,
    findings: Vec<String>,
    out: &'a mut Output,
}

impl Verify<'_> {
    /// What can be seen without running anything.
    fn files(&mut self) {
        let (spec, code) = (&self.task.spec, self.task.code);
        let mut findings = Vec::new();
        let known: BTreeSet<_> = code.checks.iter().map(|check| check.id).collect();
        for worth in spec.check.iter().filter(|worth| !known.contains(worth.id.as_str())) {
            findings.push(format!("the check {} has no code", worth.id));
        }
        let sum: u32 = spec.check.iter().map(|worth| worth.points).sum();
        if sum != spec.points {
            findings.push(format!("the checks have {sum} points, not {}", spec.points));
        }
        for worth in &spec.check {
            let alone = |caught: &[String]| matches!(caught, [only] if *only == worth.id);
            let is_alone = spec.mutant.iter().any(|mutant| alone(&mutant.caught_by));
            if !is_alone && worth.points > 0 && worth.not_alone.is_none() {
                findings.push(format!("no mutant is caught by {} alone", worth.id));
            }
            if worth.hints.len() < 2 {
                findings.push(format!("{} has {} hints", worth.id, worth.hints.len()));
            }
        }
        for mutant in &spec.mutant {
            for check in mutant.caught_by.iter().filter(|check| !known.contains(check.as_str())) {
                findings.push(format!("{} names {check}, which is no check", mutant.id));
            }
            if mutant.caught_by.is_empty() {
                findings.push(format!("nothing catches {}", mutant.id));
            }
        }
        self.findings.append(&mut findings);
    }

    /// Builds and runs all that has to pass or to fail.
    fn programs(&mut self) -> Result<(), Failure> {
        let all: Vec<_> = self.task.code.checks.iter().collect();
        let with_points = self.with_points()?;
        self.expect("recipe", &self.task.solution()?, &all, &[])?;
        for other in &self.task.spec.alternative {
            let edit = [other.file.as_str(), &other.find, &other.replace];
            let sources = self.task.changed(&other.id, edit)?;
            self.expect(&format!("alternative {}", other.id), &sources, &all, &[])?;
        }
        let stubs = self.task.stubs()?;
        self.expect("starter", &stubs, &with_points, &with_points)?;
        for (what, command) in CHEATS {
            let command: Vec<_> = command.iter().map(|&word| word.to_owned()).collect();
            self.expect_of(what, &command, &with_points, &with_points)?;
        }
        for recipe in &self.task.spec.wrong_recipes {
            let command = launch(&netcheck::bin(recipe), self.task);
            self.expect_of(recipe, &command, &with_points, &with_points)?;
        }
        for mutant in &self.task.spec.mutant {
            let edit = [mutant.file.as_str(), &mutant.find, &mutant.replace];
            let sources = self.task.changed(&mutant.id, edit)?;
            let is_caught = |check: &&&Check| mutant.caught_by.iter().any(|id| id == check.id);
            let caught: Vec<_> = all.iter().filter(is_caught).copied().collect();
            let run = if self.args.matrix { &all } else { &caught };
            self.expect(&format!("mutant {}", mutant.id), &sources, run, &caught)?;
        }
        Ok(())
    }

    fn with_points(&self) -> Result<Vec<&'static Check>, Failure> {
        let mut checks = Vec::new();
        for check in self.task.code.checks {
            if self.task.worth(check)?.points > 0 {
                checks.push(check);
            }
        }
        Ok(checks)
    }

    /// Builds sources, and runs `checks`, of which exactly `failing` have to fail.
    fn expect(
        &mut self,
        what: &str,
        sources: &Sources,
        checks: &[&'static Check],
        failing: &[&'static Check],
    ) -> Result<(), Failure> {
        // One folder for all of them: cargo keeps what it has built by the path of a package.
        let folder = folder(self.task);
        if let Err(why) = fs::remove_dir_all(folder.join("src"))
            && why.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Failure::file(format_args!("clear {}", folder.display()))(why));
        }
        starter::write(self.task, sources, &folder)?;
        match build(&folder)? {
            Built::Program { path, warnings } => {
                let is_ours = !what.starts_with("mutant");
                if is_ours && !warnings.is_empty() {
                    self.findings.push(format!("{what} compiles with warnings\n{warnings}"));
                }
                let command = launch(&path, self.task);
                self.expect_of(what, &command, checks, failing)
            }
            Built::Failed(why) => {
                self.findings.push(format!("{what} does not build\n{why}"));
                Ok(())
            }
        }
    }

    /// Runs a command likewise.
    fn expect_of(
        &mut self,
        what: &str,
        command: &[String],
        checks: &[&'static Check],
        failing: &[&'static Check],
    ) -> Result<(), Failure> {
        let repeat = if failing.is_empty() { self.args.repeat.max(1) } else { 1 };
        let mut marks = Vec::new();
        for number in 0..repeat {
            let mut not_ready = false;
            for check in checks {
                let report = if not_ready {
                    Report::new(check.id, Verdict::Fail, "it did not start to serve")
                } else {
                    runner::run(&self.job(check, command, number))?
                };
                not_ready |= report.not_ready;
                if matches!(report.verdict, Verdict::Skipped | Verdict::InfraError) {
                    let why = format!("{}: {what}: {}: {}", self.task.id(), check.id, report.got);
                    return Err(Failure::Missing(why));
                }
                let must_fail = failing.iter().any(|failing| failing.id == check.id);
                marks.push(if report.is_failure() { check.id } else { "" });
                if must_fail && !report.is_failure() {
                    self.findings.push(format!("{what} passes {}: {}", check.id, report.evidence));
                } else if !must_fail && report.is_failure() {
                    let Report { expected, got, evidence, .. } = report;
                    let why = format!("expected {expected}, got {got}; {evidence}");
                    self.findings.push(format!("{what} fails {}: {why}", check.id));
                }
            }
        }
        marks.retain(|mark| !mark.is_empty());
        let caught = if marks.is_empty() { "passes".to_owned() } else { marks.join(" ") };
        self.out.line(format_args!("  {}  {what}: {caught}", self.task.id()))
    }

    fn job(&self, check: &Check, command: &[String], number: u32) -> Job {
        let (exercise, check) = (self.task.id().to_owned(), check.id.to_owned());
        let seed = u64::from(number);
        Job { exercise, check, seed, wrapper: Vec::new(), command: command.to_vec() }
    }
}

fn folder(task: &Task) -> PathBuf {
    build::target().join("verify").join(task.id())
}
