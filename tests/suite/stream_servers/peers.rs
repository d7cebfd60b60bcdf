//! Peers that misbehave, one at a time.

use std::io::Read;
use std::time::{Duration, Instant};

use netcheck::peer::{self, Pace};
use netcheck::{Server, Skip, evidence};
use scenarios::served;

use super::{Checks, Kind, SECOND, at_rest, checks, cpu_share, memory};

pub(super) const CHECKS: Checks = checks![
    any:
        a_silent_client_is_closed_after_the_idle_timeout,
        a_silent_client_costs_no_time,
        a_client_that_never_reads_is_closed_after_the_idle_timeout,
        a_client_that_never_reads_costs_no_time,
        a_client_that_drips_is_not_idle,
        a_slow_reader_gets_every_byte,
        a_half_closed_client_gets_every_byte,
        a_hundred_resets_leave_nothing,
        memory_stays_bounded_under_a_flood,
        memory_is_flat_over_many_connections;
];

/// On a busy machine the next client too may be silent for that long.
fn serves_the_next(server: &Server) {
    let echoed = || peer::exchange(server.address(), b"next").ok().filter(|reply| reply == b"next");
    evidence::wait_until(10 * SECOND, echoed).expect("it serves the next client");
}

fn a_silent_client_is_closed_after_the_idle_timeout(kind: &Kind) -> Result<(), Skip> {
    // Its place is the only one, so the next client needs it.
    let server = kind.with_room(1, &["--idle-timeout", "200ms"]);
    let begun = Instant::now();
    let mut silent = served(server.address()).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0, "it closed");
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    let why = |log: &str| log.contains("timed out after 200ms");
    assert!(server.wait_stderr(why, 10 * SECOND), "{}", server.stderr());
    serves_the_next(&server);
    Ok(())
}

fn a_silent_client_costs_no_time(kind: &Kind) -> Result<(), Skip> {
    // A server with all clients in one thread looks at them ten times in that time: so it has looked.
    let server = kind.start(&["--idle-timeout", "2s"]);
    let _silent = served(server.address()).unwrap();
    let share = cpu_share(&server, Duration::from_millis(500));
    assert!(share < 0.05, "{:.0} % of a core", share * 100.0);
    Ok(())
}

fn a_client_that_never_reads_is_closed_after_the_idle_timeout(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--idle-timeout", "200ms"]);
    // It is reset while it still sends, or later; kept open either way.
    let _deaf = peer::never_reads(server.address());
    let why = |log: &str| log.contains("timed out after 200ms");
    assert!(server.wait_stderr(why, 10 * SECOND), "{}", server.stderr());
    serves_the_next(&server);
    Ok(())
}

fn a_client_that_never_reads_costs_no_time(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    // It is owed bytes, and its own lie unread: a server that asked whether there are any would turn.
    let _deaf = peer::never_reads(server.address()).unwrap();
    let share = cpu_share(&server, Duration::from_millis(500));
    assert!(share < 0.05, "{:.0} % of a core", share * 100.0);
    Ok(())
}

fn a_client_that_drips_is_not_idle(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--idle-timeout", "2s"]);
    let bytes = peer::pattern(2, 60);
    let begun = Instant::now();
    let pace = Pace::ByteEvery(Duration::from_millis(50));
    assert!(peer::exchange_with(server.address(), &bytes, pace).unwrap() == bytes);
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

fn a_hundred_resets_leave_nothing(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--backlog", "128"]);
    peer::exchange(server.address(), b"first").unwrap();
    let first = at_rest(&server);
    let bytes = peer::pattern(5, 10_000);
    for _ in 0..100 {
        peer::reset(server.address(), &bytes).unwrap();
    }
    assert_eq!(peer::exchange(server.address(), b"still here").unwrap(), b"still here");
    assert_eq!(at_rest(&server), first, "the descriptors of the start");
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
            assert_eq!(peer::exchange(server.address(), b"x").unwrap(), b"x");
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
