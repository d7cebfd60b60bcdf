//! What the parent knows of its children, what it counts, and what it logs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use netcore::error::errno;
use netcore::limits::Limits;
use netcore::log::{Log, Record};
use netcore::text::Json;

pub(crate) struct Children {
    log: Log,
    pub(crate) limits: Limits,
    /// Every child that was not reaped yet. Another process that we happen to be the parent of (as
    /// process 1, or because our program was `exec`ed over its parent) is reaped, and not counted.
    alive: BTreeMap<Pid, SocketAddr>,
    /// Whether the parent signals them to end: that they die of a signal is then no crash.
    pub(crate) ending: bool,
    forked: u64,
    reaped: u64,
    fork_failed: u64,
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
            fork_failed: 0,
            crashed: 0,
            most_at_once: 0,
        }
    }

    pub(crate) fn forked(&mut self, child: Pid, peer: SocketAddr) {
        self.alive.insert(child, peer);
        self.forked += 1;
        self.most_at_once = self.most_at_once.max(self.alive.len());
    }

    /// `fork` failed: EAGAIN at the limit of processes (RLIMIT_NPROC, pids.max), ENOMEM.
    pub(crate) fn fork_failed(&mut self, record: Record, peer: SocketAddr, why: Errno) {
        self.fork_failed += 1;
        self.limits.leave(peer);
        record.close(Err(format!("fork: {}", errno(why))));
    }

    pub(crate) fn reaped(&mut self, status: WaitStatus) {
        let Some(peer) = status.pid().and_then(|pid| self.alive.remove(&pid)) else { return };
        self.reaped += 1;
        self.limits.leave(peer);
        let end = match status {
            WaitStatus::Signaled(pid, signal, _) if !self.ending => {
                format!("{pid} was killed by {signal}")
            }
            WaitStatus::Exited(pid, code @ 1..) => format!("{pid} exited with {code}"),
            _ => return,
        };
        self.crashed += 1;
        self.log.note(format_args!("{peer} lost: its child {end}"));
    }

    /// Those that were not reaped yet.
    pub(crate) fn alive(&self) -> impl Iterator<Item = Pid> {
        self.alive.keys().copied()
    }

    /// The counts, on SIGUSR1 and at the end.
    pub(crate) fn report(&self) {
        let Children { forked, reaped, crashed, most_at_once, .. } = self;
        let refused = self.limits.refused() + self.fork_failed;
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
