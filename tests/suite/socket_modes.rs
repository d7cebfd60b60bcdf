//! `socket-modes`: what it says of the kernel, and what is seen of it from outside.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, evidence, need};
use serde_json::Value;

use crate::try_it::shell;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "socket_modes",
        tests![
            each_call_says_in_each_mode_what_is_documented,
            none_leaves_out_the_calls_that_would_wait_forever,
            a_description_is_shared_by_dup_and_fork_and_not_by_accept,
            a_child_sets_the_flag_and_its_parent_sees_it,
            waiting_takes_no_processor_time,
            an_option_that_has_moved_names_its_program,
            a_closed_or_full_output_ends_it,
            jq_reads_its_json,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

fn run(args: &[&str]) -> Run {
    Run::new("socket-modes").args(args)
}

/// The objects of a type that a run printed.
fn objects(args: &[&str], kind: &str) -> Vec<Value> {
    let finished = run(args).arg("--json").deadline(Duration::from_secs(60)).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let all = finished.stdout_text();
    let all = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|object| object["type"] == kind).collect()
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn each_call_says_in_each_mode_what_is_documented() -> Result<(), Skip> {
    // What does not wait has a second for it.
    const BOUND: u64 = 1_000_000_000;
    let rows = objects(&["--timeout", "1s"], "call");
    let expected = [
        ("connect", "EINPROGRESS", "SO_SNDTIMEO"),
        ("connect, unix", "EAGAIN", "SO_SNDTIMEO"),
        ("accept", "EAGAIN", "SO_RCVTIMEO"),
        ("recv", "EAGAIN", "SO_RCVTIMEO"),
        ("send", "EAGAIN", "SO_SNDTIMEO"),
    ];
    assert_eq!(rows.len(), 15);
    for ((call, errno, option), rows) in expected.into_iter().zip(rows.chunks(3)) {
        let modes: Vec<&str> = rows.iter().map(|row| text(row, "mode")).collect();
        assert_eq!(modes, ["blocking", "MSG_DONTWAIT", "O_NONBLOCK"], "{call}");
        for row in rows {
            assert_eq!(text(row, "call"), call);
            let blocks = text(row, "mode") == "blocking";
            assert_eq!(text(row, "ended_by"), if blocks { option } else { "" }, "{row}");
            if text(row, "mode") == "MSG_DONTWAIT" && !["recv", "send"].contains(&call) {
                assert_eq!(text(row, "not_made"), "the call has no flags", "{row}");
                continue;
            }
            assert_eq!(text(row, "errno"), errno, "{row}");
            let measured = row["measured_ns"].as_u64().unwrap();
            assert_eq!(measured >= BOUND, blocks, "{row}");
            assert!(measured < 10 * BOUND, "{row}");
            let sent = row["bytes"].as_u64();
            assert!(if call == "send" { sent > Some(0) } else { sent.is_none() }, "{row}");
        }
    }
    Ok(())
}

fn none_leaves_out_the_calls_that_would_wait_forever() -> Result<(), Skip> {
    let rows = objects(&["--timeout", "none"], "call");
    let waits = rows.iter().filter(|row| text(row, "mode") == "blocking");
    let left_out: Vec<&str> = waits.map(|row| text(row, "not_made")).collect();
    assert_eq!(left_out, ["not made: it would wait forever"; 5]);
    Ok(())
}

fn a_description_is_shared_by_dup_and_fork_and_not_by_accept() -> Result<(), Skip> {
    let cases = objects(&["--timeout", "none"], "flag");
    let seen: Vec<_> =
        cases.iter().map(|case| (text(case, "by"), case["is_set"].as_bool().unwrap())).collect();
    let documented = [("dup", true), ("fork", true), ("accept", false), ("MSG_DONTWAIT", false)];
    assert_eq!(seen, documented);
    Ok(())
}

fn a_child_sets_the_flag_and_its_parent_sees_it() -> Result<(), Skip> {
    need(Need::Strace)?;
    let (run, trace) = run(&["--timeout", "none"]).traced(&["trace=fcntl"]);
    let finished = run.finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let calls = trace.calls();
    let parent = calls.first().expect("a call").pid;
    let is_set = |args: &str| args.contains("F_SETFL") && args.contains("O_NONBLOCK");
    let of_child = |pid: i32, args: &str| pid != parent && is_set(args);
    let set = calls.iter().position(|call| of_child(call.pid, &call.args));
    let set = set.expect("the child sets the flag");
    let fd = calls[set].args.split(',').next().unwrap();
    // The parent has not touched that socket: it looks, and there the flag is.
    let of_parent = |call: &&netcheck::Call| {
        call.pid == parent && call.args.split(',').next() == Some(fd) && call.args.contains("FL")
    };
    let next = calls[set..].iter().find(of_parent).expect("the parent looks");
    assert!(next.args.contains("F_GETFL") && next.result.contains("O_NONBLOCK"), "{next:?}");
    Ok(())
}

fn waiting_takes_no_processor_time() -> Result<(), Skip> {
    let began = Instant::now();
    let process = run(&["--timeout", "1s"]).start();
    let status = process.wait(Duration::from_secs(60)).expect("it ends");
    let (used, all) = (evidence::cpu_time(process.pid()).expect("not reaped"), began.elapsed());
    // Five calls that wait for a second each.
    assert!(status.success() && all >= Duration::from_secs(5), "{all:?}");
    assert!(used * 100 <= all, "{used:?} of {all:?}");
    Ok(())
}

fn an_option_that_has_moved_names_its_program() -> Result<(), Skip> {
    let finished = run(&["--cancel"]).finish();
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    assert!(finished.stderr_text().contains("--cancel: use the program connect-nonblocking\n"));
    Ok(())
}

fn a_closed_or_full_output_ends_it() -> Result<(), Skip> {
    let finished = shell("socket-modes --timeout 20s > /dev/full").deadline(SOON).finish();
    assert_eq!(finished.code(), Some(74), "{finished:?}");
    let finished = shell("socket-modes --timeout none 2>&1 | head -n 0").finish();
    assert!(finished.code() == Some(0) && finished.stderr.is_empty(), "{finished:?}");
    Ok(())
}

fn jq_reads_its_json() -> Result<(), Skip> {
    need(Need::Jq)?;
    let filter = r#"select(.type == "call" and .mode == "O_NONBLOCK") | .errno"#;
    let line = format!("socket-modes --timeout none --json | jq -r '{filter}' | sort | uniq -c");
    let line = format!("{line} | tr -s ' '");
    assert_eq!(shell(&line).finish().stdout_text(), " 4 EAGAIN\n 1 EINPROGRESS\n");
    Ok(())
}
