//! How a server ends, and what becomes of its clients then.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use netcheck::{Need, Process, Run, Server, Signal, Skip, bin, evidence, need};

use super::{Checks, Kind, SECOND, checks, family};
use crate::{in_time, kill};

pub(super) const CHECKS: Checks = checks![
    serves_after_sigterm: the_listener_closes_at_sigterm_and_the_client_is_still_served;
    waits_for_its_clients:
        a_client_that_stays_is_cut_off_when_the_grace_is_over,
        a_second_signal_ends_it_at_once;
    any:
        a_client_that_never_reads_is_cut_off_when_the_grace_is_over,
        a_restart_past_time_wait_binds_at_once,
        a_restart_after_kill_9_binds_again,
        as_process_1_it_leaves_no_zombie,
        when_it_is_killed_nothing_is_left;
];

fn stops_listening(server: &Server) {
    let closed = || (!evidence::is_listening(server.address())).then_some(());
    evidence::wait_until(2 * SECOND, closed).expect("the listener is closed");
}

/// At its end, after a goodbye or none, or reset.
fn is_closed(client: &mut TcpStream) {
    let end = client.read_to_end(&mut Vec::new());
    assert!(!end.is_err_and(|why| why.kind() == ErrorKind::WouldBlock), "it is open");
}

/// It ends with 0, and nothing of it is left.
fn ends(server: &Server) {
    let family = family(server);
    let status = server.wait(10 * SECOND).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    let gone = |pid: &i32| evidence::state(*pid).is_none_or(|state| state == 'Z');
    assert!(family.iter().all(|pid| *pid == server.pid() || gone(pid)), "{family:?}");
}

fn the_listener_closes_at_sigterm_and_the_client_is_still_served(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--grace", "30s"]);
    let mut client = kind.probe.served(server.address()).unwrap();
    server.signal(Signal::SIGTERM);
    stops_listening(&server);
    kind.probe.ask(&mut client).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "the end of the stream");
    ends(&server);
    Ok(())
}

fn a_client_that_stays_is_cut_off_when_the_grace_is_over(kind: &Kind) -> Result<(), Skip> {
    in_time(|| {
        let server = kind.start(&["--grace", "1s"]);
        let mut client = kind.probe.served(server.address()).unwrap();
        let begun = Instant::now();
        server.signal(Signal::SIGTERM);
        is_closed(&mut client);
        ends(&server);
        let took = begun.elapsed();
        assert!(took >= SECOND, "{took:?}");
        took < SECOND * 3 / 2 + kind.goodbye()
    });
    Ok(())
}

fn a_client_that_never_reads_is_cut_off_when_the_grace_is_over(kind: &Kind) -> Result<(), Skip> {
    in_time(|| {
        let server = kind.start(&["--grace", "1s"]);
        let _deaf = kind.probe.never_reads(server.address()).unwrap();
        let begun = Instant::now();
        // The server waits for room to send, and not for bytes to receive.
        server.signal(Signal::SIGTERM);
        ends(&server);
        let took = begun.elapsed();
        assert!(took >= SECOND, "{took:?}");
        took < SECOND * 3 / 2 + kind.goodbye()
    });
    Ok(())
}

fn a_second_signal_ends_it_at_once(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--grace", "1h"]);
    let _client = kind.probe.served(server.address()).unwrap();
    server.signal(Signal::SIGINT);
    stops_listening(&server);
    assert!(server.still_running(), "it drains");
    server.signal(Signal::SIGINT);
    ends(&server);
    Ok(())
}

fn a_restart_past_time_wait_binds_at_once(kind: &Kind) -> Result<(), Skip> {
    let mut port = "0".to_owned();
    for _ in 0..3 {
        let server = Server::start_run(kind.run(&port));
        port = server.address().port().to_string();
        // The server closes first: its side of the connection is then in TIME_WAIT.
        let mut client = kind.probe.served(server.address()).unwrap();
        server.signal(Signal::SIGTERM);
        stops_listening(&server);
        server.signal(Signal::SIGINT);
        server.wait(10 * SECOND).expect("it ends");
        is_closed(&mut client);
    }
    Ok(())
}

fn a_restart_after_kill_9_binds_again(kind: &Kind) -> Result<(), Skip> {
    let first = kind.start(&[]);
    let (address, port) = (first.address(), first.address().port().to_string());
    let mut next: Option<Process> = None;
    for _ in 0..3 {
        let server = next.as_ref().unwrap_or(&first);
        // Its connections are open, and closed by the kernel.
        let clients = if kind.serves_several() { 5 } else { 1 };
        let served = |_| kind.probe.served(address).unwrap();
        let _clients: Vec<TcpStream> = (0..clients).map(served).collect();
        server.signal(Signal::SIGKILL);
        server.wait(10 * SECOND).expect("it is killed");
        let binds = || {
            let mut again = kind.run(&port).start();
            let listens = again.next_line(10 * SECOND).is_some();
            assert!(listens || again.wait(10 * SECOND).is_some());
            assert!(listens || again.stderr().contains("(EADDRINUSE)"), "{}", again.stderr());
            listens.then_some(again)
        };
        // A service manager tries again (systemd: RestartSec=100ms).
        let timeout = if kind.may_outlive_its_process() { 2 * SECOND } else { Duration::ZERO };
        next = Some(evidence::wait_until(timeout, binds).expect("the port is free"));
    }
    Ok(())
}

fn as_process_1_it_leaves_no_zombie(kind: &Kind) -> Result<(), Skip> {
    need(Need::PidNamespace)?;
    // The parents of the sleeping processes end at once: they are children of process 1 then.
    const ORPHANS: &str = r#"for orphan in 1 2 3; do (sleep 60 &); done; exec "$@""#;
    let run = Run::script(ORPHANS).arg(bin(&kind.name)).args(["--port", "0"]);
    let run = run.args(kind.options()).unshared(&["--pid", "--fork", "--mount-proc"]);
    let outside = Server::start_run(run);
    kind.probe.exchange(outside.address()).unwrap();
    let process_1 = evidence::children(outside.pid())[0];
    let orphans = || {
        let children = evidence::children(process_1).into_iter();
        children.filter(|pid| name(*pid).is_some_and(|name| name == "sleep")).collect::<Vec<_>>()
    };
    let three = || Some(orphans()).filter(|found| found.len() == 3);
    let three = evidence::wait_until(5 * SECOND, three).expect("they are its children");
    three.iter().for_each(|orphan| kill(*orphan, "KILL"));
    let reaped = || orphans().is_empty().then_some(());
    evidence::wait_until(5 * SECOND, reaped).expect("it reaps them");
    kind.probe.exchange(outside.address()).unwrap();
    kill(process_1, "TERM");
    let status = outside.wait(10 * SECOND).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", outside.stderr());
    Ok(())
}

/// What the process was started from.
fn name(pid: i32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

fn when_it_is_killed_nothing_is_left(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    let mut client = kind.probe.served(server.address()).unwrap();
    let family = family(&server);
    server.signal(Signal::SIGKILL);
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    is_closed(&mut client);
    let gone = |pid: &i32| evidence::state(*pid).is_none_or(|state| state == 'Z');
    let none = || family.iter().all(gone).then_some(());
    evidence::wait_until(2 * SECOND, none).expect("its children end with it");
    Ok(())
}
