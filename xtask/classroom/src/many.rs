//! Several programs checked at once. Each has a process, which runs its checks one after another: all that
//! these leave behind is below that process, and is told from what others run.

use std::io;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::report::{Report, Verdict};
use crate::runner::{self, start_self};
use crate::worker::{Job, prepare};
use xtask::Failure;

/// The word that makes this program the process of one program under test.
pub const NAME: &str = "checks";

/// What a check of a program came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) report: Report,
    pub(crate) took: Duration,
}

/// What the checks of one program came to, in their order.
type Results = Result<Vec<Checked>, Failure>;

/// Runs the jobs, and prints what they came to.
pub fn main(jobs: &str) -> ExitCode {
    let results = prepare()
        .map_err(Failure::program("prctl"))
        .and_then(|()| serde_json::from_str(jobs).map_err(|why| Failure::Broken(why.to_string())))
        .and_then(|jobs: Vec<Job>| run(&jobs));
    match results {
        Ok(results) => serde_json::to_writer(io::stdout(), &results)
            .map_or(ExitCode::from(74), |()| ExitCode::SUCCESS),
        Err(failure) => {
            // What starts it shows what it says.
            let _ = io::Write::write_all(&mut io::stderr(), failure.to_string().as_bytes());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(jobs: &[Job]) -> Results {
    let mut not_ready = false;
    let check = |job: &Job| {
        let began = Instant::now();
        let report = match not_ready {
            true => Report::new(&job.check, Verdict::Fail, "it did not start"),
            false => runner::run(job)?,
        };
        not_ready |= report.not_ready;
        Ok(Checked { report, took: began.elapsed() })
    };
    jobs.iter().map(check).collect()
}

/// Threads that have programs checked, as many as may run at once.
pub(crate) struct Many {
    orders: Sender<(usize, Vec<Job>)>,
    results: Receiver<(usize, Results)>,
    /// How many results are to come.
    pub(crate) running: usize,
}

impl Many {
    /// `at_once` programs, or one for each processor.
    pub(crate) fn start(at_once: Option<usize>) -> Many {
        let at_once =
            at_once.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
        let (orders, received) = mpsc::channel::<(usize, Vec<Job>)>();
        let (done, results) = mpsc::channel();
        let received = Arc::new(Mutex::new(received));
        for _ in 0..at_once.max(1) {
            let (received, done) = (Arc::clone(&received), done.clone());
            thread::spawn(move || {
                let next = || received.lock().unwrap_or_else(PoisonError::into_inner).recv();
                // Neither end is closed but when the program is over.
                while let Ok((number, jobs)) = next() {
                    let _ = done.send((number, in_a_process(&jobs)));
                }
            });
        }
        Many { orders, results, running: 0 }
    }

    /// Has the program checked that `number` stands for.
    pub(crate) fn submit(&mut self, number: usize, jobs: Vec<Job>) {
        // A thread is there as long as this is.
        self.running += usize::from(self.orders.send((number, jobs)).is_ok());
    }

    /// The next result, of whichever program: one that is there, or with `wait` one that comes.
    pub(crate) fn next(&mut self, wait: bool) -> Option<(usize, Results)> {
        if self.running == 0 {
            return None;
        }
        let next = if wait { self.results.recv().ok() } else { self.results.try_recv().ok() };
        self.running -= usize::from(next.is_some());
        next
    }
}

fn in_a_process(jobs: &Vec<Job>) -> Results {
    let process = start_self(NAME, jobs)?;
    // Each check is bounded, and so is their sum.
    while process.wait(Duration::from_secs(3600)).is_none() {}
    serde_json::from_str(&process.stdout()).map_err(|_| {
        Failure::Missing(format!("the checks have ended without results: {}", process.stderr()))
    })
}
