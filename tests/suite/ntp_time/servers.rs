//! Servers that are not there, that do not answer, that will not, and that are given twice.

use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Run, Skip};

use super::{answer, fails, objects, query};
use crate::ntp::{self, SOON, is_off_by, number, request_count, responder, silent};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "ntp_time",
        tests![
            servers_that_do_not_answer_cost_one_timeout_in_all,
            servers_that_are_not_there_are_named_and_the_rest_decide,
            without_an_answer_it_ends_as_its_failures_say,
            a_request_without_an_answer_is_followed_by_another,
            a_server_given_twice_has_one_vote,
            a_kiss_is_obeyed_and_has_no_vote,
            a_kiss_takes_back_an_earlier_answer,
            faulty_answers_are_refused_and_counted,
            a_flood_of_garbage_moves_no_deadline_and_holds_nobody_up,
            what_is_queued_at_the_deadline_is_not_read,
            no_descriptor_is_left_open,
            a_server_that_has_no_socket_has_no_vote,
        ],
    )
}

fn servers_that_do_not_answer_cost_one_timeout_in_all() -> Result<(), Skip> {
    let server = responder(&["--offset", "1s"]);
    let dead: Vec<_> = (0..10).map(|_| silent()).collect();
    let words: Vec<String> = dead.iter().map(|(_, address)| address.to_string()).collect();
    let run = Run::new("ntp-time").args(["--json", "--retries", "0", "--timeout", "1s"]);
    let finished = run.args(words).arg(server.address().to_string()).finish();
    is_off_by(&answer(&finished), 1_000);
    assert_eq!(finished.stderr_text().matches(", once: timed out after 1s\n").count(), 10);
    // One after the other would be ten seconds.
    let window = Duration::from_secs(1)..Duration::from_secs(5);
    assert!(window.contains(&finished.elapsed), "{:?}", finished.elapsed);
    Ok(())
}

fn servers_that_are_not_there_are_named_and_the_rest_decide() -> Result<(), Skip> {
    let (socket, nobody) = silent();
    drop(socket);
    let servers = [responder(&["--offset", "1s"]), responder(&["--offset", "1s"])];
    let finished = query(&servers, &[&nobody.to_string()]);
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let error = format!("ntp-time: query {nobody}: Connection refused (ECONNREFUSED)\n");
    assert_eq!(finished.stderr_text(), error);
    assert!(finished.stdout_text().contains("    Servers=3 answered=2 agree=2\n"), "{finished:?}");
    Ok(())
}

fn without_an_answer_it_ends_as_its_failures_say() -> Result<(), Skip> {
    let (socket, nobody) = silent();
    drop(socket);
    let (_socket, silent) = silent();
    let (nobody, silent) = (nobody.to_string(), silent.to_string());
    let end = |args: &[&str]| {
        let run = Run::new("ntp-time").args(["--timeout", "100ms", "--retries", "1"]);
        run.args(args).env("RES_OPTIONS", "timeout:1 attempts:1").finish()
    };
    fails(&end(&[&nobody]), 69, "Connection refused (ECONNREFUSED)\nhint: nothing listens there");
    fails(&end(&[&silent]), 75, ", 2 times: timed out after 100ms\n");
    // The worst of them, and each is told.
    fails(&end(&[&silent, &nobody]), 75, "Connection refused");
    let server = responder(&["--stratum", "16"]);
    fails(
        &query([&server], &["--timeout", "2s"]),
        65,
        "no valid reply; 2 datagrams rejected: its stratum",
    );
    Ok(())
}

fn a_request_without_an_answer_is_followed_by_another() -> Result<(), Skip> {
    // With this seed the first request is lost, and the second is not.
    let server = responder(&["--loss", "50", "--seed", "8"]);
    let finished = query([&server], &["--json", "--timeout", "500ms"]);
    answer(&finished);
    assert_eq!(number(&objects(&finished)[0], "tries"), 2, "{}", server.stderr());
    Ok(())
}

fn a_server_given_twice_has_one_vote() -> Result<(), Skip> {
    let (right, wrong) = (responder(&[]), responder(&["--offset", "1h"]));
    let other_name = format!("localhost:{}", wrong.address().port());
    // With two votes of three it would be the majority.
    let finished = query([&right, &wrong, &wrong], &["-4", &other_name]);
    fails(&finished, 65, "2 servers: no majority: no two servers agree\n");
    let note = format!("{} is given twice, and counts once\n", wrong.address());
    assert_eq!(finished.stderr_text().matches(&note).count(), 2, "{finished:?}");
    assert_eq!(request_count(&wrong), 1);
    Ok(())
}

fn a_kiss_is_obeyed_and_has_no_vote() -> Result<(), Skip> {
    for (code, exit) in [("RATE", 75), ("DENY", 77), ("INIT", 65)] {
        let (kiss, right) = (responder(&["--kiss", code]), responder(&["--offset", "1s"]));
        let args = ["--json", "--count", "2", "--retries", "3"];
        let finished = query([&kiss, &right], &args);
        let answer = answer(&finished);
        is_off_by(&answer, 1_000);
        assert_eq!(number(&answer, "answered"), 1, "{answer}");
        let named = format!("ntp-time: {}: {code}: ", kiss.address());
        assert!(finished.stderr_text().starts_with(&named), "{finished:?}");
        fails(&query([&kiss], &["--retries", "3"]), exit, code);
        // Once by each of the two runs.
        assert_eq!(request_count(&kiss), 2, "{}", kiss.stderr());
    }
    Ok(())
}

/// A kiss of death (RFC 5905 §7.4).
fn kiss(request: &[u8; 48], code: [u8; 4]) -> [u8; 48] {
    let mut reply = ntp::right_answer(request);
    (reply[0], reply[1]) = (0xe4, 0);
    reply[12..16].copy_from_slice(&code);
    reply
}

fn a_kiss_takes_back_an_earlier_answer() -> Result<(), Skip> {
    let (socket, address) = silent();
    let args = ["--count", "3", &address.to_string()];
    let client = Run::new("ntp-time").args(args).start();
    let mut request = [0; 48];
    let mut came = Vec::new();
    for is_kiss in [false, true] {
        let (_, peer) = socket.recv_from(&mut request).unwrap();
        came.push(Instant::now());
        let reply = if is_kiss { kiss(&request, *b"RATE") } else { ntp::right_answer(&request) };
        socket.send_to(&reply, peer).unwrap();
    }
    let status = client.wait(SOON).expect("it ends");
    assert_eq!((status.code(), client.stdout().as_str()), (Some(75), ""), "{}", client.stderr());
    assert!(client.stderr().contains(": RATE: "), "{}", client.stderr());
    // They left a second apart; the first may have come late.
    assert!(came[1] - came[0] > Duration::from_millis(500), "{:?}", came[1] - came[0]);
    Ok(())
}

fn faulty_answers_are_refused_and_counted() -> Result<(), Skip> {
    let servers = [responder(&["--offset", "1s", "--lie", "all"]), responder(&["--lie", "late"])];
    let finished = query(&servers, &["--json", "--timeout", "500ms"]);
    is_off_by(&answer(&finished), 1_000);
    let rejected = objects(&finished)[0]["rejected"].as_object().unwrap().clone();
    let count: u64 = rejected.values().filter_map(serde_json::Value::as_u64).sum();
    assert!(count == 27 && rejected["origin"] == 2, "{rejected:?}");
    // A truth that comes too late is none, neither to the request nor to the next.
    assert!(finished.stderr_text().contains(", 2 times: timed out after 500ms"), "{finished:?}");
    Ok(())
}

fn a_flood_of_garbage_moves_no_deadline_and_holds_nobody_up() -> Result<(), Skip> {
    let server = responder(&["--offset", "1s", "--delay", "100ms"]);
    let (socket, address) = silent();
    let (address, other) = (address.to_string(), server.address().to_string());
    let client = thread::spawn(move || {
        let run = Run::new("ntp-time").args(["--json", "--timeout", "2s", "--retries", "0"]);
        run.args([address, other]).finish()
    });
    let (_, peer) = socket.recv_from(&mut [0; 48]).unwrap();
    let finished = ntp::flood(&socket, peer, client);
    is_off_by(&answer(&finished), 1_000);
    assert!(finished.stderr_text().contains("rejected: it is shorter than 48 bytes\n"));
    assert!(finished.elapsed < Duration::from_secs(8), "{:?}", finished.elapsed);
    Ok(())
}

fn what_is_queued_at_the_deadline_is_not_read() -> Result<(), Skip> {
    ntp::reads_nothing_after_its_deadline("ntp-time");
    Ok(())
}

fn no_descriptor_is_left_open() -> Result<(), Skip> {
    let (_socket, address) = silent();
    // The three standard ones, and one or two to spare: with a socket left open by each try, the
    // system would say no.
    let args = ["--timeout", "10ms", "--retries", "20", &address.to_string()];
    let finished = Run::new("ntp-time").args(args).limit_nofile(6).finish();
    fails(&finished, 75, ", 21 times: timed out after 10ms");
    Ok(())
}

fn a_server_that_has_no_socket_has_no_vote() -> Result<(), Skip> {
    let servers: Vec<_> = (0..6).map(|_| responder(&["--offset", "1s"])).collect();
    let words = servers.iter().map(|server| server.address().to_string());
    let run = Run::new("ntp-time").arg("--json").args(words).limit_nofile(6);
    let finished = run.finish();
    let answer = answer(&finished);
    is_off_by(&answer, 1_000);
    assert!(number(&answer, "answered") < 6, "{answer}");
    assert!(
        finished.stderr_text().contains("socket: Too many open files (EMFILE)"),
        "{finished:?}"
    );
    Ok(())
}
