//! What every command shares, in this package and in those that it starts: how it reads its command line,
//! where it writes, how it fails and ends, and how it calls cargo.

pub mod readme;

use std::fmt;
use std::io::{self, Write};
use std::process::{Command, ExitCode};

use argh::FromArgs;

/// Reads the command line, runs the command, and ends with 0 (done, every check holds), 1 (a check is false) or
/// the code of a failure.
pub fn main<C: FromArgs>(run: impl FnOnce(C, &mut Output) -> Result<bool, Failure>) -> ExitCode {
    let mut out = Output::stdout();
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    match parse(words).and_then(|command| run(command, &mut out)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Failure::Help(text)) => {
            out.line(text.trim_end()).map_or_else(ended, |()| ExitCode::SUCCESS)
        }
        Err(failure) => ended(failure),
    }
}

fn ended(failure: Failure) -> ExitCode {
    // With stderr closed the exit code still says it.
    let _ = writeln!(io::stderr(), "xtask: {failure}");
    ExitCode::from(failure.exit_code())
}

/// Reads a command line. argh alone refuses `--repeat=3` and `-h`, which everyone types. What comes after `--`
/// is a command of its own, and is left as it is.
///
/// # Errors
/// Help was asked for, or the words are no command.
pub fn parse<C: FromArgs>(words: impl Iterator<Item = String>) -> Result<C, Failure> {
    let mut split = Vec::new();
    let mut words = words.peekable();
    while let Some(word) = words.next_if(|word| word != "--") {
        match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => {
                split.extend([option.to_owned(), value.to_owned()]);
            }
            _ if word == "-h" => split.push("--help".to_owned()),
            _ => split.push(word),
        }
    }
    split.extend(words);
    let words: Vec<&str> = split.iter().map(String::as_str).collect();
    match C::from_args(&["cargo xtask"], &words) {
        Ok(command) => Ok(command),
        Err(exit) if exit.status.is_ok() => Err(Failure::Help(exit.output)),
        Err(exit) => Err(Failure::Usage(exit.output.trim_end().to_owned())),
    }
}

/// Standard output, for whom a closed pipe (`cargo xtask list | head -1`) is no error: what follows
/// is dropped, and the command runs on, so that its exit code still tells whether the checks hold.
pub struct Output {
    to: Box<dyn Write>,
    closed: bool,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Output {
        Output::to(Box::new(io::stdout()))
    }

    fn to(to: Box<dyn Write>) -> Output {
        Output { to, closed: false }
    }

    /// Writes one line, or several when `text` has newlines in it.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        self.begin(format_args!("{text}\n"))
    }

    /// Writes the beginning of a line at once, for a step whose end takes its time.
    pub fn begin(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        write!(self, "{text}").and_then(|()| self.flush()).map_err(Failure::Output)
    }

    fn unless_closed<T>(&mut self, written: io::Result<T>, dropped: T) -> io::Result<T> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(dropped)
            }
            other => other,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let written = self.to.write(bytes);
        self.unless_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.to.flush();
        self.unless_closed(flushed, ())
    }
}

/// Why a command has no result. (A check that fails is a result: `Ok(false)`.)
#[derive(Debug)]
pub enum Failure {
    /// `--help` was asked for.
    Help(String),
    /// Something of ours that the command needs did not work.
    Broken(String),
    /// The command line cannot be obeyed.
    Usage(String),
    /// This machine lacks a program or a right.
    Missing(String),
    /// A file cannot be read or written; the text says what was attempted.
    File(String),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    /// The code that a program ends with, in every command; `cargo xtask --help` lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Help(_) => 0,
            Failure::Broken(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Missing(_) => 71,
            Failure::File(_) | Failure::Output(_) => 74,
        }
    }

    /// A file that fails, with what was attempted beside the operating system's reason.
    pub fn file(attempt: impl fmt::Display) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::File(format!("{attempt}: {error}"))
    }

    /// A program that cannot be run, with the operating system's reason.
    pub fn program(attempt: impl fmt::Display) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::Missing(format!("{attempt}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Failure::Help(text)
            | Failure::Broken(text)
            | Failure::Usage(text)
            | Failure::Missing(text)
            | Failure::File(text) => f.write_str(text),
            Failure::Output(error) => write!(f, "write to standard output: {error}"),
        }
    }
}

/// The cargo that runs us, in the workspace's root: a `+toolchain` holds for its children too.
pub fn cargo<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(netcheck::workspace());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn each_failure_has_its_code() {
        let text = || "why".to_owned();
        let code = |failure: Failure| failure.exit_code();
        assert_eq!([Failure::Broken(text()), Failure::Usage(text())].map(code), [1, 2]);
        let file = Failure::file("read a")(io::ErrorKind::NotFound.into());
        let program = Failure::program("run strace")(io::ErrorKind::NotFound.into());
        let output = Failure::Output(io::ErrorKind::StorageFull.into());
        assert_eq!([file, program, output].map(code), [74, 71, 74]);
    }

    #[test]
    fn a_closed_pipe_is_a_quiet_end_and_a_full_disk_is_not() {
        let mut closed = Output::to(Box::new(Fails(io::ErrorKind::BrokenPipe)));
        assert!(closed.line("lost").is_ok() && closed.line("lost too").is_ok());
        let mut full = Output::to(Box::new(Fails(io::ErrorKind::StorageFull)));
        assert!(full.line("lost").is_err());
    }
}
