//! Several programs checked at once. Each has a process, which runs its checks one after another: all that
//! these leave behind is below that process, and is told from what others run.

use std::io;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use netcheck::Process;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::report::{Report, Verdict};
use crate::runner;
use crate::worker::{Job, prepare};
use xtask::Failure;

/// The word that makes this program the process of one program under test.
pub const NAME: &str = "checks";

/// What is said of the checks after one in which the program did not start.
pub(crate) const NOT_STARTED: &str = "it did not start";

/// What a check of a program came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) report: Report,
    pub(crate) took: Duration,
}

/// What the checks of one program came to, in their order.
pub(crate) type Results = Result<Vec<Checked>, Failure>;

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

/// Runs the jobs of one program: the next ones fail without being run, once it does not start.
pub(crate) fn run(jobs: &[Job]) -> Results {
    let mut not_ready = false;
    let check = |job: &Job| {
        let began = Instant::now();
        let report = match not_ready {
            true => Report::new(&job.check, Verdict::Fail, NOT_STARTED),
            false => runner::run(job)?,
        };
        not_ready |= report.not_ready;
        Ok(Checked { report, took: began.elapsed() })
    };
    jobs.iter().map(check).collect()
}

/// Threads that give orders to processes, as many as may run at once.
pub(crate) struct Many<Order, Answer> {
    orders: Sender<(usize, Order)>,
    answers: Receiver<(usize, Result<Answer, Failure>)>,
    /// How many answers are to come.
    pub(crate) running: usize,
    /// How many orders are carried out at once.
    pub(crate) at_once: usize,
}

impl<Order: Send + 'static, Answer: DeserializeOwned + Send + 'static> Many<Order, Answer> {
    /// `at_once` orders, or one for each processor. `start` starts the process that prints its answer.
    pub(crate) fn start(
        at_once: Option<usize>,
        start: impl Fn(&Order) -> Result<Process, Failure> + Send + Sync + 'static,
    ) -> Many<Order, Answer> {
        let at_once =
            at_once.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
        let (orders, received) = mpsc::channel::<(usize, Order)>();
        let (done, answers) = mpsc::channel();
        let (received, start) = (Arc::new(Mutex::new(received)), Arc::new(start));
        let at_once = at_once.max(1);
        for _ in 0..at_once {
            let (received, done, start) = (Arc::clone(&received), done.clone(), Arc::clone(&start));
            thread::spawn(move || {
                let next = || received.lock().unwrap_or_else(PoisonError::into_inner).recv();
                // Neither end is closed but when the program is over.
                while let Ok((number, order)) = next() {
                    let _ = done.send((number, start(&order).and_then(answer)));
                }
            });
        }
        Many { orders, answers, running: 0, at_once }
    }

    /// Gives the order that `number` stands for.
    pub(crate) fn submit(&mut self, number: usize, order: Order) {
        // A thread is there as long as this is.
        self.running += usize::from(self.orders.send((number, order)).is_ok());
    }

    /// The next answer, to whichever order: one that is there, or with `wait` one that comes.
    pub(crate) fn next(&mut self, wait: bool) -> Option<(usize, Result<Answer, Failure>)> {
        if self.running == 0 {
            return None;
        }
        let next = if wait { self.answers.recv().ok() } else { self.answers.try_recv().ok() };
        self.running -= usize::from(next.is_some());
        next
    }
}

fn answer<Answer: DeserializeOwned>(process: Process) -> Result<Answer, Failure> {
    // Each check is bounded, and so is their sum.
    while process.wait(Duration::from_secs(3600)).is_none() {}
    serde_json::from_str(&process.stdout()).map_err(|_| {
        Failure::Missing(format!("the checks have ended without results: {}", process.stderr()))
    })
}
