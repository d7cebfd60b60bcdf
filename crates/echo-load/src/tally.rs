//! What is counted.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use netcore::error::{Attempt, Error};

/// The longest latency, an hour in nanoseconds; longer ones count as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Significant digits of a latency: within 0.1 %.
const DIGITS: u8 = 3;

/// The figures of a run.
pub(crate) struct Tally {
    /// Connections that were opened.
    pub(crate) opened: u32,
    /// Messages that came back as they were sent.
    pub(crate) round_trips: u64,
    /// Bytes that did.
    pub(crate) bytes: u64,
    /// Messages that were due when no connection was free.
    pub(crate) unsent: u64,
    /// Datagrams that did not come back in time, and those that came after that, or twice.
    pub(crate) lost: u64,
    pub(crate) late: u64,
    /// An error ended it.
    pub(crate) failed: bool,
    /// From when a message was due until it had come back.
    pub(crate) from_due: Histogram<u64>,
    /// From when it was sent; without --rate that is the same.
    pub(crate) from_sent: Option<Histogram<u64>>,
    /// When the last message had come back.
    pub(crate) last: Instant,
    start: Instant,
    pub(crate) elapsed: Duration,
    /// Processor time of this client: at the start, and after `stop` since then.
    pub(crate) cpu: Duration,
}

impl Tally {
    pub(crate) fn new(rated: bool) -> Result<Tally, Error> {
        let histogram = || {
            let new = Histogram::new_with_bounds(1, LONGEST, DIGITS);
            new.map_err(|_| Errno::ENOMEM).attempt("make a histogram")
        };
        let now = Instant::now();
        Ok(Tally {
            opened: 0,
            round_trips: 0,
            bytes: 0,
            unsent: 0,
            lost: 0,
            late: 0,
            failed: false,
            from_due: histogram()?,
            from_sent: if rated { Some(histogram()?) } else { None },
            last: now,
            start: now,
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
        })
    }

    pub(crate) fn start(&mut self, now: Instant) {
        (self.start, self.last, self.cpu) = (now, now, cpu_time());
    }

    /// The measurement is over; a message that was still under way then makes it longer.
    pub(crate) fn stop(&mut self, over: Instant) {
        self.elapsed = self.last.max(over) - self.start;
        self.cpu = cpu_time().saturating_sub(self.cpu);
    }

    pub(crate) fn count(&mut self, now: Instant, due: Instant, begun: Instant) {
        (self.round_trips, self.last) = (self.round_trips + 1, now);
        self.from_due.saturating_record(nanos(now - due));
        if let Some(from_sent) = &mut self.from_sent {
            from_sent.saturating_record(nanos(now - begun));
        }
    }

    pub(crate) fn count_unsent(&mut self, waited: Duration) {
        self.unsent += 1;
        self.from_due.saturating_record(nanos(waited));
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(LONGEST)
}

/// Processor time of this process so far, user and system.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    let micros = usage.map_or(0, |usage| {
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
    });
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
