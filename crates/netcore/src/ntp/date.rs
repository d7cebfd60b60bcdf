//! Dates as people read and type them (RFC 3339), in UTC and in the Gregorian calendar, which is used
//! before 1582 too.

use std::fmt;
use std::str::FromStr;

use super::time::Utc;

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// In seconds.
const DAY: i128 = 86_400;

/// The days of 400 years, after which the calendar repeats itself.
const CYCLE: i128 = 146_097;

/// From 0000-03-01 to 1970-01-01. A year that begins in March has its leap day at its end.
const MARCH_0: i128 = 719_468;

/// `2026-11-25T03:10:02.123456Z`, rounded to the microsecond.
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = (self.nanos() + 500).div_euclid(1_000);
        let seconds = micros.div_euclid(1_000_000);
        let (year, month, day) = date(seconds.div_euclid(DAY));
        let of_day = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        let micros = micros.rem_euclid(1_000_000);
        let (sign, year) = (if year < 0 { "-" } else { "" }, year.abs());
        write!(
            f,
            "{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        )
    }
}

/// `2036-02-07`, or with a time: `2036-02-07T06:28:16Z`, with any number of decimals.
impl FromStr for Utc {
    type Err = String;

    fn from_str(text: &str) -> Result<Utc, String> {
        read(text).ok_or_else(|| "write a date, 2036-02-07 or 2036-02-07T06:28:16Z".to_owned())
    }
}

fn read(text: &str) -> Option<Utc> {
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = parts(day, '-', [4, 2, 2])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = parts(time, ':', [2, 2, 2])?;
    let days = days(year, month, day);
    // A day that the month does not have is converted back to another one.
    if date(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let seconds = days * DAY + hour * 3_600 + minute * 60 + second;
    Some(Utc::from_nanos(seconds * SECOND + nanos))
}

/// Three numbers of so many digits each.
fn parts(text: &str, separator: char, digits: [usize; 3]) -> Option<[i128; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// Year, month and day of so many days after 1970-01-01.
fn date(days: i128) -> (i128, i128, i128) {
    let days = days + MARCH_0;
    let (cycle, day) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    // Without the odd days of every 4, 100 and 400 years all years are of 365.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // March to July, and August to December, have 153 days each.
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + later, month, day_of_month)
}

/// The days from 1970-01-01 to a date.
fn days(year: i128, month: i128, day: i128) -> i128 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    cycle * CYCLE + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - MARCH_0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instants_are_printed_in_utc_with_all_their_zeros() {
        for (nanos, shown) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-62_167_219_201 * SECOND, "-0001-12-31T23:59:59.000000Z"),
            (23_000, "1970-01-01T00:00:00.000023Z"),
            (-1_000, "1969-12-31T23:59:59.999999Z"),
            (951_782_400 * SECOND, "2000-02-29T00:00:00.000000Z"),
            (4_294_967_295 * SECOND, "2106-02-07T06:28:15.000000Z"),
            (1_795_576_202 * SECOND + 123_456_500, "2026-11-25T03:10:02.123457Z"),
            // Rounding reaches up to the year.
            (1_798_761_599 * SECOND + 999_999_500, "2027-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(Utc::from_nanos(nanos).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2036",
            "2036-02",
            "2036-2-7",
            "2036-02-30",
            "2100-02-29",
            "2036-13-01",
            "2036-00-01",
            "2036-02-07T24:00:00Z",
            "2036-02-07T06:28:60Z",
            "2036-02-07T06:28:16",
            "2036-02-07T06:28:16.Z",
            "2036-02-07T06:28:16.1e3Z",
            "2036-02-07T06:28:16+01:00",
            "+036-02-07",
            "2036-02-07 ",
            "2036-02-07-01",
        ] {
            assert!(text.parse::<Utc>().is_err(), "{text:?}");
        }
        assert!("2000-02-29".parse::<Utc>().is_ok());
    }

    #[test]
    fn every_day_of_800_years_is_the_day_after_the_one_before() {
        let mut last = date(-300_000);
        for days_since in -299_999..=0 {
            let next = date(days_since);
            let follows = (next.0, next.1, next.2 - 1) == last
                || (next.2 == 1 && (28..=31).contains(&last.2) && next.1 == last.1 % 12 + 1);
            assert!(follows && days(next.0, next.1, next.2) == days_since, "{last:?}, {next:?}");
            last = next;
        }
        assert_eq!(last, (1970, 1, 1));
    }

    proptest! {
        #[test]
        fn an_instant_survives_print_and_parse(micros in -62_167_219_200_000_000_i128..253_402_300_800_000_000) {
            let instant = Utc::from_nanos(micros * 1_000);
            prop_assert_eq!(instant.to_string().parse(), Ok(instant));
        }

        #[test]
        fn no_text_and_no_instant_panics(text: String, nanos: i128) {
            let _ = (text.parse::<Utc>(), Utc::from_nanos(nanos).to_string());
        }
    }
}
