//! The workspace's own commands: `cargo xtask scenario`, `list`, `new`, `tidy`, `each`, `bench`,
//! `bench-clock`, `ci`.
//!
//! One file a command; this one parses, matches and runs. A command ends with 0 (done, everything
//! holds), 1 (a check failed) or 2 (usage), so that a script can tell the three apart.

mod bench;
mod ci;
mod each;
mod list;
mod new;
mod output;
mod readme;
mod scenario;
mod tidy;

use std::io::Write;
use std::process::ExitCode;

use argh::FromArgs;

use output::{Failure, Output};

/// The commands of this workspace.
#[derive(FromArgs)]
struct Xtask {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Scenario(scenario::Args),
    List(list::Args),
    New(new::Args),
    Tidy(tidy::Args),
    Each(each::Args),
    Bench(bench::Args),
    BenchClock(bench::clock::Args),
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let mut out = Output::stdout();
    let ended = parse(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))
        .and_then(|command| run(&command, &mut out));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Failure::Help(text)) => ExitCode::from(u8::from(out.line(text.trim_end()).is_err())),
        Err(failure) => {
            // A closed stderr leaves nobody to tell; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "xtask: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Reads the command line. argh alone refuses `--repeat=3` and `-h`, which everyone types.
fn parse(words: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut split = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => {
                split.extend([option.to_owned(), value.to_owned()]);
            }
            _ if word == "-h" => split.push("--help".to_owned()),
            _ => split.push(word),
        }
    }
    let words: Vec<&str> = split.iter().map(String::as_str).collect();
    match Xtask::from_args(&["cargo xtask"], &words) {
        Ok(xtask) => Ok(xtask.command),
        Err(exit) if exit.status.is_ok() => Err(Failure::Help(exit.output)),
        Err(exit) => Err(Failure::Usage(exit.output.trim_end().to_owned())),
    }
}

fn run(command: &Command, out: &mut Output) -> Result<bool, Failure> {
    match command {
        Command::Scenario(args) => scenario::run(args, out),
        Command::List(args) => list::run(args, out),
        Command::New(args) => new::run(args, out),
        Command::Tidy(args) => tidy::run(args, out),
        Command::Each(args) => each::run(args, out),
        Command::Bench(args) => bench::run(args, out),
        Command::BenchClock(args) => bench::clock::run(args, out),
        Command::Ci(args) => ci::run(args, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Failure> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn an_option_may_carry_its_value_after_an_equals_sign() {
        let Ok(Command::Scenario(args)) = parsed("scenario echo --repeat=3") else {
            panic!("not parsed")
        };
        assert_eq!((args.names, args.repeat), (vec!["echo".to_owned()], 3));
    }

    #[test]
    fn help_is_an_answer_and_an_unknown_word_is_a_usage_error() {
        assert!(matches!(parsed("-h"), Err(Failure::Help(_))));
        assert!(matches!(parsed("tidy --help"), Err(Failure::Help(_))));
        assert!(matches!(parsed("dance"), Err(Failure::Usage(_))));
        assert!(matches!(parsed("tidy --fix"), Err(Failure::Usage(_))));
    }
}
