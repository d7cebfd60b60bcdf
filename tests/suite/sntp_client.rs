//! `sntp-client`: what it prints, whom it asks how often, and how it ends.

mod chronyd;
mod eras;
mod faults;
mod ntpsec;
mod paths;

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, need};
use serde_json::{Value, json};

use crate::ntp::{self, SOON, is_off_by, number, request_count, responder, silent};
use crate::{tests, topic};

pub(crate) use ntpsec::serve as ntpd_server;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "sntp_client",
        tests![
            an_answer_is_one_line,
            verbose_names_the_server_and_the_local_time,
            json_is_read_by_jq,
            each_try_has_its_own_port_and_nonce,
            version_3_is_asked_as_version_3,
            samples_are_a_second_apart,
            an_answer_that_may_be_too_far_off_is_75,
            a_server_that_is_not_there_is_69_and_the_next_is_asked,
            every_address_is_asked,
            a_dead_address_costs_a_share_of_the_timeout,
            any_address_means_this_machine,
            a_mistyped_server_costs_no_question,
            a_stream_that_is_full_or_closed_is_survived,
            a_signal_ends_it,
        ],
    );
    for part in [faults::trials, eras::trials, paths::trials, chronyd::trials, ntpsec::trials] {
        trials.extend(part());
    }
    trials
}

fn client(server: SocketAddr, args: &[&str]) -> Finished {
    Run::new("sntp-client").args(args).arg(server.to_string()).finish()
}

/// The answer as JSON.
fn answer(server: SocketAddr, args: &[&str]) -> Value {
    parsed(&client(server, &[&["--json"], args].concat()))
}

/// What a client that was told `--json` printed.
fn parsed(finished: &Finished) -> Value {
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    serde_json::from_slice(&finished.stdout).expect("JSON")
}

/// The answer of a server that has this machine's clock: its offset is within the bound.
fn is_exact(answer: &Value, stratum: u8) {
    assert_eq!(
        (&answer["stratum"], &answer["rejected"]),
        (&stratum.into(), &json!({})),
        "{answer}"
    );
    is_off_by(answer, 0);
    assert!(number(answer, "delay_ns") > 0, "{answer}");
}

/// The client fails with the code, prints nothing, and says this on standard error.
fn fails(finished: &Finished, code: i32, words: &str) {
    ntp::fails("sntp-client", finished, code, words);
}

fn an_answer_is_one_line() -> Result<(), Skip> {
    let server = responder(&["--offset", "-1.5s"]);
    let finished = client(server.address(), &[]);
    assert!(finished.code() == Some(0) && finished.stderr.is_empty(), "{finished:?}");
    let line = finished.stdout_text();
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    let address = server.address().to_string();
    let [time, offset, sign, bound, word, ip, stratum, leap] = words[..] else { panic!("{line}") };
    assert_eq!((sign, word, ip), ("+/-", address.as_str(), "127.0.0.1"), "{line}");
    assert_eq!((stratum, leap), ("s1", "leap=none"), "{line}");
    assert!(time.len() == 27 && time.ends_with('Z') && offset.len() == 9, "{line}");
    let (offset, bound): (f64, f64) = (offset.parse().unwrap(), bound.parse().unwrap());
    assert!((offset + 1.5).abs() <= bound && bound > 0.001, "{line}");
    Ok(())
}

fn verbose_names_the_server_and_the_local_time() -> Result<(), Skip> {
    let server = responder(&["--era", "1"]);
    let address = server.address().to_string();
    // A zone that needs no database: 90 minutes east, and called XYZ.
    let run = Run::new("sntp-client").args(["-v", &address]).env("TZ", "XYZ-1:30");
    let printed = run.finish().stdout_text();
    let lines: Vec<&str> = printed.lines().skip(1).collect();
    assert_eq!(lines[0], format!("Response received from {address}"), "{printed}");
    assert!(lines[1].starts_with("    Time=Thu Feb  7 07:58:"), "{printed}");
    assert!(lines[1].ends_with(" XYZ 2036"), "{printed}");
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let server = responder(&["--lie", "all"]);
    let address = server.address().to_string();
    let json = Run::new("sntp-client").args(["--json", &address]).finish().stdout;
    let filter = ".type, .address, .stratum, .reference_id, .rejected.mode, (.t1_ns < .t4_ns)";
    let read = Run::program("jq").args(["-c", filter]).stdin(json).finish();
    assert_eq!(read.stdout_text(), "\"answer\"\n\"127.0.0.1\"\n1\n\"LOCL\"\n7\ntrue\n");
    Ok(())
}

fn each_try_has_its_own_port_and_nonce() -> Result<(), Skip> {
    let (socket, address) = silent();
    let client = thread::spawn(move || client(address, &["--timeout", "50ms"]));
    let (mut ports, mut nonces) = (Vec::new(), Vec::new());
    let mut bytes = [0; 100];
    for _ in 0..4 {
        let (length, peer) = socket.recv_from(&mut bytes).unwrap();
        // Version 4, mode 3; nothing else that is known of us.
        assert!(length == 48 && bytes[0] == 0x23 && bytes[1..40] == [0; 39], "{bytes:?}");
        ports.push(peer.port());
        nonces.push(bytes[40..48].to_vec());
    }
    let after = format!("query {address}, 4 times: timed out after 50ms");
    fails(&client.join().unwrap(), 75, &after);
    for list in [&mut nonces, &mut ports.iter().map(|port| port.to_be_bytes().to_vec()).collect()] {
        list.sort_unstable();
        list.dedup();
    }
    ports.sort_unstable();
    ports.dedup();
    // Of some 28,000 ports the same one may come twice.
    assert!(nonces.len() == 4 && ports.len() >= 3, "{nonces:?}, {ports:?}");
    Ok(())
}

fn version_3_is_asked_as_version_3() -> Result<(), Skip> {
    let server = responder(&[]);
    assert_eq!(answer(server.address(), &["--ntp-version", "3"])["version"], 3);
    assert_eq!(answer(server.address(), &[])["version"], 4);
    let line = |version| format!(" sent a request, version {version}\n");
    assert!(server.wait_stderr(|log| log.contains(&line(3)) && log.contains(&line(4)), SOON));
    Ok(())
}

fn samples_are_a_second_apart() -> Result<(), Skip> {
    let server = responder(&["--jitter", "20ms"]);
    let finished = client(server.address(), &["--count", "3", "--clock", "both"]);
    assert!(finished.elapsed >= Duration::from_secs(2), "{finished:?}");
    let printed = finished.stdout_text();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[1].starts_with("    Samples=3 median="), "{printed}");
    assert!(lines[2].starts_with("    User=") && lines[2].ends_with(" later"), "{printed}");
    assert_eq!(request_count(&server), 3);
    Ok(())
}

fn an_answer_that_may_be_too_far_off_is_75() -> Result<(), Skip> {
    let server = responder(&["--delay", "20ms"]);
    let finished = client(server.address(), &["--max-bound", "20ms"]);
    fails(&finished, 75, " s exceeds --max-bound");
    assert_eq!(client(server.address(), &["--max-bound", "5s"]).code(), Some(0));
    Ok(())
}

fn a_server_that_is_not_there_is_69_and_the_next_is_asked() -> Result<(), Skip> {
    let (socket, nobody) = silent();
    drop(socket);
    let server = responder(&[]);
    let (nobody, somebody) = (nobody.to_string(), server.address().to_string());
    let finished = Run::new("sntp-client").args([&nobody, &somebody]).finish();
    assert_eq!(finished.code(), Some(69), "{finished:?}");
    let error = format!("sntp-client: query {nobody}: Connection refused (ECONNREFUSED)\nhint: ");
    assert!(finished.stderr_text().starts_with(&error), "{finished:?}");
    assert!(finished.stdout_text().contains(&somebody), "{finished:?}");
    Ok(())
}

fn every_address_is_asked() -> Result<(), Skip> {
    if UdpSocket::bind("[::1]:0").is_err() {
        return Err(Skip { reason: "needs IPv6".to_owned() });
    }
    let server = responder(&["--host", "::"]);
    let name = format!("localhost:{}", server.address().port());
    let lines = |args: &[&str]| {
        let finished = Run::new("sntp-client").args(args).arg(&name).finish();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        finished.stdout_text().lines().count()
    };
    let known = Run::new("remote-ip").args(["localhost"]).finish().stdout_text().lines().count();
    assert_eq!((lines(&[]), lines(&["--all-addresses"])), (1, known));
    assert_eq!(lines(&["-4", "--all-addresses"]), 1);
    // The IPv4 peer of a dual-stack socket is shown as such.
    assert!(server.wait_stderr(|log| log.contains(": 127.0.0.1:"), SOON), "{}", server.stderr());
    Ok(())
}

/// The client on a machine of its own where localhost is ::1 and 127.0.0.1: nothing replies at ::1,
/// and with `server` a responder at 127.0.0.1.
fn beside_a_dead_address(server: bool, args: &[&str]) -> Result<Finished, Skip> {
    need(Need::OwnNames)?;
    let script = r#"responder=$1 server=$2 client=$3; shift 3
        folder=$(mktemp -d); trap 'kill $pids; rm -r "$folder"' EXIT; cd "$folder"
        "$responder" --port 7777 -q --host ::1 --loss 100 >1 & pids=$!
        host=; [ $server = true ] || host='--loss 100'
        "$responder" --port 7777 -q $host >2 & pids="$pids $!"
        for out in 1 2; do until grep -qs listening $out; do :; done; done
        "$client" "$@" localhost:7777"#;
    let run = Run::script(script).arg(netcheck::bin("ntp-responder")).arg(server.to_string());
    let run = run.arg(netcheck::bin("sntp-client")).args(args);
    Ok(run.inside("tests/etc").finish())
}

fn a_dead_address_costs_a_share_of_the_timeout() -> Result<(), Skip> {
    // An eighth, or half with --all-addresses: one try of each address then. Without a timeout too the
    // next one is tried.
    let timeouts = [&["--timeout", "8s"][..], &["--timeout", "none"]];
    for args in [&timeouts[..], &[&["--timeout", "8s", "--all-addresses"]]].concat() {
        let finished = beside_a_dead_address(true, args)?;
        let said = finished.stderr_text();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        assert!(finished.stdout_text().contains(" localhost:7777 127.0.0.1 s1 "), "{finished:?}");
        assert!(finished.elapsed < Duration::from_secs(6), "{finished:?}");
        // Noted where each of them was wanted.
        assert_eq!(said.contains("query [::1]:7777, "), args.len() == 3, "{said}");
    }
    // Without any reply it is the timeout, retries and all addresses included.
    let finished = beside_a_dead_address(false, &["--timeout", "2s"])?;
    let both = "query [::1]:7777, 4 times: timed out after 2s\n\
                sntp-client: query 127.0.0.1:7777, 4 times: timed out after 2s\n";
    fails(&finished, 75, both);
    let took = finished.elapsed.as_secs_f64();
    assert!((2.0..3.0).contains(&took), "{finished:?}");
    Ok(())
}

fn any_address_means_this_machine() -> Result<(), Skip> {
    let server = responder(&[]);
    let answer = answer(([0, 0, 0, 0], server.address().port()).into(), &[]);
    assert_eq!((&answer["stratum"], &answer["tries"]), (&Value::from(1), &Value::from(1)));
    Ok(())
}

fn a_mistyped_server_costs_no_question() -> Result<(), Skip> {
    let server = responder(&[]);
    for wrong in ["127.1", "localhost:0", "[::1]7", "a b", "x:http-nonsense"] {
        let finished = client(server.address(), &[wrong]);
        fails(&finished, 2, wrong);
    }
    assert_eq!(
        Run::new("sntp-client").finish().stderr_text().lines().next(),
        Some("sntp-client: SERVER: required")
    );
    assert_eq!(request_count(&server), 0);
    Ok(())
}

fn a_stream_that_is_full_or_closed_is_survived() -> Result<(), Skip> {
    let server = responder(&["--lie", "short"]);
    ntp::survives_full_and_closed_streams("sntp-client", &[&server.address().to_string()]);
    Ok(())
}

fn a_signal_ends_it() -> Result<(), Skip> {
    ntp::is_ended_by_a_signal("sntp-client");
    Ok(())
}
