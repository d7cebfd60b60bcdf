//! Signals as something to wait for.
//!
//! A signal that interrupts is a race: it may come between the look at a flag and the call that
//! blocks. Blocked and read from a descriptor (signalfd(2)) it waits until we look, beside the
//! sockets, in one `poll`.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::SigSet;
pub use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getppid};

use crate::error::{Attempt, Error};
use crate::log::{Failures, Log};
use crate::poll::poll;
use crate::sys::{self, Action};

/// Signals that are blocked, and come out of a descriptor instead.
pub struct Signals {
    caught: SigSet,
    descriptor: SignalFd,
    /// Those of poll(2), for a server.
    failures: Option<Failures>,
}

/// For a recipe that waits for many descriptors at once: it is ready when [`Signals::next`] has one.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Why [`Signals::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// A signal arrived. It is reported first, so that no load keeps a server from stopping.
    Signal(Signal),
    /// The descriptor can be read, written, accepted from, or has an error to report.
    Ready,
    /// The deadline passed.
    Deadline,
}

impl Signals {
    /// Blocks the signals in this thread and opens a descriptor that delivers them.
    ///
    /// Their actions are set to the default first: the program may have been started with SIGCHLD ignored,
    /// and then the kernel would reap our children behind our back and waitpid(2) would fail with
    /// ECHILD. A blocked signal waits in the descriptor, for process 1 of a pid namespace too,
    /// which would not even see a SIGTERM that it neither blocks nor handles.
    ///
    /// # Errors
    /// The error of sigaction(2), sigprocmask(2) or signalfd(2).
    pub fn catch(signals: &[Signal]) -> Result<Signals, Error> {
        let mut caught = SigSet::empty();
        for signal in signals {
            sys::set_action(*signal, Action::Default)
                .attempt(format_args!("sigaction {signal}"))?;
            caught.add(*signal);
        }
        if !caught.contains(Signal::SIGCHLD) {
            // Process 1 of a container is the parent of every orphan in it: with SIGCHLD ignored the
            // kernel reaps them, waitpid(2).
            sys::set_action(Signal::SIGCHLD, Action::Ignore).attempt("sigaction SIGCHLD")?;
        }
        caught.thread_block().attempt("block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor = SignalFd::with_flags(&caught, flags).attempt("signalfd")?;
        Ok(Signals { caught, descriptor, failures: None })
    }

    /// For a server, which a poll(2) without memory does not end: it logs the error.
    #[must_use]
    pub fn with_log(self, log: &Log) -> Signals {
        Signals { failures: Some(Failures::new(log)), ..self }
    }

    /// What a server does when poll(2) fails: it logs it, a line a second, and pauses. Then it tries what it
    /// would have waited for, which blocks nowhere.
    ///
    /// # Errors
    /// EFAULT, which is a defect; and any for a program without a log.
    pub fn poll_failed(&self, why: Errno) -> Result<(), Error> {
        match (&self.failures, why) {
            // No memory for the list, or RLIMIT_NOFILE is less than its length.
            (Some(failures), Errno::ENOMEM | Errno::EINVAL) => failures.pause("poll", why),
            _ => return Err(why).attempt("poll"),
        }
        Ok(())
    }

    /// For a forked child. It inherits the mask of its parent, and would not obey even a SIGTERM:
    /// the signals are unblocked. A killed parent cannot end its children: the kernel sends them
    /// SIGKILL when it dies (PR_SET_PDEATHSIG), the one signal that a stopped process obeys too. If it
    /// died before that call there is no signal any more, but another parent.
    ///
    /// # Errors
    /// ESRCH for a child whose parent has died; those of prctl(2) and sigprocmask(2).
    pub fn unblock_with_pdeathsig(&self, parent: Pid) -> nix::Result<()> {
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            return Err(Errno::ESRCH);
        }
        self.caught.thread_unblock()
    }

    /// Unblocks them: from here on they do what they did before.
    ///
    /// # Errors
    /// The error of sigprocmask(2).
    pub fn unblock(&self) -> Result<(), Error> {
        self.caught.thread_unblock().attempt("unblock signals")
    }

    /// The next signal that has come, `None` when there is none. Several of one kind may have
    /// been merged into one: for SIGCHLD, reap until there is nothing left to reap.
    ///
    /// # Errors
    /// The error of read(2) on the descriptor, other than EINTR.
    pub fn next(&self) -> Result<Option<Signal>, Error> {
        let info = loop {
            match self.descriptor.read_signal() {
                Err(Errno::EINTR) => {}
                read => break read.attempt("read signalfd")?,
            }
        };
        Ok(info.and_then(|info| Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()))
    }

    /// Waits (poll(2)) until a signal comes, the descriptor is ready for `events`, or the deadline
    /// passes, whichever is first. Without a descriptor it waits for signals only. Where poll(2) fails and
    /// that does not end the server ([`Signals::poll_failed`]), the descriptor is reported as ready.
    ///
    /// # Errors
    /// The error of poll(2), other than EINTR.
    pub fn wait(
        &self,
        fd: Option<BorrowedFd<'_>>,
        events: PollFlags,
        deadline: Option<Instant>,
    ) -> Result<Woken, Error> {
        // One array for both cases: without a descriptor only its first element is polled.
        let mut fds = [
            PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN),
            PollFd::new(fd.unwrap_or_else(|| self.descriptor.as_fd()), events),
        ];
        let polled = if fd.is_some() { fds.as_mut_slice() } else { fds.split_at_mut(1).0 };
        loop {
            let failed = match poll(polled, deadline) {
                Ok(0) => return Ok(Woken::Deadline),
                Ok(_) => false,
                Err(why) => {
                    self.poll_failed(why)?;
                    true
                }
            };
            if failed && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(Woken::Deadline);
            }
            let mut is_ready = polled.iter().map(|fd| failed || fd.any().unwrap_or(true));
            if is_ready.next() == Some(true)
                && let Some(signal) = self.next()?
            {
                return Ok(Woken::Signal(signal));
            }
            if is_ready.next() == Some(true) {
                return Ok(Woken::Ready);
            }
        }
    }
}

/// Sets what children are to inherit, once, so that no child has to.
///
/// SIGINT is ignored: Ctrl-C reaches every process of the terminal's foreground group, and the
/// parent could not let its children finish if they had died of the same keystroke. The parent
/// sees it all the same if it was caught before: a blocked signal is queued even when it is
/// ignored. A crash is a crash again: std's handler, which tells a stack overflow from other
/// faults, would survive the first SIGSEGV that another process sends.
///
/// # Errors
/// The error of sigaction(2).
pub fn sigaction_for_children() -> Result<(), Error> {
    sys::set_action(Signal::SIGINT, Action::Ignore).attempt("sigaction SIGINT")?;
    sys::set_action(Signal::SIGSEGV, Action::Default).attempt("sigaction SIGSEGV")?;
    sys::set_action(Signal::SIGBUS, Action::Default).attempt("sigaction SIGBUS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_goes_before_a_ready_descriptor() {
        let signals = Signals::catch(&[Signal::SIGUSR2]).unwrap();
        let full = std::fs::File::open("/dev/zero").unwrap();
        let wait = || signals.wait(Some(full.as_fd()), PollFlags::POLLIN, None).unwrap();
        assert_eq!(wait(), Woken::Ready);
        // raise(3) sends it to this thread, whose mask is the one that was set.
        nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        assert_eq!(wait(), Woken::Signal(Signal::SIGUSR2));
        assert_eq!(wait(), Woken::Ready);
    }
}
