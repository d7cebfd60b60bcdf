//! What epoll reports, and which connection has waited for too long.

use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use netcore::error::{Attempt, Error};
use netcore::poll::timeout_until;

use super::{Load, SIGNAL, TICK};
use crate::args::Mode;
use crate::connection::Received;

impl Load<'_> {
    /// Waits until something is ready or the time has come, and serves what is ready.
    pub(super) fn wait_and_serve(&mut self, until: Option<Instant>) -> Result<(), Error> {
        let wake = [until, self.earliest].into_iter().flatten().min();
        let count = match self.epoll.wait(&mut self.events, timeout_until(wake)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(why) => return Err(why).attempt("epoll_wait"),
        };
        self.now = Instant::now();
        // Taken and put back, since each event changes `self`.
        let events = std::mem::take(&mut self.events);
        for event in events.iter().take(count) {
            match event.data() {
                SIGNAL => self.stopped = self.signals.next()?,
                TICK => {
                    // Read, or it stays readable.
                    self.timer.wait().attempt("read timerfd")?;
                    self.begin_due()?;
                }
                slot => self.serve(usize::try_from(slot).unwrap_or(usize::MAX), event.events())?,
            }
        }
        self.events = events;
        self.check_timeout()
    }

    /// One connection has bytes to receive or room to send.
    fn serve(&mut self, slot: usize, events: EpollFlags) -> Result<(), Error> {
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        let mut received = 0;
        if events != EpollFlags::EPOLLOUT {
            match connection.receive_some(&self.bytes, &mut self.buffer)? {
                Received::Nothing => {}
                Received::Bytes(count) => received = count,
                Received::End => {
                    if let Some(ended) = self.slots.get_mut(slot) {
                        *ended = None;
                    }
                    if self.mode == Mode::Bulk {
                        self.tally.last = self.now;
                    }
                    return Ok(());
                }
            }
        }
        self.now = Instant::now();
        if received > 0 && connection.is_open {
            // Only bytes that come back count: a server that receives and echoes nothing times out too.
            connection.deadline = self.args.idle_timeout.deadline_of(self.now);
        }
        if events.contains(EpollFlags::EPOLLOUT) && connection.sent < connection.goal {
            connection.send_some(&self.bytes)?;
        }
        connection.set_interest(&self.epoll, slot as u64)?;
        if self.window.is_some() {
            self.tally.bytes += received;
        }
        let complete = received > 0 && !connection.is_busy();
        if complete { self.complete(slot) } else { Ok(()) }
    }

    /// A message has come back, every byte as it was sent.
    fn complete(&mut self, slot: usize) -> Result<(), Error> {
        self.free.push_back(slot);
        let Some(place) = self.slots.get_mut(slot) else { return Ok(()) };
        let Some(connection) = place.as_mut() else { return Ok(()) };
        connection.is_open = true;
        if self.window.is_none() {
            return Ok(());
        }
        self.tally.count(self.now, connection.due, connection.begun);
        if self.mode == Mode::Churn {
            // Closed before the next one connects.
            *place = None;
        }
        self.begin_due()
    }

    /// Fails if a connection has waited for too long. It looks at all of them only when the first of
    /// their deadlines may have passed: bytes that come only put one off.
    fn check_timeout(&mut self) -> Result<(), Error> {
        if self.earliest.is_none_or(|earliest| self.now < earliest) {
            return Ok(());
        }
        let busy = self.slots.iter().flatten().filter(|connection| connection.is_busy());
        let deadlines = busy.filter_map(|waiting| Some((waiting.deadline?, waiting)));
        let first = deadlines.min_by_key(|(deadline, _)| *deadline);
        self.earliest = first.map(|(deadline, _)| deadline);
        match first {
            Some((deadline, late)) if deadline <= self.now => Err(late.timed_out(self.args)),
            _ => Ok(()),
        }
    }
}
