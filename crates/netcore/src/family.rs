//! The last hours of a server's children.

use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::error::Error;
use crate::signal::{Signal, Signals, Woken};

/// How long children get to die of SIGTERM, and then of SIGKILL.
const LAST_HOUR: Duration = Duration::from_secs(1);

/// A parent's book of its children, as far as their end is concerned.
pub trait Family {
    /// Those that were not reaped yet.
    fn alive(&self) -> impl Iterator<Item = Pid>;

    /// Reaps every child that has ended: fifty that end together may be a single SIGCHLD.
    ///
    /// # Errors
    /// The error of waitpid(2).
    fn reap(&mut self) -> Result<(), Error>;

    /// From now on they are told to end: to die of a signal is then no crash.
    fn ending(&mut self);

    /// The counts, on SIGUSR1 and at the end.
    fn report(&self);

    /// Lets the children finish, ends those that have not when the grace is over, and reports.
    /// A second SIGTERM or SIGINT ends them at once.
    ///
    /// # Errors
    /// Those of poll(2) and waitpid(2).
    fn drain(&mut self, signals: &Signals, grace: Duration) -> Result<(), Error> {
        let twice = self.wait_for_all(signals, grace)?;
        self.ending();
        if !twice {
            self.tell_all(Signal::SIGTERM);
            self.wait_for_all(signals, LAST_HOUR)?;
        }
        // A stopped process obeys this signal only.
        self.tell_all(Signal::SIGKILL);
        self.wait_for_all(signals, LAST_HOUR)?;
        self.report();
        Ok(())
    }

    /// Waits until no child is left or the time is over; true when it was cut short by a signal.
    ///
    /// # Errors
    /// Those of poll(2) and waitpid(2).
    fn wait_for_all(&mut self, signals: &Signals, time: Duration) -> Result<bool, Error> {
        let deadline = Instant::now().checked_add(time);
        while self.alive().next().is_some() {
            match signals.wait(None, PollFlags::empty(), deadline)? {
                Woken::Signal(Signal::SIGCHLD) => self.reap()?,
                Woken::Signal(Signal::SIGUSR1) => self.report(),
                Woken::Signal(_) => return Ok(true),
                Woken::Ready | Woken::Deadline => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Sends a signal to every child.
    fn tell_all(&self, signal: Signal) {
        for child in self.alive() {
            // It can't be another process's pid: a child that was not reaped keeps its own.
            let _ = kill(child, signal);
        }
    }
}
