//! `socket-modes`: what it says of the kernel, and what is seen of it from outside.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Need, Process, Run, Signal, Skip, bin, evidence, need};
use serde_json::Value;

use crate::try_it::shell;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "socket_modes",
        tests![
            each_call_says_in_each_mode_what_is_documented,
            none_leaves_out_the_calls_that_would_wait_for_ever,
            a_connect_is_decided_by_so_error_which_is_read_once,
            a_description_is_shared_by_dup_and_fork_and_not_by_accept,
            a_child_sets_the_flag_and_its_parent_sees_it,
            waiting_takes_no_processor_time,
            a_connect_that_waits_takes_no_processor_time_and_does_not_block,
            a_connect_is_cancelled_by_a_signal_that_then_ends_the_program,
            a_signal_that_was_ignored_cancels_too,
            a_connect_that_nobody_cancels_ends_with_its_timeout,
            a_connect_that_nobody_cancels_ends_when_tcp_gives_up,
            a_closed_or_full_output_ends_it,
            jq_reads_its_json,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

/// O_NONBLOCK of open(2).
const O_NONBLOCK: i32 = 0o4000;

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

fn none_leaves_out_the_calls_that_would_wait_for_ever() -> Result<(), Skip> {
    let rows = objects(&["--timeout", "none"], "call");
    let waits = rows.iter().filter(|row| text(row, "mode") == "blocking");
    let left_out: Vec<&str> = waits.map(|row| text(row, "not_made")).collect();
    assert_eq!(left_out, ["not begun: for ever"; 5]);
    Ok(())
}

fn a_connect_is_decided_by_so_error_which_is_read_once() -> Result<(), Skip> {
    let outcomes = objects(&["--timeout", "none"], "connect");
    let [connected, refused] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    for outcome in &outcomes {
        assert_eq!(text(outcome, "errno"), "EINPROGRESS", "{outcome}");
        assert_eq!(text(outcome, "so_error_again"), "0", "{outcome}");
        // Writable is what both are.
        assert!(text(outcome, "poll").split('|').any(|event| event == "POLLOUT"), "{outcome}");
    }
    assert_eq!(text(connected, "poll"), "POLLOUT");
    assert_eq!(text(connected, "so_error"), "0");
    assert!(text(refused, "poll").contains("POLLERR"), "{refused}");
    assert_eq!(text(refused, "so_error"), "ECONNREFUSED");
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

/// A process that waits for its connect, and the address that does not answer.
fn connecting(run: Run) -> (Process, SocketAddr) {
    let mut process = run.start();
    let line = process.next_line(SOON).expect("a line");
    let rest = line.strip_prefix("connecting to ").expect(&line);
    let (peer, rest) = rest.split_once(": ").unwrap();
    assert_eq!(rest, "EINPROGRESS; poll waits, Ctrl-C cancels");
    let peer = peer.parse().unwrap();
    (process, peer)
}

fn a_connect_that_waits_takes_no_processor_time_and_does_not_block() -> Result<(), Skip> {
    let (process, peer) = connecting(run(&["--cancel"]));
    assert!(evidence::syn_sent(peer), "{peer}");
    let pid = process.pid();
    let open = evidence::descriptors(pid).into_iter();
    let sockets = open.filter(|(_, target)| target.starts_with("socket:"));
    let flags: Vec<i32> =
        sockets.filter_map(|(fd, _)| evidence::descriptor_flags(pid, fd)).collect();
    // It alone: those of the peers block.
    assert_eq!(flags.iter().filter(|flags| *flags & O_NONBLOCK != 0).count(), 1, "{flags:?}");
    let before = evidence::cpu_time(pid).unwrap();
    assert_eq!(process.wait(Duration::from_secs(2)), None, "{}", process.stderr());
    let used = evidence::cpu_time(pid).unwrap() - before;
    assert!(used <= Duration::from_millis(20), "{used:?} of 2 s");
    Ok(())
}

/// Sends the signal, and finds that it was said and obeyed.
fn is_cancelled(mut process: Process, peer: SocketAddr, signal: Signal) {
    process.signal(signal);
    let line = process.next_line(SOON).expect("a line");
    assert!(line.starts_with(&format!("cancelled by {signal} after ")), "{line}");
    let status = process.wait(SOON).expect("it ends");
    // What the shell shows as 130 and 143.
    assert_eq!(status.signal(), Some(signal as i32), "{status}");
    assert!(process.stderr().is_empty(), "{}", process.stderr());
    assert!(!evidence::syn_sent(peer), "{peer}");
}

fn a_connect_is_cancelled_by_a_signal_that_then_ends_the_program() -> Result<(), Skip> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (process, peer) = connecting(run(&["--cancel"]));
        is_cancelled(process, peer, signal);
    }
    Ok(())
}

fn a_signal_that_was_ignored_cancels_too() -> Result<(), Skip> {
    // As a shell without job control starts what is put into the background.
    let script = r#"trap '' INT; exec "$1" --cancel"#;
    let shell = Run::script(script).arg(bin("socket-modes"));
    let (process, peer) = connecting(shell);
    is_cancelled(process, peer, Signal::SIGINT);
    Ok(())
}

fn a_connect_that_nobody_cancels_ends_with_its_timeout() -> Result<(), Skip> {
    let finished = run(&["--cancel", "--timeout", "300ms", "--json"]).finish();
    assert_eq!(finished.code(), Some(75), "{finished:?}");
    assert!(finished.elapsed >= Duration::from_millis(300), "{:?}", finished.elapsed);
    let connecting: Value = serde_json::from_slice(&finished.stdout).unwrap();
    let said = format!(
        "socket-modes: connect to 127.0.0.1:{}: timed out after 300ms\n",
        connecting["port"]
    );
    assert_eq!(finished.stderr_text(), said);
    Ok(())
}

fn a_connect_that_nobody_cancels_ends_when_tcp_gives_up() -> Result<(), Skip> {
    need(Need::UserNamespace)?;
    // A SYN, another one a second later, and that is all.
    let script = r#"ip link set lo up && echo 1 > /proc/sys/net/ipv4/tcp_syn_retries || exit 9
        exec "$1" --cancel"#;
    let run = Run::script(script).arg(bin("socket-modes")).unshared(&["--net"]);
    let finished = run.deadline(Duration::from_secs(60)).finish();
    if finished.code() == Some(9) {
        return Err(Skip {
            reason: "needs ip, and sysctls of a namespace of one's own".to_owned(),
        });
    }
    assert_eq!(finished.code(), Some(75), "{finished:?}");
    let said = finished.stderr_text();
    assert!(said.ends_with(": Connection timed out (ETIMEDOUT)\n"), "{said}");
    Ok(())
}

fn a_closed_or_full_output_ends_it() -> Result<(), Skip> {
    for args in ["--timeout 20s", "--cancel"] {
        let line = format!("socket-modes {args} > /dev/full");
        let finished = shell(&line).deadline(SOON).finish();
        assert_eq!(finished.code(), Some(74), "{finished:?}");
    }
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
