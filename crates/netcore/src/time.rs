//! Durations and timeouts as they are typed.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// What the units of a typed duration mean, in nanoseconds.
const UNITS: [(&str, u128); 8] = [
    // The longer names first: `ms` ends in `s` too.
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("s", 1_000_000_000),
];

/// The longest duration that is taken: a hundred years, which every clock can be moved by.
const LONGEST: u128 = 100 * 365 * 86_400 * 1_000_000_000;

/// Reads `1.5s`, `200ms`, `2m`; a bare number is seconds. Zero is one.
///
/// # Errors
/// What is accepted, as a sentence for a usage error.
fn parse(text: &str) -> Result<Duration, String> {
    let accepted =
        || "not a duration: write 1.5s, 200ms or 2m (a bare number is seconds)".to_owned();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1_000_000_000));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(accepted());
    }
    let whole: u128 = whole.parse().map_err(|_| "longer than 100 years".to_owned())?;
    // What lies below a nanosecond is dropped, as every clock here does.
    let fraction: String = fraction.chars().take(15).collect();
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| accepted())?);
    let fraction: u128 = fraction.parse().map_err(|_| accepted())?;
    let nanos = whole.saturating_mul(unit).saturating_add(fraction * unit / scale);
    if nanos > LONGEST {
        return Err("longer than 100 years".to_owned());
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| accepted())
}

/// Prints a duration so that [`parse`] reads the very same one: `1500ms`, `2s`.
#[must_use]
pub(crate) fn exact(duration: Duration) -> String {
    match duration.as_nanos() {
        n if n % 1_000_000_000 == 0 => format!("{}s", n / 1_000_000_000),
        n if n % 1_000_000 == 0 => format!("{}ms", n / 1_000_000),
        n if n % 1_000 == 0 => format!("{}us", n / 1_000),
        n => format!("{n}ns"),
    }
}

/// Prints a measured duration in milliseconds, with the digits that a reader can use: `0.93 ms`.
#[must_use]
pub fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    let decimals = if millis < 10.0 { 2 } else { usize::from(millis < 1000.0) };
    format!("{millis:.decimals$} ms")
}

/// The smallest of the sorted durations that so many of a hundred do not exceed (the nearest rank).
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// A duration in the unit of a timeval, rounded up, for SO_RCVTIMEO and SO_SNDTIMEO: cut off, a wait
/// would end before its time, and less than a microsecond would be 0, which means no limit.
#[must_use]
pub fn in_micros(duration: Duration) -> Duration {
    let more = (1000 - duration.subsec_nanos() % 1000) % 1000;
    duration.saturating_add(Duration::from_nanos(more.into()))
}

/// The end of the first of so many equal parts of the time until the deadline. Without a deadline there
/// are five seconds for all parts but the last, which has no end: what does not reply must not keep
/// the others from being tried.
#[must_use]
pub fn share(deadline: Option<Instant>, parts: usize) -> Option<Instant> {
    let (now, parts) = (Instant::now(), u32::try_from(parts).unwrap_or(u32::MAX).max(1));
    let five_seconds = || now.checked_add(Duration::from_secs(5)).filter(|_| parts > 1);
    let left = deadline.or_else(five_seconds)?.saturating_duration_since(now);
    now.checked_add(left / parts)
}

/// A length of time, zero included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds, for defaults.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        parse(text).map(Span)
    }
}

/// How long to wait: a duration longer than zero, or `none` for no limit.
///
/// Zero is refused: to setsockopt(2) it means no limit, to poll(2) no wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(Option<Duration>);

impl Timeout {
    /// So many seconds, for defaults.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Timeout {
        Timeout(Some(Duration::from_secs(seconds)))
    }

    /// So many milliseconds, for defaults.
    #[must_use]
    pub const fn milliseconds(milliseconds: u64) -> Timeout {
        Timeout(Some(Duration::from_millis(milliseconds)))
    }

    /// The duration, `None` for no limit.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        self.0
    }

    /// Whether it has passed since then.
    #[must_use]
    pub fn is_over(self, since: Instant) -> bool {
        self.0.is_some_and(|duration| since.elapsed() >= duration)
    }

    /// The instant at which a wait that begins now is over, `None` for never.
    #[must_use]
    pub fn deadline(self) -> Option<Instant> {
        self.deadline_of(Instant::now())
    }

    /// The same for a wait that began at `since`.
    #[must_use]
    pub fn deadline_of(self, since: Instant) -> Option<Instant> {
        self.0.and_then(|duration| since.checked_add(duration))
    }
}

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Timeout, String> {
        if text == "none" {
            return Ok(Timeout(None));
        }
        match parse(text)? {
            Duration::ZERO => {
                Err("0 means no time at all: write none to wait without a limit".to_owned())
            }
            // setsockopt(2) counts microseconds: less than one would be 0, which means no limit.
            less if less < Duration::from_micros(1) => {
                Err("shorter than 1us, which a socket takes for no timeout".to_owned())
            }
            duration => Ok(Timeout(Some(duration))),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(duration) => f.write_str(&exact(duration)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_duration_becomes_a_timeval_of_0() {
        assert_eq!(in_micros(Duration::from_nanos(1)), Duration::from_micros(1));
        assert_eq!(in_micros(Duration::from_nanos(1000)), Duration::from_micros(1));
        assert_eq!(in_micros(Duration::from_nanos(1_999_999_001)), Duration::from_secs(2));
        assert_eq!(in_micros(Duration::ZERO), Duration::ZERO);
        assert_eq!(in_micros(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn only_the_last_part_of_no_deadline_has_no_end() {
        let now = Instant::now();
        let deadline = now.checked_add(Duration::from_secs(1000));
        let part = |deadline, parts| share(deadline, parts).map(|end| (end - now).as_secs());
        assert_eq!(
            [1, 2, 10].map(|parts| part(deadline, parts)),
            [Some(1000), Some(500), Some(100)]
        );
        assert_eq!([0, 1, 2, 5].map(|parts| part(None, parts)), [None, None, Some(2), Some(1)]);
        // It is over.
        assert!(share(Some(now), 2).is_some_and(|end| end <= Instant::now()));
    }

    #[test]
    fn a_percentile_is_one_of_the_durations() {
        let of = |count: u64| (1..=count).map(Duration::from_secs).collect::<Vec<_>>();
        for (count, percent, rank) in [(1, 0, 1), (1, 99, 1), (4, 50, 2), (5, 50, 3), (100, 99, 99)]
        {
            assert_eq!(percentile(&of(count), percent), Duration::from_secs(rank), "{count}");
        }
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn people_type_durations() {
        for (text, nanos) in [
            ("1.5s", 1_500_000_000),
            ("200ms", 200_000_000),
            ("2m", 120_000_000_000),
            ("2min", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("2d", 172_800_000_000_000),
            ("3", 3_000_000_000),
            ("0.25", 250_000_000),
            ("0", 0),
            ("1.0000000019", 1_000_000_001),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "s",
            "-1",
            "+1",
            "1e3",
            "1 s",
            ".5",
            "1.",
            "1.2.3",
            "inf",
            "NaN",
            "1w",
            "101000000h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!("0".parse::<Timeout>().is_err());
        assert!("0.0000000001".parse::<Timeout>().is_err());
        assert!("999ns".parse::<Timeout>().is_err());
        assert!("1us".parse::<Timeout>().is_ok());
        assert_eq!("none".parse(), Ok(Timeout(None)));
    }

    proptest! {
        #[test]
        fn a_duration_survives_print_and_parse(nanos in 0..3_000_000_000_000_000_000_u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&exact(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Timeout>();
        }
    }
}
