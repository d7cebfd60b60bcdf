//! `cargo xtask exercise check`.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use argh::FromArgs;
use netcheck::quoted;
use notify::{RecursiveMode, Watcher};
use scenarios::exercise::Check;
use serde_json::json;

use crate::build::{Built, build};
use crate::place::{self, Progress, progress};
use crate::report::{Report, Verdict};
use crate::runner;
use crate::show::{self, Sum};
use crate::task::Task;
use crate::worker::Job;
use xtask::{Failure, Output};

/// What a person types for the words of a command that stand for something.
const TYPED: &[(&str, &str)] = &[
    ("{port}", "7777"),
    ("{host}", "127.0.0.1"),
    ("{dir}", "site"),
    ("{name}", "@worker"),
    ("{path}", "echo.sock"),
    ("{address}", "192.0.2.1"),
];

/// Build an exercise and check it, or check a program in any language.
#[derive(FromArgs)]
#[argh(subcommand, name = "check")]
#[argh(
    note = "`check ID -- COMMAND…` checks the program that COMMAND starts; {{port}} in it is the port \
               to listen on, or to connect to, {{host}} the address; the task names what else there is."
)]
pub struct Args {
    /// the exercise, or its folder; the one of this folder by default. After -- a command that starts a program.
    #[argh(positional, arg_name = "id")]
    words: Vec<String>,

    /// only this check
    #[argh(option, arg_name = "check")]
    only: Option<String>,

    /// check again on each save
    #[argh(switch)]
    watch: bool,

    /// the seed of the bytes that are sent; a failure prints it
    #[argh(option, arg_name = "n")]
    seed: Option<u64>,

    /// check so often (1)
    #[argh(option, arg_name = "n", default = "1")]
    repeat: u32,

    /// JSON Lines
    #[argh(switch)]
    json: bool,

    /// write a JUnit report
    #[argh(option, arg_name = "file")]
    junit: Option<PathBuf>,
}

/// Builds and checks.
///
/// # Errors
/// There is no such exercise or folder, or the machine lacks something.
pub fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let run = match args.words.split_first() {
        Some((id, command @ [_, ..])) => {
            let task = Task::find(id)?;
            if let Some(why) = &task.spec.only_here {
                return Err(Failure::Usage(format!("{id} is for the recipe only: {why}")));
            }
            Run { args, task, folder: None, command: command.to_vec() }
        }
        id => {
            let (task, folder) = place::find(id.map(|(id, _)| id.as_str()))?;
            Run { args, task, folder: Some(folder), command: Vec::new() }
        }
    };
    match &run.folder {
        Some(folder) if args.watch => run.watch(folder, out),
        None if args.watch => {
            Err(Failure::Usage("--watch: a command has no files to watch".to_owned()))
        }
        _ => run.check(out),
    }
}

/// What is checked, and how.
struct Run<'a> {
    args: &'a Args,
    task: Task,
    /// The learner's folder; none with a command.
    folder: Option<PathBuf>,
    command: Vec<String>,
}

impl Run<'_> {
    /// Builds once, and checks as often as was asked for; true if all that could be checked passes.
    fn check(&self, out: &mut Output) -> Result<bool, Failure> {
        let checks = match &self.args.only {
            Some(id) => vec![self.task.check(id)?],
            None => self.task.code.checks.iter().collect(),
        };
        let Some(command) = self.command(out)? else { return Ok(false) };
        let mut pass = true;
        for _ in 0..self.args.repeat.max(1) {
            let seed = self.args.seed.unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000);
            let sum = self.check_all(&checks, &command, seed, out)?;
            if let Some(broken) = sum.broken.first() {
                return Err(Failure::Missing(format!(
                    "{broken}: the check itself did not work, twice; this says nothing about the program"
                )));
            }
            pass &= sum.failed.is_empty();
        }
        Ok(pass)
    }

    /// The command to check: that of the command line, or the program that was just built.
    fn command(&self, out: &mut Output) -> Result<Option<Vec<String>>, Failure> {
        let Some(folder) = &self.folder else { return Ok(Some(self.command.clone())) };
        show::progress("build", out)?;
        let built = build(folder)?;
        show::clear(out)?;
        match built {
            Built::Program { path, warnings } => {
                if !warnings.is_empty() && !self.args.json {
                    out.line(warnings.trim_end())?;
                }
                Ok(Some(launch(&path, self.task.code.args)))
            }
            Built::Failed(why) => {
                if self.args.json {
                    let id = self.task.id();
                    out.line(json!({"type": "build_error", "exercise": id, "message": why}))?;
                } else {
                    out.line(format_args!(
                        "{}\n\n{}: it does not build",
                        why.trim_end(),
                        self.task.id()
                    ))?;
                }
                Ok(None)
            }
        }
    }

    /// Runs the checks in their order, and prints each as it ends: the first that fails in full.
    fn check_all(
        &self,
        checks: &[&'static Check],
        command: &[String],
        seed: u64,
        out: &mut Output,
    ) -> Result<Sum, Failure> {
        let (mut sum, mut of, mut reports) = (Sum::default(), 0, Vec::new());
        let mut not_ready = false;
        for check in checks {
            let worth = self.task.worth(check)?;
            of += worth.points;
            show::progress(check.statement, out)?;
            let began = Instant::now();
            let report = if not_ready {
                Report::new(check.id, Verdict::Fail, "not checked: see the first")
            } else {
                runner::run(&self.job(check, command, seed))?
            };
            not_ready |= report.not_ready;
            show::clear(out)?;
            let is_first = report.is_failure() && sum.failed.is_empty();
            sum.add(worth.points, &report);
            if self.args.json {
                out.line(show::json(&self.task, check, worth.points, seed, &report))?;
            } else {
                out.line(show::line(check, worth.points, &report))?;
                if is_first {
                    let again = self.again(check, &report, seed);
                    out.line(show::details(&worth.why, &again, &report))?;
                }
            }
            reports.push((*check, report, began.elapsed()));
        }
        self.finish(&sum, of, seed, out)?;
        if let Some(file) = &self.args.junit {
            let text = show::junit(&self.task, &reports);
            fs::write(file, text)
                .map_err(Failure::file(format_args!("write {}", file.display())))?;
        }
        Ok(sum)
    }

    fn job(&self, check: &Check, command: &[String], seed: u64) -> Job {
        let (exercise, check) = (self.task.id().to_owned(), check.id.to_owned());
        Job { exercise, check, seed, sandbox: None, command: command.to_vec(), hang: None }
    }

    /// Commands that show a failure again: by hand where the check knows how, and by this program.
    fn again(&self, check: &Check, report: &Report, seed: u64) -> Vec<String> {
        let mut again = Vec::new();
        if !report.again.is_empty() {
            let server = match self.folder {
                Some(_) => format!("cargo run -- {}", self.task.code.args.join(" ")),
                None => self.typed(),
            };
            let server =
                TYPED.iter().fold(server, |text, (word, as_typed)| text.replace(word, as_typed));
            again.push(server + " &");
            again.extend(report.again.iter().cloned());
        }
        let only = format!("--only {} --seed {seed}", check.id);
        let words = std::iter::once("cargo xtask exercise check".to_owned());
        let words = words.chain(self.name()).chain([only]).chain(match self.folder {
            Some(_) => Vec::new(),
            None => vec!["--".to_owned(), self.typed()],
        });
        again.push(words.collect::<Vec<_>>().join(" "));
        again
    }

    /// How the exercise was named, if it was.
    fn name(&self) -> Option<String> {
        self.args.words.first().map(|name| quoted(name.as_ref()))
    }

    /// The command as a shell needs it; its placeholders stay readable.
    fn typed(&self) -> String {
        let word = |word: &String| match word.as_str() {
            word if word.starts_with('{') && word.ends_with('}') => word.to_owned(),
            _ => quoted(word.as_ref()),
        };
        self.command.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// The sum, and what to do next.
    fn finish(&self, sum: &Sum, of: u32, seed: u64, out: &mut Output) -> Result<(), Failure> {
        let task = &self.task;
        if self.args.json {
            return out.line(json!({
                "type": "summary", "exercise": task.id(), "points": sum.points, "of": of,
                "not_checked": sum.unchecked, "failed": sum.failed, "skipped": sum.skipped,
                "seed": seed,
            }));
        }
        out.line(format_args!("\n{}", sum.line(task, of)))?;
        let Some(folder) = self.folder.as_ref().filter(|_| self.args.only.is_none()) else {
            return Ok(());
        };
        let hints = progress(folder).map(|old| old.hints).unwrap_or_default();
        let done = sum.points == of;
        let progress = Progress { points: sum.points, failed: sum.failed.clone(), done, hints };
        progress.save(folder)?;
        match sum.failed.is_empty() {
            true => Ok(()),
            false => {
                let name = self.name().map(|name| format!(" {name}")).unwrap_or_default();
                out.line(format_args!("a hint: cargo xtask exercise hint{name}"))
            }
        }
    }

    /// Checks, and again after each save, until Ctrl-C.
    fn watch(&self, folder: &Path, out: &mut Output) -> Result<bool, Failure> {
        let broken = |why: notify::Error| Failure::Missing(format!("watch the folder: {why}"));
        let (changed, changes) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(changed).map_err(broken)?;
        let sources = folder.join("src");
        watcher.watch(&sources, RecursiveMode::Recursive).map_err(broken)?;
        loop {
            self.check(out)?;
            out.line(format_args!(
                "\nwaiting for a change in {} (Ctrl-C ends)",
                sources.display()
            ))?;
            let is_change = |event: &notify::Result<notify::Event>| {
                event.as_ref().is_ok_and(|event| !event.kind.is_access())
            };
            if !changes.iter().any(|event| is_change(&event)) {
                return Ok(true);
            }
            // An editor saves in several steps: until nothing more comes for a moment.
            while changes.recv_timeout(Duration::from_millis(100)).is_ok() {}
            out.line("")?;
        }
    }
}

/// The command of a program that was made from the recipe, with its arguments.
pub(crate) fn launch<Arg: AsRef<str>>(program: &Path, args: &[Arg]) -> Vec<String> {
    let args = args.iter().map(|arg| arg.as_ref().to_owned());
    std::iter::once(program.to_string_lossy().into_owned()).chain(args).collect()
}
