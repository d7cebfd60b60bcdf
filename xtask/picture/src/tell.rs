//! The story, told while it is recorded.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use argh::FromArgs;
use netcheck::{Format, Scenario, Stopped, Summary, record};
use xtask::Failure;

/// The file of what was told.
const TOLD: &str = "told";

/// Tell a scenario, each program of it under strace.
#[derive(FromArgs)]
#[argh(subcommand, name = "tell")]
pub(crate) struct Args {
    #[argh(positional)]
    name: String,

    /// where the recording goes
    #[argh(positional)]
    folder: PathBuf,

    /// write JSON Lines in place of the scenario
    #[argh(switch)]
    json: bool,
}

/// The scenario of that name.
pub(crate) fn scenario(name: &str) -> Result<&'static Scenario, Failure> {
    let found = scenarios::ALL.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| Failure::Usage(format!("no scenario {name:?}")))
}

/// A story that takes longer under strace is a load, and no story.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Args) -> Result<bool, Failure> {
    record::begin(&args.folder);
    let name = args.name.clone();
    let (_told, is_told) = mpsc::channel::<()>();
    thread::spawn(move || {
        if is_told.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
            let seconds = LONGEST.as_secs();
            // With stderr closed the exit code still says it. Our programs end with us.
            let why = format!("too much to draw: it takes more than {seconds} s under strace");
            let _ = writeln!(io::stderr(), "xtask: {name}: {why}");
            std::process::exit(1);
        }
    });
    let format = if args.json { Format::Json } else { Format::Text };
    let (result, summary) = scenario(&args.name)?.play(format, false);
    match result {
        Err(Stopped::Missing(skip)) if skip.reason.starts_with(record::NO_PICTURE) => {
            return Err(Failure::Usage(format!("{}: {skip}", args.name)));
        }
        Err(Stopped::Missing(skip)) => return Err(Failure::Missing(skip.reason)),
        Ok(()) | Err(_) => {}
    }
    write(&args.folder, &summary)?;
    Ok(result.is_ok())
}

/// A line for each command and each statement, and for what there was less of.
fn write(folder: &Path, summary: &Summary) -> Result<(), Failure> {
    let one_line = |text: &str| text.replace('\n', " ");
    let commands = summary.commands.iter().map(|text| format!("command {}\n", one_line(text)));
    let statements = summary
        .statements
        .iter()
        .map(|(text, holds)| format!("{} {}\n", if *holds { "ok" } else { "NO" }, one_line(text)));
    let fewer = summary.fewer.iter().map(|text| format!("fewer {}\n", one_line(text)));
    let told: String = fewer.chain(commands).chain(statements).collect();
    let path = folder.join(TOLD);
    fs::write(&path, told).map_err(Failure::file(path.display()))
}

/// What was told: the commands, and the statements with `ok` or `NO` before them.
pub(crate) struct Told {
    /// `24 clients in place of 1000`, for the picture.
    pub(crate) fewer: Vec<String>,
    pub(crate) commands: Vec<String>,
    pub(crate) statements: Vec<String>,
}

/// Reads it back; `None` where the story did not come to its end.
pub(crate) fn read(folder: &Path) -> Option<Told> {
    let text = fs::read_to_string(folder.join(TOLD)).ok()?;
    let (mut fewer, mut commands, mut statements) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "fewer" => fewer.push(rest.to_owned()),
            "command" => commands.push(rest.to_owned()),
            _ => statements.push(line.to_owned()),
        }
    }
    Some(Told { fewer, commands, statements })
}
