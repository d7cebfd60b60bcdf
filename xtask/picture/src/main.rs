//! A scenario as a picture, drawn from a recorded run: `cargo xtask scenario NAME --picture FILE` builds and
//! starts this program.
//!
//! The story is told by a second process, which strace follows as it follows the programs of the story:
//! some of their peers are threads of the harness.

mod arguments;
mod arrows;
mod choose;
mod draw;
mod fold;
mod label;
mod layout;
mod lines;
mod page;
mod plan;
mod svg;
mod tables;
mod tell;
#[cfg(test)]
mod tests;
mod tip;
mod trace;

use std::process::ExitCode;

use argh::FromArgs;

/// Pictures of scenarios.
#[derive(FromArgs)]
struct Picture {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Draw(draw::Args),
    Tell(tell::Args),
}

fn main() -> ExitCode {
    xtask::main(|Picture { command }, out| match command {
        Command::Draw(args) => draw::run(&args, out),
        Command::Tell(args) => tell::run(&args),
    })
}
