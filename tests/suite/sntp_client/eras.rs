//! 32 bits of seconds: before, at and after 2036-02-07T06:28:16Z.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use netcheck::{Skip, evidence};

use super::answer;
use crate::ntp::{SOON, is_off_by, number, responder};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "sntp_client",
        tests![
            the_turn_of_the_era_is_a_second_like_any_other,
            the_year_2037_is_right_without_a_pivot,
            the_year_2104_is_right_with_its_pivot,
            a_machine_whose_clock_begins_in_1970_is_told_the_time,
        ],
    )
}

/// Seconds from now to so many seconds after 1970, as an option.
fn until(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    format!("{}s", seconds - now.as_secs())
}

fn the_turn_of_the_era_is_a_second_like_any_other() -> Result<(), Skip> {
    let server = responder(&["--era", "1", "--offset", "-1s"]);
    let before = answer(server.address(), &[]);
    let time = |answer: &serde_json::Value| answer["time"].as_str().unwrap().to_owned();
    let after = evidence::wait_until(SOON, || {
        let after = answer(server.address(), &[]);
        (after["era"] == 1).then_some(after)
    });
    let after = after.expect("era 1");
    assert_eq!(time(&after)[..17], time(&before)[..17], "{before}, {after}");
    assert!(time(&after).as_str() >= "2036-02-07T06:28:16", "{after}");
    // The clocks are as far apart as they were, whatever the bits on the wire did.
    let moved = number(&after, "offset_ns") - number(&before, "offset_ns");
    let bound = number(&after, "bound_ns") + number(&before, "bound_ns");
    assert!(moved.abs() <= bound, "{before}, {after}");
    // A clock that was slow to be asked is in era 1 at once.
    if before["era"] == 0 {
        assert!(time(&before).starts_with("2036-02-07T06:28:15."), "{before}");
    }
    Ok(())
}

/// That a server whose clock is this far ahead is told the right time by these arguments.
fn shows_year(seconds: u64, year: &str, era: i64, args: &[&str]) {
    let server = responder(&["--offset", &until(seconds)]);
    let answer = answer(server.address(), args);
    let time = answer["time"].as_str().unwrap();
    assert!(time.starts_with(year) && number(&answer, "era") == era, "{answer}");
    let transmitted = u64::try_from(number(&answer, "t3_ns")).expect("after 1970");
    let off = Duration::from_nanos(transmitted).as_secs().abs_diff(seconds);
    assert!(off < 20, "{answer}");
}

fn the_year_2037_is_right_without_a_pivot() -> Result<(), Skip> {
    // 2037-01-01T00:00:00Z.
    shows_year(2_114_380_800, "2037-01-01T00:00:", 1, &[]);
    Ok(())
}

fn the_year_2104_is_right_with_its_pivot() -> Result<(), Skip> {
    // 2104-01-01T00:00:00Z.
    shows_year(4_228_588_800, "2104-01-01T00:00:", 1, &["--pivot", "2100-01-01"]);
    // Without one the same bits are the instant that is within 68 years of now.
    let server = responder(&["--offset", &until(4_228_588_800)]);
    let answer = answer(server.address(), &["--pivot", "2026-01-01"]);
    assert!(answer["time"].as_str().unwrap().starts_with("1967-11-24T17:3"), "{answer}");
    Ok(())
}

fn a_machine_whose_clock_begins_in_1970_is_told_the_time() -> Result<(), Skip> {
    // What its clock shows, it would take for the pivot, were it not older than the program.
    let server = responder(&[]);
    let answer = answer(server.address(), &["--pivot", "1970-01-01"]);
    is_off_by(&answer, 0);
    Ok(())
}
