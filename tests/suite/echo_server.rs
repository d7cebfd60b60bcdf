//! echo-server with peers that misbehave.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::peer::{self, Pace};
use netcheck::{Need, Run, Server, Signal, Skip, evidence, need};
use scenarios::served;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "echo_server",
        tests![
            a_second_client_waits_until_the_first_closes,
            once_serves_one_connection_and_ends,
            a_silent_client_is_closed_after_the_idle_timeout,
            a_client_that_never_reads_is_closed_after_the_idle_timeout,
            a_slow_reader_gets_every_byte,
            the_listener_closes_at_sigterm_and_the_client_is_still_served,
            a_second_signal_ends_it_at_once,
            an_ipv4_peer_of_a_dual_stack_listener_is_logged_as_ipv4,
            what_a_peer_sends_is_logged_escaped,
            its_log_is_one_line_for_each_event,
            it_sets_reuse_address_before_bind,
            a_restart_past_time_wait_binds_at_once,
            memory_stays_bounded_under_a_flood,
        ],
    )
}

const SECOND: Duration = Duration::from_secs(1);

fn a_second_client_waits_until_the_first_closes() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0"]);
    let first = served(server.address()).unwrap();
    let mut second = peer::connect(server.address()).unwrap();
    second.write_all(b"second").unwrap();
    // It has accepted one connection only, although the other is in its queue.
    let sockets =
        |pid| evidence::descriptors(pid).values().filter(|to| to.starts_with("socket:")).count();
    assert_eq!(sockets(server.pid()), 2, "the listener and the first client");
    drop(first);
    let mut reply = [0; 6];
    second.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"second");
    Ok(())
}

fn once_serves_one_connection_and_ends() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0", "--once"]);
    assert_eq!(peer::exchange(server.address(), b"only").unwrap(), b"only");
    assert_eq!(server.wait(10 * SECOND).and_then(|status| status.code()), Some(0));
    Ok(())
}

fn a_silent_client_is_closed_after_the_idle_timeout() -> Result<(), Skip> {
    for name in ["echo-server", "forking-echo"] {
        let server = Server::start(name, ["--port", "0", "--idle-timeout", "200ms"]);
        let begun = Instant::now();
        let mut silent = served(server.address()).unwrap();
        let end = silent.read(&mut [0; 1]).unwrap();
        assert_eq!(end, 0, "{name} closed");
        assert!(begun.elapsed() >= Duration::from_millis(200), "{name}: {:?}", begun.elapsed());
        assert!(
            server.wait_stderr(|log| log.contains("idle for 200ms"), 10 * SECOND),
            "{}",
            server.stderr()
        );
        assert_eq!(peer::exchange(server.address(), b"next").unwrap(), b"next");
    }
    Ok(())
}

fn a_client_that_never_reads_is_closed_after_the_idle_timeout() -> Result<(), Skip> {
    for name in ["echo-server", "forking-echo"] {
        let server = Server::start(name, ["--port", "0", "--idle-timeout", "200ms"]);
        // It is reset while it still sends, or later; kept open either way.
        let _deaf = peer::never_reads(server.address());
        let why =
            |log: &str| log.contains("idle for 200ms") || log.contains("nothing read for 200ms");
        assert!(server.wait_stderr(why, 10 * SECOND), "{}", server.stderr());
        assert_eq!(peer::exchange(server.address(), b"next").unwrap(), b"next");
    }
    Ok(())
}

fn a_slow_reader_gets_every_byte() -> Result<(), Skip> {
    let bytes = peer::pattern(1, 300_000);
    for name in ["echo-server", "forking-echo"] {
        let server = Server::start(name, ["--port", "0"]);
        let pace = Pace::SlowReader { buffer: 4096, pause: Duration::from_millis(2) };
        let echoed = peer::exchange_with(server.address(), &bytes, pace).unwrap();
        assert!(echoed == bytes, "{name}: {} of {} bytes", echoed.len(), bytes.len());
    }
    Ok(())
}

fn the_listener_closes_at_sigterm_and_the_client_is_still_served() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0", "--grace", "30s"]);
    let mut client = served(server.address()).unwrap();
    server.signal(Signal::SIGTERM);
    let closed = || (!evidence::is_listening(server.address())).then_some(());
    evidence::wait_until(2 * SECOND, closed).expect("the listener is closed");
    client.write_all(b"still").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.wait(10 * SECOND).and_then(|status| status.code()), Some(0));
    Ok(())
}

fn a_second_signal_ends_it_at_once() -> Result<(), Skip> {
    for name in ["echo-server", "forking-echo"] {
        let server = Server::start(name, ["--port", "0", "--grace", "1h"]);
        let _client = served(server.address()).unwrap();
        server.signal(Signal::SIGINT);
        let closed = || (!evidence::is_listening(server.address())).then_some(());
        evidence::wait_until(2 * SECOND, closed).expect("the listener is closed");
        assert!(server.still_running(), "{name} drains");
        server.signal(Signal::SIGINT);
        assert_eq!(server.wait(5 * SECOND).and_then(|status| status.code()), Some(0), "{name}");
    }
    Ok(())
}

fn an_ipv4_peer_of_a_dual_stack_listener_is_logged_as_ipv4() -> Result<(), Skip> {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return Err(Skip { reason: "needs IPv6".to_owned() });
    }
    for name in ["echo-server", "forking-echo"] {
        let server = Server::start(name, ["--port", "0", "--host", "::"]);
        let port = server.address().port();
        for (host, shown) in [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:")] {
            let address = format!("{}:{port}", if host == "::1" { "[::1]" } else { host });
            assert_eq!(peer::exchange(address.parse().unwrap(), b"hi").unwrap(), b"hi");
            let line = format!("{name}: {shown}");
            assert!(
                server.wait_stderr(|log| log.contains(&line), 10 * SECOND),
                "{}",
                server.stderr()
            );
        }
        assert!(!server.stderr().contains("::ffff:"), "{}", server.stderr());
    }
    Ok(())
}

fn what_a_peer_sends_is_logged_escaped() -> Result<(), Skip> {
    let nasty = b"\x1b]0;owned\x07\r\n\xff\xc2\x9b31m\xe2\x80\xae";
    for name in ["echo-server", "forking-echo"] {
        let server = Server::start(name, ["--port", "0", "-v"]);
        assert_eq!(peer::exchange(server.address(), nasty).unwrap(), nasty);
        assert!(server.wait_stderr(|log| log.contains(" closed: "), 10 * SECOND));
        let log = server.stderr();
        let clean = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}' || c == '\u{fffd}');
        assert!(log.chars().all(clean), "{log:?}");
        assert!(log.contains(r"\u{1b}]0;owned\u{7}\r\n\xff\u{9b}31m\u{202e}"), "{log:?}");
    }
    Ok(())
}

fn its_log_is_one_line_for_each_event() -> Result<(), Skip> {
    for name in ["echo-server", "forking-echo"] {
        let server = Server::start(name, ["--port", "0"]);
        for _ in 0..20 {
            peer::exchange(server.address(), b"x").unwrap();
        }
        let all = |log: &str| log.matches("1 bytes in, 1 out,").count() == 20;
        assert!(server.wait_stderr(all, 5 * SECOND), "{}", server.stderr());
        assert_eq!(server.stderr().lines().count(), 40, "{}", server.stderr());
    }
    let server = Server::start("forking-echo", ["--port", "0", "-q"]);
    peer::exchange(server.address(), b"x").unwrap();
    server.signal(Signal::SIGTERM);
    server.wait(10 * SECOND).expect("it ends");
    assert_eq!(server.stderr(), "");
    Ok(())
}

fn it_sets_reuse_address_before_bind() -> Result<(), Skip> {
    need(Need::Strace)?;
    for name in ["echo-server", "forking-echo"] {
        let run = Run::new(name).args(["--port", "0"]);
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
            at("listen", "5"),
        ];
        assert!(order.is_sorted(), "{calls:?}");
    }
    Ok(())
}

fn a_restart_past_time_wait_binds_at_once() -> Result<(), Skip> {
    let mut port = "0".to_owned();
    for _ in 0..3 {
        let server = Server::start("echo-server", ["--port", &port]);
        port = server.address().port().to_string();
        // The server closes first: its side of the connection is then in TIME_WAIT.
        let mut client = served(server.address()).unwrap();
        server.signal(Signal::SIGTERM);
        server.signal(Signal::SIGINT);
        server.wait(10 * SECOND).expect("it ends");
        assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    Ok(())
}

fn memory_stays_bounded_under_a_flood() -> Result<(), Skip> {
    let bytes = peer::pattern(3, 32 * 1024 * 1024);
    let server = Server::start("echo-server", ["--port", "0"]);
    assert!(peer::exchange(server.address(), &bytes).unwrap() == bytes);
    let rss = evidence::rss(server.pid()).expect("it runs");
    assert!(rss < 16 * 1024 * 1024, "{rss} bytes resident after 32 MiB");
    Ok(())
}
