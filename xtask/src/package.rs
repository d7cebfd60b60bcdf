//! Commands that are programs of packages of their own: what they need is built when they are asked for.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use argh::{CommandInfo, DynamicSubCommand, EarlyExit};
use xtask::Failure;

/// The commands, and the package whose program has each.
const COMMANDS: &[(&str, &CommandInfo)] = &[
    (
        "bench",
        &command("bench", "Measure every server against C, tokio, Go, Python, socat and nginx."),
    ),
    (
        "bench",
        &command(
            "bench-clock",
            "Measure how far off sntp-client is, and how long it takes, beside rsntp and ntplib.",
        ),
    ),
    (
        "classroom",
        &command(
            "exercise",
            "Exercises: a recipe with a hole in it, and checks of what is put there.",
        ),
    ),
    (
        "book",
        &command("book", "The book: a chapter for each recipe, with its scenario and its picture."),
    ),
    (
        "classroom",
        &command("grade", "Grade the exercises of a class, each submission in a sandbox."),
    ),
    ("install", &command("install", "Install recipes with their man pages and completions.")),
];

const fn command(name: &'static str, description: &'static str) -> CommandInfo {
    CommandInfo { name, short: &'\0', description }
}

/// Such a command, with the words after it, which that program reads.
pub(crate) struct Package {
    package: &'static str,
    command: &'static str,
    pub(crate) words: Vec<String>,
}

impl Package {
    /// Builds the program and becomes it: its exit code is ours.
    pub(crate) fn run(&self) -> Result<bool, Failure> {
        let words = self.words.iter().map(String::as_str);
        let words = std::iter::once(self.command).chain(words);
        Err(becomes(self.package, words))
    }
}

/// Builds the program of a package and becomes it; why that failed.
pub(crate) fn becomes(
    package: &str,
    words: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Failure {
    let why = Command::new(netcheck::bin(package)).args(words).exec();
    Failure::program(format_args!("exec {package}"))(why)
}

impl DynamicSubCommand for Package {
    fn commands() -> &'static [&'static CommandInfo] {
        static INFOS: OnceLock<Vec<&CommandInfo>> = OnceLock::new();
        INFOS.get_or_init(|| COMMANDS.iter().map(|(_, info)| *info).collect())
    }

    fn try_redact_arg_values(_: &[&str], _: &[&str]) -> Option<Result<Vec<String>, EarlyExit>> {
        None
    }

    fn try_from_args(names: &[&str], words: &[&str]) -> Option<Result<Self, EarlyExit>> {
        let (package, info) = COMMANDS.iter().find(|(_, info)| names.last() == Some(&info.name))?;
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Some(Ok(Self { package, command: info.name, words }))
    }
}
