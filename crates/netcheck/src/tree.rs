//! The end of everything that was started, wherever it has gone.
//!
//! A process whose parent has ended goes to the nearest ancestor that asked for it (PR_SET_CHILD_SUBREAPER,
//! prctl(2)), or else to process 1, where nobody finds it again: with a session and a process group of
//! its own it is in no list of ours. [`adopt_orphans`] asks; then [`below`] has them all.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use crate::evidence;
use crate::process;

/// From here on this process is the parent of every descendant whose own parent has ended.
///
/// # Errors
/// EINVAL before Linux 3.4.
pub fn adopt_orphans() -> nix::Result<()> {
    set_child_subreaper(true)
}

/// Signals one process that something of ours has started. One that has ended takes none.
pub fn send(pid: i32, signal: Signal) {
    let _ = signal::kill(Pid::from_raw(pid), signal);
}

/// Every process below this one that has not ended.
pub fn below() -> Vec<i32> {
    let mut below = evidence::descendants(getpid().as_raw());
    below.retain(|&pid| evidence::state(pid).is_some_and(|state| state != 'Z'));
    below
}

/// Ends every process below this one (SIGKILL), and returns when none is left.
pub fn kill_below() {
    loop {
        reap_strangers();
        if below().is_empty() {
            return;
        }
        kill(&mut below);
        evidence::pause(Duration::from_millis(1));
    }
}

/// Waits for every child that has ended and that is no [`crate::Process`]: it came here as an orphan. The
/// process 1 of a pid namespace does not end before all that were in there have been waited for.
fn reap_strangers() {
    for pid in evidence::zombies(getpid().as_raw()) {
        if !process::is_known(pid) {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Waits for every child that has ended, those of others too that came to this process as orphans. No
/// [`crate::Process`] may be alive: it waits for its own.
pub fn reap_orphans() {
    let flags = Some(WaitPidFlag::WNOHANG);
    while waitpid(None, flags).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

/// SIGKILL for all that `list` has. A server that forks while it is being killed would leave a child that
/// no list has, so all are stopped first, until a look finds no new one: a process with a pending
/// SIGSTOP cannot complete a fork.
pub(crate) fn kill(list: &mut dyn FnMut() -> Vec<i32>) {
    let mut stopped = BTreeSet::new();
    loop {
        let new: Vec<i32> = list().into_iter().filter(|pid| !stopped.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            send(pid, Signal::SIGSTOP);
            stopped.insert(pid);
        }
    }
    for pid in stopped {
        send(pid, Signal::SIGKILL);
    }
}
