//! Peers that misbehave, one at a time.

use std::io::Read;
use std::time::{Duration, Instant};

use netcheck::peer::{self, Pace};
use netcheck::{Server, Skip, evidence};

use crate::in_time;

use super::{Checks, Kind, SECOND, at_rest, checks, cpu_share, memory};

pub(super) const CHECKS: Checks = checks![
    any:
        a_silent_client_is_closed_after_the_idle_timeout,
        a_silent_client_costs_no_time,
        a_client_that_never_reads_costs_no_time,
        two_hundred_resets_leave_nothing,
        memory_is_flat_over_many_connections;
    lets_a_message_drip: a_client_that_drips_is_not_idle;
    echoes:
        a_slow_reader_gets_every_byte,
        a_half_closed_client_gets_every_byte,
        a_client_that_goes_and_leaves_all_unread_is_one_line,
        memory_stays_bounded_under_a_flood;
];

/// On a busy machine the next client too may be silent for that long.
pub(super) fn serves_the_next(kind: &Kind, server: &Server) {
    let served = || kind.probe.exchange(server.address()).ok();
    evidence::wait_until(10 * SECOND, served).expect("it serves the next client");
}

fn a_silent_client_is_closed_after_the_idle_timeout(kind: &Kind) -> Result<(), Skip> {
    // Its place is the only one, so the next client needs it.
    let server = kind.with_room(1, &["--idle-timeout", "1s"]);
    in_time(|| {
        let mut client = kind.probe.served(server.address()).unwrap();
        // What it says now and then counts: the timeout is that of the silence after it.
        evidence::wait_until(SECOND / 2, || None::<()>);
        kind.probe.ask(&mut client).unwrap();
        evidence::wait_until(SECOND / 2, || None::<()>);
        let before = Instant::now();
        kind.probe.ask(&mut client).unwrap();
        let after = Instant::now();
        client.read_to_end(&mut Vec::new()).expect("it closed, after a goodbye or none");
        let (longest, shortest) = (before.elapsed(), after.elapsed());
        let why = |log: &str| log.contains("timed out after 1s");
        assert!(server.wait_stderr(why, 10 * SECOND), "{}", server.stderr());
        assert!(longest >= SECOND, "{longest:?}");
        serves_the_next(kind, &server);
        shortest < SECOND * 3 / 2 + kind.goodbye()
    });
    Ok(())
}

fn a_silent_client_costs_no_time(kind: &Kind) -> Result<(), Skip> {
    // A server with all clients in one thread looks at them ten times in that time: so it has looked.
    let server = kind.start(&["--idle-timeout", "2s"]);
    let _silent = kind.probe.served(server.address()).unwrap();
    let share = cpu_share(&server, Duration::from_millis(500));
    assert!(share < 0.05, "{:.0} % of a core", share * 100.0);
    Ok(())
}

fn a_client_that_never_reads_costs_no_time(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    // It is owed bytes, and its own lie unread: a server that asked whether there are any would turn.
    let _deaf = kind.probe.never_reads(server.address()).unwrap();
    let share = cpu_share(&server, Duration::from_millis(500));
    assert!(share < 0.05, "{:.0} % of a core", share * 100.0);
    Ok(())
}

fn a_client_that_drips_is_not_idle(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--idle-timeout", "2s"]);
    let name = "a-client-with-a-long-name";
    let (bytes, reply) = (kind.probe.hello(name), kind.probe.reply(name));
    let begun = Instant::now();
    let pace = Pace::ByteEvery(Duration::from_millis(90));
    let received = peer::exchange_with(server.address(), &bytes, pace).unwrap();
    assert!(received.windows(reply.len()).any(|part| part == reply), "{received:?}");
    assert!(begun.elapsed() > 2 * SECOND, "longer than the timeout");
    Ok(())
}

fn a_slow_reader_gets_every_byte(kind: &Kind) -> Result<(), Skip> {
    let bytes = peer::pattern(1, 300_000);
    let server = kind.start(&[]);
    let pace = Pace::SlowReader { buffer: 4096, pause: Duration::from_millis(2) };
    let echoed = peer::exchange_with(server.address(), &bytes, pace).unwrap();
    assert!(echoed == bytes, "{} of {} bytes", echoed.len(), bytes.len());
    Ok(())
}

fn a_half_closed_client_gets_every_byte(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    // All of it is under way before the client reads: FIN reaches the server before its last send.
    for length in [0, 1, 40_000] {
        let bytes = peer::pattern(3, length);
        assert!(peer::half_close(server.address(), &bytes).unwrap() == bytes, "{length} bytes");
    }
    Ok(())
}

fn two_hundred_resets_leave_nothing(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    kind.probe.exchange(server.address()).unwrap();
    let first = at_rest(&server);
    let hello = kind.probe.hello("one");
    let starts = [vec![], hello[..1].to_vec(), hello, peer::pattern(5, 4_095)];
    for start in starts.iter().cycle().take(200) {
        peer::reset(server.address(), start).unwrap();
    }
    kind.probe.exchange(server.address()).expect("it is still here");
    assert_eq!(at_rest(&server), first, "the descriptors of the start");
    Ok(())
}

fn a_client_that_goes_and_leaves_all_unread_is_one_line(kind: &Kind) -> Result<(), Skip> {
    const CLIENTS: usize = 3;
    let server = kind.start(&[]);
    for _ in 0..CLIENTS {
        // A close with bytes unread is a RST: the server has some to send, and is waiting to.
        kind.probe.never_reads(server.address()).unwrap();
    }
    let why = |log: &str| {
        let ends = log.lines().filter(|line| line.contains(" closed: "));
        let named = |line: &&str| line.ends_with("(ECONNRESET)") || line.ends_with("(EPIPE)");
        ends.filter(named).count() == CLIENTS
    };
    assert!(server.wait_stderr(why, 10 * SECOND), "{}", server.stderr());
    assert_eq!(server.stderr().lines().count(), 2 * CLIENTS, "{}", server.stderr());
    Ok(())
}

fn memory_stays_bounded_under_a_flood(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    let before = memory(&server);
    let bytes = peer::pattern(3, 32 << 20);
    assert!(peer::exchange(server.address(), &bytes).unwrap() == bytes);
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more are resident after 32 MiB");
    Ok(())
}

fn memory_is_flat_over_many_connections(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["-q"]);
    let connections = |count| {
        for _ in 0..count {
            kind.probe.exchange(server.address()).unwrap();
        }
        at_rest(&server);
        memory(&server)
    };
    let (before, after) = (connections(500), connections(2_000));
    let grown = after.saturating_sub(before);
    // A leak of 128 bytes for each connection would be 256,000.
    assert!(grown < 200_000, "{grown} bytes more are resident after 2,000 connections");
    Ok(())
}
