//! Too few descriptors, and an accept that fails.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use netcheck::{Need, Run, Server, Skip, evidence, need, peer};

use super::{Checks, Kind, SECOND, at_rest, checks, cpu_share, family};
use crate::kill;

pub(super) const CHECKS: Checks = checks![
    any:
        with_nothing_but_a_port_sixty_four_clients_find_room_in_the_queue,
        two_hundred_connections_with_32_descriptors_cost_nothing,
        a_connection_that_is_reset_in_the_queue_is_passed_over;
    accepts_itself:
        without_a_descriptor_left_load_is_shed_without_spinning,
        an_accept_that_fails_for_the_listener_ends_the_server;
    accepts_into_one_process:
        a_reserve_that_somebody_else_has_got_is_taken_back;
    calls_accept:
        an_accept_that_fails_for_the_connection_is_passed_over,
        an_accept_that_fails_for_want_of_something_is_tried_again;
];

/// Connects so many times in a loop, and then closes each connection and waits until the server does.
const LOOP: &str = "
import socket, sys
port, count = map(int, sys.argv[1:])
clients = [socket.create_connection(('127.0.0.1', port), 10) for _ in range(count)]
print('connected', flush=True)
for client in clients:
    client.shutdown(socket.SHUT_WR)
for client in clients:
    while client.recv(65536):
        pass
";

/// On a machine of its own, whose counters nobody else moves. A server that stands still accepts nothing,
/// so that all of them are in the queue at once.
fn with_nothing_but_a_port_sixty_four_clients_find_room_in_the_queue(
    kind: &Kind,
) -> Result<(), Skip> {
    [Need::OwnNames, Need::Nsenter, Need::Python3].into_iter().try_for_each(need)?;
    let server = Server::start_run(kind.run("0").inside("tests/etc"));
    let all = || {
        let processes = evidence::descendants(server.pid());
        (processes.len() == if kind.has_workers() { 1 + kind.most } else { 1 }).then_some(processes)
    };
    let processes = evidence::wait_until(10 * SECOND, all).expect("the server and its workers");
    let counter = |name| evidence::tcp_counter(processes[0], name).unwrap();
    let signal_all = |signal| processes.iter().for_each(|pid| kill(*pid, signal));

    signal_all("STOP");
    let port = server.address().port().to_string();
    let clients = Run::program("python3").args(["-c", LOOP, &port, "64"]);
    let mut clients = clients.beside(&server).start();
    let connected = clients.next_line(10 * SECOND);
    let lost = ["ListenOverflows", "ListenDrops"].map(counter);
    signal_all("CONT");
    assert_eq!((connected.as_deref(), lost), (Some("connected"), [0, 0]), "{}", clients.stderr());
    let ended = clients.wait(10 * SECOND);
    assert!(ended.is_some_and(|status| status.success()), "{}", clients.stderr());
    Ok(())
}

/// How long the connections are held.
const HELD: Duration = Duration::from_secs(5);

/// A reply within 200 ms, and the time that so many clients cost on this machine as it is now: the
/// queue may be full of clients that have gone, each of which is still accepted.
fn full_service_within_200_ms(kind: &Kind, server: &Server, queued: usize) {
    let exchange = || kind.probe.exchange(server.address());
    let begun = Instant::now();
    // It may still hold the descriptors of clients that have gone, and shed the first one.
    evidence::wait_until(5 * SECOND, || exchange().ok()).expect("it serves again");
    let took = begun.elapsed();
    let begun = Instant::now();
    (0..queued).for_each(|_| exchange().unwrap());
    let limit = Duration::from_millis(200) + begun.elapsed();
    assert!(took < limit, "{took:?} of {limit:?}\n{}", server.stderr());
}

fn two_hundred_connections_with_32_descriptors_cost_nothing(kind: &Kind) -> Result<(), Skip> {
    let run = kind.run("0").limit_nofile(32);
    let server = Server::start_run(run);
    let held = peer::hold(server.address(), 200).unwrap();
    let share = cpu_share(&server, HELD);
    assert!(share < 0.05, "{:.1} % of a core", share * 100.0);
    let complaints = server.stderr().matches("accept: ").count();
    assert!(complaints <= 5, "{complaints} lines:\n{}", server.stderr());
    drop(held);
    full_service_within_200_ms(kind, &server, 200);
    Ok(())
}

fn a_connection_that_is_reset_in_the_queue_is_passed_over(kind: &Kind) -> Result<(), Skip> {
    const RESETS: usize = 50;
    let server = kind.start(&[]);
    kind.probe.exchange(server.address()).unwrap();
    let first = at_rest(&server);
    // Its workers are not stopped with it.
    let stopped = |pid: &i32| evidence::state(*pid) == Some('T');
    let family = family(&server);
    family.iter().for_each(|pid| kill(*pid, "STOP"));
    let all = || family.iter().all(stopped).then_some(());
    evidence::wait_until(5 * SECOND, all).expect("they obey SIGSTOP");
    for start in [&b""[..], b"x"].iter().cycle().take(RESETS) {
        peer::reset(server.address(), start).unwrap();
    }
    // Each was reset where it waits, and waits there still.
    assert_eq!(evidence::accept_queue(server.address()), RESETS as u64);
    family.iter().for_each(|pid| kill(*pid, "CONT"));
    kind.probe.exchange(server.address()).expect("it serves the next client");
    assert_eq!(at_rest(&server), first, "the descriptors of the start");
    let lines = server.stderr().lines().count();
    assert!(lines <= 2 * RESETS + 2 * kind.lines_of_a_client(), "{}", server.stderr());
    Ok(())
}

fn without_a_descriptor_left_load_is_shed_without_spinning(kind: &Kind) -> Result<(), Skip> {
    need(Need::Prlimit)?;
    let server = kind.start(&[]);
    let pid = server.pid().to_string();
    let limit = |descriptors: &str| {
        let nofile = format!("--nofile={descriptors}");
        assert!(Run::program("prlimit").args(["--pid", &pid, &nofile]).finish().status.success());
    };
    // Once it has served, it holds all that it ever holds. The lowest free descriptor is the
    // one that accept would take: it becomes the limit, and accept fails with EMFILE.
    full_service_within_200_ms(kind, &server, 1);
    let descriptors = at_rest(&server);
    let open = &descriptors[&server.pid()];
    let free = (0..).find(|fd| !open.contains_key(fd)).unwrap();
    limit(&format!("{free}:"));
    let held = peer::hold(server.address(), 200).unwrap();
    let share = cpu_share(&server, HELD);
    assert!(share < 0.05, "{:.1} % of a core", share * 100.0);
    let log = server.stderr();
    let complaints = log.matches("EMFILE").count();
    assert!((1..=5).contains(&complaints), "{complaints} lines:\n{log}");
    drop(held);
    limit("1000:");
    full_service_within_200_ms(kind, &server, 200);
    let after = at_rest(&server);
    assert_eq!(after, descriptors, "the descriptors of the start");
    Ok(())
}

fn a_reserve_that_somebody_else_has_got_is_taken_back(kind: &Kind) -> Result<(), Skip> {
    need(Need::Strace)?;
    // It is made at the start; the second time is after the first refusal, where a thread may be
    // quicker. When that happens is not known: here it is as if it had.
    let run = kind.run("0").limit_nofile(32);
    let inject = "inject=eventfd2:error=EMFILE:when=2";
    let (run, _trace) = run.traced(&["trace=eventfd2", inject]);
    let server = Server::start_run(run);
    let held = peer::hold(server.address(), 200).unwrap();
    held.iter().for_each(|client| client.set_nonblocking(true).unwrap());
    let waits = |client: &&TcpStream| {
        client.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    // Those that got a descriptor; the others were told that they will not.
    let few = || (held.iter().filter(waits).count() < 32).then_some(());
    assert!(evidence::wait_until(10 * SECOND, few).is_some(), "{}", server.stderr());
    Ok(())
}

/// A server whose first `times` accepts fail with the errno.
fn failing(kind: &Kind, errno: &str, times: u32) -> Server {
    // Of several workers each would fail as often.
    let one = if kind.has_workers() { &["--workers", "1"][..] } else { &[] };
    let run = kind.run("0").args(one);
    let inject = format!("inject=accept4:error={errno}:when=1..{times}");
    let (run, _trace) = run.traced(&["trace=accept4", &inject]);
    Server::start_run(run)
}

fn an_accept_that_fails_for_the_connection_is_passed_over(kind: &Kind) -> Result<(), Skip> {
    need(Need::Strace)?;
    // accept(2), "Error handling", and EINTR.
    for errno in [
        "EINTR",
        "EAGAIN",
        "ECONNABORTED",
        "ENETDOWN",
        "EPROTO",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "EPERM",
        "ETIMEDOUT",
        "ENOSR",
        "ESOCKTNOSUPPORT",
        "EPROTONOSUPPORT",
    ] {
        let server = failing(kind, errno, 3);
        kind.probe.exchange(server.address()).unwrap_or_else(|why| panic!("{errno}: {why}"));
        assert!(!server.stderr().contains(errno), "{}", server.stderr());
    }
    Ok(())
}

fn an_accept_that_fails_for_want_of_something_is_tried_again(kind: &Kind) -> Result<(), Skip> {
    need(Need::Strace)?;
    for errno in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
        // Also the accept with the reserve descriptor fails, which closes the connection else.
        let server = failing(kind, errno, 4);
        let served = || kind.probe.exchange(server.address()).ok();
        // A worker that accepts without asking first fails by itself in its first 50 ms: of the four
        // an odd number may be left for us, and then its reserve refuses one.
        let timeout = if kind.has_workers() { 10 * SECOND } else { Duration::ZERO };
        evidence::wait_until(timeout, served).unwrap_or_else(|| panic!("{errno}"));
        let once = |log: &str| log.matches(errno).count() == 1;
        assert!(server.wait_stderr(once, 5 * SECOND), "{}", server.stderr());
    }
    Ok(())
}

fn an_accept_that_fails_for_the_listener_ends_the_server(kind: &Kind) -> Result<(), Skip> {
    need(Need::Strace)?;
    // Not EINVAL: there musl calls accept in place of accept4.
    let server = failing(kind, "ENOTSOCK", 1);
    let _client = peer::connect(server.address());
    let status = server.wait(10 * SECOND).expect("it ends");
    assert_eq!(status.code(), Some(71));
    let said = format!("{}: accept: Socket operation on non-socket (ENOTSOCK)\n", kind.name);
    assert!(server.stderr().ends_with(&said), "{}", server.stderr());
    Ok(())
}
