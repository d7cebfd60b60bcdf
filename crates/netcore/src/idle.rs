//! The idle timeout of a server that has all its clients in one thread.

use std::time::{Duration, Instant};

use crate::time::Timeout;

/// Finds the clients that are idle by looking at all of them now and then: a timer for each client
/// would have to be set again with each message.
pub struct Idle {
    timeout: Timeout,
    /// When to look next.
    pub next: Option<Instant>,
}

impl Idle {
    /// Between two looks a tenth of the timeout passes: no client is closed too early, and none
    /// later than by that.
    const LOOKS: u32 = 10;

    /// Nobody is idle yet.
    #[must_use]
    pub fn new(timeout: Timeout) -> Self {
        let mut idle = Self { timeout, next: None };
        idle.set_next(Instant::now());
        idle
    }

    /// Whether it is time to look; if so, the time of the next look is set.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.set_next(now);
        }
        due
    }

    fn set_next(&mut self, now: Instant) {
        let pause = self.timeout.duration().map(|time| time / Self::LOOKS);
        let pause = pause.map(|pause| pause.max(Duration::from_millis(1)));
        self.next = pause.and_then(|pause| now.checked_add(pause));
    }

    /// The reason to close a connection on which bytes last went at `last`, if that is too long ago;
    /// `sending` is whether the server waits for the peer to read.
    #[must_use]
    pub fn expired(&self, last: Instant, sending: bool, now: Instant) -> Option<String> {
        let silent = now.saturating_duration_since(last);
        let over = self.timeout.duration().is_some_and(|longest| silent >= longest);
        let what = if sending { "send timed out" } else { "timed out" };
        over.then(|| format!("{what} after {}", self.timeout))
    }
}
