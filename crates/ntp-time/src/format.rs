//! The formats of `--format`.

use std::ffi::CString;

use netcore::ntp::time::Utc;
use netcore::sys::local_time;

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// An instant in a format of strftime(3), in local time, with the `%N` of date(1): nanoseconds. `None` if
/// the result is too long.
pub(crate) fn formatted(time: Utc, format: &str) -> Option<String> {
    let (seconds, nanos) = (time.nanos().div_euclid(SECOND), time.nanos().rem_euclid(SECOND));
    let mut expanded = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        let pair = (char, if char == '%' { chars.next() } else { None });
        match pair {
            ('%', Some('N')) => expanded += &format!("{nanos:09}"),
            (char, next) => expanded.extend([Some(char), next].into_iter().flatten()),
        }
    }
    local_time(i64::try_from(seconds).ok()?, &CString::new(expanded).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_may_have_nanoseconds_and_a_percent_sign() {
        let time = Utc::from_nanos(1_000_000_007);
        assert_eq!(formatted(time, "%S.%N").as_deref(), Some("01.000000007"));
        assert_eq!(formatted(time, "%%N %").as_deref(), Some("%N %"));
        assert_eq!(formatted(Utc::from_nanos(-1), "%N").as_deref(), Some("999999999"));
        assert_eq!(formatted(time, "").as_deref(), Some(""));
        assert_eq!(formatted(time, "a\0b"), None);
    }
}
