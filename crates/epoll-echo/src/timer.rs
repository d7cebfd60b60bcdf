//! Time as a descriptor: readable from when it has come until the timer is set again.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use netcore::error::{Attempt, Error};

/// Set whenever the deadline changes, where a time-out is set in each call that waits.
pub(crate) struct Timer(TimerFd);

impl Timer {
    /// Of the clock that `Instant` reads, and that nobody sets.
    pub(crate) fn new() -> Result<Self, Error> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC);
        timer.attempt("timerfd_create").map(Self)
    }

    /// Has it ring at that instant, at once when this has passed, or never. That it rang is over.
    pub(crate) fn ring_at(&self, instant: Option<Instant>) -> Result<(), Error> {
        let Some(instant) = instant else { return self.0.unset().attempt("timerfd_settime") };
        // Zero would mean never.
        let left = instant.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let once = Expiration::OneShot(left.into());
        self.0.set(once, TimerSetTimeFlags::empty()).attempt("timerfd_settime")
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
