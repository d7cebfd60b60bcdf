//! `--check`, the monitoring plug-in: one line, four states, and numbers to draw.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use netcheck::{Finished, Run, Skip};

use super::{query, responders};
use crate::ntp::{responder, silent};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "ntp_time",
        tests![
            the_state_is_in_the_line_and_in_the_exit_code,
            an_offset_has_two_sides,
            the_numbers_have_units_and_limits,
            falsetickers_and_servers_without_an_answer_are_in_the_line,
            what_cannot_be_known_is_unknown,
        ],
    )
}

/// The one line of a plug-in, which says nothing elsewhere: before the bar, and behind it.
fn line(finished: &Finished) -> (String, String) {
    let printed = finished.stdout_text();
    let line = printed.strip_suffix('\n').expect("a line");
    assert!(!line.contains('\n') && finished.stderr.is_empty(), "{finished:?}");
    let (text, data) = line.split_once('|').unwrap_or((line, ""));
    (text.to_owned(), data.to_owned())
}

fn the_state_is_in_the_line_and_in_the_exit_code() -> Result<(), Skip> {
    for (offset, args, code, state) in [
        ("0", &[][..], 0, "OK"),
        // The limits are 100ms and 1s where nothing else is said.
        ("500ms", &[], 1, "WARNING"),
        ("2s", &[], 2, "CRITICAL"),
        ("500ms", &["--warning", "1s", "--critical", "2s"], 0, "OK"),
        ("500ms", &["--warning", "0", "--critical", "400ms"], 2, "CRITICAL"),
        // A warning that is not given is never above the critical limit.
        ("500ms", &["--critical", "50ms"], 2, "CRITICAL"),
    ] {
        let server = responder(&["--offset", offset]);
        let finished = query([&server], &[&["--check"], args].concat());
        let (text, _) = line(&finished);
        assert_eq!(finished.code(), Some(code), "{text}");
        assert!(text.starts_with(&format!("NTP {state}: offset ")), "{text}");
        assert!(text.ends_with(", 1 of 1 server agrees "), "{text}");
    }
    Ok(())
}

fn an_offset_has_two_sides() -> Result<(), Skip> {
    let server = responder(&["--offset", "-500ms"]);
    let finished = query([&server], &["--check"]);
    let (text, data) = line(&finished);
    assert_eq!(finished.code(), Some(1), "{text}");
    // A limit of 0.1 alone would be one of 0 to 0.1.
    assert!(data.starts_with(" offset=-0.") && data.contains("s;-0.1:0.1;-1:1 "), "{data}");
    Ok(())
}

fn the_numbers_have_units_and_limits() -> Result<(), Skip> {
    let server = responder(&["--offset", "500ms", "--stratum", "5"]);
    let args = ["--check", "--warning", "1500ms", "--critical", "1h"];
    let (_, data) = line(&query([&server], &args));
    let values: BTreeMap<&str, Vec<&str>> = data
        .split_whitespace()
        .map(|one| one.split_once('=').expect("label=value"))
        .map(|(label, value)| (label, value.split(';').collect()))
        .collect();
    assert_eq!(
        values.keys().copied().collect::<Vec<_>>(),
        ["bound", "jitter", "offset", "stratum"]
    );
    assert_eq!(values["offset"][1..], ["-1.5:1.5", "-3600:3600"]);
    assert_eq!(values["stratum"], ["5", "", "", "0", "16"]);
    for label in ["bound", "jitter", "offset"] {
        let seconds = values[label][0].strip_suffix('s').expect("a unit");
        assert!(!seconds.starts_with('+') && seconds.parse::<f64>().is_ok(), "{label}: {data}");
    }
    Ok(())
}

fn falsetickers_and_servers_without_an_answer_are_in_the_line() -> Result<(), Skip> {
    let servers = responders(&["0", "9s", "0"]);
    let (_socket, silent) = silent();
    let finished = query(&servers, &["--check", "--timeout", "200ms", &silent.to_string()]);
    let (text, _) = line(&finished);
    assert_eq!(finished.code(), Some(0), "{text}");
    let wrong = servers[1].address();
    let expected = format!(", 2 of 3 servers agree, falsetickers: {wrong}, 1 without a reply ");
    assert!(text.ends_with(&expected), "{text}");
    Ok(())
}

fn what_cannot_be_known_is_unknown() -> Result<(), Skip> {
    let unknown = |finished: Finished, words: &str| {
        let (text, data) = line(&finished);
        assert_eq!((finished.code(), data.as_str()), (Some(3), ""), "{text}");
        assert!(text.starts_with("NTP UNKNOWN: ") && text.contains(words), "{text}");
    };
    let servers = responders(&["0", "1h"]);
    unknown(
        query(&servers, &["--check"]),
        "2 servers, no majority: no two servers agree: 127.0.0.1:",
    );
    let (socket, address) = silent();
    let nobody = address.to_string();
    let check = |word: &str| {
        let run = Run::new("ntp-time").args(["--check", "--timeout", "200ms", word]);
        run.env("RES_OPTIONS", "timeout:1 attempts:1").finish()
    };
    unknown(check(&nobody), ", 2 times: timed out after 200ms");
    drop(socket);
    unknown(check(&nobody), "Connection refused (ECONNREFUSED)");
    unknown(check("no-such-host.invalid"), "resolve no-such-host.invalid: ");
    let denies = responder(&["--kiss", "DENY"]);
    unknown(query([&denies], &["--check"]), ": DENY: ");
    // A mistake in its configuration is noticed: 2 is critical.
    let wrong = Run::new("ntp-time").args(["--check", "--critical", "soon", &nobody]).finish();
    assert_eq!((wrong.code(), wrong.stdout.len()), (Some(2), 0), "{wrong:?}");
    Ok(())
}
