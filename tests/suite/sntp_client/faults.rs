//! A faulty answer is refused by its reason, and the right one that follows is taken within the same wait.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Run, Skip};
use serde_json::json;

use super::{answer, client, fails};
use crate::ntp::{self, SOON, is_off_by, number, request_count, responder, silent};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "sntp_client",
        tests![
            each_fault_is_refused_by_its_reason_and_the_right_answer_is_taken,
            what_comes_from_elsewhere_is_dropped_by_the_kernel,
            an_answer_to_an_earlier_request_is_refused,
            a_right_answer_that_comes_too_late_is_no_answer,
            ten_years_ahead_is_refused_with_a_limit_only,
            faulty_answers_alone_are_65,
            a_flood_of_garbage_does_not_move_the_deadline,
            what_is_queued_at_the_deadline_is_not_read,
            a_kiss_ends_it_and_is_obeyed,
        ],
    )
}

/// Each fault that one request is enough for, and the reason that it is counted under.
const FAULTS: [(&str, &str); 28] = [
    ("empty", "short"),
    ("one-byte", "short"),
    ("short", "short"),
    ("zeros", "mode"),
    ("origin-zero", "origin_zero"),
    ("origin-bit", "origin"),
    ("mirror", "own_request"),
    ("mode-1", "mode"),
    ("mode-2", "mode"),
    ("mode-3", "mode"),
    ("mode-5", "mode"),
    ("mode-6", "mode"),
    ("mode-7", "mode"),
    ("version-0", "version"),
    ("version-5", "version"),
    ("version-7", "version"),
    ("leap-3", "leap"),
    ("stratum-0", "stratum_zero"),
    ("stratum-16", "stratum"),
    ("transmit-zero", "transmit_zero"),
    ("receive-zero", "receive_zero"),
    ("backwards", "backwards"),
    ("root-delay", "root_delay"),
    ("root-dispersion", "root_dispersion"),
    ("negative-delay", "negative_delay"),
    ("long", "long"),
    ("kiss", "origin"),
    // All of the above, and two that the kernel drops; those of an earlier request there is not.
    ("all", "all"),
];

fn each_fault_is_refused_by_its_reason_and_the_right_answer_is_taken() -> Result<(), Skip> {
    let mut all = serde_json::Map::new();
    for (fault, reason) in FAULTS {
        let server = responder(&["--offset", "100s", "--lie", fault]);
        let answer = answer(server.address(), &[]);
        if fault == "all" {
            assert_eq!(answer["rejected"], json!(all), "{fault}");
        } else {
            assert_eq!(answer["rejected"], json!({ reason: 1 }), "{fault}");
            let count = all.get(reason).and_then(serde_json::Value::as_u64).unwrap_or_default();
            all.insert(reason.to_owned(), json!(count + 1));
        }
        assert_eq!((number(&answer, "tries"), request_count(&server)), (1, 1), "{fault}");
        is_off_by(&answer, 100_000);
    }
    // Every fault that the responder knows is tested here, or below.
    let listed = Run::new("ntp-responder").args(["--lie", "list"]).finish();
    let known = listed.stdout_text();
    let tested = FAULTS.iter().map(|(fault, _)| *fault);
    let below = ["address", "port", "origin-earlier", "replay", "late", "ten-years"];
    let mut tested: Vec<&str> = tested.chain(below).collect();
    let mut known: Vec<&str> = known.lines().filter_map(|line| line.split(' ').next()).collect();
    tested.sort_unstable();
    known.sort_unstable();
    assert_eq!(tested, known);
    Ok(())
}

fn what_comes_from_elsewhere_is_dropped_by_the_kernel() -> Result<(), Skip> {
    for fault in ["address", "port"] {
        let server = responder(&["--lie", fault]);
        let answer = answer(server.address(), &[]);
        assert_eq!((&answer["rejected"], number(&answer, "tries")), (&json!({}), 1), "{fault}");
        // The responder could send it: its log has the request and nothing else.
        assert_eq!((request_count(&server), server.stderr().lines().count()), (1, 1), "{fault}");
    }
    // The kernel reports it to the sender: ECONNREFUSED, as if no socket had that port.
    let (socket, address) = silent();
    let client = thread::spawn(move || client(address, &["--timeout", "2s", "--retries", "0"]));
    let (_, peer) = socket.recv_from(&mut [0; 48]).unwrap();
    for elsewhere in ["127.0.0.2:0", "127.0.0.1:0"] {
        let other = UdpSocket::bind(elsewhere).unwrap();
        other.set_read_timeout(Some(SOON)).unwrap();
        other.connect(peer).unwrap();
        other.send(&[0x24; 48]).unwrap();
        let refused = other.recv(&mut [0; 1]).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{elsewhere}");
    }
    fails(&client.join().unwrap(), 75, "timed out after 2s");
    Ok(())
}

fn an_answer_to_an_earlier_request_is_refused() -> Result<(), Skip> {
    for fault in ["origin-earlier", "replay"] {
        let server = responder(&["--lie", fault]);
        let answer = answer(server.address(), &["--count", "2"]);
        assert_eq!(answer["rejected"], json!({ "origin_earlier": 1 }), "{fault}");
        assert_eq!((number(&answer, "samples"), number(&answer, "tries")), (2, 2), "{fault}");
    }
    Ok(())
}

fn a_right_answer_that_comes_too_late_is_no_answer() -> Result<(), Skip> {
    let server = responder(&["--lie", "late"]);
    let finished = client(server.address(), &["--timeout", "300ms", "--retries", "1"]);
    fails(&finished, 75, ", 2 times: timed out after 300ms");
    // With more patience it is one, a second under way.
    let answer = answer(server.address(), &["--retries", "0"]);
    assert!(number(&answer, "delay_ns") >= 1_000_000_000, "{answer}");
    Ok(())
}

fn ten_years_ahead_is_refused_with_a_limit_only() -> Result<(), Skip> {
    let server = responder(&["--lie", "ten-years"]);
    let answer = answer(server.address(), &["--max-offset", "none"]);
    let years = number(&answer, "offset_ns") / 1_000_000_000 / 86_400;
    assert!((3_652..=3_653).contains(&years), "{answer}");
    let finished = client(server.address(), &["--max-offset", "1d"]);
    fails(&finished, 65, "offset +31557");
    assert!(finished.stderr_text().ends_with(" s exceeds --max-offset\n"));
    Ok(())
}

fn faulty_answers_alone_are_65() -> Result<(), Skip> {
    let server = responder(&["--stratum", "16"]);
    let finished = client(server.address(), &["--timeout", "200ms", "--retries", "1"]);
    let why = "no valid reply; 2 datagrams rejected: its stratum is greater than 15\n";
    fails(&finished, 65, why);
    Ok(())
}

fn a_flood_of_garbage_does_not_move_the_deadline() -> Result<(), Skip> {
    let (socket, address) = silent();
    let client = thread::spawn(move || client(address, &["--timeout", "500ms", "--retries", "0"]));
    let (_, peer) = socket.recv_from(&mut [0; 48]).unwrap();
    let finished = ntp::flood(&socket, peer, client);
    fails(&finished, 65, "datagrams rejected: it is shorter than 48 bytes");
    let window = Duration::from_millis(500)..Duration::from_secs(3);
    assert!(window.contains(&finished.elapsed), "{:?}", finished.elapsed);
    Ok(())
}

fn what_is_queued_at_the_deadline_is_not_read() -> Result<(), Skip> {
    ntp::reads_nothing_after_its_deadline("sntp-client");
    Ok(())
}

fn a_kiss_ends_it_and_is_obeyed() -> Result<(), Skip> {
    for (code, exit, words) in [
        ("DENY", 77, "DENY: the server denies access"),
        ("RSTR", 77, "RSTR: the server denies access by its local policy"),
        ("RATE", 75, "RATE: too many requests"),
        ("INIT", 65, "INIT: the server has not synchronised its clock yet"),
        ("X", 65, "X: the server does not send its time"),
    ] {
        let server = responder(&["--kiss", code]);
        let begun = Instant::now();
        // Neither for another sample, nor again, nor at another address of the same server.
        let name = format!("localhost:{}", server.address().port());
        let args = ["-4", "--count", "3", "--retries", "3", "--all-addresses", &name];
        let finished = Run::new("sntp-client").args(args).finish();
        fails(&finished, exit, words);
        assert_eq!(request_count(&server), 1, "{code}: {}", server.stderr());
        assert!(begun.elapsed() < SOON);
    }
    Ok(())
}
