//! The way between a client and us: how long it takes, and what is lost on it.

use std::str::FromStr;
use std::time::Duration;

use netcore::error::Error;
use netcore::time::Span;

use crate::Args;

/// A length of time with a sign, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shift(pub(crate) i128);

impl FromStr for Shift {
    type Err = String;

    fn from_str(text: &str) -> Result<Shift, String> {
        let (sign, text) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        text.parse().map(|Span(length)| Shift(sign * length.as_nanos().cast_signed()))
    }
}

/// Reads so many of a hundred.
pub(crate) fn percent(text: &str) -> Result<u8, String> {
    let percent = netcore::number::whole(text).ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| "write a whole number from 0 to 100".to_owned())
}

/// What happens to datagrams, repeatably: the same seed loses the same requests.
pub(crate) struct Way {
    there: Duration,
    back: Duration,
    jitter: Duration,
    loss: u8,
    state: u64,
}

impl Way {
    pub(crate) fn new(args: &Args) -> Result<Way, Error> {
        let delay = args.delay.0.as_nanos().cast_signed();
        let leg = |nanos: i128| {
            let nanos = u64::try_from(nanos).map_err(|_| {
                Error::Usage("--asymmetry: --delay is shorter, and no way is negative".to_owned())
            });
            nanos.map(Duration::from_nanos)
        };
        let Shift(asymmetry) = args.asymmetry;
        let (there, back) = (leg(delay + asymmetry)?, leg(delay - asymmetry)?);
        Ok(Way { there, back, jitter: args.jitter.0, loss: args.loss, state: args.seed })
    }

    /// How long the next request and its answer are under way; `None` when one of them is lost.
    pub(crate) fn next(&mut self) -> Option<(Duration, Duration)> {
        let lost = self.random() % 100 < self.loss.into();
        let legs = (self.there + self.some_jitter(), self.back + self.some_jitter());
        (!lost).then_some(legs)
    }

    fn some_jitter(&mut self) -> Duration {
        // 32 random bits as a fraction.
        self.jitter.mul_f64((self.random() >> 32) as f64 / f64::from(u32::MAX))
    }

    /// The next number of SplitMix64: short, and good from any seed on.
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

    fn way(loss: u8, jitter: u64) -> Way {
        let (there, back) = (Duration::from_millis(40), Duration::ZERO);
        Way { there, back, jitter: Duration::from_millis(jitter), loss, state: 1 }
    }

    #[test]
    fn a_shift_has_a_sign() {
        for (text, nanos) in [("1.5s", 1_500_000_000), ("-2", -2_000_000_000), ("+1ns", 1)] {
            assert_eq!(text.parse(), Ok(Shift(nanos)), "{text}");
        }
        for text in ["", "-", "--1", "+-1", "-1e99", "1 s"] {
            assert!(text.parse::<Shift>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_of_the_requests_is_lost_and_the_same_ones_each_time() {
        let lost = |mut way: Way| (0..10_000).map(|_| way.next().is_none()).collect::<Vec<_>>();
        let third = lost(way(33, 0));
        let count = third.iter().filter(|lost| **lost).count();
        assert!((3_100..3_500).contains(&count), "{count}");
        assert_eq!(third, lost(way(33, 0)));
        assert!(lost(way(100, 0)).iter().all(|lost| *lost));
        assert!(!lost(way(0, 0)).iter().any(|lost| *lost));
    }

    #[test]
    fn jitter_is_added_to_both_ways_and_never_more_than_asked_for() {
        let mut way = way(0, 10);
        let most = Duration::from_millis(10);
        let mut longest = Duration::ZERO;
        for _ in 0..1_000 {
            let (there, back) = way.next().unwrap();
            assert!(there >= way.there && there <= way.there + most && back <= most);
            longest = longest.max(back);
        }
        assert!(longest > most * 9 / 10);
    }

    #[test]
    fn a_percentage_is_at_most_100() {
        assert_eq!((percent("0"), percent("100")), (Ok(0), Ok(100)));
        for text in ["101", "256", "-1", "1.5", "", "33%"] {
            assert_eq!(percent(text), Err("write a whole number from 0 to 100".to_owned()));
        }
    }
}
