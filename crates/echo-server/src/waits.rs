//! What the server waits for, and when it gives up: a peer that is idle, a request to stop.
//!
//! Each wait is one poll(2) over the socket and the signals. The first SIGTERM or SIGINT closes
//! the listener and begins the grace of the connected client; the second ends it.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use socket2::Socket;

use netcore::error::Error;
use netcore::listener::Listener;
use netcore::signal::{Signals, Woken};
use netcore::time::Timeout;

pub(crate) struct Waits {
    signals: Signals,
    /// `None` once no more connections are wanted. To drop it is to close it: the kernel then
    /// refuses, where an open listener that nobody accepts from would let new clients hang.
    pub(crate) listener: Option<Listener>,
    idle: Timeout,
    grace: Duration,
    /// The end of the grace, once we were asked to stop.
    end: Option<Instant>,
}

impl Waits {
    pub(crate) fn new(
        signals: Signals,
        listener: Listener,
        idle: Timeout,
        grace: Duration,
    ) -> Waits {
        Waits { signals, listener: Some(listener), idle, grace, end: None }
    }

    /// Waits for a connection; `None` when it is time to end.
    pub(crate) fn for_connection(&mut self) -> Result<Option<&mut Listener>, Error> {
        let Some(listener) = &mut self.listener else { return Ok(None) };
        let woken = self.signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, None)?;
        Ok((woken == Woken::Ready).then_some(listener))
    }

    /// Waits until the peer has sent (POLLIN) or has taken (POLLOUT) bytes. The error is the
    /// reason to wait no longer.
    pub(crate) fn for_peer(&mut self, stream: &Socket, events: PollFlags) -> Result<(), String> {
        // The silence is counted from here: only a peer that does something gets a new deadline.
        let idle = self.idle.deadline();
        loop {
            let deadline = idle.into_iter().chain(self.end).min();
            let woken = self.signals.wait(Some(stream.as_fd()), events, deadline);
            match woken.map_err(|error| error.to_string())? {
                Woken::Ready => return Ok(()),
                Woken::Deadline if self.end.is_some() && deadline == self.end => {
                    return Err("grace period expired".to_owned());
                }
                Woken::Deadline => return Err(format!("timed out after {}", self.idle)),
                Woken::Signal(_) if self.end.is_some() => {
                    return Err("second SIGTERM or SIGINT".to_owned());
                }
                Woken::Signal(_) => {
                    self.listener = None;
                    self.end = Instant::now().checked_add(self.grace);
                }
            }
        }
    }
}
