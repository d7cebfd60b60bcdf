//! How a server stops: the first SIGTERM or SIGINT closes the listener and begins the grace period
//! of the clients, the second ends it.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::listener::Listener;
use crate::signal::{Signal, Signals};

/// The signals of a server that serves its clients in one thread, and what they ask for.
pub struct Stop {
    /// To wait for.
    pub signals: Signals,
    /// `None` once no more connections are wanted. To drop it is to close it: the kernel then
    /// refuses new clients. From an open listener that is not accepted from they would get no answer.
    pub listener: Option<Listener>,
    grace: Duration,
    /// When the grace period ends, once the server was asked to stop, and for what reason.
    end: Option<(Instant, &'static str)>,
}

impl Stop {
    /// A server that was not asked to stop yet. It has no listener if it was given a connection.
    #[must_use]
    pub fn new(signals: Signals, listener: impl Into<Option<Listener>>, grace: Duration) -> Self {
        Self { signals, listener: listener.into(), grace, end: None }
    }

    /// When the server has to look around although nothing is ready: at the end of the grace
    /// period, or at another deadline if that is earlier.
    #[must_use]
    pub fn deadline(&self, other: Option<Instant>) -> Option<Instant> {
        self.end.map(|(end, _)| end).into_iter().chain(other).min()
    }

    /// Reads a signal, if there is one. SIGTERM and SIGINT take effect here; what another one means,
    /// the caller knows.
    ///
    /// # Errors
    /// Those of read(2) on the descriptor of the signals, and of shutdown(2) on the listener.
    pub fn next_signal(&mut self, now: Instant) -> Result<Option<Signal>, Error> {
        let signal = self.signals.next()?;
        if matches!(signal, Some(Signal::SIGTERM | Signal::SIGINT)) {
            if let Some(listener) = self.listener.take() {
                listener.close()?;
            }
            let grace = now.checked_add(self.grace).map(|end| (end, "grace period expired"));
            let over = Some((now, "second SIGTERM or SIGINT"));
            self.end = if self.end.is_none() { grace } else { over };
        }
        Ok(signal)
    }

    /// The reason, once it is time to close the connections that are left.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> Option<&'static str> {
        self.end.filter(|(end, _)| *end <= now).map(|(_, why)| why)
    }
}
