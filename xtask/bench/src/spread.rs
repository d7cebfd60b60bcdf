//! What some figures say, and how sure it is.

/// Smallest, middle and largest of some figures.
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
    /// Where the median of very many would lie, with at least 95 %: it needs six figures or more.
    pub(crate) interval: Option<(f64, f64)>,
}

impl Spread {
    /// `None` of no figures.
    pub(crate) fn from_figures(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let below = figures.get((figures.len() - 1) / 2)?;
        let above = figures.get(figures.len() / 2)?;
        let interval = outside(figures.len())
            .and_then(|cut| Some((*figures.get(cut)?, *figures.get(figures.len() - 1 - cut)?)));
        Some(Self { min, median: (below + above) / 2.0, max, interval })
    }
}

/// How many of the smallest figures, and of the largest, lie outside of the interval of the median.
/// A figure is below the true median as often as above it, whatever the distribution, so that the number
/// of those below is binomial: 2.5 % are left on each side. See David and Nagaraja, Order Statistics,
/// section 7.1.
fn outside(figures: usize) -> Option<usize> {
    // The probability of just so many, as a logarithm: of a thousand and more figures it would be 0.
    let mut so_many = figures as f64 * 0.5_f64.ln();
    let (mut at_most, mut below) = (so_many.exp(), 0);
    while at_most <= 0.025 {
        so_many += ((figures - below) as f64 / (below + 1) as f64).ln();
        at_most += so_many.exp();
        below += 1;
    }
    below.checked_sub(1)
}

/// What the samples say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    /// The limit lies within the interval: it needs more rounds.
    Open,
    Fails,
}

impl Verdict {
    /// How a report calls it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Holds => "ok",
            Self::Open => "open",
            Self::Fails => "FALSE",
        }
    }

    pub(crate) fn from_ratio(ratio: &Spread, at_least: f64) -> Self {
        match ratio.interval {
            Some((low, _)) if low >= at_least => Self::Holds,
            Some((_, high)) if high < at_least => Self::Fails,
            _ => Self::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        let spread = Spread::from_figures(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 4.0));
        assert_eq!(Spread::from_figures(vec![3.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert!(Spread::from_figures(Vec::new()).is_none());
    }

    #[test]
    fn the_interval_of_the_median_is_as_tabulated() {
        let tabulated = [(6, 0), (8, 0), (9, 1), (10, 1), (12, 2), (20, 5), (25, 7), (50, 17)];
        for (figures, cut) in tabulated {
            assert_eq!(outside(figures), Some(cut), "of {figures}");
        }
        assert_eq!(outside(5), None);
        // Of many it is the normal distribution's: 1.96 deviations of half the root.
        let cut = outside(10_000).unwrap();
        assert!((4_900..=4_903).contains(&cut), "{cut}");
    }

    #[test]
    fn a_claim_fails_only_where_the_whole_interval_does() {
        let verdict = |figures: [f64; 7]| {
            Verdict::from_ratio(&Spread::from_figures(figures.to_vec()).unwrap(), 1.0)
        };
        assert_eq!(verdict([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]), Verdict::Holds);
        assert_eq!(verdict([0.5, 0.6, 0.7, 0.7, 0.8, 0.9, 1.0]), Verdict::Open);
        assert_eq!(verdict([0.5, 0.6, 0.7, 0.7, 0.8, 0.9, 0.99]), Verdict::Fails);
        assert_eq!(
            Verdict::from_ratio(&Spread::from_figures(vec![0.5; 5]).unwrap(), 1.0),
            Verdict::Open
        );
    }
}
