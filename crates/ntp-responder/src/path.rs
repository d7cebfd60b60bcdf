//! A simulated network path: its delays, and its losses.

use std::time::Duration;

use netcore::error::Error;

use crate::args::{Args, SignedSpan};

/// Repeatable: the same seed loses the same requests.
pub(crate) struct Path {
    there: Duration,
    back: Duration,
    jitter: Duration,
    loss: u8,
    state: u64,
}

impl Path {
    pub(crate) fn new(args: &Args) -> Result<Path, Error> {
        let delay = args.delay.0.as_nanos().cast_signed();
        let direction = |nanos: i128| {
            let nanos = u64::try_from(nanos);
            let nanos =
                nanos.map_err(|_| Error::Usage("--asymmetry: larger than --delay".to_owned()));
            nanos.map(Duration::from_nanos)
        };
        let SignedSpan(asymmetry) = args.asymmetry;
        let (there, back) = (direction(delay + asymmetry)?, direction(delay - asymmetry)?);
        Ok(Path { there, back, jitter: args.jitter.0, loss: args.loss, state: args.seed })
    }

    /// The delays of the next request and of its reply; `None` if one of them is lost.
    pub(crate) fn next_delays(&mut self) -> Option<(Duration, Duration)> {
        let lost = self.random() % 100 < self.loss.into();
        let delays = (self.there + self.random_jitter(), self.back + self.random_jitter());
        (!lost).then_some(delays)
    }

    fn random_jitter(&mut self) -> Duration {
        // 32 random bits as a fraction.
        self.jitter.mul_f64((self.random() >> 32) as f64 / f64::from(u32::MAX))
    }

    /// The next number of SplitMix64: short, and good for any seed.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(loss: u8, jitter: u64) -> Path {
        let (there, back) = (Duration::from_millis(40), Duration::ZERO);
        Path { there, back, jitter: Duration::from_millis(jitter), loss, state: 1 }
    }

    #[test]
    fn a_share_of_the_requests_is_lost_and_the_same_ones_each_time() {
        let lost =
            |mut path: Path| (0..10_000).map(|_| path.next_delays().is_none()).collect::<Vec<_>>();
        let third = lost(path(33, 0));
        let count = third.iter().filter(|lost| **lost).count();
        assert!((3_100..3_500).contains(&count), "{count}");
        assert_eq!(third, lost(path(33, 0)));
        assert!(lost(path(100, 0)).iter().all(|lost| *lost));
        assert!(!lost(path(0, 0)).iter().any(|lost| *lost));
    }

    #[test]
    fn jitter_is_added_in_both_directions_and_never_exceeds_its_limit() {
        let mut path = path(0, 10);
        let most = Duration::from_millis(10);
        let mut longest = Duration::ZERO;
        for _ in 0..1_000 {
            let (there, back) = path.next_delays().unwrap();
            assert!(there >= path.there && there <= path.there + most && back <= most);
            longest = longest.max(back);
        }
        assert!(longest > most * 9 / 10);
    }
}
