//! The parent's book of its children: who may be born, who ended, and how.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use netcore::error::{Attempt, Error, errno};
use netcore::family::Family;
use netcore::limits::Limits;
use netcore::log::{Log, Record};
use netcore::text::Json;

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
    pub(crate) limits: Limits,
    /// Every child that was not reaped yet. Another process that we happen to be the parent of (as
    /// process 1, or because our program was `exec`ed over its parent) is reaped, and not counted.
    alive: BTreeMap<Pid, SocketAddr>,
    /// Whether they are being told to end: to die of a signal is then no crash.
    ending: bool,
    forked: u64,
    reaped: u64,
    /// Clients whose fork failed.
    unborn: u64,
    crashed: u64,
    most_at_once: usize,
}

impl Children {
    pub(crate) fn new(log: Log, most: usize, most_per_source: usize) -> Children {
        Children {
            log,
            limits: Limits::new(log, most, most_per_source),
            alive: BTreeMap::new(),
            ending: false,
            forked: 0,
            reaped: 0,
            unborn: 0,
            crashed: 0,
            most_at_once: 0,
        }
    }

    pub(crate) fn born(&mut self, child: Pid, peer: SocketAddr) {
        self.alive.insert(child, peer);
        self.forked += 1;
        self.most_at_once = self.most_at_once.max(self.alive.len());
    }

    /// `fork` failed: EAGAIN at the limit of processes (RLIMIT_NPROC, pids.max), ENOMEM.
    pub(crate) fn not_born(&mut self, record: Record, peer: SocketAddr, why: Errno) {
        self.unborn += 1;
        self.limits.leave(peer);
        record.close(Err(format!("fork: {}", errno(why))));
    }

    fn bury(&mut self, status: WaitStatus) {
        let Some(peer) = status.pid().and_then(|pid| self.alive.remove(&pid)) else { return };
        self.reaped += 1;
        self.limits.leave(peer);
        if let WaitStatus::Signaled(pid, signal, _) = status
            && !self.ending
        {
            self.crashed += 1;
            self.log.note(format_args!("{peer} lost: its child {pid} was ended by {signal}"));
        }
    }
}

impl Family for Children {
    fn alive(&self) -> impl Iterator<Item = Pid> {
        self.alive.keys().copied()
    }

    fn reap(&mut self) -> Result<(), Error> {
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

    fn ending(&mut self) {
        self.ending = true;
    }

    fn report(&self) {
        let Children { forked, reaped, crashed, most_at_once, .. } = self;
        let refused = self.limits.refused() + self.unborn;
        let accepted = forked + refused;
        self.log.event(
            || {
                let json =
                    Json::new("counts").number("accepted", accepted).number("forked", *forked);
                let json = json.number("reaped", *reaped).number("refused", refused);
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
