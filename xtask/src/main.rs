//! The workspace's own commands: `cargo xtask scenario`, `list`, `ladder`, `new`, `tidy`, `each`, `size`,
//! `faults`, `bench`, `bench-clock`, `exercise`, `grade`, `ci`.
//!
//! One file a command; this one matches and runs.

mod ci;
mod each;
mod faults;
mod ladder;
mod list;
mod new;
mod package;
mod scenario;
mod size;
mod tidy;

use std::process::ExitCode;

use argh::FromArgs;

use package::Package;

/// The commands of this workspace.
#[derive(FromArgs)]
#[argh(error_code(0, "done, every check holds"))]
#[argh(error_code(1, "a statement or a check is false"))]
#[argh(error_code(2, "usage"))]
#[argh(error_code(71, "this machine lacks a program or a right"))]
#[argh(error_code(74, "a file or standard output cannot be read or written"))]
struct Xtask {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Scenario(scenario::Args),
    Ladder(ladder::Args),
    List(list::Args),
    New(new::Args),
    Tidy(tidy::Args),
    Each(each::Args),
    Size(size::Args),
    Faults(faults::Args),
    Ci(ci::Args),
    #[argh(dynamic)]
    Package(Package),
}

fn main() -> ExitCode {
    xtask::main(|Xtask { command }, out| match command {
        Command::Scenario(args) => scenario::run(&args, out),
        Command::Ladder(args) => ladder::run(&args, out),
        Command::List(args) => list::run(&args, out),
        Command::New(args) => new::run(&args, out),
        Command::Tidy(args) => tidy::run(&args, out),
        Command::Each(args) => each::run(&args, out),
        Command::Size(args) => size::run(&args, out),
        Command::Faults(args) => faults::run(&args, out),
        Command::Ci(args) => ci::run(&args, out),
        Command::Package(package) => package.run(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::Failure;

    fn parsed(line: &str) -> Result<Command, Failure> {
        let Xtask { command } = xtask::parse(line.split_whitespace().map(str::to_owned))?;
        Ok(command)
    }

    #[test]
    fn an_option_may_carry_its_value_after_an_equals_sign() {
        let Ok(Command::Scenario(args)) = parsed("scenario echo --repeat=3") else {
            panic!("not parsed")
        };
        assert_eq!((args.names, args.repeat), (vec!["echo".to_owned()], 3));
    }

    #[test]
    fn the_words_after_bench_are_left_to_its_program() {
        let Ok(Command::Package(package)) = parsed("bench --only threaded --nosuch") else {
            panic!("not parsed")
        };
        assert_eq!(package.words, ["--only", "threaded", "--nosuch"]);
        let Ok(Command::Package(package)) = parsed("exercise check a -- b --port={port} -h") else {
            panic!("not parsed")
        };
        assert_eq!(package.words, ["check", "a", "--", "b", "--port={port}", "-h"]);
        assert!(matches!(parsed("bench-clock --help"), Ok(Command::Package(_))));
    }

    #[test]
    fn help_is_an_answer_and_an_unknown_word_is_a_usage_error() {
        assert!(matches!(parsed("-h"), Err(Failure::Help(_))));
        assert!(matches!(parsed("tidy --help"), Err(Failure::Help(_))));
        assert!(matches!(parsed("dance"), Err(Failure::Usage(_))));
        assert!(matches!(parsed("tidy --fix"), Err(Failure::Usage(_))));
    }
}
