//! The files of a recording: one for each program, and one for the harness.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use netcheck::{TraceEvent, entries, evidence};
use xtask::Failure;

use crate::tables::Trace;

/// More is too much to draw.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// strace writes its last line after the program has ended.
const LAST_LINE: Duration = Duration::from_secs(2);

/// The name of the harness's file.
pub(crate) const HARNESS: &str = "harness";

/// Reads a recording, once it is complete.
pub(crate) fn read(folder: &Path) -> Result<Vec<Trace>, Failure> {
    let mut traces = Vec::new();
    let deadline = Instant::now() + LAST_LINE;
    for file in files(folder)? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_harness = name == HARNESS;
        let left = deadline.saturating_duration_since(Instant::now());
        let complete = || parse(&file).ok().filter(|trace| is_harness || is_complete(trace));
        let Some(entries) = evidence::wait_until(left, complete) else {
            // It says what is wrong with the file, where that is the reason.
            let entries = parse(&file)?;
            let program = program(&entries).unwrap_or_else(|| name.clone());
            return Err(Failure::Broken(format!("{program}: the recording is incomplete")));
        };
        traces.push(Trace { is_harness, entries });
    }
    Ok(traces)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(folder).map_err(Failure::file(folder.display()))?;
    let mut files: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "strace"));
    files.sort();
    Ok(files)
}

fn parse(file: &Path) -> Result<Vec<netcheck::Entry>, Failure> {
    let size = fs::metadata(file).map_err(Failure::file(file.display()))?.len();
    let text = if size > MOST_BYTES {
        let start = fs::read(file).map_err(Failure::file(file.display()))?;
        let start = String::from_utf8_lossy(start.get(..4096).unwrap_or_default()).into_owned();
        let program = program(&entries(&start)).unwrap_or_default();
        return Err(Failure::Broken(format!("{program}: too much to draw")));
    } else {
        fs::read(file).map_err(Failure::file(file.display()))?
    };
    Ok(entries(&String::from_utf8_lossy(&text)))
}

/// Every task of it has an end.
fn is_complete(entries: &[netcheck::Entry]) -> bool {
    let (mut seen, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        seen.insert(entry.tid);
        if matches!(entry.event, TraceEvent::Ended(_)) {
            ended.insert(entry.tid);
        }
    }
    !seen.is_empty() && seen == ended
}

fn program(entries: &[netcheck::Entry]) -> Option<String> {
    entries.iter().find_map(|entry| match &entry.event {
        TraceEvent::Call(call, _) if call.name == "execve" => {
            let path = call.args.split('"').nth(1)?;
            path.rsplit('/').next().map(str::to_owned)
        }
        _ => None,
    })
}
