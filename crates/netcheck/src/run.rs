//! A program to run: what it is given, and how long it may take.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::CpuSet;

use crate::binary::bin;
use crate::other_user;
use crate::process::Process;
use crate::record;
use crate::shell::quoted;
use crate::spawner;
use crate::sys::BeforeExec;

/// A program with its arguments, not yet started.
#[derive(Debug)]
pub struct Run {
    /// What is executed.
    pub(crate) program: PathBuf,
    /// What one would type.
    name: OsString,
    /// The same as it is typed, where that is not `name` and the arguments.
    pub(crate) typed: Option<String>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    hold_stdin: bool,
    folder: Option<PathBuf>,
    uid: Option<u32>,
    deadline: Duration,
    /// How many bytes of each of its streams are kept.
    most_output: usize,
    before_exec: BeforeExec,
    /// It belongs to no story: not even a recorded one has it in its picture.
    unrecorded: bool,
    /// Where it is recorded, if the story reads that too.
    pub(crate) recorded_to: Option<PathBuf>,
}

/// A program that ran to its end.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// All that it wrote to its standard error.
    pub stderr: Vec<u8>,
    /// From its start until it had ended.
    pub elapsed: Duration,
    /// It, or something that it left behind with its pipes open, was still there at the deadline and
    /// was killed.
    pub timed_out: bool,
}

impl Finished {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Its standard output, bytes that are no UTF-8 replaced.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error, bytes that are no UTF-8 replaced.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Run {
    /// The workspace's binary `name`; it is built first.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn new(name: &str) -> Self {
        Self::named(bin(name), name.into())
    }

    /// Any program: a path, or a name that is looked up in PATH.
    pub fn program(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let name = program.clone().into_os_string();
        Self::named(program, name)
    }

    fn named(program: PathBuf, name: OsString) -> Self {
        Self {
            program,
            name,
            typed: None,
            args: Vec::new(),
            env: Vec::new(),
            stdin: None,
            hold_stdin: false,
            folder: None,
            uid: None,
            deadline: Duration::from_secs(60),
            most_output: usize::MAX,
            before_exec: BeforeExec::default(),
            unrecorded: false,
            recorded_to: None,
        }
    }

    /// Adds one argument; it need not be UTF-8.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets an environment variable; the others are the harness's.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What it can read from its standard input, by default nothing (`/dev/null`).
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Its standard input stays open: what comes is given to [`Process::write_stdin`].
    #[must_use]
    pub fn hold_stdin(mut self) -> Self {
        self.hold_stdin = true;
        self
    }

    /// The folder that it is started in, by default the harness's, or `/` for another user.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// How long [`Run::finish`] lets it run before it kills the whole tree; 60 s by default.
    #[must_use]
    pub fn deadline(mut self, after_start: Duration) -> Self {
        self.deadline = after_start;
        self
    }

    /// Its limit of open descriptors (RLIMIT_NOFILE, getrlimit(2)), soft and hard.
    #[must_use]
    pub fn limit_nofile(mut self, descriptors: u64) -> Self {
        self.before_exec.nofile = Some(descriptors);
        self
    }

    /// What a program may take that nobody here has written: 1 GiB of data, files of 64 MiB, no core file;
    /// of its output 64 MiB a stream are kept.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.before_exec.bounded = true;
        self.most_output = 64 << 20;
        self
    }

    /// The processors that it may use (sched_setaffinity(2)), `None` for those of the harness. Set before
    /// exec, they are those of every thread and child that it will have.
    #[must_use]
    pub fn cpus(mut self, cpus: Option<CpuSet>) -> Self {
        self.before_exec.cpus = cpus;
        self
    }

    /// Starts it with SIGCHLD ignored, as a careless parent would: exec keeps that, and waitpid(2) then
    /// fails with ECHILD unless the program sets it back.
    #[must_use]
    pub fn before_exec_ignore_sigchld(mut self) -> Self {
        self.before_exec.ignore_sigchld = true;
        self
    }

    /// Runs it under another user and the group of the same number, which takes root
    /// ([`crate::Need::OtherUser`]): RLIMIT_NPROC does not bind root. A program that is given by its path
    /// is copied to where that user may run it.
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Leaves it running, when its [`Process`] is dropped and after the harness has ended.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.before_exec.outlive_harness = true;
        self
    }

    /// Leaves it out of a recording ([`crate::record`]).
    #[must_use]
    pub(crate) fn unrecorded(mut self) -> Self {
        self.unrecorded = true;
        self
    }

    /// Replaces the program by `wrapper`, which is given the old program and its arguments after its
    /// own: `strace -f forking-echo …`.
    pub(crate) fn wrapped(mut self, wrapper: &str, wrapper_args: Vec<OsString>) -> Self {
        let program = std::mem::replace(&mut self.program, wrapper.into());
        let own = std::mem::take(&mut self.args);
        self.args = wrapper_args;
        self.args.push(program.into_os_string());
        self.args.extend(own);
        self.name = wrapper.into();
        self.typed = None;
        self
    }

    /// Has other words start it, a sandbox: they are given the program and its arguments. No word, no change.
    #[must_use]
    pub fn under(self, wrapper: &[String]) -> Self {
        match wrapper.split_first() {
            Some((program, args)) => self.wrapped(program, args.iter().map(Into::into).collect()),
            None => self,
        }
    }

    /// A command that can be typed to get the same: `forking-echo --port 0`.
    pub fn command_line(&self) -> String {
        let mut words = Vec::new();
        if let Some(limit) = self.before_exec.nofile {
            words.push(format!("prlimit --nofile={limit}"));
        }
        if let Some(cpus) = &self.before_exec.cpus {
            let is_set = |cpu: &usize| cpus.is_set(*cpu).unwrap_or(false);
            let list: Vec<_> =
                (0..CpuSet::count()).filter(is_set).map(|cpu| cpu.to_string()).collect();
            words.push(format!("taskset --cpu-list {}", list.join(",")));
        }
        if let Some(uid) = self.uid {
            words.push(format!("setpriv --clear-groups --reuid={uid} --regid={uid}"));
        }
        if self.before_exec.ignore_sigchld || !self.env.is_empty() {
            words.push("env".into());
        }
        if self.before_exec.ignore_sigchld {
            words.push("--ignore-signal=CHLD".into());
        }
        words.extend(
            self.env
                .iter()
                .map(|(name, value)| format!("{}={}", name.to_string_lossy(), quoted(value))),
        );
        match &self.typed {
            Some(typed) => words.push(typed.clone()),
            None => words.extend(self.words()),
        }
        words.join(" ")
    }

    /// The program and its arguments, as a shell needs them.
    pub(crate) fn words(&self) -> Vec<String> {
        std::iter::once(&self.name).chain(&self.args).map(|word| quoted(word)).collect()
    }

    /// Starts it in the background. The deadline is not for this: it runs until it ends, or until the
    /// [`Process`] is dropped.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(self) -> Process {
        let line = self.command_line();
        self.try_start().unwrap_or_else(|why| panic!("start {line}: {why}"))
    }

    /// The same, where it need not be there.
    fn try_start(self) -> io::Result<Process> {
        let line = self.command_line();
        // Once it runs, the copy is no longer needed.
        let copy = self.uid.filter(|_| self.program.is_absolute()).map(|_| {
            other_user::copy(&self.program).unwrap_or_else(|why| {
                panic!("copy {} for another user: {why}", self.program.display())
            })
        });
        let program = copy.as_ref().map_or(&self.program, |copy| &copy.program);
        let recording = self.recorded_to.or_else(|| (!self.unrecorded).then(record::next)?);
        let mut command = match recording {
            Some(file) => {
                let mut strace = Command::new("strace");
                strace.args(record::options(&file)).arg(program);
                strace
            }
            None => Command::new(program),
        };
        // Ours may be closed to another user, and a program may want to read the one that it is in.
        let root = self.uid.map(|_| PathBuf::from("/"));
        if let Some(folder) = self.folder.as_ref().or(root.as_ref()) {
            command.current_dir(folder);
        }
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        let has_stdin = self.stdin.is_some() || self.hold_stdin;
        command.stdin(if has_stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that what its dead children leave behind is still found.
        command.process_group(0);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        self.before_exec.install(&mut command);
        let mut child = spawner::spawn(command)?;
        if let Some(bytes) = self.stdin
            && let Some(mut pipe) = child.stdin.take()
        {
            // It may end, or write much, before it has read all: a thread neither fails nor waits.
            thread::spawn(move || pipe.write_all(&bytes));
        }
        Ok(Process::new(child, line, self.before_exec.outlive_harness, self.most_output))
    }

    /// Runs it to its end, or to the deadline.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn finish(self) -> Finished {
        let line = self.command_line();
        self.try_finish().unwrap_or_else(|why| panic!("start {line}: {why}"))
    }

    /// The same, where it need not be there.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub fn try_finish(self) -> io::Result<Finished> {
        let started = Instant::now();
        let timeout = self.deadline;
        let process = self.try_start()?;
        let ended = process.wait(timeout).is_some();
        let elapsed = started.elapsed();
        // The last output may still be in the pipes; a grandchild can hold them open without end.
        let complete = ended && process.streams_end(timeout.saturating_sub(elapsed));
        if !complete {
            process.kill_tree();
        }
        Ok(Finished {
            status: process.status(),
            stdout: process.stdout_bytes(),
            stderr: process.stderr_bytes(),
            elapsed,
            timed_out: !complete,
        })
    }
}
