//! The clock filter: the best of several samples of one server (RFC 5905 §10).
//!
//! A packet that waits in a queue makes the delay longer, and the offset wrong by up to half of the
//! waiting time. So the sample with the least delay has the smallest error. Our own clock drifts
//! after each sample: only the last eight are used, and the bound of the best one grows with its age.

use super::time::Utc;
use super::{Sample, drift};

/// How many samples are used (RFC 5905 §7.1, NSTAGE).
const STAGES: usize = 8;

/// The result for the samples of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The sample with the least delay; of equal ones the last.
    pub best: Sample,
    /// The largest error of its offset at `now`.
    pub bound: i128,
    /// How much the offsets of the others differ from its offset.
    pub jitter: i128,
}

/// Filters the samples of one server, in the order in which they were taken; `None` if there are
/// none. `now` is read from the same clock as T1 and T4.
#[must_use]
pub fn filter(samples: &[Sample], now: Utc) -> Option<Filtered> {
    let last = samples.get(samples.len().saturating_sub(STAGES)..).unwrap_or_default();
    let best = last.iter().rev().min_by_key(|sample| sample.delay())?;
    let bound = best.bound() + drift(now.since(best.t4));
    let jitter = jitter(best.offset(), last.iter().map(Sample::offset));
    Some(Filtered { best: best.clone(), bound, jitter })
}

/// How much offsets differ from the best of them, which is among them: the root mean square.
///
/// `jitter = sqrt(1 / (n - 1) * sum((best - offset)^2))` (RFC 5905 §10)
#[must_use]
pub fn jitter(best: i128, offsets: impl Iterator<Item = i128>) -> i128 {
    let (mut count, mut squares) = (0_u32, 0.0);
    for offset in offsets {
        (count, squares) = (count + 1, squares + ((offset - best) as f64).powi(2));
    }
    let others = f64::from(count.saturating_sub(1).max(1));
    std::time::Duration::try_from_secs_f64((squares / others).sqrt() / 1e9)
        .map_or(i128::MAX, |jitter| jitter.as_nanos().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packet;
    use super::*;
    use proptest::prelude::*;

    const MS: i128 = 1_000_000;

    /// A sample of a correct server that takes no time, with so many ms in each direction.
    fn sample(at: i128, there: i128, back: i128) -> Sample {
        let [t1, t2, t3, t4] = [at, at + there, at + there, at + there + back]
            .map(|millis| Utc::from_nanos(millis * MS));
        Sample { t1, t2, t3, t4, packet: Packet { precision: -20, ..Packet::default() } }
    }

    fn at(millis: i128) -> Utc {
        Utc::from_nanos(millis * MS)
    }

    #[test]
    fn the_sample_of_least_delay_is_the_one() {
        // Only the second did not wait in a queue; the waiting time of the others is in their offsets.
        let samples = [sample(0, 90, 10), sample(1_000, 10, 10), sample(2_000, 10, 50)];
        let filtered = filter(&samples, at(2_060)).unwrap();
        assert_eq!((filtered.best.offset(), filtered.best.delay()), (0, 20 * MS));
        // Offsets of 40 and -20 ms: sqrt((1600 + 400) / 2) = 31.6.
        assert_eq!(filtered.jitter / 10_000, 3_162);
        // It was taken 1.04 s ago: 15.6 us more.
        assert_eq!(filtered.bound, samples[1].bound() + 15_600);
        assert_eq!(filter(&[], at(0)), None);
    }

    #[test]
    fn a_sample_alone_has_no_jitter_and_of_equals_the_last_is_taken() {
        assert_eq!(filter(&[sample(0, 10, 30)], at(40)).unwrap().jitter, 0);
        let equals = [sample(0, 10, 10), sample(1_000, 10, 10)];
        assert_eq!(filter(&equals, at(2_000)).unwrap().best, equals[1]);
    }

    #[test]
    fn the_ninth_sample_pushes_the_first_out() {
        let mut samples = vec![sample(0, 1, 1)];
        samples.extend((1..8).map(|turn| sample(turn * 1_000, 10, 10)));
        assert_eq!(filter(&samples, at(8_000)).unwrap().best, samples[0]);
        samples.push(sample(8_000, 10, 10));
        assert_eq!(filter(&samples, at(9_000)).unwrap().best, samples[8]);
    }

    #[test]
    fn jitter_of_clocks_that_are_centuries_apart_does_not_overflow() {
        assert!(jitter(-(1 << 80), [-(1 << 80), 1 << 80].into_iter()) > 1 << 80);
        assert_eq!(jitter(0, std::iter::empty()), 0);
    }

    proptest! {
        #[test]
        fn no_sample_that_is_used_has_less_delay(
            delays in proptest::collection::vec((0_i128..100, 0_i128..100), 1..20),
        ) {
            let samples: Vec<Sample> =
                (0..).zip(&delays).map(|(turn, (there, back))| sample(turn * 1_000, *there, *back)).collect();
            let filtered = filter(&samples, at(20_000)).unwrap();
            let last = &samples[samples.len().saturating_sub(8)..];
            prop_assert!(last.iter().all(|sample| sample.delay() >= filtered.best.delay()));
            prop_assert!(last.contains(&filtered.best));
            // The true offset is 0, and unequal delays are inside the bound.
            prop_assert!(filtered.best.offset().abs() <= filtered.bound);
        }
    }
}
