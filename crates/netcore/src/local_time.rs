//! Instants in local time, by the time zone of the environment (tzset(3)).

use crate::ntp::time::Utc;
use crate::sys::local_time;
use crate::text::escape;

/// In the words of date(1): `Wed Nov 25 04:10:03 CET 2026`.
#[must_use]
pub fn date(time: Utc) -> String {
    let seconds = i64::try_from(time.nanos().div_euclid(1_000_000_000)).ok();
    let local = seconds.and_then(|seconds| local_time(seconds, c"%a %b %e %H:%M:%S %Z %Y"));
    // The zone's name is the environment's, and may be any bytes.
    local.map_or_else(|| time.to_string(), |local| escape(local.as_bytes()))
}
