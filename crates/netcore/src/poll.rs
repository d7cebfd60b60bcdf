//! poll(2) until a deadline.

use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollTimeout};

/// Waits (poll(2)) until one of the descriptors is ready, and returns how many are; 0 only when the
/// deadline has passed. A signal that interrupts does not end the wait, nor does the longest time
/// that poll can wait (24 days).
///
/// # Errors
/// The error of poll(2), other than EINTR.
pub fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> nix::Result<i32> {
    loop {
        match nix::poll::poll(fds, timeout_until(deadline)) {
            Ok(0) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
            Err(Errno::EINTR) => {}
            polled => return polled,
        }
    }
}

/// The time until a deadline for poll(2), rounded up to its milliseconds: rounded down, a wait
/// would end just before its deadline and begin again, without a pause, until it has passed.
#[must_use]
pub fn timeout_until(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let left = deadline.saturating_duration_since(Instant::now());
    let millis = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let deadline = Instant::now() + Duration::from_micros(2_300);
        assert_eq!(poll(&mut [], Some(deadline)), Ok(0));
        assert!(Instant::now() >= deadline);
    }
}
