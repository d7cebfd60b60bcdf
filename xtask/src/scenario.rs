//! `cargo xtask scenario`: runs scenarios that can be typed along, and shows the evidence for each statement.

use std::ffi::OsStr;
use std::io::{self, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

use argh::FromArgs;
use netcheck::{Format, Scenario, Stopped};

use xtask::{Failure, Output};

use crate::package;

/// Run scenarios against the real binaries, and show each step and its evidence.
#[derive(FromArgs)]
#[argh(subcommand, name = "scenario")]
pub(crate) struct Args {
    /// the scenarios to run, in this order
    #[argh(positional)]
    pub(crate) names: Vec<String>,

    /// list the scenarios and run none
    #[argh(switch)]
    list: bool,

    /// run every scenario
    #[argh(switch)]
    all: bool,

    /// run each scenario this many times (1)
    #[argh(option, default = "1")]
    pub(crate) repeat: u32,

    /// leave the servers running, and print how to end them
    #[argh(switch)]
    keep: bool,

    /// write JSON Lines in place of the scenario
    #[argh(switch)]
    json: bool,

    /// for class: wait for Enter before each step and each statement, and say where to look
    #[argh(switch)]
    step: bool,

    /// draw what really happened: FILE.svg, FILE.html, or the data in FILE.jsonl; the programs run under
    /// strace
    #[argh(option, arg_name = "file")]
    picture: Option<PathBuf>,
}

/// Ends at the first false statement, so that it is the last that is shown.
pub(crate) fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    if args.list {
        out.line(known())?;
        return Ok(true);
    }
    let chosen = choose(args)?;
    if let Some(file) = &args.picture {
        return Err(draw(args, &chosen, file)?);
    }
    if args.step {
        return step(args, &chosen);
    }
    let format = if args.json { Format::Json } else { Format::Text };
    let start = Instant::now();
    let (mut runs, mut checks, mut skipped) = (0, 0, 0);
    for scenario in chosen {
        for _ in 0..args.repeat {
            // An empty line between two stories; JSON Lines have none.
            if runs > 0 && !args.json {
                out.line("")?;
            }
            let (result, summary) = scenario.play(format, args.keep);
            match result {
                Ok(()) => {}
                Err(Stopped::Missing(skip)) => return Err(Failure::Missing(skip.reason)),
                Err(_) => return Ok(false),
            }
            runs += 1;
            checks += summary.checks;
            skipped += summary.skipped.len();
        }
    }
    if runs > 1 && !args.json {
        let seconds = start.elapsed().as_secs_f32();
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        out.line(format_args!("\n{runs} runs: {checks} checks hold{skipped}, {seconds:.1} s"))?;
    }
    Ok(true)
}

/// Steps through one scenario; ended with `q`, what was checked until then holds.
fn step(args: &Args, chosen: &[&Scenario]) -> Result<bool, Failure> {
    let [scenario] = chosen else {
        return Err(Failure::Usage("--step: give one scenario".to_owned()));
    };
    if args.keep || args.json || args.repeat > 1 {
        let why = "--step is for one reader: no --keep, no --json, no --repeat";
        return Err(Failure::Usage(why.to_owned()));
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("--step: standard input is no terminal".to_owned()));
    }
    match scenario.step_through(Box::new(BufReader::new(io::stdin()))).0 {
        Ok(()) | Err(Stopped::Quit) => Ok(true),
        Err(Stopped::Missing(skip)) => Err(Failure::Missing(skip.reason)),
        Err(Stopped::CheckFailed(_) | Stopped::Broken(_)) => Ok(false),
    }
}

/// Becomes the program that draws; why that failed.
fn draw(args: &Args, chosen: &[&Scenario], file: &Path) -> Result<Failure, Failure> {
    let [scenario] = chosen else {
        return Err(Failure::Usage("--picture: give one scenario".to_owned()));
    };
    if args.keep || args.step || args.repeat > 1 {
        let why = "--picture draws one run to its end: no --keep, no --step, no --repeat";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut words: Vec<&OsStr> = vec!["draw".as_ref(), scenario.name.as_ref(), file.as_ref()];
    words.extend(args.json.then_some(OsStr::new("--json")));
    Ok(package::becomes("picture", words))
}

fn choose(args: &Args) -> Result<Vec<&'static Scenario>, Failure> {
    if args.repeat == 0 {
        return Err(Failure::Usage("--repeat 0: at least one run is needed".to_owned()));
    }
    match (args.all, args.names.is_empty()) {
        (true, true) => return Ok(scenarios::ALL.iter().collect()),
        (true, false) => return Err(Failure::Usage("give --all or names, not both".to_owned())),
        (false, true) => {
            return Err(Failure::Usage(format!(
                "give the name of a scenario, or --all\n{}",
                known()
            )));
        }
        (false, false) => {}
    }
    let find = |name: &String| {
        scenarios::ALL
            .iter()
            .find(|scenario| scenario.name == name.as_str())
            .ok_or_else(|| Failure::Usage(format!("no scenario {name:?}\n{}", known())))
    };
    args.names.iter().map(find).collect()
}

fn known() -> String {
    let width = scenarios::ALL.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    let row = |scenario: &Scenario| format!("  {:width$}  {}", scenario.name, scenario.summary);
    scenarios::ALL.iter().map(row).collect::<Vec<_>>().join("\n")
}
