//! The selection: of several servers, those that can be right at the same time (RFC 5905 §11.2.1,
//! Marzullo's algorithm).
//!
//! The interval [offset - bound, offset + bound] of a correct server contains the true offset. So the
//! intervals of all correct servers have a point in common, and the points that most intervals have
//! in common are the best estimate. Of m servers f may be wrong (falsetickers), as few as possible,
//! and fewer than half:
//!
//! ```text
//!   a     |------------|               m = 4
//!   b         |-------------|          f = 1: three have the points from low to high in common
//!   c       |---------|
//!   d                           |--|   a falseticker
//!            low     high
//! ```
//!
//! The RFC also allows no more than f midpoints outside of the result. A server with unequal delays in
//! the two directions has its midpoint far from the true offset, although its interval contains it:
//! here it is not a falseticker.

/// The offsets that a server allows, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The lowest, in nanoseconds.
    pub low: i128,
    /// The highest.
    pub high: i128,
}

impl Interval {
    /// From an offset and its bound.
    #[must_use]
    pub const fn around(offset: i128, bound: i128) -> Interval {
        Interval { low: offset - bound, high: offset + bound }
    }

    /// Its midpoint: no point of it is farther away than [`Interval::bound`].
    #[must_use]
    pub const fn offset(&self) -> i128 {
        self.low + (self.high - self.low) / 2
    }

    /// Half of its length, rounded up.
    #[must_use]
    pub const fn bound(&self) -> i128 {
        (self.high - self.low + 1) / 2
    }

    /// Whether they have a point in common.
    #[must_use]
    pub const fn overlaps(&self, other: &Interval) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// The points that most intervals have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// From the first to the last point that this many intervals contain. A server whose interval
    /// does not overlap it is a falseticker.
    pub common: Interval,
    /// How many: m - f.
    pub agree: usize,
}

impl Selection {
    /// Whether they are more than half of the servers. Half is not a majority: the other half may
    /// agree on another offset.
    #[must_use]
    pub const fn is_majority_of(&self, servers: usize) -> bool {
        2 * self.agree > servers
    }
}

/// Finds the points that most intervals contain; `None` if there is no interval.
///
/// One sweep from the lowest end to the highest counts the open intervals. A point where one interval
/// begins and another ends is in both.
#[must_use]
pub fn select(intervals: &[Interval]) -> Option<Selection> {
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum End {
        // In this order where both are at one point.
        Low,
        High,
    }
    let lows = intervals.iter().map(|interval| (interval.low, End::Low));
    let highs = intervals.iter().map(|interval| (interval.high, End::High));
    let mut ends: Vec<(i128, End)> = lows.chain(highs).collect();
    ends.sort_unstable();
    let (mut open, mut agree, mut common) = (0, 0, None);
    for (point, end) in ends {
        match (end, &mut common) {
            (End::Low, _) => {
                open += 1;
                if open > agree {
                    (agree, common) = (open, Some(Interval { low: point, high: point }));
                }
            }
            (End::High, common) => {
                if let Some(common) = common.as_mut().filter(|_| open == agree) {
                    common.high = point;
                }
                open -= 1;
            }
        }
    }
    common.map(|common| Selection { common, agree })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn selected(ends: &[(i128, i128)]) -> Option<(i128, i128, usize)> {
        let intervals: Vec<Interval> =
            ends.iter().map(|(low, high)| Interval { low: *low, high: *high }).collect();
        select(&intervals).map(|found| (found.common.low, found.common.high, found.agree))
    }

    #[test]
    fn the_picture_above_is_true() {
        let [a, b, c, d] = [(0, 13), (4, 18), (2, 12), (22, 25)];
        assert_eq!(selected(&[a, b, c, d]), Some((4, 12, 3)));
        assert!(!Interval { low: 22, high: 25 }.overlaps(&Interval { low: 4, high: 12 }));
    }

    #[test]
    fn the_well_known_examples_of_marzullo_come_out() {
        assert_eq!(selected(&[(8, 12), (11, 13), (10, 12)]), Some((11, 12, 3)));
        assert_eq!(selected(&[(8, 12), (11, 13), (14, 15)]), Some((11, 12, 2)));
        // Two pairs agree, on different points: the result contains both.
        assert_eq!(selected(&[(8, 9), (8, 12), (10, 12)]), Some((8, 12, 2)));
    }

    #[test]
    fn intervals_that_touch_have_that_point_in_common() {
        assert_eq!(selected(&[(0, 2), (2, 4)]), Some((2, 2, 2)));
        assert_eq!(selected(&[(0, 2), (3, 4)]), Some((0, 4, 1)));
        assert_eq!(selected(&[(5, 5), (5, 5), (0, 9)]), Some((5, 5, 3)));
        let overlaps = |low| Interval { low: 0, high: 2 }.overlaps(&Interval { low, high: 9 });
        assert!(overlaps(2) && !overlaps(3));
    }

    #[test]
    fn one_server_is_a_majority_and_of_two_one_is_not() {
        assert_eq!((selected(&[]), selected(&[(3, 7)])), (None, Some((3, 7, 1))));
        let majority = |agree, servers| {
            Selection { common: Interval::around(0, 0), agree }.is_majority_of(servers)
        };
        assert!(majority(1, 1) && !majority(1, 2) && majority(2, 2) && majority(2, 3));
        assert!(!majority(2, 4) && majority(3, 4) && majority(3, 5));
    }

    #[test]
    fn a_truechimer_with_unequal_delays_is_not_a_falseticker() {
        // An error of 20 ms with a bound of 20.1: by its midpoint it would be a falseticker.
        let far = Interval::around(20_000, 20_100);
        let near = [Interval::around(0, 100), Interval::around(10, 100)];
        let found = select(&[far, near[0], near[1]]).unwrap();
        assert_eq!((found.agree, found.common), (3, Interval { low: -90, high: 100 }));
    }

    #[test]
    fn the_midpoint_of_an_interval_is_within_its_bound_of_both_ends() {
        for (low, high, offset, bound) in [(-1, 2, 0, 2), (4, 4, 4, 0), (-3, -2, -3, 1)] {
            let interval = Interval { low, high };
            assert_eq!((interval.offset(), interval.bound()), (offset, bound));
        }
        assert_eq!(Interval::around(7, 3), Interval { low: 4, high: 10 });
    }

    /// Small intervals, some of which overlap, touch, or are apart.
    fn intervals() -> impl Strategy<Value = Vec<Interval>> {
        let one =
            (-20_i128..20, 0_i128..12).prop_map(|(offset, bound)| Interval::around(offset, bound));
        proptest::collection::vec(one, 0..9)
    }

    proptest! {
        #[test]
        fn the_sweep_finds_what_looking_at_every_point_finds(intervals in intervals()) {
            let holders = |point: i128| {
                intervals.iter().filter(|one| one.low <= point && point <= one.high).count()
            };
            let most = (-40..40).map(holders).max().filter(|most| *most > 0);
            let points: Vec<i128> =
                (-40..40).filter(|point| Some(holders(*point)) == most).collect();
            let expected = most.map(|agree| {
                (points[0], points[points.len() - 1], agree)
            });
            let found = select(&intervals).map(|f| (f.common.low, f.common.high, f.agree));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_majority_of_truechimers_is_always_found(
            truth in -1_000_i128..1_000,
            truechimers in proptest::collection::vec((0_i128..100, 0_i128..100), 1..6),
            falsetickers in proptest::collection::vec((-2_000_i128..2_000, 0_i128..100), 0..5),
        ) {
            prop_assume!(falsetickers.len() < truechimers.len());
            // Each has an error within its bound.
            let mut all: Vec<Interval> = truechimers
                .iter()
                .map(|(less, more)| Interval { low: truth - less, high: truth + more })
                .collect();
            all.extend(falsetickers.iter().map(|(offset, bound)| Interval::around(*offset, *bound)));
            let found = select(&all).unwrap();
            prop_assert!(found.agree >= truechimers.len() && found.is_majority_of(all.len()));
            if found.agree == truechimers.len() {
                // No falseticker is among them.
                prop_assert!(found.common.low <= truth && truth <= found.common.high);
            }
        }

        #[test]
        fn the_order_of_the_servers_does_not_matter(intervals in intervals()) {
            let backwards: Vec<Interval> = intervals.iter().rev().copied().collect();
            prop_assert_eq!(select(&intervals), select(&backwards));
        }
    }
}
