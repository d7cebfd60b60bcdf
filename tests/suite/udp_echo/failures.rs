//! What goes wrong around it: a full queue, peers that have gone, system calls that fail.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Signal, Skip, evidence, need, peer};

use super::{SOON, client, counts, is_echoed, receive, server};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "udp_echo",
        tests![
            what_finds_the_queue_full_is_dropped_and_counted,
            clients_that_have_gone_harm_nobody,
            calls_that_fail_cost_one_datagram,
            what_waits_is_one_call_in_each_direction,
            a_reply_that_fails_costs_no_other_of_its_batch,
            a_receive_that_fails_for_long_costs_a_line_a_second,
            a_poll_that_was_ready_for_nothing_is_passed_over,
        ],
    )
}

fn what_finds_the_queue_full_is_dropped_and_counted() -> Result<(), Skip> {
    let server = server(&["--json"]);
    let client = client("127.0.0.1", &server);
    // The table changes while it is read, and a read of it may miss a line.
    let socket = || evidence::datagram_sockets(server.address()).first().copied();
    let drops = || evidence::wait_until(SOON, socket).expect("its socket").drops;
    server.stop();
    let bytes = peer::pattern(1, 1000);
    let mut sent = 0_u64;
    // However large this machine's buffers are.
    while drops() < 100 {
        client.send(&bytes).expect("a sender is told nothing");
        sent += 1;
    }
    server.cont();
    let queued = sent - drops();
    // Read one by one, so that our own queue drops none.
    (0..queued).for_each(|_| assert_eq!(receive(&client).len(), 1000));
    is_echoed(&client, b"hello");
    let dropped = drops();
    let counts = counts(&server);
    assert_eq!(counts["dropped"], dropped, "{counts}");
    assert_eq!((&counts["received"], sent), (&(queued + 1).into(), queued + dropped), "{counts}");
    Ok(())
}

fn clients_that_have_gone_harm_nobody() -> Result<(), Skip> {
    let server = server(&["--json"]);
    server.stop();
    for _ in 0..20 {
        // It closes at once: the answer meets ICMP, port unreachable.
        client("127.0.0.1", &server).send(b"hello").unwrap();
    }
    server.cont();
    let client = client("127.0.0.1", &server);
    is_echoed(&client, b"still there");
    let counts = counts(&server);
    assert_eq!((&counts["echoed"], &counts["failed"]), (&21.into(), &0.into()), "{counts}");
    Ok(())
}

/// A server some of whose calls fail.
fn failing(inject: &str) -> Server {
    let run = Run::new("udp-echo").args(["--port", "0", "-v"]);
    let inject = format!("inject={inject}");
    let (run, _trace) = run.traced(&["trace=sendmmsg,recvmmsg", &inject]);
    Server::start_run(run)
}

fn calls_that_fail_cost_one_datagram() -> Result<(), Skip> {
    need(Need::Strace)?;
    // A firewall, a full queue on the way out, a route that is gone, no memory.
    for errno in ["EPERM", "EAGAIN", "ENOBUFS", "ENETUNREACH", "EHOSTUNREACH", "EINVAL", "ENOMEM"] {
        let server = failing(&format!("sendmmsg:error={errno}:when=1"));
        let client = client("127.0.0.1", &server);
        client.send(b"lost").unwrap();
        is_echoed(&client, b"hello");
        let line = |log: &str| {
            log.contains(&format!("echo to {}: ", client.local_addr().unwrap()))
                && log.contains(&format!("({errno})\n"))
        };
        assert!(server.wait_stderr(line, SOON), "{errno}: {}", server.stderr());
    }
    for errno in ["ENOMEM", "ENOBUFS"] {
        let server = failing(&format!("recvmmsg:error={errno}:when=1"));
        is_echoed(&client("127.0.0.1", &server), b"hello");
        let line = |log: &str| log.contains("receive: ") && log.contains(&format!("({errno})\n"));
        assert!(server.wait_stderr(line, SOON), "{errno}: {}", server.stderr());
    }
    let server = failing("recvmmsg:error=EBADF:when=1");
    client("127.0.0.1", &server).send(b"hello").unwrap();
    let status = server.wait(SOON).expect("it ends");
    assert_eq!(status.code(), Some(71), "{}", server.stderr());
    Ok(())
}

/// A client of a server that stands still until all of them are in its queue.
fn sent_together(server: &Server, count: u8) -> UdpSocket {
    let client = client("127.0.0.1", server);
    server.stop();
    (0..count).for_each(|number| assert_eq!(client.send(&[number]).unwrap(), 1));
    server.cont();
    client
}

fn what_waits_is_one_call_in_each_direction() -> Result<(), Skip> {
    need(Need::Strace)?;
    let run = Run::new("udp-echo").args(["--port", "0", "-q"]);
    let (run, trace) = run.traced(&["trace=sendmmsg,recvmmsg"]);
    let server = Server::start_run(run);
    let client = sent_together(&server, 40);
    (0..40).for_each(|number| assert_eq!(receive(&client), [number]));
    server.signal(Signal::SIGTERM);
    server.wait(SOON).expect("it ends");
    let calls = trace.calls();
    let results = |name: &str| -> Vec<String> {
        let all = calls.iter().filter(|call| call.name == name);
        all.map(|call| call.result.clone()).collect()
    };
    assert_eq!([results("recvmmsg"), results("sendmmsg")], [["32", "8"], ["32", "8"]], "{calls:?}");
    Ok(())
}

fn a_reply_that_fails_costs_no_other_of_its_batch() -> Result<(), Skip> {
    need(Need::Strace)?;
    // The first call fails for its first reply, and the second one sends all others.
    let server = failing("sendmmsg:error=EPERM:when=1");
    let client = sent_together(&server, 5);
    (1..5).for_each(|number| assert_eq!(receive(&client), [number]));
    let said = format!("echo to {}: ", client.local_addr().unwrap());
    assert!(server.wait_stderr(|log| log.contains(&said), SOON), "{}", server.stderr());
    Ok(())
}

fn a_receive_that_fails_for_long_costs_a_line_a_second() -> Result<(), Skip> {
    need(Need::Strace)?;
    for errno in ["ENOMEM", "ENOBUFS", "ECONNREFUSED"] {
        let server = failing(&format!("recvmmsg:error={errno}:when=1..30"));
        let begun = Instant::now();
        is_echoed(&client("127.0.0.1", &server), b"hello");
        // 30 pauses of 50 ms.
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1_500), "{errno}: {took:?}");
        let lines = server.stderr().matches(&format!("({errno})")).count() as u64;
        assert!((1..=1 + took.as_secs()).contains(&lines), "{took:?}: {}", server.stderr());
    }
    Ok(())
}

fn a_poll_that_was_ready_for_nothing_is_passed_over() -> Result<(), Skip> {
    need(Need::Strace)?;
    for errno in ["EAGAIN", "EINTR"] {
        let server = failing(&format!("recvmmsg:error={errno}:when=1..3"));
        is_echoed(&client("127.0.0.1", &server), b"hello");
        assert!(!server.stderr().contains(errno), "{}", server.stderr());
    }
    Ok(())
}
