//! `socket-timeout`: what it says of the kernel, compared with what the kernel says.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Need, Process, Run, Skip, evidence, need, sys};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::try_it::shell;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "socket_timeout",
        tests![
            each_wait_ends_as_documented_and_never_early,
            a_drip_is_stopped_by_a_deadline_and_by_no_timeout,
            a_time_reads_back_as_the_kernel_rounds_it,
            the_option_is_seen_on_the_socket_of_the_process,
            a_wait_that_is_stopped_and_continued_is_eintr,
            none_reads_back_as_none_and_nothing_is_waited_for,
            zero_is_refused_with_what_it_would_mean,
            what_would_be_cut_down_to_zero_is_refused,
            waiting_takes_no_processor_time,
            a_closed_or_full_output_ends_it,
            jq_reads_its_json,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

fn run(timeout: &str) -> Run {
    Run::new("socket-timeout").args(["--timeout", timeout])
}

/// The objects of a type that a run printed.
fn objects(timeout: &str, kind: &str) -> Vec<Value> {
    let finished = run(timeout).arg("--json").deadline(Duration::from_secs(60)).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let all = finished.stdout_text();
    let all = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|object| object["type"] == kind).collect()
}

fn each_wait_ends_as_documented_and_never_early() -> Result<(), Skip> {
    let waits = objects("150ms", "wait");
    let shown: Vec<[&str; 3]> = waits
        .iter()
        .map(|wait| ["call", "bounded_by", "ended_with"].map(|key| wait[key].as_str().unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            ["recv", "SO_RCVTIMEO", "EAGAIN"],
            ["accept", "SO_RCVTIMEO", "EAGAIN"],
            ["send", "SO_SNDTIMEO", "EAGAIN"],
            ["connect", "SO_SNDTIMEO", "EINPROGRESS"],
            ["recv", "poll", "poll = 0, recv EAGAIN"],
            ["connect", "poll", "EINPROGRESS, poll = 0, SO_ERROR 0"],
        ]
    );
    for wait in waits {
        let measured = wait["measured_ns"].as_u64().unwrap();
        assert!((150_000_000..10_000_000_000).contains(&measured), "{wait}");
    }
    Ok(())
}

fn a_drip_is_stopped_by_a_deadline_and_by_no_timeout() -> Result<(), Skip> {
    // A byte every 100 ms: a machine may be 700 ms late before a timeout ends the first reader. One
    // that was later than that, once, says nothing about the kernel.
    let fair = |drips: &Vec<Value>| drips.first().is_some_and(|drip| drip["fired"] == false);
    let drips = (0..3).map(|_| objects("800ms", "drip")).find(fair).expect("no timeout expires");
    let [timeout, deadline] = drips.as_slice() else { panic!("{drips:?}") };
    assert_eq!([&timeout["bounded_by"], &deadline["bounded_by"]], ["SO_RCVTIMEO", "deadline"]);
    assert_eq!(timeout["received"], 24, "{timeout}");
    let ns = |of: &Value, key: &str| of[key].as_u64().unwrap();
    // All the bytes took three times what each of them was given; the reader may begin after the sender.
    assert!(ns(timeout, "measured_ns") >= 2_300_000_000, "{timeout}");
    assert_eq!(deadline["fired"], true, "{deadline}");
    assert!(ns(deadline, "received") < 24, "{deadline}");
    assert!(ns(deadline, "measured_ns") >= 800_000_000, "{deadline}");
    Ok(())
}

fn a_time_reads_back_as_the_kernel_rounds_it() -> Result<(), Skip> {
    // What is cut off below a microsecond would be missing from the tick: it is rounded up, too.
    let asked = [("1us", 1), ("1001us", 1001), ("4000001ns", 4001), ("10ms", 10_000)];
    for (text, micros) in asked {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_read_timeout(Some(Duration::from_micros(micros))).unwrap();
        let expected = socket.read_timeout().unwrap().unwrap().as_nanos();
        for wait in objects(text, "wait") {
            match wait["bounded_by"].as_str().unwrap() {
                "poll" => assert!(wait.get("read_back_ns").is_none(), "{wait}"),
                _ => assert_eq!(wait["read_back_ns"].as_u64().map(u128::from), Some(expected)),
            }
        }
        let reasons = objects(text, "reasons");
        assert_eq!(reasons[0]["inherited_ns"].as_u64().map(u128::from), Some(expected), "{text}");
    }
    Ok(())
}

/// A process in the first of its waits, recv, with the timeout that its socket has.
fn in_recv(timeout: &str) -> (Process, Duration) {
    let process = run(timeout).start();
    let waits = || {
        // Between the option and the recv nothing sleeps, so a process asleep is in the recv.
        let bound =
            copies(process.pid()).iter().find_map(|socket| socket.read_timeout().ok()?)?;
        (evidence::state(process.pid()) == Some('S')).then_some(bound)
    };
    let bound = evidence::wait_until(SOON, waits).expect("it waits in recv");
    (process, bound)
}

/// Copies of every socket of a process.
fn copies(pid: i32) -> Vec<Socket> {
    let open = evidence::descriptors(pid).into_iter();
    let sockets = open.filter(|(_, target)| target.starts_with("socket:"));
    sockets.filter_map(|(fd, _)| sys::pidfd_getfd(pid, fd).ok().map(Socket::from)).collect()
}

fn the_option_is_seen_on_the_socket_of_the_process() -> Result<(), Skip> {
    need(Need::PidfdGetfd)?;
    let (_process, bound) = in_recv("37s");
    assert_eq!(bound, Duration::from_secs(37));
    Ok(())
}

fn a_wait_that_is_stopped_and_continued_is_eintr() -> Result<(), Skip> {
    need(Need::PidfdGetfd)?;
    let (mut process, _) = in_recv("10s");
    process.stop();
    process.cont();
    let row = std::iter::from_fn(|| process.next_line(SOON)).find(|line| line.starts_with("recv "));
    assert!(row.as_ref().is_some_and(|row| row.contains(" EINTR ")), "{row:?}");
    let said = "recv with SO_RCVTIMEO: ended with EINTR, not with EAGAIN";
    assert!(process.wait_stderr(|stderr| stderr.contains(said), SOON), "{}", process.stderr());
    Ok(())
}

fn none_reads_back_as_none_and_nothing_is_waited_for() -> Result<(), Skip> {
    let waits = objects("none", "wait");
    assert_eq!(waits.len(), 6);
    for wait in waits {
        assert_eq!(wait["forever"], true, "{wait}");
        for absent in ["asked_ns", "read_back_ns", "measured_ns", "ended_with"] {
            assert!(wait.get(absent).is_none(), "{wait}");
        }
    }
    let text = run("none").finish().stdout_text();
    assert!(
        text.contains("SO_RCVTIMEO  not made: it would wait forever    none, none, -"),
        "{text}"
    );
    assert!(text.contains("a timeval of 0"), "{text}");
    Ok(())
}

fn zero_is_refused_with_what_it_would_mean() -> Result<(), Skip> {
    for zero in ["0", "0s", "0.0ms", "0.4ns"] {
        let finished = run(zero).finish();
        assert_eq!(finished.code(), Some(2), "{zero}");
        let said = finished.stderr_text();
        let why = "0 is no timeout to setsockopt and no wait to poll: write none, or a time";
        assert_eq!(said.lines().next(), Some(&*format!("socket-timeout: --timeout {zero}: {why}")));
    }
    Ok(())
}

fn what_would_be_cut_down_to_zero_is_refused() -> Result<(), Skip> {
    for less in ["1ns", "999ns", "0.9us"] {
        let finished = run(less).finish();
        assert_eq!(finished.code(), Some(2), "{less}");
        assert!(finished.stderr_text().contains(&format!("--timeout {less}: ")), "{finished:?}");
    }
    Ok(())
}

fn waiting_takes_no_processor_time() -> Result<(), Skip> {
    let began = Instant::now();
    let process = run("500ms").start();
    let status = process.wait(Duration::from_secs(60)).expect("it ends");
    let (used, all) = (evidence::cpu_time(process.pid()).expect("not reaped"), began.elapsed());
    // Five seconds at least: six waits of half a second, and two peers that drip.
    assert!(status.success() && all >= Duration::from_secs(5), "{all:?}");
    assert!(used * 100 <= all, "{used:?} of {all:?}");
    Ok(())
}

fn a_closed_or_full_output_ends_it() -> Result<(), Skip> {
    // Had it gone on with a disk that is full, it would have taken a minute.
    let finished = shell("socket-timeout --timeout 20s > /dev/full").deadline(SOON).finish();
    assert_eq!(finished.code(), Some(74), "{finished:?}");
    let finished = shell("socket-timeout --timeout none 2>&1 | head -n 0").finish();
    assert!(finished.code() == Some(0) && finished.stderr.is_empty(), "{finished:?}");
    Ok(())
}

fn jq_reads_its_json() -> Result<(), Skip> {
    need(Need::Jq)?;
    let filter = r#"select(.type == "wait" and .bounded_by == "poll") | .measured_ns >= .asked_ns"#;
    let line = format!("socket-timeout --timeout 20ms --json | jq '{filter}'");
    assert_eq!(shell(&line).finish().stdout_text(), "true\ntrue\n");
    Ok(())
}
