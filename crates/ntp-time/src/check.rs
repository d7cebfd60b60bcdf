//! The line of a monitoring plug-in, and its state (Monitoring Plugins Guidelines).

use netcore::error::Error;
use netcore::ntp::show::{signed, unsigned};
use netcore::text::counted;
use netcore::time::Span;

use crate::vote::{Answer, Vote};

/// The states by their exit codes.
const OK: (u8, &str) = (0, "OK");
const WARNING: (u8, &str) = (1, "WARNING");
const CRITICAL: (u8, &str) = (2, "CRITICAL");
const UNKNOWN: (u8, &str) = (3, "UNKNOWN");

/// The exit code, and the line: the state, a text, a bar, and the performance data.
pub(crate) fn check(
    vote: &Vote<'_>,
    failed: Option<Error>,
    warning: Span,
    critical: Span,
) -> (u8, String) {
    let Some(answer) = vote.answer().filter(|_| failed.is_none()) else {
        let (code, state) = UNKNOWN;
        let why = failed.map_or_else(|| why_unknown(vote), |error| error.to_string());
        return (code, format!("NTP {state}: {why}"));
    };
    let (code, state) = state(answer.offset, warning, critical);
    let (offset, bound) = (signed(answer.offset), unsigned(answer.bound));
    let (agree, answered) = (vote.agree(), vote.claims.len());
    let mut line = format!("NTP {state}: offset {offset} s +/- {bound}");
    let noun = if answered == 1 { "server agrees" } else { "servers agree" };
    line += &format!(", {agree} of {answered} {noun}");
    let names: Vec<&str> = vote.falsetickers().map(|claim| claim.peer.name.as_str()).collect();
    if !names.is_empty() {
        line += &format!(", falsetickers: {}", names.join(" "));
    }
    if !vote.failures.is_empty() {
        line += &format!(", {} without a reply", vote.failures.len());
    }
    line += " | ";
    (code, line + &data(&answer, warning, critical))
}

fn state(offset: i128, Span(warning): Span, Span(critical): Span) -> (u8, &'static str) {
    match offset.unsigned_abs() {
        off if off > critical.as_nanos() => CRITICAL,
        off if off > warning.as_nanos() => WARNING,
        _ => OK,
    }
}

fn why_unknown(vote: &Vote<'_>) -> String {
    if vote.claims.is_empty() {
        let failures = vote.failures.iter().map(|(_, failure)| failure.to_string());
        return failures.collect::<Vec<_>>().join("; ");
    }
    let claims = vote
        .claims
        .iter()
        .map(|claim| format!("{} {}", claim.peer.name, signed(claim.filtered.best.offset())));
    let claims = claims.collect::<Vec<_>>().join(", ");
    format!("{}, {}: {claims}", counted(vote.claims.len(), "server"), vote.disagreement())
}

/// `label=value;warning;critical;least;most`. A limit `1` means the range from 0 to 1: an offset can be
/// negative, so its limits are ranges.
fn data(answer: &Answer<'_>, Span(warning): Span, Span(critical): Span) -> String {
    let offset = signed(answer.offset);
    let offset = offset.trim_start_matches('+');
    let (warning, critical) = (warning.as_secs_f64(), critical.as_secs_f64());
    let limits = format!("-{warning}:{warning};-{critical}:{critical}");
    let (bound, jitter) = (unsigned(answer.bound), unsigned(answer.source.filtered.jitter));
    let stratum = answer.source.filtered.best.packet.stratum;
    format!(
        "offset={offset}s;{limits} bound={bound}s;;;0 jitter={jitter}s;;;0 stratum={stratum};;;0;16"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_exceeded_by_more_than_it_on_both_sides() {
        let of = |nanos| state(nanos, "100ms".parse().unwrap(), "1s".parse().unwrap());
        for (nanos, expected) in [
            (0, OK),
            (100_000_000, OK),
            (-100_000_001, WARNING),
            (-1_000_000_000, WARNING),
            (1_000_000_001, CRITICAL),
            (i128::MIN, CRITICAL),
        ] {
            assert_eq!(of(nanos), expected, "{nanos}");
        }
    }
}
