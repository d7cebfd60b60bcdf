//! What a server says of its clients.

use std::collections::BTreeMap;

use netcheck::peer;
use netcheck::{Need, Server, Signal, Skip, need};

use super::{Checks, Kind, SECOND, checks};

pub(super) const CHECKS: Checks = checks![
    any:
        an_ipv4_peer_of_a_dual_stack_listener_is_logged_as_ipv4,
        what_a_peer_sends_is_logged_escaped,
        a_quiet_one_logs_nothing,
        json_events_of_clients_at_once_are_whole_lines,
        it_sets_reuse_address_before_bind;
    serves_itself: sigusr1_prints_the_counts;
    echoes: its_log_is_one_line_for_each_event;
];

fn an_ipv4_peer_of_a_dual_stack_listener_is_logged_as_ipv4(kind: &Kind) -> Result<(), Skip> {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return Err(Skip { reason: "needs IPv6".to_owned() });
    }
    let server = kind.start(&["--host", "::"]);
    let port = server.address().port();
    for (host, shown) in [("127.0.0.1", "127.0.0.1:"), ("[::1]", "[::1]:")] {
        let address = format!("{host}:{port}").parse().unwrap();
        kind.probe.exchange(address).unwrap();
        let line = format!("{}: {shown}", kind.name);
        let logged = server.wait_stderr(|log| log.contains(&line), 10 * SECOND);
        assert!(logged, "{}", server.stderr());
    }
    assert!(!server.stderr().contains("::ffff:"), "{}", server.stderr());
    Ok(())
}

fn what_a_peer_sends_is_logged_escaped(kind: &Kind) -> Result<(), Skip> {
    let nasty = b"\x1b]0;owned\x07\r\n\xff\xc2\x9b31m\xe2\x80\xae";
    let server = kind.start(&["-v"]);
    let reply = peer::exchange(server.address(), nasty).unwrap();
    assert!(reply == nasty || !kind.echoes(), "{reply:?}");
    assert!(server.wait_stderr(|log| log.contains(" closed: "), 10 * SECOND));
    let log = server.stderr();
    let clean = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}' || c == '\u{fffd}');
    assert!(log.chars().all(clean), "{log:?}");
    assert!(log.contains(r"\u{1b}]0;owned\u{7}\r\n\xff\u{9b}31m\u{202e}"), "{log:?}");
    Ok(())
}

fn its_log_is_one_line_for_each_event(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    for _ in 0..20 {
        peer::exchange(server.address(), b"x").unwrap();
    }
    let all = |log: &str| log.matches("1 byte in, 1 out,").count() == 20;
    assert!(server.wait_stderr(all, 5 * SECOND), "{}", server.stderr());
    assert_eq!(server.stderr().lines().count(), 40, "{}", server.stderr());
    Ok(())
}

fn a_quiet_one_logs_nothing(kind: &Kind) -> Result<(), Skip> {
    let quiet = kind.start(&["-q"]);
    kind.probe.exchange(quiet.address()).unwrap();
    quiet.signal(Signal::SIGUSR1);
    quiet.signal(Signal::SIGTERM);
    quiet.wait(10 * SECOND).expect("it ends");
    assert_eq!(quiet.stderr(), "");
    Ok(())
}

fn json_events_of_clients_at_once_are_whole_lines(kind: &Kind) -> Result<(), Skip> {
    let server = kind.with_room(100, &["--json", "-v"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    kind.probe.exchange(server.address()).unwrap();
                }
            });
        }
    });
    server.signal(Signal::SIGTERM);
    server.wait(10 * SECOND).expect("it ends");
    let mut counted = BTreeMap::new();
    for line in server.stdout().lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect(line);
        *counted.entry(event["type"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        if event["type"] == "closed" && kind.echoes() {
            assert!(event["received"] == event["sent"], "{line}");
        }
    }
    // What it says of each client, and not of a message, which may arrive in two parts.
    let counted = ["closed", "listening", "opened"].map(|word| counted.get(word).copied());
    assert_eq!(counted, [Some(200), Some(1), Some(200)]);
    assert_eq!(server.stderr(), "");
    Ok(())
}

fn it_sets_reuse_address_before_bind(kind: &Kind) -> Result<(), Skip> {
    need(Need::Strace)?;
    let run = kind.run("0");
    let (run, trace) = run.traced(&["trace=socket,setsockopt,bind,listen"]);
    let server = Server::start_run(run);
    server.signal(Signal::SIGTERM);
    server.wait(10 * SECOND).expect("it ends");
    let calls = trace.calls();
    let at = |name: &str, part: &str| {
        calls.iter().position(|call| call.name == name && call.args.contains(part)).expect(name)
    };
    let order = [
        at("socket", "SOCK_STREAM|SOCK_CLOEXEC"),
        at("setsockopt", "SO_REUSEADDR, [1]"),
        at("bind", "127.0.0.1"),
        at("listen", "2147483647"),
    ];
    assert!(order.is_sorted(), "{calls:?}");
    Ok(())
}

fn sigusr1_prints_the_counts(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    let client = kind.probe.served(server.address()).unwrap();
    server.signal(Signal::SIGUSR1);
    let counts = if kind.has_workers() { "8 workers, started 8" } else { "accepted 1," };
    let said = format!("{}: {counts}", kind.name);
    assert!(server.wait_stderr(|log| log.contains(&said), 10 * SECOND), "{}", server.stderr());
    // It still serves.
    drop(client);
    kind.probe.exchange(server.address()).unwrap();
    Ok(())
}
