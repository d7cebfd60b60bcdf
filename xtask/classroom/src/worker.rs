//! The process that runs one check. It starts the program under test, so that all of it is below this one
//! process; and it ends with all of it, when the process that wants the verdict has gone.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;
use std::{io, thread};

use netcheck::tree;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::unistd::getppid;
use scenarios::exercise::{Launch, Subject};
use serde::{Deserialize, Serialize};

use crate::report::{Report, Verdict};
use crate::task::Task;

/// The word that makes this program a worker.
pub const NAME: &str = "worker";

/// One check of one program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The exercise.
    pub exercise: String,
    /// The check.
    pub check: String,
    /// What the bytes follow from that are sent.
    pub seed: u64,
    /// See [`Launch`].
    pub wrapper: Vec<String>,
    /// See [`Launch`].
    pub command: Vec<String>,
    /// When a program that does not listen or connect is given up, and at twice of it the check; by default
    /// both have their own.
    pub hang: Option<Duration>,
}

/// Runs the job, and prints its report.
pub fn main(job: &str) -> ExitCode {
    match prepare().and_then(|()| serde_json::from_str::<Job>(job).map_err(io::Error::from)) {
        Ok(job) => {
            let report = run(&job);
            let written = serde_json::to_writer(io::stdout(), &report);
            written.map_or(ExitCode::from(74), |()| ExitCode::SUCCESS)
        }
        Err(why) => {
            // What starts a worker shows what it says.
            let _ = io::Write::write_all(&mut io::stderr(), why.to_string().as_bytes());
            ExitCode::from(2)
        }
    }
}

fn run(job: &Job) -> Report {
    let task = match Task::find(&job.exercise).and_then(|task| task.check(&job.check)) {
        Ok(check) => check,
        Err(why) => return Report::new(&job.check, Verdict::InfraError, why.to_string()),
    };
    let launch =
        Launch { wrapper: job.wrapper.clone(), command: job.command.clone(), folder: None };
    let subject = Subject::new(launch, job.seed);
    let subject = match job.hang {
        Some(timeout) => subject.ready_within(timeout),
        None => subject,
    };
    Report::from_outcome(&job.check, task.judge(&subject))
}

/// What is below this process ends with the one that has started it.
pub(crate) fn prepare() -> io::Result<()> {
    // The one that started us holds signals back, and what we start must not.
    SigSet::all().thread_unblock()?;
    tree::adopt_orphans()?;
    let starter = netcheck::sys::pidfd_open(getppid().as_raw())?;
    thread::spawn(move || {
        let mut end = [PollFd::new(starter.as_fd(), PollFlags::POLLIN)];
        // EINTR: nothing has been said about the process.
        while poll(&mut end, PollTimeout::NONE).is_err() {}
        tree::kill_below();
        std::process::exit(1)
    });
    Ok(())
}
