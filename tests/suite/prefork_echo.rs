//! prefork-echo: its workers, the dead ones too.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Signal, Skip, evidence, need, peer};
use scenarios::served;

use crate::{kill, tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "prefork_echo",
        tests![
            a_worker_ends_after_as_many_clients_as_it_is_to_serve,
            a_dead_worker_is_started_again_and_harms_nobody,
            a_worker_that_dies_again_and_again_is_waited_for_longer_each_time,
            a_worker_that_cannot_be_forked_is_waited_for,
            a_queued_connection_outlives_the_worker_of_its_listener,
            each_worker_has_the_one_listener_open_that_it_accepts_on,
            idle_workers_end_at_once_every_time,
            a_connection_wakes_one_worker,
            with_a_listener_each_a_client_waits_though_a_worker_is_idle,
        ],
    )
}

const SECOND: Duration = Duration::from_secs(1);

/// A server, and its workers once they are all there.
fn start(workers: usize, args: &[&str]) -> (Server, Vec<i32>) {
    let count = workers.to_string();
    let server =
        Server::start("prefork-echo", ["--port", "0", "--workers", &count].iter().chain(args));
    let workers = all(&server, workers);
    (server, workers)
}

fn all(server: &Server, count: usize) -> Vec<i32> {
    let all = || {
        let workers = evidence::children(server.pid());
        let alive = workers.len() == count && evidence::zombies(server.pid()).is_empty();
        alive.then_some(workers)
    };
    evidence::wait_until(10 * SECOND, all).expect("all workers")
}

fn a_worker_ends_after_as_many_clients_as_it_is_to_serve() -> Result<(), Skip> {
    for (workers, each) in [(4, 1), (1, 3)] {
        let (server, first) =
            start(workers, &["--clients-per-worker", &each.to_string(), "--show-pid"]);
        let pids: Vec<i32> = (0..12).map(|_| served_by_number(&server).1).collect();
        let distinct: BTreeSet<&i32> = pids.iter().collect();
        assert_eq!(distinct.len(), 12 / each, "{pids:?}");
        assert!(
            first.contains(&pids[0]),
            "its process was there before it came: {first:?} {pids:?}"
        );
        // Every one of them is reaped, and has a successor.
        let line = format!("started {}, retired {}, lost 0\n", workers + 12 / each, 12 / each);
        let counts = || {
            server.signal(Signal::SIGUSR1);
            server.wait_stderr(|log| log.contains(&line), SECOND / 10).then_some(())
        };
        evidence::wait_until(10 * SECOND, counts).unwrap_or_else(|| panic!("{}", server.stderr()));
        all(&server, workers);
    }
    Ok(())
}

fn a_dead_worker_is_started_again_and_harms_nobody() -> Result<(), Skip> {
    let (server, workers) = start(2, &["--show-pid"]);
    let mut client = served_by_number(&server);
    let own = client.1;
    let other = workers.into_iter().find(|pid| *pid != own).unwrap();
    kill(other, "SEGV");
    let said = format!("lost: process {other} was killed by SIGSEGV");
    assert!(server.wait_stderr(|log| log.contains(&said), 5 * SECOND), "{}", server.stderr());
    client.0.write_all(b"still").unwrap();
    client.0.read_exact(&mut [0; 5]).unwrap();
    let again = all(&server, 2);
    assert!(again.contains(&own) && !again.contains(&other), "{again:?}");
    assert_eq!(served_by_number(&server).1, *again.iter().find(|pid| **pid != own).unwrap());
    server.signal(Signal::SIGTERM);
    drop(client);
    assert_eq!(server.wait(10 * SECOND).and_then(|status| status.code()), Some(0));
    assert!(
        server.stderr().ends_with("0 workers, started 3, retired 0, lost 1\n"),
        "{}",
        server.stderr()
    );
    Ok(())
}

/// A client that stays, and the pid that its reply begins with.
fn served_by_number(server: &Server) -> (TcpStream, i32) {
    let mut client = peer::connect(server.address()).unwrap();
    client.write_all(b"!").unwrap();
    let mut reply = String::new();
    while !reply.ends_with('!') {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        reply.push(byte[0].into());
    }
    let pid = reply.split(':').next().unwrap().parse().unwrap();
    (client, pid)
}

fn a_worker_that_dies_again_and_again_is_waited_for_longer_each_time() -> Result<(), Skip> {
    let (server, _) = start(1, &[]);
    let begun = Instant::now();
    for pause in [100, 200, 400] {
        kill(all(&server, 1)[0], "KILL");
        let said = format!("by SIGKILL; the next in {pause} ms");
        assert!(server.wait_stderr(|log| log.contains(&said), 5 * SECOND), "{}", server.stderr());
    }
    all(&server, 1);
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    assert_eq!(peer::exchange(server.address(), b"again").unwrap(), b"again");
    Ok(())
}

fn a_worker_that_cannot_be_forked_is_waited_for() -> Result<(), Skip> {
    need(Need::Strace)?;
    // The first worker is there; the second one only at the third attempt.
    let inject = "inject=clone,clone3,fork,vfork:error=EAGAIN:when=2..3";
    let run = Run::new("prefork-echo").args(["--port", "0", "--workers", "2"]);
    let (run, _trace) = run.traced(&["trace=clone,clone3,fork,vfork", inject]);
    let server = Server::start_run(run);
    assert_eq!(peer::exchange(server.address(), b"meanwhile").unwrap(), b"meanwhile");
    all(&server, 2);
    let (first, second) = (served(server.address()), served(server.address()));
    assert!(first.is_ok() && second.is_ok(), "{}", server.stderr());
    let refused = |log: &str| {
        ["100", "200"].iter().all(|ms| {
            let line = format!("lost: fork: Try again (EAGAIN); the next in {ms} ms\n");
            log.matches(&line).count() == 1
        })
    };
    assert!(server.wait_stderr(refused, 5 * SECOND), "{}", server.stderr());
    Ok(())
}

fn a_queued_connection_outlives_the_worker_of_its_listener() -> Result<(), Skip> {
    let (server, workers) = start(1, &["--reuse-port"]);
    let held = served(server.address()).unwrap();
    // It is in the queue of the only listener, whose worker is busy.
    let mut queued = peer::connect(server.address()).unwrap();
    queued.write_all(b"queued").unwrap();
    kill(workers[0], "KILL");
    queued.read_exact(&mut [0; 6]).unwrap();
    drop(held);
    Ok(())
}

fn each_worker_has_the_one_listener_open_that_it_accepts_on() -> Result<(), Skip> {
    for (args, listeners) in [(&[][..], 1), (&["--reuse-port"], 4)] {
        let (server, workers) = start(4, args);
        let owners = evidence::listener_owners(server.address());
        let of = |pid: i32| owners.iter().filter(|(owner, _)| *owner == pid).count();
        assert_eq!(of(server.pid()), listeners, "the parent keeps all: {owners:?}");
        let one_each = || {
            let owners = evidence::listener_owners(server.address());
            let of = |pid: i32| owners.iter().filter(|(owner, _)| *owner == pid).count();
            workers.iter().all(|pid| of(*pid) == 1).then_some(())
        };
        evidence::wait_until(5 * SECOND, one_each).expect("a worker has one");
    }
    Ok(())
}

/// The race of a signal between two calls would show here now and then.
fn idle_workers_end_at_once_every_time() -> Result<(), Skip> {
    for _ in 0..20 {
        let (server, _) = start(8, &["--grace", "1h"]);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait(5 * SECOND).and_then(|status| status.code()), Some(0));
    }
    Ok(())
}

fn a_connection_wakes_one_worker() -> Result<(), Skip> {
    let (server, workers) = start(8, &["-q"]);
    let switches =
        || workers.iter().filter_map(|pid| evidence::context_switches(*pid)).sum::<u64>();
    // Once each, for the first touch of everything.
    (0..16).for_each(|_| drop(peer::exchange(server.address(), b"x").unwrap()));
    let before = switches();
    (0..100).for_each(|_| drop(peer::exchange(server.address(), b"x").unwrap()));
    let each = (switches() - before) / 100;
    // It waits in accept, and in recv for the bytes and for the end; not eight times that.
    assert!(each <= 4, "{each} voluntary context switches of all workers for each connection");
    Ok(())
}

fn with_a_listener_each_a_client_waits_though_a_worker_is_idle() -> Result<(), Skip> {
    // The queue of the busy worker has room for as many as may come: connect waits where it is full.
    let (server, _) = start(2, &["--reuse-port"]);
    let held = served(server.address()).unwrap();
    // The kernel deals them out by their ports. One that waits while a later one is served is in
    // the queue of the busy worker: from a common queue it would have been taken first.
    let mut waiting: Option<TcpStream> = None;
    let overtaken = (0..40).find_map(|_| {
        let mut client = peer::connect(server.address()).unwrap();
        client.write_all(b"hello").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        if client.read_exact(&mut [0; 5]).is_err() {
            waiting.get_or_insert(client);
            return None;
        }
        // Served meanwhile, it was only slow, and another has to be found.
        let mut first = waiting.take()?;
        first.read_exact(&mut [0; 5]).is_err().then_some(first)
    });
    let mut overtaken = overtaken.expect("a client that waits while a later one is served");
    drop(held);
    overtaken.set_read_timeout(Some(10 * SECOND)).unwrap();
    overtaken.read_exact(&mut [0; 5]).unwrap();
    Ok(())
}
