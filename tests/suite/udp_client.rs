//! `udp-client` with servers that misbehave, and with none.

mod lossy;

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Server, Skip, need};
use serde_json::Value;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let own = topic(
        "udp_client",
        tests![
            a_changed_byte_is_named,
            a_reply_of_another_length_is_a_protocol_error,
            a_retry_waits_twice_as_long_as_the_one_before,
            a_server_that_goes_away_is_refused_in_the_middle,
            a_server_that_starts_again_is_waited_for,
            an_old_reply_is_not_the_next_one,
            a_stranger_is_not_heard,
            every_address_of_a_name_is_tried,
            a_dead_address_costs_a_share_of_the_timeout,
            when_all_addresses_refuse_one_line_names_them,
            a_datagram_that_is_too_long_is_one_clear_line,
            a_window_and_a_size_that_mean_nothing_are_refused,
            the_statistics_count_every_round_trip,
            calls_that_fail_for_a_moment_are_made_again,
            a_socket_connected_to_itself_is_no_server,
            where_no_port_is_free_the_hint_says_so,
            standard_input_is_a_datagram_a_line,
            one_is_no_plural,
        ],
    );
    own.into_iter().chain(lossy::trials()).collect()
}

const SOON: Duration = Duration::from_secs(10);

fn client(address: SocketAddr, args: &[&str]) -> Run {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    Run::new("udp-client").args(["--host", &host, "--port", &port]).args(args)
}

fn echo() -> Server {
    Server::start("udp-echo", ["--port", "0"])
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// A server that does what it is told to.
fn server(serve: impl FnOnce(UdpSocket) + Send + 'static) -> SocketAddr {
    let socket = bound();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || serve(socket));
    address
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 65_536];
    let (length, peer) = socket.recv_from(&mut bytes).expect("a datagram");
    bytes.truncate(length);
    (bytes, peer)
}

/// The client fails with the code, and says why in one line that has the words.
fn fails(finished: &Finished, code: i32, words: &str) {
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(code), "{said}");
    assert!(said.starts_with("udp-client: ") && said.contains(words), "{said}");
    assert_eq!(said.lines().filter(|line| !line.starts_with("hint: ")).count(), 1, "{said}");
}

/// The counts of its output, with `--json`; an error may follow them.
fn summary(finished: &Finished) -> Value {
    let said = finished.stdout_text();
    let mut objects = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let summary = objects.rfind(|object| object["type"] == "summary");
    summary.unwrap_or_else(|| panic!("{}", finished.stderr_text()))
}

fn a_changed_byte_is_named() -> Result<(), Skip> {
    let address = server(|socket| {
        let (mut bytes, peer) = receive(&socket);
        bytes[2] = b'L';
        socket.send_to(&bytes, peer).unwrap();
    });
    let words = ": byte 2 was sent as 0x6c and came back as 0x4c";
    fails(&client(address, &["hello"]).finish(), 65, words);
    Ok(())
}

fn a_reply_of_another_length_is_a_protocol_error() -> Result<(), Skip> {
    for (reply, came) in [("hell", 4), ("hello!", 6), ("", 0)] {
        let address = server(move |socket| {
            let (_, peer) = receive(&socket);
            socket.send_to(reply.as_bytes(), peer).unwrap();
        });
        let words = format!(": sent 5 bytes, received {came}");
        fails(&client(address, &["hello"]).finish(), 65, &words);
    }
    Ok(())
}

fn a_retry_waits_twice_as_long_as_the_one_before() -> Result<(), Skip> {
    let silent = bound();
    let args = ["--backoff", "100ms", "--retries", "3", "--timeout", "2s", "hello"];
    // Made, and so built, before the clock runs.
    let run = client(silent.local_addr().unwrap(), &args);
    let begun = Instant::now();
    let client = run.start();
    for _ in 0..4 {
        assert_eq!(receive(&silent).0, b"hello");
    }
    // 100, 200 and 400 ms, no less; by how much more is the machine's affair.
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    let status = client.wait(SOON).expect("it ends");
    assert_eq!(status.code(), Some(75), "{}", client.stderr());
    let said = client.stderr();
    assert!(said.contains("(4 datagrams sent): timed out after 2s"), "{said}");
    silent.set_nonblocking(true).unwrap();
    assert!(silent.recv_from(&mut [0; 10]).is_err(), "a fifth");
    Ok(())
}

fn a_server_that_goes_away_is_refused_in_the_middle() -> Result<(), Skip> {
    let address = server(|socket| {
        for _ in 0..3 {
            let (bytes, peer) = receive(&socket);
            socket.send_to(&bytes, peer).unwrap();
        }
    });
    let finished =
        client(address, &["--count", "10", "--backoff", "50ms", "--timeout", "1s", "--json"])
            .finish();
    let counts = summary(&finished);
    assert_eq!(
        (&counts["echoed"], &counts["lost"], &counts["count"]),
        (&3.into(), &1.into(), &4.into())
    );
    fails(&finished, 69, &format!("echo from {address}: Connection refused (ECONNREFUSED)"));
    Ok(())
}

fn a_server_that_starts_again_is_waited_for() -> Result<(), Skip> {
    let address = server(|socket| {
        let address = socket.local_addr().unwrap();
        let echo = |socket: &UdpSocket| {
            let (bytes, peer) = receive(socket);
            socket.send_to(&bytes, peer).unwrap();
            (bytes, peer)
        };
        for _ in 0..2 {
            echo(&socket);
        }
        // The third gets no reply, and its first retry finds nobody.
        let (_, peer) = receive(&socket);
        drop(socket);
        let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
        probe.set_read_timeout(Some(SOON)).unwrap();
        probe.connect(address).unwrap();
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            probe.send(b"?").unwrap_or_default();
            assert!(probe.recv(&mut [0; 1]).is_err(), "nobody is there, nor {peer}");
        }
        let again = UdpSocket::bind(address).unwrap();
        again.set_read_timeout(Some(SOON)).unwrap();
        let mut numbers = 2;
        while numbers < 10 {
            numbers = echo(&again).0[3];
        }
    });
    let args = ["--count", "10", "--backoff", "100ms", "--retries", "8", "--json"];
    let finished = client(address, &args).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let counts = summary(&finished);
    let sum = ["echoed", "lost", "changed"].map(|key| counts[key].as_u64().unwrap());
    assert_eq!((sum, &counts["count"]), ([10, 0, 0], &10.into()), "{counts}");
    assert!(counts["resent"].as_u64() >= Some(2), "{counts}");
    Ok(())
}

fn an_old_reply_is_not_the_next_one() -> Result<(), Skip> {
    let address = server(|socket| {
        let (one, peer) = receive(&socket);
        socket.send_to(&one, peer).unwrap();
        let (two, _) = receive(&socket);
        // The client waits for the second, and hears the first once more.
        for bytes in [&one, &two] {
            socket.send_to(bytes, peer).unwrap();
        }
    });
    let finished = client(address, &["one", "two"]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let said = finished.stdout_text();
    let messages: Vec<&str> = said.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(messages, ["one", "two"]);
    Ok(())
}

fn a_stranger_is_not_heard() -> Result<(), Skip> {
    let address = server(|socket| {
        let (bytes, peer) = receive(&socket);
        // It knows the client's address, and sends from another socket.
        for bytes in [b"stranger", &bytes[..]] {
            bound().send_to(bytes, peer).unwrap();
        }
        socket.send_to(&bytes, peer).unwrap();
    });
    let finished = client(address, &["--json", "hello"]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    Ok(())
}

fn every_address_of_a_name_is_tried() -> Result<(), Skip> {
    // localhost is ::1 and 127.0.0.1, or 127.0.0.1 alone: the server has the last of them.
    let server = echo();
    let port = server.address().port().to_string();
    let finished = Run::new("udp-client").args(["--host", "localhost", "--port", &port]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    Ok(())
}

fn a_dead_address_costs_a_share_of_the_timeout() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    // localhost is ::1, where a socket reads nothing, and then 127.0.0.1.
    let script = r#"responder=$1 echo=$2 client=$3
        folder=$(mktemp -d); trap 'kill $pids; rm -r "$folder"' EXIT; cd "$folder"
        "$responder" --port 7777 -q --host ::1 >1 & pids=$!
        "$echo" --port 7777 -q >2 & pids="$pids $!"
        for out in 1 2; do until grep -qs listening $out; do :; done; done
        "$client" --host localhost --port 7777 --timeout $4"#;
    // Half of it, and half of the default where there is none.
    for (timeout, half) in [("4s", 2.0), ("none", 2.5)] {
        let run = Run::script(script).arg(netcheck::bin("ntp-responder"));
        let run = run.arg(netcheck::bin("udp-echo")).arg(netcheck::bin("udp-client")).arg(timeout);
        let finished = run.inside("tests/etc").finish();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        assert!(finished.stdout_text().starts_with("127.0.0.1:7777 echoed "), "{finished:?}");
        let took = finished.elapsed.as_secs_f64();
        assert!((half..1.75 * half).contains(&took), "{finished:?}");
    }
    Ok(())
}

fn when_all_addresses_refuse_one_line_names_them() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    // A hosts file in which the name is surely both.
    let args = ["--host", "localhost", "--port", "7777"];
    let finished = Run::new("udp-client").args(args).inside("tests/etc").finish();
    let words = "udp-client: echo from [::1]:7777: Connection refused (ECONNREFUSED); \
                 echo from 127.0.0.1:7777: Connection refused (ECONNREFUSED)";
    fails(&finished, 69, words);
    Ok(())
}

fn a_datagram_that_is_too_long_is_one_clear_line() -> Result<(), Skip> {
    let server = echo();
    let finished = client(server.address(), &["--size", "65508"]).finish();
    let address = server.address();
    let words = format!("send 65508 bytes to {address}: Message too long (EMSGSIZE)\nhint: ");
    fails(&finished, 71, &words);
    Ok(())
}

fn a_window_and_a_size_that_mean_nothing_are_refused() -> Result<(), Skip> {
    for (args, words) in [
        (&["--window", "2"][..], "--window: needs --count"),
        (&["--size", "7", "--count", "2"], "--size 7: with --count at least 8 bytes"),
        (&["--size", "8", "word"], "--stdin, --size, messages: one of them"),
        (&["--count", "4294967295", "a", "b"], "--count: "),
    ] {
        let finished = client("127.0.0.1:1".parse().unwrap(), args).finish();
        assert_eq!((finished.code(), finished.stdout.len()), (Some(2), 0), "{finished:?}");
        assert!(
            finished.stderr_text().starts_with(&format!("udp-client: {words}")),
            "{finished:?}"
        );
    }
    Ok(())
}

fn the_statistics_count_every_round_trip() -> Result<(), Skip> {
    let server = echo();
    let finished = client(server.address(), &["--count", "250", "--json", "a", "bb"]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let summary = summary(&finished);
    assert_eq!((&summary["count"], &summary["echoed"]), (&500.into(), &500.into()));
    let ns = |key: &str| summary[key].as_u64().unwrap();
    assert!(0 < ns("minimum_ns") && ns("minimum_ns") <= ns("median_ns"));
    assert!(ns("median_ns") <= ns("p99_ns"));
    Ok(())
}

fn calls_that_fail_for_a_moment_are_made_again() -> Result<(), Skip> {
    need(Need::Strace)?;
    let server = echo();
    // A datagram whose checksum is wrong is gone after poll has said ready: EAGAIN. The kernel's
    // names of send and recv are sendto and recvfrom.
    for inject in [
        "recvfrom:error=EAGAIN:when=1",
        "recvfrom:error=EINTR:when=1",
        "sendto:error=EAGAIN:when=1",
        "sendto:error=EINTR:when=1",
        "sendto:error=ENOBUFS:when=1",
    ] {
        let run = client(server.address(), &["--backoff", "50ms", "hello"]);
        let (run, trace) = run.traced(&["trace=recvfrom,sendto", &format!("inject={inject}")]);
        let finished = run.finish();
        assert_eq!(finished.code(), Some(0), "{inject}: {}", finished.stderr_text());
        assert!(trace.calls().iter().any(|call| call.result.ends_with("(INJECTED)")), "{inject}");
    }
    Ok(())
}

fn a_socket_connected_to_itself_is_no_server() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    // A machine that has a single port to give: the one that is connected to.
    let script = r#"echo 7777 7777 > /proc/sys/net/ipv4/ip_local_port_range || exit 42
        exec "$1" --host 127.0.0.1 --port 7777"#;
    let run = Run::script(script).arg(netcheck::bin("udp-client"));
    let finished = run.inside("tests/etc").finish();
    if finished.code() == Some(42) {
        return Err(Skip { reason: "needs sysctls that a namespace may set".to_owned() });
    }
    fails(&finished, 69, "echo from 127.0.0.1:7777: Connection refused (ECONNREFUSED)\nhint: ");
    Ok(())
}

fn where_no_port_is_free_the_hint_says_so() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    // A machine that has a single port to give, and has given it.
    let script = r#"echo 7777 7777 > /proc/sys/net/ipv4/ip_local_port_range || exit 42
        folder=$(mktemp -d); trap 'kill $echo; rm -r "$folder"' EXIT; cd "$folder"
        "$1" --port 7777 >ready & echo=$!
        until grep -qs listening ready; do :; done
        "$1" --port 0 || echo $?
        "$2" --host 127.0.0.1 --port 9 || echo $?"#;
    let run = Run::script(script).arg(netcheck::bin("udp-echo")).arg(netcheck::bin("udp-client"));
    let finished = run.inside("tests/etc").finish();
    if finished.code() == Some(42) {
        return Err(Skip { reason: "needs sysctls that a namespace may set".to_owned() });
    }
    let hint = "hint: `sysctl net.ipv4.ip_local_port_range` are the ports, ";
    let said = finished.stderr_text();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() >= 4 && lines[1].starts_with(hint) && lines[3].starts_with(hint), "{said}");
    assert_eq!(lines[0], "udp-echo: bind 127.0.0.1:0: Address already in use (EADDRINUSE)");
    assert!(lines[2].starts_with("udp-client: connect to 127.0.0.1:9: "), "{said}");
    assert!(lines[2].ends_with("(EAGAIN)"), "{said}");
    assert_eq!(finished.stdout_text(), "71\n71\n");
    Ok(())
}

fn standard_input_is_a_datagram_a_line() -> Result<(), Skip> {
    let server = echo();
    let run = client(server.address(), &["--stdin"]);
    let finished = run.stdin(b"one\n\n\xff\r\nno newline".to_vec()).finish();
    let shown = finished.stdout_text();
    let lines: Vec<&str> = shown.lines().map(|line| line.split("   ").next().unwrap()).collect();
    let expected =
        ["3 bytes: \"one\"", "0 bytes: \"\"", "2 bytes: \"\\xff\\r\"", "10 bytes: \"no newline\""];
    let address = server.address();
    assert_eq!(lines, expected.map(|line| format!("{address} echoed {line}")), "{finished:?}");
    let finished = client(address, &["--stdin", "--count", "3"]).stdin(b"a\nb".to_vec()).finish();
    assert!(finished.stdout_text().starts_with("6 of 6 datagrams echoed: "), "{finished:?}");
    let finished = client(address, &["--stdin"]).stdin(b"".to_vec()).finish();
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(0), ""));
    for both in ["hello", "--size=9"] {
        let finished = client(address, &["--stdin", both]).stdin(b"".to_vec()).finish();
        assert_eq!(finished.code(), Some(2), "{finished:?}");
    }
    Ok(())
}

fn one_is_no_plural() -> Result<(), Skip> {
    let server = echo();
    let shown = client(server.address(), &["x"]).finish().stdout_text();
    assert!(shown.contains(" echoed 1 byte: \"x\"   "), "{shown}");
    Ok(())
}
