//! The measured comparisons of this workspace with others: `cargo xtask bench` and `bench-clock` build and
//! start this program. The servers and clients that ours are compared with lie beside its sources.

mod beside;
mod chart;
mod clock;
mod measure;
mod network;
mod order;
mod pins;
mod report;
mod rivals;
mod sample;
mod servers;
mod spread;
mod started;
mod web;

use std::process::ExitCode;

use argh::FromArgs;

/// The comparisons.
#[derive(FromArgs)]
struct Bench {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Servers(servers::Args),
    Clock(clock::Args),
}

fn main() -> ExitCode {
    xtask::main(|Bench { command }, out| match command {
        Command::Servers(args) => servers::run(&args, out),
        Command::Clock(args) => clock::run(&args, out),
    })
}
