//! A deadline as a descriptor (timerfd_create(2)): readable from the deadline until it is set again.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::error::{Attempt, Error};

/// Set only when the deadline changes: with a timeout, each call that waits would set a timer and
/// cancel it.
pub struct Timer {
    timer: TimerFd,
    deadline: Option<Instant>,
}

impl Timer {
    /// A timer of the clock that `Instant` reads, and that nobody sets.
    ///
    /// # Errors
    /// The error of timerfd_create(2).
    pub fn new() -> Result<Timer, Error> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC);
        Ok(Timer { timer: timer.attempt("timerfd_create")?, deadline: None })
    }

    /// Makes it readable at the deadline, at once if this has passed, or never, and until then not.
    /// It makes no call where the deadline is the one that was set last.
    ///
    /// # Errors
    /// The error of timerfd_settime(2).
    pub fn set(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        if self.deadline == deadline {
            return Ok(());
        }
        self.deadline = deadline;
        let Some(deadline) = deadline else { return self.timer.unset().attempt("timerfd_settime") };
        // Zero would mean never.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let once = Expiration::OneShot(left.into());
        self.timer.set(once, TimerSetTimeFlags::empty()).attempt("timerfd_settime")
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
