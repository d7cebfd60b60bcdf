//! `cargo xtask exercise`: xtask builds this program and becomes it.

use std::process::ExitCode;

use argh::FromArgs;

use classroom::grade::{self, machine, submission};
use classroom::{
    check, compile, enter, hint, list, many, reset, runner, scratch, solution, start, verify,
    worker,
};

/// What a class needs.
#[derive(FromArgs)]
struct Classroom {
    #[argh(subcommand)]
    command: Group,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Group {
    Exercise(Exercise),
    Grade(grade::Args),
}

/// Recipes with a hole in them, and checks of what was put there.
#[derive(FromArgs)]
#[argh(subcommand, name = "exercise")]
#[argh(error_code(0, "all that could be checked passes"))]
#[argh(error_code(1, "a check fails, or the program does not build"))]
#[argh(error_code(2, "usage"))]
#[argh(error_code(71, "this machine lacks a program or a right"))]
#[argh(error_code(74, "a file or standard output cannot be read or written"))]
struct Exercise {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    List(list::Args),
    Start(start::Args),
    Check(check::Args),
    Hint(hint::Args),
    Solution(solution::Args),
    Reset(reset::Args),
    Verify(verify::Args),
}

fn main() -> ExitCode {
    if let Some(file) = std::env::var_os(compile::NOTE) {
        let words: Vec<_> = std::env::args_os().skip(1).collect();
        return compile::note(file.as_ref(), &words);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let order = words.get(1).map_or("", String::as_str);
    match words.first().map(String::as_str) {
        Some(worker::NAME) => return worker::main(order),
        Some(many::NAME) => return many::main(order),
        Some(submission::NAME) => return submission::main(order),
        Some(machine::NAME) => return machine::main(order),
        Some(grade::REMOVER) => return grade::remove_when_alone(order),
        Some(enter::NAME) => return enter::main(words.get(1..).unwrap_or_default()),
        _ => {}
    }
    runner::end_all_when_interrupted();
    let code = xtask::main(|Classroom { command }, out| match command {
        Group::Exercise(Exercise { command }) => match command {
            Command::List(args) => list::run(&args, out),
            Command::Start(args) => start::run(&args, out),
            Command::Check(args) => check::run(&args, out),
            Command::Hint(args) => hint::run(&args, out),
            Command::Solution(args) => solution::run(&args, out),
            Command::Reset(args) => reset::run(&args, out),
            Command::Verify(args) => verify::run(&args, out),
        },
        Group::Grade(args) => grade::run(&args, out),
    });
    scratch::remove();
    code
}
