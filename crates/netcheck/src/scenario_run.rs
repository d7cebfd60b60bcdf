//! A scenario while it runs: steps that can be typed, statements with their evidence, and one record of
//! what happened when. Printed for a reader, as JSON Lines, or not at all, for the test suite.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::time::Instant;

use crate::pause::{Pause, Quit};
use crate::record;
use crate::render::{self, Object};
use crate::run::{Finished, Run};
use crate::server::Server;
use crate::stopped::{CheckFailed, Stopped};
use crate::summary::{Event, Summary};
use crate::tool::{Skip, require_all};

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text for a reader, on standard output.
    Text,
    /// One JSON object a line, on standard output.
    Json,
    /// Nothing: the result is all.
    Quiet,
}

/// A scenario while it runs.
pub struct ScenarioRun {
    name: String,
    format: Format,
    out: Box<dyn Write>,
    began: Instant,
    /// Leave the servers running that [`ScenarioRun::serve`] starts.
    pub keep: bool,
    /// Whether a skip ends the scenario: [`require_all`], unless a test of the scenario says otherwise.
    pub(crate) no_skip: bool,
    /// Before each step and each statement, where a class is shown it.
    pub(crate) pause: Option<Pause>,
    kept: Vec<i32>,
    commands: Vec<String>,
    statements: Vec<(String, bool)>,
    skipped: Vec<String>,
    fewer: Vec<String>,
    stopped: bool,
    events: Vec<Event>,
}

impl fmt::Debug for ScenarioRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScenarioRun").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ScenarioRun {
    /// Begins the scenario `name`, on standard output.
    pub fn new(name: &str, title: &str, format: Format) -> Self {
        Self::writing_to(Box::new(io::stdout()), name, title, format)
    }

    pub(crate) fn writing_to(out: Box<dyn Write>, name: &str, title: &str, format: Format) -> Self {
        let mut run = Self {
            name: name.to_owned(),
            format,
            out,
            began: Instant::now(),
            keep: false,
            no_skip: require_all(),
            pause: None,
            kept: Vec::new(),
            commands: Vec::new(),
            statements: Vec::new(),
            skipped: Vec::new(),
            fewer: Vec::new(),
            stopped: false,
            events: Vec::new(),
        };
        run.say(&[format!("{name}: {title}"), String::new()]);
        run.put(run.object("scenario").text("title", title));
        run
    }

    /// Starts a server of the workspace: a step, with its readiness line.
    ///
    /// # Panics
    /// As [`Server::start`]; [`crate::Scenario::play`] reports it as a failure.
    pub fn serve<A: AsRef<OsStr>>(
        &mut self,
        name: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Server {
        self.serve_run(Run::new(name).args(args))
    }

    /// Starts a server from a [`Run`]: [`ScenarioRun::serve`] with a limit, a variable, under strace.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn serve_run(&mut self, run: Run) -> Server {
        self.wait_for_enter(&run.command_line());
        let server = Server::start_run(if self.keep { run.keep() } else { run });
        if let Some(pause) = &mut self.pause {
            pause.watch(server.pid(), server.address().port());
        }
        let line = server.command_line().to_owned();
        self.event("started", &format!("{line}, pid {}", server.pid()));
        self.step(&line, [server.readiness().to_owned()]);
        if self.keep {
            self.kept.push(server.pid());
        }
        server
    }

    /// Runs a program to its end: a step, with what it printed.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&mut self, run: Run) -> Finished {
        let line = run.command_line();
        self.wait_for_enter(&line);
        self.event("started", &line);
        let finished = run.finish();
        self.event("ended", &format!("{line}: {}", finished.status));
        let said = finished.stdout_text() + &finished.stderr_text();
        self.step(&line, lines_of(&said));
        finished
    }

    /// A step: a command that can be typed, and what it printed.
    pub fn step(&mut self, command: &str, lines: impl IntoIterator<Item = String>) {
        let lines: Vec<String> = lines.into_iter().collect();
        self.commands.push(command.to_owned());
        let number = self.commands.len();
        self.say(&render::columns(&format!("{number:>3}  {command}"), &lines));
        self.put(
            self.object("step")
                .number("number", number as u128)
                .text("command", command)
                .texts("output", &lines),
        );
    }

    /// A statement, whether it holds, and how that is known. `id` names it in the JSON.
    ///
    /// # Errors
    /// [`Stopped::CheckFailed`] when it does not hold: nothing after it would mean anything.
    pub fn check(
        &mut self,
        id: &str,
        statement: &str,
        holds: bool,
        evidence: impl fmt::Display,
    ) -> Result<(), Stopped> {
        let values = (true.to_string(), holds.to_string());
        self.judge(id, holds, statement, values, evidence.to_string())
    }

    /// A statement that two values are equal.
    ///
    /// # Errors
    /// As [`ScenarioRun::check`].
    pub fn check_eq<T: PartialEq + fmt::Debug>(
        &mut self,
        id: &str,
        statement: &str,
        expected: T,
        got: T,
        evidence: impl fmt::Display,
    ) -> Result<(), Stopped> {
        let values = (format!("{expected:?}"), format!("{got:?}"));
        self.judge(id, expected == got, statement, values, evidence.to_string())
    }

    fn judge(
        &mut self,
        id: &str,
        holds: bool,
        statement: &str,
        (expected, got): (String, String),
        evidence: String,
    ) -> Result<(), Stopped> {
        self.wait_for_enter(&format!("{statement}?"));
        let mark = if holds { "ok" } else { "NO" };
        self.say(&render::columns(&format!("  {mark}  {statement}"), &lines_of(&evidence)));
        self.put(
            self.object("check")
                .text("id", id)
                .text("statement", statement)
                .flag("holds", holds)
                .text("expected", &expected)
                .text("got", &got)
                .text("evidence", &evidence),
        );
        self.statements.push((statement.to_owned(), holds));
        if holds {
            return Ok(());
        }
        let again = self.commands.clone();
        let statement = statement.to_owned();
        Err(Stopped::CheckFailed(Box::new(CheckFailed {
            statement,
            expected,
            got,
            evidence,
            again,
        })))
    }

    /// A statement that this machine cannot look at.
    ///
    /// # Errors
    /// [`Stopped::Missing`] when nothing may be skipped ([`require_all`]).
    pub fn skip(&mut self, statement: &str, skip: &Skip) -> Result<(), Stopped> {
        self.skipped.push(skip.reason.clone());
        self.say(&render::columns(&format!("  --  {statement}"), &[format!("skipped: {skip}")]));
        self.put(self.object("skip").text("statement", statement).text("reason", &skip.reason));
        if self.no_skip { Err(Stopped::Missing(skip.clone())) } else { Ok(()) }
    }

    /// How many of `what` there are: all, or a few while a picture is recorded, which says so.
    pub fn many(&mut self, what: &str, all: usize, few: usize) -> usize {
        if !record::is_on() {
            return all;
        }
        let line = format!("{few} {what} in place of {all}");
        self.say(&render::columns("  --  for the picture", std::slice::from_ref(&line)));
        self.put(self.object("fewer").text("reason", &line));
        self.fewer.push(line);
        few
    }

    /// Whether a statement is left out, because a recording would change what it is about: `strace takes time,
    /// too`.
    pub fn leaves_out(&mut self, statement: &str, why: &str) -> bool {
        if record::is_on() {
            let why = format!("not checked: {why}");
            self.say(&render::columns(&format!("  --  {statement}"), &[why]));
        }
        record::is_on()
    }

    /// Ends a scenario that has no picture, and says why, where one is asked for.
    ///
    /// # Errors
    /// [`Stopped::Missing`].
    pub fn no_picture(&mut self, why: &str) -> Result<(), Stopped> {
        if record::is_on() {
            return Err(Stopped::Missing(Skip { reason: format!("{}{why}", record::NO_PICTURE) }));
        }
        Ok(())
    }

    /// Says what comes next, and where to look before it; ends the story where that is asked for.
    fn wait_for_enter(&mut self, next: &str) {
        let Some(mut pause) = self.pause.take() else { return };
        self.say(&pause.lines(next));
        self.prompt("Enter goes on, q ends it: ");
        let goes_on = pause.goes_on();
        self.pause = Some(pause);
        if !goes_on {
            // What the story has started is dropped on the way, and ends.
            resume_unwind(Box::new(Quit));
        }
    }

    fn prompt(&mut self, text: &str) {
        // One who does not see the question can still answer it.
        let _ = write!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Something happened, now. It is not printed as text; the record has it.
    pub fn event(&mut self, kind: &str, detail: &str) {
        let [kind, detail] = [kind, detail].map(str::to_owned);
        self.put(self.object("event").text("kind", &kind).text("detail", &detail));
        self.events.push(Event { at: self.began.elapsed(), kind, detail });
    }

    /// Prints why the scenario stopped.
    pub(crate) fn stop(&mut self, why: &Stopped) {
        self.stopped = !matches!(why, Stopped::Quit);
        match why {
            Stopped::CheckFailed(it) => self.say(&it.lines()),
            Stopped::Missing(_) | Stopped::Quit => {}
            Stopped::Broken(why) => {
                self.say(&render::columns("  NO  the scenario could continue", &lines_of(why)))
            }
        }
        self.put(self.object("halt").text("reason", &why.to_string()));
    }

    /// Ends the scenario.
    pub fn finish(mut self) -> Summary {
        let elapsed = self.began.elapsed();
        for pid in self.kept.clone() {
            self.say(&[format!("  still running: pid {pid}; `kill {pid}` ends it")]);
            self.put(self.object("kept").number("pid", u128::from(pid.unsigned_abs())));
        }
        let skipped = self.skipped.len();
        let checks = self.statements.iter().filter(|(_, holds)| *holds).count();
        let line = render::summary(&self.name, checks, skipped, self.stopped, elapsed);
        self.say(&[String::new(), line]);
        self.put(
            self.object("summary")
                .flag("holds", !self.stopped)
                .number("checks", checks as u128)
                .number("skipped", skipped as u128)
                .number("elapsed_ns", elapsed.as_nanos()),
        );
        let Self { skipped, fewer, events, commands, statements, .. } = self;
        Summary { checks, skipped, fewer, elapsed, events, commands, statements }
    }

    /// The beginning of a JSON object, made in every format and printed in one.
    fn object(&self, kind: &str) -> Object {
        let at = self.began.elapsed().as_nanos();
        Object::new(kind).text("scenario", &self.name).number("at_ns", at)
    }

    fn put(&mut self, object: Object) {
        if self.format == Format::Json {
            self.write(&object.finish());
        }
    }

    fn say(&mut self, lines: &[String]) {
        if self.format == Format::Text {
            for line in lines {
                self.write(&render::escaped(line));
            }
        }
    }

    fn write(&mut self, line: &str) {
        // A reader who has seen enough (`| head -1`) changes nothing in what holds.
        if writeln!(self.out, "{line}").and_then(|()| self.out.flush()).is_err() {
            self.out = Box::new(io::sink());
        }
    }
}

fn lines_of(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
