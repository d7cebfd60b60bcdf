//! The parent's book of its children: who may be born, who ended and how, and their last hours.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use netcore::error::{Attempt, Error, errno};
use netcore::log::{Log, Record};
use netcore::signal::{Signal, Signals, Woken};
use netcore::text::Json;

/// How long children get to die of SIGTERM, and then of SIGKILL.
const LAST_HOUR: Duration = Duration::from_secs(1);

/// What becomes of a client when all children are busy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// It stays in the kernel's queue until a child has ended.
    Wait,
    /// Its connection is closed at once.
    Refuse,
}

impl FromStr for WhenFull {
    type Err = String;

    fn from_str(text: &str) -> Result<WhenFull, String> {
        match text {
            "wait" => Ok(WhenFull::Wait),
            "refuse" => Ok(WhenFull::Refuse),
            _ => Err("write wait or refuse".to_owned()),
        }
    }
}

pub(crate) struct Children {
    log: Log,
    most: usize,
    most_per_source: usize,
    /// Every child that was not reaped yet. Another process that we happen to be the parent of (as
    /// process 1, or because our program was `exec`ed over its parent) is reaped, and not counted.
    alive: BTreeMap<Pid, SocketAddr>,
    /// Whether they are being told to end: to die of a signal is then no crash.
    ending: bool,
    forked: u64,
    reaped: u64,
    refused: u64,
    crashed: u64,
    most_at_once: usize,
}

impl Children {
    pub(crate) fn new(log: Log, most: usize, most_per_source: usize) -> Children {
        Children {
            log,
            most,
            most_per_source,
            alive: BTreeMap::new(),
            ending: false,
            forked: 0,
            reaped: 0,
            refused: 0,
            crashed: 0,
            most_at_once: 0,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.alive.len() >= self.most
    }

    /// Whether a new client gets a child. One that does not is told by the close that follows.
    pub(crate) fn admits(&mut self, peer: SocketAddr) -> bool {
        let same_source = || self.alive.values().filter(|other| other.ip() == peer.ip()).count();
        let why = if self.is_full() {
            format!("{} children are busy", self.most)
        } else if self.most_per_source < usize::MAX && same_source() >= self.most_per_source {
            format!("{} children serve {}", self.most_per_source, peer.ip())
        } else {
            return true;
        };
        self.refused += 1;
        self.log.note(format_args!("{peer} refused: {why}"));
        false
    }

    pub(crate) fn born(&mut self, child: Pid, peer: SocketAddr) {
        self.alive.insert(child, peer);
        self.forked += 1;
        self.most_at_once = self.most_at_once.max(self.alive.len());
    }

    /// `fork` failed: EAGAIN at the limit of processes (RLIMIT_NPROC, pids.max), ENOMEM.
    pub(crate) fn not_born(&mut self, record: Record, why: Errno) {
        self.refused += 1;
        record.close(Err(format!("fork: {}", errno(why))));
    }

    /// Reaps every child that has ended: fifty that end together may be a single SIGCHLD.
    pub(crate) fn reap(&mut self) -> Result<(), Error> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                // None that has ended, or none at all.
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(status) => self.bury(status),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(why).attempt("waitpid"),
            }
        }
    }

    fn bury(&mut self, status: WaitStatus) {
        let Some(peer) = status.pid().and_then(|pid| self.alive.remove(&pid)) else { return };
        self.reaped += 1;
        if let WaitStatus::Signaled(pid, signal, _) = status
            && !self.ending
        {
            self.crashed += 1;
            self.log.note(format_args!("{peer} lost: its child {pid} was ended by {signal}"));
        }
    }

    /// Lets the children finish, ends those that have not when the grace is over, and reports.
    /// A second SIGTERM or SIGINT ends them at once.
    pub(crate) fn drain(&mut self, signals: &Signals, grace: Duration) -> Result<(), Error> {
        let twice = self.wait_for_all(signals, grace)?;
        self.ending = true;
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
    fn wait_for_all(&mut self, signals: &Signals, time: Duration) -> Result<bool, Error> {
        let deadline = Instant::now().checked_add(time);
        while !self.alive.is_empty() {
            match signals.wait(None, PollFlags::empty(), deadline)? {
                Woken::Signal(Signal::SIGCHLD) => self.reap()?,
                Woken::Signal(Signal::SIGUSR1) => self.report(),
                Woken::Signal(_) => return Ok(true),
                Woken::Ready | Woken::Deadline => return Ok(false),
            }
        }
        Ok(false)
    }

    fn tell_all(&self, signal: Signal) {
        for child in self.alive.keys() {
            // It can't be another process's pid: a child that was not reaped keeps its own.
            let _ = kill(*child, signal);
        }
    }

    /// The counts, on SIGUSR1 and at the end.
    pub(crate) fn report(&self) {
        let Children { forked, reaped, refused, crashed, most_at_once, .. } = self;
        let accepted = forked + refused;
        self.log.event(
            || {
                let json =
                    Json::new("counts").number("accepted", accepted).number("forked", *forked);
                let json = json.number("reaped", *reaped).number("refused", *refused);
                json.number("crashed", *crashed).number("most_at_once", *most_at_once as u64)
            },
            || {
                format!(
                    "accepted {accepted}, forked {forked}, reaped {reaped}, refused {refused}, \
                     crashed {crashed}, most at once {most_at_once}"
                )
            },
        );
    }
}
