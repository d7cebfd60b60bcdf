//! `ntp-responder`: what it answers, to whom, and when; read with a plain socket.

mod refusals;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Signal, Skip, need};

use crate::ntp::{SOON, responder};
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let own = topic(
        "ntp_responder",
        tests![
            an_answer_repeats_the_request_s_nonce_and_has_two_times,
            only_requests_are_answered,
            the_reply_leaves_from_the_address_that_was_asked,
            a_delay_is_kept_in_both_directions,
            the_same_seed_loses_the_same_requests,
            a_path_is_never_negative,
            every_fault_is_sent_and_the_right_answer_after_it,
            a_kiss_has_no_time,
            answers_under_way_do_not_keep_it_from_stopping,
            its_port_is_taken_by_one_socket_only,
            a_receive_that_fails_for_long_costs_a_line_a_second,
            the_log_escapes_nothing_because_it_shows_nothing,
        ],
    );
    own.into_iter().chain(refusals::trials()).collect()
}

/// How long nothing must come before it counts as nothing.
const A_WHILE: Duration = Duration::from_millis(200);

fn socket(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// A request of version 4 with that nonce.
fn request(nonce: u8) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0x23;
    bytes[40..].fill(nonce);
    bytes
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 65_535];
    let length = socket.recv(&mut bytes).expect("an answer");
    bytes.truncate(length);
    bytes
}

/// Seconds since 1900 in the field at that place.
fn seconds(bytes: &[u8], at: usize) -> f64 {
    let bits = u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    bits as f64 / f64::from(u32::MAX)
}

fn an_answer_repeats_the_request_s_nonce_and_has_two_times() -> Result<(), Skip> {
    let server = responder(&["--stratum", "2", "--era", "0", "--offset", "1000s"]);
    let socket = socket(&server);
    for version in [1, 2, 3, 4] {
        let mut bytes = request(0xa5);
        bytes[0] = version << 3 | 3;
        socket.send(&bytes).unwrap();
        let answer = receive(&socket);
        assert_eq!((answer.len(), answer[0], answer[1]), (48, version << 3 | 4, 2));
        assert_eq!(answer[24..32], [0xa5; 8]);
        // Its clock began 1000 s after 1900, when it was started.
        let (received, sent) = (seconds(&answer, 32), seconds(&answer, 40));
        assert!(1000.0 <= received && received <= sent && sent < 1060.0, "{received}, {sent}");
    }
    Ok(())
}

fn only_requests_are_answered() -> Result<(), Skip> {
    let server = responder(&[]);
    let socket = socket(&server);
    // Modes but 3, versions of no client, and what is too short for a request.
    let first = [0x20, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x03, 0x2b, 0x3b];
    for first in first {
        let mut bytes = request(1);
        bytes[0] = first;
        socket.send(&bytes).unwrap();
    }
    for length in [0, 1, 47] {
        socket.send(&request(1)[..length]).unwrap();
    }
    socket.send(&request(2)).unwrap();
    assert_eq!(receive(&socket)[24..32], [2; 8]);
    let ignored = |log: &str| log.matches(", not a request\n").count() == 13;
    assert!(server.wait_stderr(ignored, SOON), "{}", server.stderr());
    Ok(())
}

fn the_reply_leaves_from_the_address_that_was_asked() -> Result<(), Skip> {
    let ipv6 = UdpSocket::bind("[::1]:0").is_ok();
    for host in if ipv6 { &["0.0.0.0", "::"][..] } else { &["0.0.0.0"] } {
        // Its faults do too: one that leaves from another port, and one that does not.
        for (lie, datagrams) in [(&[][..], 1), (&["--lie", "mode-6"], 2), (&["--lie", "port"], 1)] {
            let server = responder(&[&["--host", host], lie].concat());
            let asked = ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1"];
            for asked in &asked[..if *host == "::" { 4 } else { 3 }] {
                let any = if asked.contains(':') { "[::]:0" } else { "127.0.0.1:0" };
                let socket = UdpSocket::bind(any).unwrap();
                socket.connect((*asked, server.address().port())).unwrap();
                socket.set_read_timeout(Some(SOON)).unwrap();
                socket.send(&request(1)).unwrap();
                (1..datagrams).for_each(|_| assert_eq!(receive(&socket)[0], 0x26));
                assert_eq!(receive(&socket)[0], 0x24, "{host}, {asked}, {lie:?}");
            }
        }
    }
    Ok(())
}

fn a_delay_is_kept_in_both_directions() -> Result<(), Skip> {
    let server = responder(&["--delay", "50ms", "--asymmetry", "-30ms"]);
    let socket = socket(&server);
    let begun = Instant::now();
    socket.send(&request(1)).unwrap();
    let answer = receive(&socket);
    let took = begun.elapsed().as_secs_f64();
    // The wait is on the way: what the answer says of the time in the server is not part of it.
    let inside = seconds(&answer, 40) - seconds(&answer, 32);
    assert!(took - inside >= 0.0999, "{took} s, of which {inside} s in the server");
    Ok(())
}

fn the_same_seed_loses_the_same_requests() -> Result<(), Skip> {
    let lost = |seed: &str| {
        let server = responder(&["--loss", "50", "--seed", seed, "--json"]);
        let socket = socket(&server);
        for nonce in 0..40 {
            socket.send(&request(nonce)).unwrap();
        }
        let logged = || {
            let log = server.stdout();
            let lost: Vec<bool> = log
                .lines()
                .filter(|line| line.contains(r#""type":"request""#))
                .map(|line| line.contains(r#""lost":true"#))
                .collect();
            (lost.len() == 40).then_some(lost)
        };
        netcheck::evidence::wait_until(SOON, logged).expect("40 requests in the log")
    };
    let (one, again, other) = (lost("1"), lost("1"), lost("2"));
    assert!(one == again && one != other, "{one:?}, {other:?}");
    let count = one.iter().filter(|lost| **lost).count();
    assert!((10..=30).contains(&count), "{count}");
    Ok(())
}

fn a_path_is_never_negative() -> Result<(), Skip> {
    for asymmetry in ["20ms", "-20ms"] {
        let args = ["--port", "0", "--delay", "10ms", "--asymmetry", asymmetry];
        let finished = Run::new("ntp-responder").args(args).finish();
        assert_eq!((finished.code(), finished.stdout.len()), (Some(2), 0), "{finished:?}");
        assert!(finished.stderr_text().contains("--asymmetry: "), "{finished:?}");
    }
    Ok(())
}

fn every_fault_is_sent_and_the_right_answer_after_it() -> Result<(), Skip> {
    let server = responder(&["--lie", "all"]);
    let socket = socket(&server);
    let mut counts = Vec::new();
    for nonce in [1, 2] {
        socket.send(&request(nonce)).unwrap();
        let is_right = |bytes: &Vec<u8>| {
            bytes.len() == 48 && bytes[..2] == [0x24, 1] && bytes[24..32] == [nonce; 8]
        };
        // The faulty ones look like it but for a field: the right one is the last that comes.
        let mut all = vec![receive(&socket)];
        socket.set_read_timeout(Some(A_WHILE)).unwrap();
        let mut bytes = vec![0; 65_535];
        while let Ok(length) = socket.recv(&mut bytes) {
            all.push(bytes[..length].to_vec());
        }
        socket.set_read_timeout(Some(SOON)).unwrap();
        assert!(all.last().is_some_and(is_right), "{:?}", all.last());
        assert!(all.iter().any(Vec::is_empty) && all.iter().any(|one| one.len() == 65_507));
        counts.push(all.len());
    }
    // The kernel keeps two from a connected socket; two more need a request before this one.
    assert_eq!(counts, [28, 30]);
    Ok(())
}

fn a_kiss_has_no_time() -> Result<(), Skip> {
    let server = responder(&["--kiss", "RATE"]);
    let socket = socket(&server);
    socket.send(&request(3)).unwrap();
    let answer = receive(&socket);
    assert_eq!((answer[0] >> 6, answer[1], &answer[12..16]), (3, 0, &b"RATE"[..]));
    assert_eq!(answer[24..32], [3; 8]);
    Ok(())
}

fn answers_under_way_do_not_keep_it_from_stopping() -> Result<(), Skip> {
    let server = responder(&["--delay", "1h"]);
    let socket = socket(&server);
    socket.send(&request(1)).unwrap();
    assert!(server.wait_stderr(|log| log.contains(" sent a request, version 4\n"), SOON));
    server.signal(Signal::SIGTERM);
    let status = server.wait(SOON).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    Ok(())
}

fn its_port_is_taken_by_one_socket_only() -> Result<(), Skip> {
    let server = responder(&[]);
    // With SO_REUSEADDR on both, this one would be given its datagrams.
    let thief = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    thief.set_reuse_address(true).unwrap();
    let refused = thief.bind(&server.address().into()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    Ok(())
}

fn the_log_escapes_nothing_because_it_shows_nothing() -> Result<(), Skip> {
    let server = responder(&[]);
    let socket = socket(&server);
    socket.send(b"\x1b]0;title\x07\n").unwrap();
    assert!(server.wait_stderr(|log| log.contains(" sent 11 bytes, not a request\n"), SOON));
    assert!(!server.stderr().trim_end().contains('\x1b'));
    Ok(())
}

fn a_receive_that_fails_for_long_costs_a_line_a_second() -> Result<(), Skip> {
    need(Need::Strace)?;
    for errno in ["ENOMEM", "ENOBUFS", "ECONNREFUSED"] {
        let inject = format!("inject=recvmsg:error={errno}:when=1..30");
        let run = Run::new("ntp-responder").args(["--port", "0"]);
        let (run, _trace) = run.traced(&["trace=recvmsg", &inject]);
        let server = Server::start_run(run);
        let begun = Instant::now();
        let socket = socket(&server);
        socket.send(&request(1)).unwrap();
        assert_eq!(receive(&socket)[24..32], [1; 8]);
        // 30 pauses of 50 ms.
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1_500), "{errno}: {took:?}");
        let lines = server.stderr().matches(&format!("({errno})")).count() as u64;
        assert!((1..=1 + took.as_secs()).contains(&lines), "{took:?}: {}", server.stderr());
    }
    Ok(())
}
