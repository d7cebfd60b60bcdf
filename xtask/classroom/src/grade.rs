//! `cargo xtask grade`.

mod feedback;
mod ledger;
pub mod machine;
pub mod submission;
mod summary;
mod tables;
mod taken;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{IsTerminal, stdout};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use argh::{FromArgValue, FromArgs};
use netcheck::{Run, workspace};
use nix::unistd::{Gid, Uid, chown};

use crate::compile::Compiler;
use crate::many::Many;
use crate::report::Verdict;
use crate::sandbox::Sandbox;
use crate::task::{Sources, Task};
use crate::{runner, scratch, show, starter};
use ledger::{Graded, Ledger, Marked, State};
use submission::{Order, Outcome};
use taken::Taken;
use xtask::{Failure, Output};

/// Grade the submissions of a class: DIR/STUDENT/EXERCISE/src.
#[derive(FromArgs)]
#[argh(subcommand, name = "grade")]
#[argh(error_code(0, "every submission was graded"))]
#[argh(error_code(2, "usage"))]
#[argh(error_code(
    71,
    "this machine lacks a program or a right, or a submission could not be graded"
))]
#[argh(error_code(74, "a file or standard output cannot be read or written"))]
pub struct Args {
    /// the folder that has a folder for each student
    #[argh(positional, arg_name = "dir")]
    folder: PathBuf,

    /// this exercise, with points for it whether it was handed in or not; repeatable (all that were handed in)
    #[argh(option, arg_name = "id")]
    exercise: Vec<String>,

    /// how many submissions are judged at once (one for each processor)
    #[argh(option, arg_name = "n")]
    jobs: Option<usize>,

    /// where the results are written, and looked for (DIR-grades)
    #[argh(option, arg_name = "dir")]
    out: Option<PathBuf>,

    /// what students read of a failure: full, got (without evidence and commands), none (full)
    #[argh(option, arg_name = "how", default = "Detail::Full")]
    detail: Detail,

    /// run submissions as you, with all that you may do: in a container that has nothing else
    #[argh(switch)]
    unsafe_no_sandbox: bool,
}

/// What students read of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromArgValue)]
pub(crate) enum Detail {
    /// Which check.
    None,
    /// What was expected, and what it got.
    Got,
    /// How that is known, and commands that show it.
    Full,
}

/// Exercises that no sandbox is for.
const UNFIT: &[(&str, &str)] = &[
    ("every-address", "its check takes the place of files in /etc"),
    ("stale-path", "its program writes into a folder of the check"),
];

/// What a class has handed in, and what came of it.
pub(crate) struct Class {
    pub(crate) tasks: Vec<Task>,
    /// Shown names, sorted as their folders are.
    pub(crate) students: Vec<String>,
    pub(crate) graded: BTreeMap<(String, String), Graded>,
    pub(crate) detail: Detail,
}

/// Grades, and writes all that comes of it.
///
/// # Errors
/// The class cannot be read, there is no sandbox, or a submission could not be graded.
pub fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let names = taken::students(&args.folder)?;
    let tasks = tasks(args, &names, out)?;
    let folder = args.out.clone().unwrap_or_else(|| beside(&args.folder));
    let mut ledger = Ledger::open(&folder)?;
    let students: Vec<String> = names.iter().map(|name| taken::shown(name)).collect();
    let mut class = Class { tasks, students, graded: BTreeMap::new(), detail: args.detail };
    let waiting = look(args, &mut class, &names, &mut ledger)?;
    let known = class.graded.len();
    if known > 0 && !waiting.is_empty() {
        out.line(format_args!("{known} are known from before, or need no run"))?;
    }
    if !waiting.is_empty() {
        let mut work = Work::prepare(args, &class, &folder, out)?;
        work.judge(waiting, &mut class, &mut ledger, out)?;
        work.end();
    }
    tables::write(&class, &folder)?;
    feedback::write(&class, &folder)?;
    summary::write(&class, &folder)?;
    let broken: Vec<&Graded> =
        class.graded.values().filter(|graded| graded.state == State::NotGraded).collect();
    out.line(format_args!("grades: {}", folder.join("grades.csv").display()))?;
    out.line(format_args!("for you: {}", folder.join("summary.html").display()))?;
    out.line(format_args!("for students: {}", folder.join("feedback").display()))?;
    let Some(first) = broken.first() else { return Ok(true) };
    let (count, Graded { student, exercise, message, .. }) = (broken.len(), first);
    Err(Failure::Missing(format!(
        "{count} could not be graded, and have no points, first {student}/{exercise}: {message}\n\
         The same command grades them again, and only them."
    )))
}

/// The exercises that were asked for, or that anyone has handed in.
fn tasks(args: &Args, names: &[OsString], out: &mut Output) -> Result<Vec<Task>, Failure> {
    for id in &args.exercise {
        Task::find(id)?;
    }
    let wanted = |task: &Task| match args.exercise.as_slice() {
        [] => names
            .iter()
            .any(|name| args.folder.join(name).join(task.id()).symlink_metadata().is_ok()),
        ids => ids.iter().any(|id| id == task.id()),
    };
    let mut tasks: Vec<Task> = Task::all()?.into_iter().filter(wanted).collect();
    if !args.unsafe_no_sandbox {
        let unfit = |task: &Task| UNFIT.iter().find(|(id, _)| *id == task.id());
        for (id, why) in tasks.iter().filter_map(unfit) {
            out.line(format_args!(
                "{id} is left out: {why}; cargo xtask exercise check takes it, and so does --unsafe-no-sandbox"
            ))?;
        }
        tasks.retain(|task| unfit(task).is_none());
    }
    if tasks.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: no submission; each is in a folder DIR/STUDENT/EXERCISE/src",
            args.folder.display()
        )));
    }
    Ok(tasks)
}

/// `class-grades` for `class`.
fn beside(folder: &Path) -> PathBuf {
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mut name = whole.file_name().unwrap_or_default().to_owned();
    name.push("-grades");
    whole.with_file_name(name)
}

/// A submission that is to be run.
struct Waiting {
    student: String,
    exercise: &'static str,
    sources: Sources,
    left: Vec<String>,
    digest: u64,
    is_second: bool,
}

/// Takes what was handed in. What needs no run, or is known, is graded then.
fn look(
    args: &Args,
    class: &mut Class,
    names: &[OsString],
    ledger: &mut Ledger,
) -> Result<VecDeque<Waiting>, Failure> {
    let mut waiting = VecDeque::new();
    for (name, student) in names.iter().zip(&class.students) {
        for task in &class.tasks {
            let exercise = task.id();
            let taken = taken::take(&args.folder, name, exercise);
            let digest = digest(&taken, task, args.unsafe_no_sandbox);
            if let Some(known) = ledger.known(student, exercise, digest) {
                class.graded.insert((student.clone(), exercise.to_owned()), known.clone());
                continue;
            }
            let (state, message) = match taken {
                Taken::Sources(sources, left) => {
                    let student = student.clone();
                    let is_second = false;
                    waiting.push_back(Waiting {
                        student,
                        exercise,
                        sources,
                        left,
                        digest,
                        is_second,
                    });
                    continue;
                }
                Taken::Refused(why) => (State::NotTaken, why),
                Taken::Missing => (State::NotSubmitted, String::new()),
            };
            let graded = Graded { message, ..Graded::new(student, task, state, digest) };
            if state == State::NotTaken {
                ledger.add(&graded)?;
            }
            class.graded.insert((student.clone(), exercise.to_owned()), graded);
        }
    }
    Ok(waiting)
}

/// A number that is another one when the submission has changed, or what it is checked for.
fn digest(taken: &Taken, task: &Task, is_unsafe: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    match taken {
        Taken::Sources(sources, _) => sources.hash(&mut hasher),
        Taken::Refused(why) => why.hash(&mut hasher),
        Taken::Missing => {}
    }
    (format!("{:?}", task.spec), is_unsafe).hash(&mut hasher);
    hasher.finish()
}

impl Graded {
    /// One without points.
    fn new(student: &str, task: &Task, state: State, digest: u64) -> Graded {
        Graded {
            student: student.to_owned(),
            exercise: task.id().to_owned(),
            state,
            points: 0,
            of: task.spec.points,
            seed: digest % 1_000_000,
            digest,
            seconds: 0.0,
            memory: 0,
            message: String::new(),
            left: Vec::new(),
            checks: Vec::new(),
        }
    }
}

/// What the submissions are run with.
struct Work {
    many: Many<Order, Outcome>,
    compilers: BTreeMap<&'static str, Compiler>,
    sandbox: Option<Sandbox>,
    user: Option<u32>,
    /// Where each has its folder.
    place: PathBuf,
    remover: netcheck::Process,
}

impl Work {
    fn prepare(
        args: &Args,
        class: &Class,
        out_folder: &Path,
        out: &mut Output,
    ) -> Result<Work, Failure> {
        let user = if args.unsafe_no_sandbox { None } else { machine::other_user() };
        let place = scratch::open_folder()?;
        // If this process is killed, the remover removes the folder.
        let remover = runner::start(own()?.hold_stdin(), REMOVER, &place)?;
        let program = place.join("classroom");
        copy_self(&program)?;
        let sandbox = if args.unsafe_no_sandbox {
            out.line("without a sandbox: each submission can read and write all that you can")?;
            None
        } else {
            let mut sandbox = machine::sandbox(&program, user)?;
            let private = [workspace(), args.folder.clone(), out_folder.to_owned()];
            sandbox.hidden =
                private.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
            Some(sandbox)
        };
        let mut compilers = BTreeMap::new();
        for task in &class.tasks {
            show::progress(&format!("build what {} depends on", task.id()), out)?;
            compilers.insert(task.id(), Compiler::prepare(task, &place.join("target"))?);
        }
        show::clear(out)?;
        let many = Many::start(args.jobs, move |order: &Order| {
            let own = Run::program(&program).env("TMPDIR", order.folder.join("tmp"));
            runner::start(own, submission::NAME, order)
        });
        Ok(Work { many, compilers, sandbox, user, place, remover })
    }

    /// Judges all that wait, and writes what each comes to.
    fn judge(
        &mut self,
        mut waiting: VecDeque<Waiting>,
        class: &mut Class,
        ledger: &mut Ledger,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let (began, all) = (Instant::now(), waiting.len());
        let (mut running, mut number, mut done) = (BTreeMap::new(), 0, 0);
        loop {
            // As many as can run, and one more for the one that ends first: sources are on disk only then.
            while self.many.running <= self.many.at_once
                && let Some(next) = waiting.pop_front()
            {
                number += 1;
                let task = class.task(next.exercise)?;
                let order = self.order(number, &next, task)?;
                self.many.submit(number, order);
                running.insert(number, next);
            }
            progress(done, all, began, out)?;
            let Some((number, outcome)) = self.many.next(true) else { break };
            let Some(mut judged) = running.remove(&number) else { continue };
            // What is left of it belongs to nobody.
            let _ = fs::remove_dir_all(self.place.join(number.to_string()));
            let graded = graded(&judged, class.task(judged.exercise)?, outcome)?;
            if graded.state == State::NotGraded && !judged.is_second {
                judged.is_second = true;
                waiting.push_back(judged);
                continue;
            }
            done += 1;
            ledger.add(&graded)?;
            show::clear(out)?;
            out.line(format_args!("{done:>4} of {all}  {}", graded.line()))?;
            class.graded.insert((graded.student.clone(), graded.exercise.clone()), graded);
        }
        show::clear(out)
    }

    /// Makes the folder of a submission.
    fn order(&self, number: usize, next: &Waiting, task: &Task) -> Result<Order, Failure> {
        let folder = self.place.join(number.to_string());
        let make = |path: &Path| {
            let made = DirBuilder::new().mode(0o700).create(path);
            let owned = made.and_then(|()| match self.user {
                Some(id) => Ok(chown(path, Some(Uid::from_raw(id)), Some(Gid::from_raw(id)))?),
                None => Ok(()),
            });
            owned.map_err(Failure::file(format_args!("make {}", path.display())))
        };
        make(&folder)?;
        for part in ["tmp", "toolchain", "target"] {
            make(&folder.join(part))?;
        }
        starter::write_sources(&next.sources, &folder)?;
        open_to_all(&folder.join("src"))
            .map_err(Failure::file(format_args!("set the mode of {}", folder.display())))?;
        let compiler = self.compilers.get(next.exercise).cloned();
        let compiler = compiler.ok_or_else(|| Failure::Broken("no compiler".to_owned()))?;
        Ok(Order {
            exercise: next.exercise.to_owned(),
            args: task.code.args.iter().map(|&arg| arg.to_owned()).collect(),
            checks: task.code.checks.iter().map(|check| check.id.to_owned()).collect(),
            seed: next.digest % 1_000_000,
            folder,
            compiler,
            sandbox: self.sandbox.clone(),
            user: self.user,
        })
    }

    /// Removes all folders.
    fn end(self) {
        scratch::remove();
        // It reads the end of its input, and finds nothing.
        self.remover.signal(netcheck::Signal::SIGKILL);
    }
}

/// What is there may be read by the user who compiles it, whatever the umask is.
fn open_to_all(folder: &Path) -> std::io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            open_to_all(&entry.path())?;
        } else {
            fs::set_permissions(entry.path(), Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

fn own() -> Result<Run, Failure> {
    let own = std::env::current_exe().map_err(Failure::program("find this program"))?;
    Ok(Run::program(own))
}

fn copy_self(to: &Path) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(Failure::program("find this program"))?;
    // By another process: while this one has it open for writing, a child of it could have it too, and it
    // could not be started.
    let copied = Run::program("cp").arg(own).arg(to).finish();
    let failed = || Failure::file(format!("copy this program to {}", to.display()));
    if !copied.status.success() {
        return Err(failed()(std::io::Error::other(copied.stderr_text())));
    }
    fs::set_permissions(to, Permissions::from_mode(0o755)).map_err(failed())
}

/// The word that makes this program the remover of a folder.
pub const REMOVER: &str = "remove-when-alone";

/// Waits until the process that started it has ended, and removes the folder.
pub fn remove_when_alone(folder: &str) -> std::process::ExitCode {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    let Ok(folder) = serde_json::from_str::<PathBuf>(folder) else {
        return std::process::ExitCode::from(2);
    };
    // The processes of submissions see that end too, and may still write for a moment.
    let gone = || (fs::remove_dir_all(&folder).is_ok() || !folder.exists()).then_some(());
    let timeout = std::time::Duration::from_secs(30);
    netcheck::evidence::wait_until(timeout, gone);
    std::process::ExitCode::SUCCESS
}

/// What a submission has come to.
fn graded(
    judged: &Waiting,
    task: &Task,
    outcome: Result<Outcome, Failure>,
) -> Result<Graded, Failure> {
    let mut graded = Graded::new(&judged.student, task, State::Checked, judged.digest);
    graded.left.clone_from(&judged.left);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => {
            graded.state = State::NotGraded;
            graded.message = why.to_string();
            return Ok(graded);
        }
    };
    (graded.seconds, graded.memory) = (outcome.seconds, outcome.memory);
    if let Some(said) = outcome.build_error {
        graded.state = State::BuildError;
        graded.message = shortened(&said);
        return Ok(graded);
    }
    for (check, checked) in task.code.checks.iter().zip(outcome.checked) {
        let of = task.worth(check)?.points;
        let report = checked.report;
        if matches!(report.verdict, Verdict::Skipped | Verdict::InfraError) {
            graded.state = State::NotGraded;
            graded.message = format!("{}: {}", check.id, report.got);
        }
        let points = if report.verdict == Verdict::Pass { of } else { 0 };
        graded.points += points;
        graded.checks.push(Marked { points, of, report });
    }
    Ok(graded)
}

/// The first lines of what a compiler says: the first error is the one to mend.
fn shortened(text: &str) -> String {
    const MOST: usize = 8_000;
    let text = text.trim();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}\n[…]", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// How far it is, on a terminal.
fn progress(done: usize, all: usize, began: Instant, out: &mut Output) -> Result<(), Failure> {
    if !stdout().is_terminal() {
        return Ok(());
    }
    let left = match (done, all - done) {
        (0, _) | (_, 0) => String::new(),
        (done, left) => {
            let seconds = began.elapsed().as_secs_f64() / done as f64 * left as f64;
            match seconds {
                seconds if seconds < 90.0 => format!(", about {seconds:.0} s left"),
                seconds => format!(", about {:.0} min left", seconds / 60.0),
            }
        }
    };
    show::progress(&format!("{done} of {all}{left}"), out)
}

impl Graded {
    /// `mueller  no-zombies  6 of 10 points; fail: burst`
    fn line(&self) -> String {
        format!("{}  {}  {}", self.student, self.exercise, self.sum())
    }

    /// What it came to, in a line.
    pub(crate) fn sum(&self) -> String {
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        match self.state {
            State::BuildError => "0 points; it does not build".to_owned(),
            State::NotTaken => format!("0 points; not taken: {}", first(&self.message)),
            State::NotSubmitted => "0 points; not handed in".to_owned(),
            State::NotGraded => format!("not graded: {}", first(&self.message)),
            State::Checked => {
                let failed = self.checks.iter().filter(|check| check.report.is_failure());
                let failed: Vec<&str> = failed.map(|check| check.report.check.as_str()).collect();
                let failed = match failed.as_slice() {
                    [] => String::new(),
                    failed => format!("; fail: {}", failed.join(", ")),
                };
                format!("{} of {} points{failed}", self.points, self.of)
            }
        }
    }
}

impl Class {
    fn task(&self, id: &str) -> Result<&Task, Failure> {
        let found = self.tasks.iter().find(|task| task.id() == id);
        found.ok_or_else(|| Failure::Broken(format!("{id}: no such exercise")))
    }

    /// What that student has handed in for that exercise came to.
    pub(crate) fn of(&self, student: &str, task: &Task) -> Option<&Graded> {
        self.graded.get(&(student.to_owned(), task.id().to_owned()))
    }

    /// All points of a student; none, while something is not graded.
    pub(crate) fn total(&self, student: &str) -> Option<u32> {
        let points = |task: &Task| self.of(student, task)?.points();
        self.tasks.iter().map(points).sum()
    }

    /// All points that there are.
    pub(crate) fn most(&self) -> u32 {
        self.tasks.iter().map(|task| task.spec.points).sum()
    }
}

impl Graded {
    /// Its points, if it could be graded.
    pub(crate) fn points(&self) -> Option<u32> {
        (self.state != State::NotGraded).then_some(self.points)
    }
}
