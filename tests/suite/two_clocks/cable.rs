//! The cable is pulled in the middle of a transfer: nothing tells a client, and its timeout ends it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Finished, Link, Need, Run, Skip, evidence, need};

use super::{IDLE, MS, SILENT, TIMED_OUT, client, ended, serve_on, welcome};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "two_clocks",
        tests![
            a_pulled_cable_ends_at_the_idle_timeout,
            a_pulled_cable_ends_at_the_timeout,
            a_transfer_goes_on_when_the_cable_is_plugged_in_again,
        ],
    )
}

/// How many clients have sent half a megabyte.
type Counter = AtomicUsize;

/// Echoes some 8 megabytes a second, so that no client has all of it back soon.
fn slow_echo(stream: TcpStream, busy: &Counter) {
    each_piece(&stream, busy, |piece| (&stream).write_all(piece).is_ok());
}

fn each_piece(mut stream: &TcpStream, busy: &Counter, send: impl Fn(&[u8]) -> bool) {
    let (mut buffer, mut taken) = (vec![0; 32_768], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let before = taken;
        taken += count;
        if before < 500_000 && taken >= 500_000 {
            busy.fetch_add(1, Ordering::Relaxed);
        }
        if !send(&buffer[..count]) {
            return;
        }
        thread::park_timeout(4 * MS);
    }
}

/// Runs the clients, and pulls the cable once each is in the middle of its transfer: how each has ended, how
/// long after the cable was about to be pulled, and how long after it was.
fn pull(link: &Link, busy: &Counter, runs: Vec<Run>) -> Vec<(Finished, Duration, Duration)> {
    let count = runs.len();
    thread::scope(|scope| {
        let run = |run: Run| scope.spawn(|| (link.near(run).finish(), Instant::now()));
        let clients: Vec<_> = runs.into_iter().map(run).collect();
        let all = || (busy.load(Ordering::Relaxed) >= count).then_some(());
        evidence::wait_until(10_000 * MS, all).expect("each transfers");
        let before = Instant::now();
        link.pull().unwrap();
        let after = Instant::now();
        let ends = clients.into_iter().map(|client| client.join().unwrap());
        ends.map(|(finished, at)| (finished, at - before, at - after)).collect()
    })
}

fn a_pulled_cable_ends_at_the_idle_timeout() -> Result<(), Skip> {
    static BUSY: Counter = Counter::new(0);
    need(Need::Link)?;
    let link = Link::start().unwrap();
    let echo = serve_on(link.listen().unwrap(), |stream| slow_echo(stream, &BUSY));
    let chat = serve_on(link.listen().unwrap(), |stream| {
        each_piece(&welcome(stream), &BUSY, |_| true);
    });
    let much = format!("{}\n", "x".repeat(4000)).repeat(8000);
    let load = |args: &[&str]| client(&["echo-load"], echo, &IDLE).args(args);
    let runs = vec![
        client(&["echo-client", "--size", "16M"], echo, &IDLE),
        client(&["echo-client", "--stdin"], echo, &IDLE).stdin(much.clone()),
        client(&["chat-client", "--name", "bob"], chat, &IDLE).stdin(much),
        load(&["--bulk", "-d1h"]),
        load(&["--size", "4K", "-d1h"]),
        load(&["--size", "4K", "-d1h", "--rate", "1000"]),
    ];
    for (finished, longest, shortest) in pull(&link, &BUSY, runs) {
        // A socket is writable again once a third of its buffer is free: the last bytes may have gone a
        // while before.
        ended(&finished, SILENT, longest + 300 * MS);
        assert!(shortest < 3000 * MS, "{shortest:?}: {finished:?}");
    }
    Ok(())
}

fn a_pulled_cable_ends_at_the_timeout() -> Result<(), Skip> {
    static BUSY: Counter = Counter::new(0);
    need(Need::Link)?;
    let link = Link::start().unwrap();
    let echo = serve_on(link.listen().unwrap(), |stream| slow_echo(stream, &BUSY));
    let web = serve_on(link.listen().unwrap(), |mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        BUSY.fetch_add(1, Ordering::Relaxed);
        while stream.write_all(&[b'x'; 4096]).is_ok() {
            thread::park_timeout(MS);
        }
    });
    let timeout = ["--timeout", "2s"];
    let runs = vec![
        client(&["echo-client", "--size", "16M"], echo, &timeout),
        client(&["socket-errors", "--max-bytes", "1G"], web, &timeout),
    ];
    for (finished, ..) in pull(&link, &BUSY, runs) {
        ended(&finished, TIMED_OUT, finished.elapsed);
    }
    Ok(())
}

fn a_transfer_goes_on_when_the_cable_is_plugged_in_again() -> Result<(), Skip> {
    static BUSY: Counter = Counter::new(0);
    need(Need::Link)?;
    let link = Link::start().unwrap();
    let echo = serve_on(link.listen().unwrap(), |stream| slow_echo(stream, &BUSY));
    let run = client(&["echo-client", "--size", "8M"], echo, &["--timeout", "1m"]);
    let client = link.near(run).start();
    let busy = || (BUSY.load(Ordering::Relaxed) > 0).then_some(());
    evidence::wait_until(10_000 * MS, busy).expect("it transfers");
    link.pull().unwrap();
    let pause = Duration::from_millis(300);
    assert!(client.wait(pause).is_none(), "{}", client.stderr());
    link.plug().unwrap();
    let status = client.wait(10_000 * MS).expect("it ends");
    assert!(status.success(), "{}", client.stderr());
    Ok(())
}
