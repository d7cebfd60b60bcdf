//! The ways to send a request, and what is printed of each.

use std::time::Duration;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::Json;
use netcore::time::{millis, percentile};

/// How a request is sent and received.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    TwoWrites,
    /// The client sends a small segment although another is not acknowledged.
    NoDelay,
    /// The client sends no small segment until it takes the cork out.
    Cork,
    /// The server acknowledges the first half at once.
    QuickAck,
    OneWrite,
}

impl Variant {
    pub(crate) const ALL: [Variant; 5] =
        [Variant::TwoWrites, Variant::NoDelay, Variant::Cork, Variant::QuickAck, Variant::OneWrite];

    fn name(self) -> &'static str {
        match self {
            Variant::TwoWrites => "two writes",
            Variant::NoDelay => "two writes, TCP_NODELAY",
            Variant::Cork => "two writes, TCP_CORK",
            Variant::QuickAck => "two writes, TCP_QUICKACK",
            Variant::OneWrite => "one write",
        }
    }
}

/// How long this kernel delays an ACK.
pub(crate) struct DelayedAck {
    pub(crate) delay: Duration,
    /// One tick of the kernel's clock.
    pub(crate) tick: Duration,
}

impl DelayedAck {
    /// TCP_DELACK_MIN of the kernel is HZ / 25 ticks; below 100 ticks a second it is 4 of them.
    pub(crate) fn from_tick(tick: Duration) -> DelayedAck {
        let tick = tick.max(Duration::from_micros(1));
        let ticks = 1_000_000_000 / tick.as_nanos() / 25;
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX).max(4);
        DelayedAck { delay: tick.saturating_mul(ticks), tick }
    }

    /// Prints the median and the longest of the times, and whether they are as documented.
    pub(crate) fn compare(
        &self,
        variant: Variant,
        mut times: Vec<Duration>,
        json: bool,
        out: &mut Output,
    ) -> Result<(), Error> {
        times.sort_unstable();
        let (median, longest) = (percentile(&times, 50), percentile(&times, 100));
        // The first tick of a timer has already begun when the timer is set.
        let waits = median >= self.delay.saturating_sub(self.tick);
        let agrees = waits == (variant == Variant::TwoWrites);
        let name = variant.name();
        if json {
            let line = Json::new("nagle").text("way", name).number("rounds", times.len() as u64);
            let line = line.nanos("median_ns", median).nanos("longest_ns", longest);
            out.line(line.nanos("delayed_ack_ns", self.delay).flag("as_documented", agrees))?;
        } else {
            let verdict = if agrees { "as documented" } else { "different" };
            let (median, longest) = (millis(median), millis(longest));
            out.line(format_args!("{name:25}median {median}, longest {longest}  {verdict}"))?;
        }
        if !agrees {
            out.report(&Error::No(format!("{name}: median {}", millis(median))));
        }
        Ok(())
    }

    /// Prints the delay.
    pub(crate) fn print(&self, json: bool, out: &mut Output) -> Result<(), Error> {
        if json {
            return Ok(());
        }
        let (delay, tick) = (millis(self.delay), millis(self.tick));
        out.line(format_args!("a delayed ACK waits {delay} here, HZ / 25 ticks of {tick}"))
    }
}
