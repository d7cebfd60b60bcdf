//! What was measured, and how two servers compare.

use crate::measure::{Figure, Measure};
use crate::spread::Spread;

/// One measured figure.
pub(crate) struct Sample {
    pub(crate) measure: Measure,
    pub(crate) server: &'static str,
    pub(crate) round: u32,
    pub(crate) figure: Figure,
}

/// A measure that a rival does not stand: one that loses bytes has no speed.
pub(crate) struct Failed {
    pub(crate) measure: Measure,
    pub(crate) server: &'static str,
    pub(crate) reason: String,
}

/// The figures of one server in the order of the rounds.
pub(crate) fn figures(samples: &[Sample], measure: Measure, server: &str) -> Vec<f64> {
    let wanted = |sample: &&Sample| sample.measure == measure && sample.server == server;
    samples.iter().filter(wanted).map(|sample| sample.figure.value).collect()
}

/// How many times as fast as `rival`, each round by itself; `None` when one of them is missing.
pub(crate) fn ratio(
    samples: &[Sample],
    measure: Measure,
    server: &str,
    rival: &str,
) -> Option<Spread> {
    ratio_by(samples, measure, server, rival, |figure| figure.value)
}

/// The same of something else that was seen.
pub(crate) fn ratio_by(
    samples: &[Sample],
    measure: Measure,
    server: &str,
    rival: &str,
    seen: impl Fn(&Figure) -> f64,
) -> Option<Spread> {
    let of = |name| samples.iter().filter(move |one| one.measure == measure && one.server == name);
    let pairs = of(server).filter_map(|own| {
        let other = of(rival).find(|other| other.round == own.round)?;
        Some(seen(&own.figure) / seen(&other.figure))
    });
    Spread::from_figures(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rivals::C_FORK;

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        let sample = |server, round, value| Sample {
            measure: Measure::Bulk,
            server,
            round,
            figure: Figure { value, ..Figure::default() },
        };
        // The machine is ten times as fast in the second round; both are twice as fast as C.
        let samples = [
            sample("a", 0, 2.0),
            sample(C_FORK, 0, 1.0),
            sample(C_FORK, 1, 10.0),
            sample("a", 1, 20.0),
            sample("b", 1, 5.0),
        ];
        let spread = ratio(&samples, Measure::Bulk, "a", C_FORK).unwrap();
        assert_eq!((spread.min, spread.max), (2.0, 2.0));
        // "b" failed in the first round: its only sample is not divided by that round's.
        assert_eq!(ratio(&samples, Measure::Bulk, "b", C_FORK).unwrap().median, 0.5);
        assert!(ratio(&samples, Measure::Bulk, "a", "absent").is_none());
    }
}
