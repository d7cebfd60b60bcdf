//! How a server ends, and what becomes of its clients then.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use netcheck::{Server, Signal, Skip, evidence, peer};
use scenarios::served;

use super::{Checks, Kind, SECOND, checks, family};

pub(super) const CHECKS: Checks = checks![
    any:
        the_listener_closes_at_sigterm_and_the_client_is_still_served,
        a_client_that_stays_is_cut_off_when_the_grace_is_over,
        a_client_that_never_reads_is_cut_off_when_the_grace_is_over,
        a_second_signal_ends_it_at_once,
        a_restart_past_time_wait_binds_at_once,
        when_it_is_killed_nothing_is_left;
];

fn stops_listening(server: &Server) {
    let closed = || (!evidence::is_listening(server.address())).then_some(());
    evidence::wait_until(2 * SECOND, closed).expect("the listener is closed");
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
    let mut client = served(server.address()).unwrap();
    server.signal(Signal::SIGTERM);
    stops_listening(&server);
    client.write_all(b"still").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "the end of the stream");
    ends(&server);
    Ok(())
}

fn a_client_that_stays_is_cut_off_when_the_grace_is_over(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--grace", "100ms"]);
    let mut client = served(server.address()).unwrap();
    server.signal(Signal::SIGTERM);
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0, "it is closed");
    ends(&server);
    Ok(())
}

fn a_client_that_never_reads_is_cut_off_when_the_grace_is_over(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--grace", "100ms"]);
    let _deaf = peer::never_reads(server.address()).unwrap();
    // The server waits for room to send, and not for bytes to receive.
    server.signal(Signal::SIGTERM);
    ends(&server);
    Ok(())
}

fn a_second_signal_ends_it_at_once(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--grace", "1h"]);
    let _client = served(server.address()).unwrap();
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
        let mut client = served(server.address()).unwrap();
        server.signal(Signal::SIGTERM);
        stops_listening(&server);
        server.signal(Signal::SIGINT);
        server.wait(10 * SECOND).expect("it ends");
        assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    Ok(())
}

fn when_it_is_killed_nothing_is_left(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&[]);
    let mut client = served(server.address()).unwrap();
    let family = family(&server);
    server.signal(Signal::SIGKILL);
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0, "the connection is closed");
    let gone = |pid: &i32| evidence::state(*pid).is_none_or(|state| state == 'Z');
    let none = || family.iter().all(gone).then_some(());
    evidence::wait_until(2 * SECOND, none).expect("its children end with it");
    Ok(())
}
