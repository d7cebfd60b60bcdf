//! nagle: each variant makes the calls that it is named for, and only the first one waits.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Call, Need, Run, Skip, evidence, need};
use serde_json::Value;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "nagle",
        tests![
            two_small_writes_wait_for_a_delayed_ack,
            every_line_is_as_documented,
            each_variant_sets_its_option_and_no_other,
            a_kernel_that_does_something_else_is_1,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

/// Requests of each variant.
const ROUNDS: usize = 20;

fn two_small_writes_wait_for_a_delayed_ack() -> Result<(), Skip> {
    let finished = Run::new("nagle").arg("--json").finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let text = finished.stdout_text();
    let rows: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let ways: Vec<&str> = rows.iter().filter_map(|row| row["way"].as_str()).collect();
    let options = ["TCP_NODELAY", "TCP_CORK", "TCP_QUICKACK"];
    let [nodelay, cork, quickack] = options.map(|option| format!("two writes, {option}"));
    assert_eq!(ways, ["two writes", &nodelay, &cork, &quickack, "one write"]);
    let median = |row: &Value| Duration::from_nanos(row["median_ns"].as_u64().unwrap());
    // HZ / 25 is 40 ms where HZ is a multiple of 25, and the first tick has begun: 30 ms at HZ=100.
    assert!(median(&rows[0]) >= Duration::from_millis(30), "{text}");
    assert!(rows[1..].iter().all(|row| median(row) < median(&rows[0])), "{text}");
    Ok(())
}

fn every_line_is_as_documented() -> Result<(), Skip> {
    let finished = Run::new("nagle").finish();
    let said = finished.stdout_text();
    assert_eq!((finished.code(), finished.stderr_text()), (Some(0), String::new()), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 5 + 1, "{said}");
    assert!(lines[..5].iter().all(|line| line.ends_with("as documented")), "{said}");
    assert!(lines[5].starts_with("a delayed ACK waits "), "{said}");
    Ok(())
}

fn each_variant_sets_its_option_and_no_other() -> Result<(), Skip> {
    need(Need::Strace)?;
    let (run, trace) = Run::new("nagle").traced(&["trace=connect,setsockopt,sendto"]);
    run.finish();
    // One connection a variant: what is set and sent from one `connect` to the next. The server sends
    // whole replies, the client the two halves or all of it.
    let variants = || {
        let calls = trace.calls();
        let variants: Vec<Vec<Call>> =
            calls.split(|call| call.name == "connect").skip(1).map(<[Call]>::to_vec).collect();
        let whole = |calls: &Vec<Call>| {
            let halves = calls.iter().filter(|call| call.args.contains("\"body\"")).count();
            let replies = calls.iter().filter(|call| call.args.contains("\"headbody\"")).count();
            halves == ROUNDS && replies == ROUNDS || replies == 2 * ROUNDS
        };
        (variants.len() == 5 && variants.iter().all(whole)).then_some(variants)
    };
    let variants = evidence::wait_until(SOON, variants).unwrap_or_else(|| {
        panic!("{:?}", trace.calls());
    });
    let set = |calls: &[Call], option: &str| {
        calls.iter().filter(|call| call.name == "setsockopt" && call.args.contains(option)).count()
    };
    let counts: Vec<[usize; 3]> = variants
        .iter()
        .map(|calls| ["TCP_NODELAY", "TCP_CORK", "TCP_QUICKACK"].map(|option| set(calls, option)))
        .collect();
    // The cork goes in and comes out for each request.
    assert_eq!(counts[..3], [[0, 0, 0], [1, 0, 0], [0, 2 * ROUNDS, 0]]);
    assert!(counts[3][2] >= ROUNDS && counts[3][..2] == [0, 0], "{counts:?}");
    assert_eq!(counts[4], [0, 0, 0]);
    Ok(())
}

fn a_kernel_that_does_something_else_is_1() -> Result<(), Skip> {
    need(Need::Strace)?;
    // A TCP_NODELAY that is not set, although the call returns 0, is the first setsockopt of all.
    let inject = "inject=setsockopt:retval=0:when=1";
    let (run, _trace) = Run::new("nagle").traced(&["trace=setsockopt", inject]);
    let finished = run.finish();
    let said = finished.stdout_text();
    assert_eq!(finished.code(), Some(1), "{said}");
    let different: Vec<&str> = said.lines().filter(|line| line.ends_with("different")).collect();
    assert!(different.len() == 1 && different[0].contains("TCP_NODELAY"), "{said}");
    assert!(finished.stderr_text().starts_with("nagle: two writes, TCP_NODELAY: median "));
    Ok(())
}
