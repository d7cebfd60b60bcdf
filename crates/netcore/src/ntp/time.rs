//! Instants, and their 64-bit timestamps, which leave out the era.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;

/// From the epoch of NTP, 1900, to that of Unix, 1970: 70 years, 17 of them leap years.
const NTP_TO_UNIX: i128 = 2_208_988_800 * SECOND;

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// The most distant instant, in nanoseconds from 1970: 38 million years, so that no sum overflows.
const FARTHEST: i128 = 1 << 80;

/// A clock that shows an earlier time is wrong: this program was written then (2026-11-25).
const EARLIEST: Utc = Utc::from_nanos(1_795_564_800_000_000_000);

/// An instant as Unix counts it, without leap seconds, but in nanoseconds, and with a range that
/// contains every era that a clock may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc(i128);

impl Utc {
    /// So many nanoseconds after 1970-01-01T00:00:00Z; before it where they are negative.
    #[must_use]
    pub const fn from_nanos(nanos: i128) -> Utc {
        if nanos > FARTHEST {
            Utc(FARTHEST)
        } else if nanos < -FARTHEST {
            Utc(-FARTHEST)
        } else {
            Utc(nanos)
        }
    }

    /// The time of this machine's clock (clock_gettime(2), CLOCK_REALTIME).
    #[must_use]
    pub fn now() -> Utc {
        let nanos = |span: std::time::Duration| span.as_nanos().cast_signed();
        Utc::from_nanos(match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => nanos(after),
            Err(before) => -nanos(before.duration()),
        })
    }

    /// A rough time, which decides the era: the given one, or that of this machine's clock. A machine
    /// without a battery-backed clock starts in 1970: an implausible time is replaced by the date of
    /// this program.
    #[must_use]
    pub fn pivot(given: Option<Utc>) -> Utc {
        given.unwrap_or_else(|| Utc::now().max(EARLIEST))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// Nanoseconds from `earlier` to here.
    #[must_use]
    pub const fn since(self, earlier: Utc) -> i128 {
        self.0 - earlier.0
    }

    /// So many nanoseconds later.
    #[must_use]
    pub const fn plus(self, nanos: i128) -> Utc {
        Utc::from_nanos(self.0.saturating_add(nanos))
    }

    /// Its NTP era, of 2^32 seconds: 0 begins with 1900, 1 on
    /// 2036-02-07T06:28:16Z (RFC 5905 §6).
    #[must_use]
    pub const fn era(self) -> i128 {
        (self.0 + NTP_TO_UNIX).div_euclid(SECOND << 32)
    }

    /// The first instant of an era.
    #[must_use]
    pub fn start_of_era(era: u8) -> Utc {
        Utc::from_nanos(i128::from(era) * (SECOND << 32) - NTP_TO_UNIX)
    }
}

impl From<TimeSpec> for Utc {
    fn from(time: TimeSpec) -> Utc {
        Utc::from_nanos(i128::from(time.tv_sec()) * SECOND + i128::from(time.tv_nsec()))
    }
}

/// The 64 bits on the wire: seconds since the start of an era, and fractions of 2^-32 s
/// (RFC 5905 §6, "NTP Timestamp Format"). They wrap every 136 years. Zero means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// "Unknown or unsynchronized time". A client that takes it for a time shows 2036-02-07 06:28:16,
    /// or 1900-01-01.
    pub const NONE: Timestamp = Timestamp(0);

    /// The bits of an instant: rounded to the nearest, without its era.
    #[must_use]
    pub fn from_utc(instant: Utc) -> Timestamp {
        let units = ((instant.0 + NTP_TO_UNIX) << 32) + SECOND / 2;
        Timestamp(low_64(units.div_euclid(SECOND)))
    }

    /// From `earlier` to here, in 2^-32 s. The difference wraps, and so is right across the end of an
    /// era, if the two are less than 68 years apart.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> i64 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The instant within 68 years of `pivot` that has these bits. The bits do not contain the era:
    /// the pivot decides it.
    #[must_use]
    pub fn near(self, pivot: Utc) -> Utc {
        let pivot = ((pivot.0 + NTP_TO_UNIX) << 32).div_euclid(SECOND);
        let units = pivot + i128::from(self.since(Timestamp(low_64(pivot))));
        // 2^-32 s are 0.23 ns: rounded to the nearest nanosecond, not truncated.
        Utc::from_nanos(((units * SECOND + (1 << 31)) >> 32) - NTP_TO_UNIX)
    }
}

/// The low 64 bits of a number.
fn low_64(units: i128) -> u64 {
    u64::try_from(units & i128::from(u64::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 5905 §6, Figure 4, "Interesting Historic NTP Dates": date, era, era offset.
    const HISTORIC: [(&str, i128, u64); 7] = [
        ("1582-10-15", -3, 2_874_597_888),
        ("1899-12-31", -1, 4_294_880_896),
        ("1900-01-01", 0, 0),
        ("1970-01-01", 0, 2_208_988_800),
        ("1972-01-01", 0, 2_272_060_800),
        ("1999-12-31", 0, 3_155_587_200),
        ("2036-02-08", 1, 63_104),
    ];

    #[test]
    fn the_historic_dates_of_the_rfc_have_their_era_and_their_offset() {
        for (date, era, offset) in HISTORIC {
            let instant: Utc = date.parse().unwrap();
            assert_eq!(
                (instant.era(), Timestamp::from_utc(instant).0),
                (era, offset << 32),
                "{date}"
            );
            assert_eq!(Timestamp(offset << 32).near(instant), instant);
        }
    }

    #[test]
    fn era_1_begins_at_28_minutes_past_6_on_7_february_2036() {
        // RFC 4330 §3: "6h 28m 16s UTC on 7 February 2036".
        let begin: Utc = "2036-02-07T06:28:16Z".parse().unwrap();
        assert_eq!((Utc::start_of_era(1), Timestamp::from_utc(begin)), (begin, Timestamp::NONE));
        assert_eq!((begin.era(), begin.plus(-1).era()), (1, 0));
        let before = Timestamp::from_utc(begin.plus(-SECOND));
        assert_eq!(before.0, u64::from(u32::MAX) << 32);
        assert_eq!(Timestamp(1 << 31).since(before), (1 << 32) + (1 << 31));
        assert_eq!(before.since(Timestamp(1 << 31)), -(1 << 32) - (1 << 31));
    }

    #[test]
    fn the_pivot_decides_the_era() {
        let bits = Timestamp::from_utc("2026-11-25T03:10:02Z".parse().unwrap());
        for (pivot, shown) in [
            ("1970-01-01", "2026-11-25T03:10:02.000000Z"),
            ("2026-01-01", "2026-11-25T03:10:02.000000Z"),
            ("2094-01-01", "2026-11-25T03:10:02.000000Z"),
            ("2096-01-01", "2163-01-01T09:38:18.000000Z"),
            ("1890-01-01", "1890-10-18T20:41:46.000000Z"),
        ] {
            assert_eq!(bits.near(pivot.parse().unwrap()).to_string(), shown, "{pivot}");
        }
    }

    #[test]
    fn an_implausible_clock_is_not_the_pivot() {
        assert_eq!(Ok(EARLIEST), "2026-11-25".parse());
        let given = Utc::from_nanos(7);
        assert_eq!(Utc::pivot(Some(given)), given);
        assert!(Utc::pivot(None) >= EARLIEST);
    }

    #[test]
    fn fractions_are_rounded_and_not_truncated() {
        let second = |nanos| Timestamp::from_utc(Utc::from_nanos(nanos)).0 & u64::from(u32::MAX);
        assert_eq!(second(500_000_000), 1 << 31);
        assert_eq!(second(1), 4);
        assert_eq!(second(-1), (1 << 32) - 4);
        let whole = 2_208_988_800_u64 << 32;
        let nanos = |fraction| Timestamp(whole + fraction).near(Utc::from_nanos(0)).nanos();
        assert_eq!([nanos(2), nanos(3), nanos(4)], [0, 1, 1]);
    }

    proptest! {
        #[test]
        fn an_instant_survives_the_wire_with_any_pivot_within_68_years(
            nanos in -(1_i128 << 70)..1_i128 << 70,
            off in -2_147_483_000_i128..2_147_483_000,
        ) {
            let instant = Utc::from_nanos(nanos);
            prop_assert_eq!(Timestamp::from_utc(instant).near(instant.plus(off * SECOND)), instant);
        }

        #[test]
        fn no_bits_and_no_pivot_overflow(bits: u64, pivot: i128, other: i128) {
            let instant = Timestamp(bits).near(Utc::from_nanos(pivot));
            let _ = instant.plus(other).since(Utc::from_nanos(pivot));
        }

        #[test]
        fn bits_survive_but_for_half_a_nanosecond(bits: u64, pivot in -(1_i128 << 70)..1_i128 << 70) {
            let again = Timestamp::from_utc(Timestamp(bits).near(Utc::from_nanos(pivot)));
            prop_assert!(again.since(Timestamp(bits)).abs() <= 3);
        }
    }
}
