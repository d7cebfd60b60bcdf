//! Runs one check, bounded in time, processes and memory, and ends all that it has started.
//!
//! Each check is a process ([`crate::worker`]), and all that it starts stays below this one, whatever it does:
//! orphans come to us. So one check runs at a time in a process: what it leaves behind is all that is
//! below.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netcheck::{Process, Run, evidence, tree};
use nix::sys::signal::{SigSet, Signal};
use serde::Serialize;

use crate::report::{Report, Verdict};
use crate::scratch;
use crate::worker::{self, Job};
use xtask::Failure;

/// How long a check may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many processes a check may have at once; a correct program has some forty.
const MOST_PROCESSES: usize = 200;

/// How much memory they may have at once, in bytes; a single one is held to as much by its limits.
const MOST_MEMORY: u64 = 1 << 30;

/// How often they are counted.
const TICK: Duration = Duration::from_millis(50);

/// A signal is about to end this program.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Runs a check; once more, if the check itself has not worked.
///
/// # Errors
/// This program cannot be started again as a worker.
pub fn run(job: &Job) -> Result<Report, Failure> {
    let report = run_once(job)?;
    if report.verdict == Verdict::InfraError { run_once(job) } else { Ok(report) }
}

fn run_once(job: &Job) -> Result<Report, Failure> {
    let worker = start_self(worker::NAME, job)?;
    let (began, mut stopped) = (Instant::now(), None);
    let ended = loop {
        if let Some(status) = worker.wait(TICK) {
            break Some(status);
        }
        stopped = too_much(job, began);
        if stopped.is_some() {
            break None;
        }
    };
    tree::kill_below();
    let said = worker.stdout();
    let why = || format!("the check ended without a verdict: {ended:?} {}", worker.stderr());
    let report = serde_json::from_str(&said);
    let report = report.unwrap_or_else(|_| Report::new(&job.check, Verdict::InfraError, why()));
    drop(worker);
    tree::reap_orphans();
    Ok(stopped.unwrap_or(report))
}

/// Starts this program with that word and its order. It must live on for the moment in which it ends its own
/// processes, if this one is killed.
pub(crate) fn start_self(word: &str, order: &impl Serialize) -> Result<Process, Failure> {
    let own = std::env::current_exe().map_err(Failure::program("find this program"))?;
    start(Run::program(own), word, order)
}

/// Starts a copy of this program, in that way.
pub(crate) fn start(own: Run, word: &str, order: &impl Serialize) -> Result<Process, Failure> {
    // The one who ends this program waits until nothing is left, and so nothing new may begin.
    while IS_ENDING.load(Ordering::SeqCst) {
        thread::park();
    }
    let order = serde_json::to_string(order).map_err(|why| Failure::Broken(why.to_string()))?;
    Ok(own.args([word, &order]).keep().start())
}

/// Whether a check has to be stopped, and why.
fn too_much(job: &Job, began: Instant) -> Option<Report> {
    let check = &job.check;
    let timeout = job.hang.map_or(TIMEOUT, |hang| 2 * hang);
    let below = tree::below();
    let processes = below.len();
    if processes > MOST_PROCESSES {
        let expected = format!("at most {MOST_PROCESSES} processes");
        let got = format!("{processes} processes");
        let evidence = "/proc/*/stat; all were killed".to_owned();
        return Some(Report { expected, evidence, ..Report::new(check, Verdict::Fail, got) });
    }
    let sum = |memory: fn(i32) -> Option<u64>| below.iter().filter_map(|&pid| memory(pid)).sum();
    // What they share counts once, which takes the kernel longer to find out.
    let is_large = |bytes: u64| bytes > MOST_MEMORY;
    if is_large(sum(evidence::rss)) && is_large(sum(evidence::pss)) {
        let expected = format!("at most {} MiB of memory for all processes", MOST_MEMORY >> 20);
        let got = "more memory";
        let evidence = "Pss of /proc/*/smaps_rollup; all were killed".to_owned();
        return Some(Report { expected, evidence, ..Report::new(check, Verdict::Fail, got) });
    }
    (began.elapsed() > timeout).then(|| {
        let expected = format!("the check is over within {} s", timeout.as_secs());
        let got = "it still ran, and was stopped";
        Report { expected, ..Report::new(check, Verdict::Timeout, got) }
    })
}

/// Ends with all that is below, when this process gets SIGINT, SIGTERM or SIGHUP.
pub fn end_all_when_interrupted() {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    // Neither can fail: there are such signals, and such a call.
    let _ = signals.thread_block();
    let _ = tree::adopt_orphans();
    thread::spawn(move || {
        let signal = signals.wait().map_or(0, |signal| signal as i32);
        IS_ENDING.store(true, Ordering::SeqCst);
        tree::kill_below();
        scratch::remove();
        std::process::exit(128 + signal)
    });
}
