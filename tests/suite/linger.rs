//! `linger`: each way to close, seen by the program and by the kernel.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, need};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::try_it::shell;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "linger",
        tests![
            each_way_to_close_is_as_documented,
            only_the_way_that_is_asked_for_is_tried,
            a_way_that_is_unknown_is_refused_with_those_that_are_known,
            a_kernel_that_does_something_else_is_1_and_hides_no_other_way,
            a_socket_inherits_linger_from_its_listener,
            a_closed_or_full_output_ends_it,
        ],
    )
}

fn run(args: &[&str]) -> Run {
    Run::new("linger").args(args)
}

fn each_way_to_close_is_as_documented() -> Result<(), Skip> {
    let finished = run(&["--json"]).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let shown = finished.stdout_text();
    let ways: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let number = |way: &Value, key: &str| way[key].as_u64().unwrap();
    let linger = u64::try_from(Duration::from_secs(1).as_nanos()).unwrap();
    let expected = [
        ("close", "FIN", "the end", "FIN_WAIT1", "TIME_WAIT"),
        ("unread", "RST", "ECONNRESET", "CLOSED", "CLOSED"),
        ("linger-0", "RST", "ECONNRESET", "CLOSED", "CLOSED"),
        ("linger-1s", "FIN", "the end", "FIN_WAIT1", "TIME_WAIT"),
        ("drain", "FIN", "the end", "TIME_WAIT", "TIME_WAIT"),
    ];
    assert_eq!(ways.len(), expected.len(), "{shown}");
    for (way, (case, segment, end, state, last)) in ways.iter().zip(expected) {
        let got = ["case", "segment", "end", "state", "last_state", "close"].map(|key| &way[key]);
        assert_eq!(got, [case, segment, end, state, last, "0"]);
        let (sent, received) = (number(way, "sent"), number(way, "received"));
        assert_eq!(received < sent, case == "linger-0", "{way}");
        assert_eq!(number(way, "duration_ns") >= linger, case == "linger-1s", "{way}");
    }
    Ok(())
}

fn only_the_way_that_is_asked_for_is_tried() -> Result<(), Skip> {
    for case in ["close", "unread", "linger-0", "linger-1s", "drain"] {
        let finished = run(&["--case", case, "--json"]).finish();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        let shown = finished.stdout_text();
        let way: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(way["case"], case);
    }
    Ok(())
}

fn a_way_that_is_unknown_is_refused_with_those_that_are_known() -> Result<(), Skip> {
    let finished = run(&["--case", "abort"]).finish();
    let said = "linger: --case abort: write close, unread, linger-0, linger-1s, drain or all\n\
                Try 'linger --help'.\n";
    assert_eq!((finished.code(), finished.stderr_text().as_str()), (Some(2), said));
    Ok(())
}

fn a_kernel_that_does_something_else_is_1_and_hides_no_other_way() -> Result<(), Skip> {
    need(Need::Strace)?;
    // setsockopt returns 0 and does nothing: no close is a reset for SO_LINGER, and none waits.
    let (run, _trace) = run(&[]).traced(&["trace=setsockopt", "inject=setsockopt:retval=0"]);
    let finished = run.finish();
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    let said = "linger: linger-0: not as documented on this machine\n\
                linger: linger-1s: not as documented on this machine\n";
    assert_eq!(finished.stderr_text(), said);
    assert_eq!(finished.stdout_text().matches("as documented").count(), 3, "{finished:?}");
    Ok(())
}

fn a_socket_inherits_linger_from_its_listener() -> Result<(), Skip> {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let (listener, client) = (new(), new());
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.set_linger(Some(Duration::from_secs(7))).unwrap();
    listener.listen(1).unwrap();
    client.connect(&listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(accepted.linger().unwrap(), Some(Duration::from_secs(7)));
    accepted.set_linger(None).unwrap();
    Ok(())
}

fn a_closed_or_full_output_ends_it() -> Result<(), Skip> {
    let full = shell("linger --case unread > /dev/full").finish();
    assert_eq!((full.code(), full.stderr_text().lines().count()), (Some(74), 1), "{full:?}");
    let gone = shell("linger 2>&1 | head -n 0").finish();
    assert!(gone.code() == Some(0) && gone.stderr.is_empty(), "{gone:?}");
    Ok(())
}
