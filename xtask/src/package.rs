//! Commands that are programs of packages of their own: what they need is built when they are asked for.

use std::os::unix::process::CommandExt;
use std::process::Command;

use argh::{CommandInfo, DynamicSubCommand, EarlyExit};
use xtask::Failure;

/// A command of the program of the package `bench`.
const fn bench(name: &'static str, description: &'static str) -> CommandInfo {
    CommandInfo { name, short: &'\0', description }
}

const BENCH: CommandInfo =
    bench("bench", "Measure every echo server against C, tokio, Go, Python and socat.");
const CLOCK: CommandInfo = bench(
    "bench-clock",
    "Measure how far off sntp-client is, and how long it takes, beside rsntp and ntplib.",
);

/// Such a command, with the words after it, which that program reads.
pub(crate) struct Package {
    command: String,
    pub(crate) words: Vec<String>,
}

impl Package {
    /// Builds the program and becomes it: its exit code is ours.
    pub(crate) fn run(&self) -> Result<bool, Failure> {
        let mut program = Command::new(netcheck::bin("bench"));
        let why = program.arg(&self.command).args(&self.words).exec();
        Err(Failure::program("exec bench")(why))
    }
}

impl DynamicSubCommand for Package {
    fn commands() -> &'static [&'static CommandInfo] {
        &[&BENCH, &CLOCK]
    }

    fn try_redact_arg_values(_: &[&str], _: &[&str]) -> Option<Result<Vec<String>, EarlyExit>> {
        None
    }

    fn try_from_args(names: &[&str], words: &[&str]) -> Option<Result<Self, EarlyExit>> {
        let command = Self::commands().iter().find(|known| names.last() == Some(&known.name))?;
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Some(Ok(Self { command: command.name.to_owned(), words }))
    }
}
