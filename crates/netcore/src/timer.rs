//! Time as a descriptor: what a server that waits for descriptors only needs, to look at the clock.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::error::{Attempt, Error};

/// A timer that can be waited for beside sockets (timerfd_create(2)): readable once it has rung, and
/// until it is set again. It is set when the deadline changes, and a time-out in each call that
/// waits.
pub struct Timer(TimerFd);

impl Timer {
    /// One that is not set, and not inherited by a program that is executed.
    ///
    /// # Errors
    /// That of timerfd_create(2): EMFILE, ENFILE, ENOMEM.
    pub fn new() -> Result<Self, Error> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC);
        timer.attempt("timerfd_create").map(Self)
    }

    /// Has it ring at that instant, at once when this has passed, or never; that it rang before is
    /// forgotten.
    ///
    /// # Errors
    /// That of timerfd_settime(2).
    pub fn ring_at(&self, instant: Option<Instant>) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    /// Whether it rings within a time that may be zero.
    fn rings(timer: &Timer, within: PollTimeout) -> bool {
        poll(&mut [PollFd::new(timer.as_fd(), PollFlags::POLLIN)], within).unwrap() == 1
    }

    #[test]
    fn it_rings_once_the_instant_has_come_and_never_before() {
        let timer = Timer::new().unwrap();
        assert!(!rings(&timer, PollTimeout::ZERO));
        let instant = Instant::now() + Duration::from_millis(20);
        timer.ring_at(Some(instant)).unwrap();
        assert!(rings(&timer, PollTimeout::NONE));
        assert!(Instant::now() >= instant);
        // It goes on until it is set again.
        assert!(rings(&timer, PollTimeout::ZERO));
        timer.ring_at(None).unwrap();
        assert!(!rings(&timer, PollTimeout::ZERO));
    }

    #[test]
    fn what_has_passed_rings_at_once_and_what_is_far_does_not() {
        let timer = Timer::new().unwrap();
        let now = Instant::now();
        timer.ring_at(Some(now)).unwrap();
        assert!(rings(&timer, PollTimeout::NONE));
        let century = Duration::from_secs(100 * 365 * 86_400);
        timer.ring_at(Some(now + century)).unwrap();
        assert!(!rings(&timer, PollTimeout::ZERO));
    }
}
