//! `cargo xtask exercise verify`: do the checks tell right from wrong?
//!
//! The recipe passes all, and so do right solutions of another shape; the starter and the programs that do
//! nothing pass none; each mutant fails the checks that its `caught_by` names, and (with `--matrix`) no
//! other; each check is the only one that catches some mutant.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use argh::FromArgs;
use scenarios::exercise::Check;

use crate::build::{self, Built, build};
use crate::check::launch;
use crate::course;
use crate::many::{self, Checked, Many};
use crate::report::{Report, Verdict};
use crate::runner::start_self;
use crate::scratch;
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

    /// how many programs are checked at once (one for each processor)
    #[argh(option, arg_name = "n")]
    jobs: Option<usize>,
}

/// How long a program that has to fail may do nothing; see [`Verify::hang`].
const HANG: Duration = Duration::from_secs(3);

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
    let began = Instant::now();
    let (mut mutants, mut findings) = (0, 0);
    if args.ids.is_empty()
        && let Some(finding) = course::difference(&tasks)?
    {
        findings += 1;
        out.line(format_args!("  NO  {finding}"))?;
    }
    let mut many = Many::start(args.jobs, |jobs: &Vec<Job>| start_self(many::NAME, jobs));
    for task in &tasks {
        let (programs, found) = (Vec::new(), Vec::new());
        let mut verify =
            Verify { args, task, many: &mut many, programs, slowest: None, findings: found, out };
        verify.files();
        verify.programs()?;
        mutants += task.spec.mutant.len();
        findings += verify.findings.len();
        for finding in verify.findings {
            out.line(format_args!("  NO  {}: {finding}", task.id()))?;
        }
    }
    let verdict = match findings {
        0 => "all hold".to_owned(),
        count => format!("{count} findings"),
    };
    let (count, seconds) = (tasks.len(), began.elapsed().as_secs());
    out.line(format_args!("verify: {count} exercises, {mutants} mutants, {verdict}, {seconds} s"))?;
    Ok(findings == 0)
}

struct Verify<'a> {
    args: &'a Args,
    task: &'a Task,
    many: &'a mut Many<Vec<Job>, Vec<Checked>>,
    /// Those that are or were checked, by their numbers. The first one is the recipe.
    programs: Vec<Program>,
    /// What the recipe took for its slowest check.
    slowest: Option<Duration>,
    findings: Vec<String>,
    out: &'a mut Output,
}

/// A program under test, and the checks that it has to fail.
struct Program {
    what: String,
    failing: Vec<&'static str>,
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

    /// Builds all that has to pass or to fail, and has each checked while the next one is built.
    fn programs(&mut self) -> Result<(), Failure> {
        let all: Vec<_> = self.task.code.checks.iter().collect();
        let with_points = self.with_points()?;
        self.expect("recipe".to_owned(), &self.task.solution()?, &all, &[])?;
        for other in &self.task.spec.alternative {
            let edit = [other.file.as_str(), &other.find, &other.replace];
            let sources = self.task.changed(&other.id, edit);
            let Some(sources) = self.or_finding(sources)? else { continue };
            self.expect(format!("alternative {}", other.id), &sources, &all, &[])?;
        }
        let stubs = self.task.stubs();
        if let Some(stubs) = self.or_finding(stubs)? {
            self.expect("starter".to_owned(), &stubs, &with_points, &with_points)?;
        }
        for (what, command) in CHEATS {
            let command: Vec<_> = command.iter().map(|&word| word.to_owned()).collect();
            self.submit((*what).to_owned(), &command, &with_points, &with_points)?;
        }
        for recipe in &self.task.spec.wrong_recipes {
            let command = launch(&netcheck::bin(recipe), self.task.code.args);
            self.submit(recipe.clone(), &command, &with_points, &with_points)?;
        }
        for mutant in &self.task.spec.mutant {
            let edit = [mutant.file.as_str(), &mutant.find, &mutant.replace];
            let sources = self.task.changed(&mutant.id, edit);
            let Some(sources) = self.or_finding(sources)? else { continue };
            let is_caught = |check: &&&Check| mutant.caught_by.iter().any(|id| id == check.id);
            let caught: Vec<_> = all.iter().filter(is_caught).copied().collect();
            let run = if self.args.matrix { &all } else { &caught };
            self.expect(format!("mutant {}", mutant.id), &sources, run, &caught)?;
        }
        while self.collect(true)? {}
        Ok(())
    }

    /// What cannot be made of the recipe as it is now is a finding, and the others are verified.
    fn or_finding(
        &mut self,
        sources: Result<Sources, Failure>,
    ) -> Result<Option<Sources>, Failure> {
        match sources {
            Ok(sources) => Ok(Some(sources)),
            Err(Failure::Broken(why)) => {
                let prefix = format!("{}: ", self.task.id());
                self.findings.push(why.strip_prefix(&prefix).unwrap_or(&why).to_owned());
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
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

    /// Builds sources, and has `checks` run, of which exactly `failing` have to fail.
    fn expect(
        &mut self,
        what: String,
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
                // The next build takes its place.
                let own =
                    scratch::folder()?.join(format!("{}-{}", self.task.id(), self.programs.len()));
                fs::rename(&path, &own)
                    .map_err(Failure::file(format_args!("move {}", path.display())))?;
                self.submit(what, &launch(&own, self.task.code.args), checks, failing)
            }
            Built::Failed(why) => {
                self.findings.push(format!("{what} does not build\n{why}"));
                Ok(())
            }
        }
    }

    /// Has a command checked, as often as was asked for if it has to pass.
    fn submit(
        &mut self,
        what: String,
        command: &[String],
        checks: &[&'static Check],
        failing: &[&'static Check],
    ) -> Result<(), Failure> {
        let repeat = if failing.is_empty() { self.args.repeat.max(1) } else { 1 };
        let hang = match failing {
            [] => None,
            _ if self.args.matrix => None,
            _ => Some(self.hang()?),
        };
        for seed in 0..repeat {
            let job = |check: &&Check| Job {
                exercise: self.task.id().to_owned(),
                check: check.id.to_owned(),
                seed: u64::from(seed),
                sandbox: None,
                command: command.to_vec(),
                hang,
            };
            let jobs = checks.iter().map(job).collect();
            let failing = failing.iter().map(|check| check.id).collect();
            self.programs.push(Program { what: what.clone(), failing });
            self.many.submit(self.programs.len() - 1, jobs);
        }
        while self.collect(false)? {}
        Ok(())
    }

    /// When a program that has to fail is given up: 3 s after that which the recipe takes at its slowest here
    /// and now, three times.
    fn hang(&mut self) -> Result<Duration, Failure> {
        while self.slowest.is_none() && self.collect(true)? {}
        Ok(HANG + 3 * self.slowest.unwrap_or_default())
    }

    /// Takes the result of one program, of those that are there, or that come if it is to wait: false
    /// if there is none.
    fn collect(&mut self, wait: bool) -> Result<bool, Failure> {
        let Some((number, results)) = self.many.next(wait) else { return Ok(false) };
        let results = results?;
        // The first one is the recipe.
        if number == 0 {
            self.slowest = results.iter().map(|checked| checked.took).max();
        }
        let Some(Program { what, failing }) = self.programs.get(number) else { return Ok(true) };
        let mut failed = Vec::new();
        for Checked { report, .. } in results {
            let id = &report.check;
            if matches!(report.verdict, Verdict::Skipped | Verdict::InfraError) {
                let why = format!("{}: {what}: {id}: {}", self.task.id(), report.got);
                return Err(Failure::Missing(why));
            }
            if report.is_failure() {
                let is_cut = if report.verdict == Verdict::Timeout { " (timeout)" } else { "" };
                failed.push(format!("{id}{is_cut}"));
            }
            let must_fail = failing.iter().any(|failing| failing == id);
            if must_fail && !report.is_failure() {
                self.findings.push(format!("{what} passes {id}: {}", report.evidence));
            } else if !must_fail && report.is_failure() {
                let Report { expected, got, evidence, .. } = &report;
                let why = format!("expected {expected}, got {got}; {evidence}");
                self.findings.push(format!("{what} fails {id}: {why}"));
            }
        }
        let caught = if failed.is_empty() { "passes".to_owned() } else { failed.join(" ") };
        self.out.line(format_args!("  {}  {what}: {caught}", self.task.id()))?;
        Ok(true)
    }
}

fn folder(task: &Task) -> PathBuf {
    build::target().join("verify").join(task.id())
}
