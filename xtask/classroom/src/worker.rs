//! The process that runs one check. It starts the program under test, so that all of it is below this one
//! process; and it ends with all of it, when the process that wants the verdict has gone.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;
use std::{io, thread};

use netcheck::{namespace, tree};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::unistd::getppid;
use scenarios::exercise::{ALL, Launch, Subject};
use serde::{Deserialize, Serialize};

use crate::report::{Report, Verdict};
use crate::sandbox::{Holder, Sandbox};

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
    /// What it is run in; none, and it may do what this user may.
    #[serde(default)]
    pub sandbox: Option<Sandbox>,
    /// See [`Launch`].
    pub command: Vec<String>,
    /// When a program that does not listen or connect is given up, and at twice of it the check; by default
    /// both have their own.
    pub hang: Option<Duration>,
}

/// Runs the job, and prints its report.
pub fn main(job: &str) -> ExitCode {
    let job = serde_json::from_str::<Job>(job).map_err(io::Error::from);
    // While there is one thread.
    let job = job.and_then(|job| match &job.sandbox {
        Some(_) => namespace::own_network().map(|()| job),
        None => Ok(job),
    });
    match job.and_then(|job| prepare().map(|()| job)) {
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
    let broken = |why: String| Report::new(&job.check, Verdict::InfraError, why);
    let exercise = ALL.iter().find(|exercise| exercise.id == job.exercise);
    let check = exercise.and_then(|it| it.checks.iter().find(|check| check.id == job.check));
    let Some(check) = check else { return broken("no such check".to_owned()) };
    let holder = match job.sandbox.as_ref().map(Holder::start).transpose() {
        Ok(holder) => holder,
        Err(why) => return broken(why),
    };
    let wrapper = match holder.as_ref().map(Holder::wrapper).transpose() {
        Ok(wrapper) => wrapper.unwrap_or_default(),
        Err(why) => return broken(why.to_string()),
    };
    let launch = Launch { wrapper, command: job.command.clone(), folder: None };
    let subject = Subject::new(launch, job.seed);
    let subject = match job.hang {
        Some(timeout) => subject.ready_within(timeout),
        None => subject,
    };
    let report = Report::from_outcome(&job.check, check.judge(&subject));
    match holder {
        Some(holder) if !holder.is_there() => broken("the sandbox has ended".to_owned()),
        _ => report,
    }
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
