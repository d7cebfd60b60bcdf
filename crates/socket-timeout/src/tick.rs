//! What the kernel makes of a time that is asked for with SO_RCVTIMEO or SO_SNDTIMEO: a whole number
//! of clock ticks, whose length is chosen when a kernel is built (CONFIG_HZ).

use std::ffi::c_long;
use std::time::Duration;

use nix::time::{ClockId, clock_getres};

use netcore::error::{Attempt, Error};
use netcore::time::in_micros;

const MICROS_A_SECOND: u64 = 1_000_000;

/// The clock tick of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    /// Ticks a second: 100, 250, 300 and 1000 are what distributions choose.
    hz: u64,
}

impl Tick {
    /// The tick of this machine: what a coarse clock advances by.
    pub(crate) fn of_this_kernel() -> Result<Tick, Error> {
        let clock = ClockId::CLOCK_MONOTONIC_COARSE;
        let tick = clock_getres(clock).attempt("clock_getres CLOCK_MONOTONIC_COARSE")?;
        let nanos = Duration::from(tick).as_nanos().clamp(1, 1_000_000_000);
        // 300 a second are 3333333 ns each: rounded to the nearest, not down.
        let hz = u64::try_from((1_000_000_000 + nanos / 2) / nanos).unwrap_or(MICROS_A_SECOND);
        Ok(Tick { hz: hz.min(MICROS_A_SECOND) })
    }

    pub(crate) fn length(self) -> Duration {
        Duration::from_nanos(1_000_000_000 / self.hz)
    }

    /// How many ticks a time is rounded up to, as sock_set_timeout() of the kernel does it. Its
    /// ticks are of whole microseconds, so at 300 a second it may take one more than it had to.
    fn ticks(self, asked: Duration) -> u64 {
        let asked = in_micros(asked);
        let micros = u64::from(asked.subsec_micros());
        asked.as_secs() * self.hz + micros.div_ceil(MICROS_A_SECOND / self.hz)
    }

    /// What getsockopt says after a setsockopt of `asked`.
    pub(crate) fn read_back(self, asked: Duration) -> Duration {
        let ticks = self.ticks(asked);
        let micros = ticks % self.hz * MICROS_A_SECOND / self.hz;
        Duration::from_secs(ticks / self.hz) + Duration::from_micros(micros)
    }

    /// How late such a wait may end: it waits in the kernel's timer wheel, whose slots are a tick
    /// wide below 63 ticks, 8 ticks below 504, 64 below 4032, and so on.
    pub(crate) fn slot(self, asked: Duration) -> Duration {
        let (mut slot, mut end) = (1_u32, 63_u64);
        while self.ticks(asked) >= end && slot < 1 << 24 {
            (slot, end) = (slot * 8, end * 8);
        }
        self.length() * slot
    }

    /// The longest time that is one: the kernel takes what has more ticks than a long for never.
    pub(crate) fn longest(self) -> Duration {
        Duration::from_secs((u64::try_from(c_long::MAX).unwrap_or(u64::MAX) / self.hz) - 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use socket2::{Domain, Socket, Type};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_time_is_rounded_up_to_whole_ticks() {
        for (hz, asked, read_back) in [
            (250, Duration::from_nanos(1), 4 * MS),
            (250, 4 * MS, 4 * MS),
            (250, 10 * MS, 12 * MS),
            (1000, 10 * MS, 10 * MS),
            (100, 101 * MS, 110 * MS),
            // 61 ticks of 3333 us for 200 ms, each of which is a third of a microsecond longer.
            (300, 200 * MS, Duration::from_micros(203_333)),
            (300, 2000 * MS, 2000 * MS),
        ] {
            assert_eq!(Tick { hz }.read_back(asked), read_back, "{asked:?} at {hz}");
        }
    }

    #[test]
    fn a_slot_of_the_timer_wheel_is_at_most_an_eighth_of_the_time() {
        let tick = Tick { hz: 250 };
        for (asked, slot) in [(1, 4), (248, 4), (252, 32), (2012, 32), (2016, 256), (10_000, 256)] {
            assert_eq!(tick.slot(asked * MS), slot * MS, "{asked} ms");
        }
    }

    proptest! {
        #[test]
        fn the_kernel_rounds_as_is_said_here(nanos in 1_u64..400_000_000_000) {
            let asked = Duration::from_nanos(nanos);
            let tick = Tick::of_this_kernel().unwrap();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_read_timeout(Some(in_micros(asked))).unwrap();
            prop_assert_eq!(socket.read_timeout().unwrap(), Some(tick.read_back(asked)));
            prop_assert!(tick.read_back(asked) >= asked);
        }
    }

    #[test]
    fn the_longest_is_a_time_and_more_is_for_ever() {
        let longest = Tick::of_this_kernel().unwrap().longest();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_read_timeout(Some(longest)).unwrap();
        assert_eq!(socket.read_timeout().unwrap(), Some(longest));
        socket.set_read_timeout(Some(longest + Duration::from_secs(2))).unwrap();
        assert_eq!(socket.read_timeout().unwrap(), None);
    }
}
