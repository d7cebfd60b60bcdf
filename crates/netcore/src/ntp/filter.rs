//! The clock filter: of several samples of one server, the one to believe (RFC 5905 §10).
//!
//! What waits in a queue on its way makes the delay longer and the offset worse, by up to half of
//! what it waited. So the sample of least delay is the one that was disturbed least. A sample is
//! worth less each second, since our own clock drifts meanwhile: only the last eight are looked at,
//! and the bound of the one that is taken has grown since.

use super::time::Utc;
use super::{Sample, drift};

/// How many samples are looked at (RFC 5905 §7.1, NSTAGE).
const STAGES: usize = 8;

/// What the samples of a server come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The one of least delay; of equal ones the last.
    pub best: Sample,
    /// How far off its offset can be by now.
    pub bound: i128,
    /// How much the offsets of the others differ from it.
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

/// How much offsets differ from the best of them, which is among them: the root of the mean square.
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

    /// A sample of a server that is right and takes no time, of so many ms there and back.
    fn ways(at: i128, there: i128, back: i128) -> Sample {
        let [t1, t2, t3, t4] = [at, at + there, at + there, at + there + back]
            .map(|millis| Utc::from_nanos(millis * MS));
        Sample { t1, t2, t3, t4, packet: Packet { precision: -20, ..Packet::default() } }
    }

    fn at(millis: i128) -> Utc {
        Utc::from_nanos(millis * MS)
    }

    #[test]
    fn the_sample_of_least_delay_is_the_one() {
        // Only the second found both ways free; what the others waited is in their offsets.
        let samples = [ways(0, 90, 10), ways(1_000, 10, 10), ways(2_000, 10, 50)];
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
        assert_eq!(filter(&[ways(0, 10, 30)], at(40)).unwrap().jitter, 0);
        let equals = [ways(0, 10, 10), ways(1_000, 10, 10)];
        assert_eq!(filter(&equals, at(2_000)).unwrap().best, equals[1]);
    }

    #[test]
    fn the_ninth_sample_pushes_the_first_out() {
        let mut samples = vec![ways(0, 1, 1)];
        samples.extend((1..8).map(|turn| ways(turn * 1_000, 10, 10)));
        assert_eq!(filter(&samples, at(8_000)).unwrap().best, samples[0]);
        samples.push(ways(8_000, 10, 10));
        assert_eq!(filter(&samples, at(9_000)).unwrap().best, samples[8]);
    }

    #[test]
    fn jitter_of_clocks_that_are_ages_apart_does_not_overflow() {
        assert!(jitter(-(1 << 80), [-(1 << 80), 1 << 80].into_iter()) > 1 << 80);
        assert_eq!(jitter(0, std::iter::empty()), 0);
    }

    proptest! {
        #[test]
        fn nothing_that_was_looked_at_has_less_delay(
            delays in proptest::collection::vec((0_i128..100, 0_i128..100), 1..20),
        ) {
            let samples: Vec<Sample> =
                (0..).zip(&delays).map(|(turn, (there, back))| ways(turn * 1_000, *there, *back)).collect();
            let filtered = filter(&samples, at(20_000)).unwrap();
            let last = &samples[samples.len().saturating_sub(8)..];
            prop_assert!(last.iter().all(|sample| sample.delay() >= filtered.best.delay()));
            prop_assert!(last.contains(&filtered.best));
            // The true offset is 0, and unequal ways are inside the bound.
            prop_assert!(filtered.best.offset().abs() <= filtered.bound);
        }
    }
}
