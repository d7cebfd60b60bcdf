//! The header of each recipe is true: what *Try it* types prints what it shows, and makes the
//! system calls of *System calls* in their order.

mod calls;

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Block, Header, Need, Run, Server, Signal, Skip, TraceFile};
use netcheck::{bin, evidence, need, recipes, workspace};

use crate::trial;

/// The port of every documented command. One that is free takes its place.
pub(crate) const DOCUMENTED: &str = "7777";

/// How long a server may take from SIGTERM to its end, and strace with what it still has to write.
const SOON: Duration = Duration::from_secs(10);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in recipes() {
        let recipe = name.clone();
        trials.push(trial(format!("try_it::{name}::prints_what_it_shows"), move || {
            let header = Header::read(&recipe);
            assert!(!header.transcript.is_empty(), "{recipe}: nothing to try");
            header.transcript.iter().try_for_each(|block| play(block, None).map(drop))
        }));
        trials.push(trial(format!("try_it::{name}::makes_its_system_calls_in_order"), move || {
            need(Need::Strace)?;
            let header = Header::read(&name);
            let sequence = calls::Sequence::read(&header);
            if sequence.is_empty() {
                return Ok(());
            }
            for block in &header.transcript {
                let traces = play(block, Some((&name, &sequence.trace())))?;
                let missing = || {
                    let made =
                        traces.iter().map(|trace| sequence.is_made_by(&name, &trace.calls()));
                    let missing: Vec<String> =
                        made.filter_map(|made| Some(made.err()?.why)).collect();
                    // Of a program that is two, a front and a worker, one makes these calls.
                    (missing.len() == traces.len() && !traces.is_empty()).then_some(missing)
                };
                // strace may still be writing when its program has ended.
                let made = evidence::wait_until(SOON, || missing().is_none().then_some(()));
                assert!(made.is_some(), "{}", missing().unwrap_or_default().join("\n"));
            }
            Ok(())
        }));
    }
    trials
}

/// A line for the shell, in the root of the workspace, whose binaries it finds before all others.
pub(crate) fn shell(line: &str) -> Run {
    let folder = |name: &String| bin(name).parent().map(Path::to_path_buf);
    let ours: BTreeSet<PathBuf> = recipes().iter().filter_map(folder).collect();
    let theirs = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(ours.into_iter().chain(env::split_paths(&theirs))).unwrap();
    // What is typed may name a file of the workspace.
    Run::program("sh").args(["-c", line]).folder(workspace()).env("PATH", path)
}

/// The line that starts a documented server on a port that the kernel picks; the readiness line
/// says which. The process is the server itself.
pub(crate) fn on_a_free_port(command: &str) -> String {
    format!("exec {}", command.replace(DOCUMENTED, "0"))
}

/// The line with a folder of its own in place of /tmp and of an abstract name, which another run may have
/// taken. It is the variable of [`in_folder`]: there may be a blank in its path.
pub(crate) fn placed(line: &str) -> String {
    line.replace("/tmp/", "\"$FOLDER\"/").replace("@worker", "\"@$FOLDER\"")
}

/// It, with the folder for [`placed`].
pub(crate) fn in_folder(run: Run, folder: &Path) -> Run {
    run.env("FOLDER", folder)
}

/// Types a block of a header, line by line, and compares what comes with what stands there. Each
/// run of the program that `traced` names is traced, with its expression for strace.
fn play(block: &Block, traced: Option<(&str, &str)>) -> Result<Vec<TraceFile>, Skip> {
    let mut traces = Vec::new();
    let mut servers: Vec<Server> = Vec::new();
    let mut port = DOCUMENTED.to_owned();
    let folder = tempfile::tempdir().unwrap();
    let own = format!("{}/", folder.path().display());
    let name = format!("@{}", folder.path().display());
    for typed in &block.typed {
        let program = typed.command.split(' ').next().unwrap_or_default();
        has(program)?;
        let line = if typed.background {
            on_a_free_port(&typed.command)
        } else {
            // A terminal shows both streams.
            format!("exec 2>&1; {}", typed.command.replace(DOCUMENTED, &port))
        };
        let run = in_folder(shell(&placed(&line)), folder.path());
        let run = match traced {
            Some((name, expression)) if name == program => {
                let (run, trace) = run.traced(&[expression]);
                traces.push(trace);
                run
            }
            _ => run,
        };
        let printed: Vec<String> = if typed.background {
            let mut server = Server::start_run(run);
            assert_eq!(port, DOCUMENTED, "one server a block: {}", typed.command);
            if !server.is_named() {
                port = server.address().port().to_string();
            }
            let first = server.readiness().to_owned();
            let more = typed.expected.iter().skip(1).map_while(|_| server.next_line(SOON));
            let lines = std::iter::once(first).chain(more).collect();
            servers.push(server);
            lines
        } else {
            let finished = run.finish();
            let text = finished.stdout_text();
            // An error that is shown is one on purpose.
            let error = text.contains(&format!("{program}: "));
            assert_eq!(finished.status.success(), !error, "$ {}\n{text}", typed.command);
            text.lines().map(str::to_owned).collect()
        };
        let expected = typed
            .expected
            .iter()
            .map(|line| line.replace(DOCUMENTED, &port).replace("/tmp/", &own))
            .map(|line| line.replace("@worker", &name));
        let expected: Vec<String> = expected.map(|line| masked(&line, &port)).collect();
        let printed: Vec<String> = printed.iter().map(|line| masked(line, &port)).collect();
        assert_eq!(printed, expected, "$ {}", typed.command);
    }
    for server in servers {
        server.signal(Signal::SIGTERM);
        let code = server.wait(SOON).and_then(|status| status.code());
        assert_eq!(code, Some(0), "{}: {}", server.command_line(), server.stderr());
    }
    Ok(traces)
}

/// Whether a program of a transcript can be run: the shell says so where it is not ours.
pub(crate) fn has(program: &str) -> Result<(), Skip> {
    // What this one shows is in a file that not every machine has.
    if program == "service-name" {
        need(Need::Services)?;
    }
    let ours = recipes().iter().any(|name| name == program);
    let found = || shell(&format!("command -v {program}")).finish().status.success();
    if ours || found() { Ok(()) } else { Err(Skip { reason: format!("needs {program}") }) }
}

/// What follows a number that was measured.
const MEASURED: [&str; 8] = [
    " round trips in ",
    " connections in ",
    " a second",
    " due and not sent",
    " % of a CPU",
    // How much the kernel takes depends on its sysctls.
    " bytes of ",
    " sent, then ",
    // How many depends on the kernel's timers.
    " clients say ",
];

/// A printed line without what differs from run to run: times, pids, and every port that the kernel
/// picked for a client.
fn masked(line: &str, port: &str) -> String {
    if line.starts_with("    Time=") {
        return "    Time=LOCAL".to_owned();
    }
    // A row of tcp-info, whose numbers are all the kernel's.
    if line.starts_with("ESTABLISHED ") {
        return "ESTABLISHED ROW".to_owned();
    }
    let words: Vec<&str> = line.split(' ').map(clockless).collect();
    let line = words.join(" ");
    let mut masked = String::new();
    let mut rest = line.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        masked += before;
        let end = from.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        masked += if masked.ends_with("pid ") {
            "PID"
        } else if masked.ends_with("uid ") {
            "UID"
        } else if after.starts_with(" ms") {
            "TIME"
        } else if number.split_once('.').is_some_and(|(_, decimals)| decimals.len() == 6) {
            "MICROS"
        } else if MEASURED.iter().any(|unit| after.starts_with(unit)) {
            "MEASURED"
        } else if masked.ends_with(':') && number != port {
            "PORT"
        } else {
            number
        };
        rest = after;
    }
    masked + rest
}

/// A word, but for what was read from a clock: an instant in UTC, or microseconds of a clock's error.
fn clockless(word: &str) -> &str {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    match word.chars().map(shape).collect::<String>().as_str() {
        "0000-00-00T00:00:00.000000Z" => "INSTANT",
        "+0.000000" | "-0.000000" => "OFFSET",
        "0.000000" => "BOUND",
        _ => word,
    }
}
