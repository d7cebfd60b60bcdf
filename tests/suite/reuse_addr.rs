//! `reuse-addr`, seen from outside: the option of its socket, and a restart under TIME_WAIT.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Signal, Skip, evidence, need, peer};
use socket2::Socket;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "reuse_addr",
        tests![
            the_option_is_what_it_says,
            a_restart_under_100_connections_in_time_wait_binds_20_times_of_20,
            without_the_option_it_says_what_holds_the_port,
            a_listener_that_holds_the_port_is_named,
            every_rule_is_as_documented,
            json_is_read_by_jq,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

fn the_option_is_what_it_says() -> Result<(), Skip> {
    need(Need::PidfdGetfd)?;
    for (args, said, is) in [
        (&["--port", "0"][..], ", SO_REUSEADDR was 0, is 1", true),
        (&["--port", "0", "--no-reuse"][..], ", SO_REUSEADDR was 0, is 0", false),
    ] {
        let server = Server::start("reuse-addr", args);
        assert!(server.readiness().ends_with(said), "{}", server.readiness());
        let (pid, fd) = evidence::listener_owners(server.address())[0];
        let copy = netcheck::sys::pidfd_getfd(pid, fd).unwrap();
        assert_eq!(Socket::from(copy).reuse_address().unwrap(), is);
    }
    Ok(())
}

/// Connections that the server closes first, so that it has their TIME_WAIT.
fn connections(address: SocketAddr, count: usize) {
    for _ in 0..count {
        let mut client = peer::connect(address).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "the server closes");
    }
}

/// How many connections of the port are in TIME_WAIT (proc(5), /proc/net/tcp).
fn in_time_wait(port: u16) -> usize {
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let waits = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().unwrap_or_default();
        local.ends_with(&format!(":{port:04X}")) && words.nth(1) == Some("06")
    };
    table.lines().filter(waits).count()
}

fn stop(server: &Server) {
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
}

/// A port with that many connections in TIME_WAIT, and nobody who listens.
fn left_behind(count: usize) -> u16 {
    let server = Server::start("reuse-addr", ["--port", "0", "-q"]);
    let port = server.address().port();
    connections(server.address(), count);
    stop(&server);
    let all = || (in_time_wait(port) >= count).then_some(());
    evidence::wait_until(SOON, all).expect("connections in TIME_WAIT");
    port
}

fn a_restart_under_100_connections_in_time_wait_binds_20_times_of_20() -> Result<(), Skip> {
    let port = left_behind(100);
    for _ in 0..20 {
        let server = Server::start("reuse-addr", ["--port", &port.to_string(), "-q"]);
        connections(server.address(), 2);
        stop(&server);
    }
    Ok(())
}

fn without_the_option_it_says_what_holds_the_port() -> Result<(), Skip> {
    let port = left_behind(3);
    let finished =
        Run::new("reuse-addr").args(["--port", &port.to_string(), "--no-reuse"]).finish();
    assert_eq!(finished.code(), Some(71), "{}", finished.stderr_text());
    let said = finished.stderr_text();
    let note = format!("reuse-addr: nobody listens on port {port}: 3 connections in TIME_WAIT");
    assert!(said.contains(&note) && said.contains("(EADDRINUSE)"), "{said}");
    assert!(finished.stdout.is_empty());
    Ok(())
}

fn a_listener_that_holds_the_port_is_named() -> Result<(), Skip> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let finished = Run::new("reuse-addr").args(["--port", &port]).finish();
    assert_eq!(finished.code(), Some(71));
    let said = finished.stderr_text();
    let held = format!("reuse-addr: port {port} is held by pid {} (", std::process::id());
    assert!(said.contains(&held), "{said}");
    Ok(())
}

fn every_rule_is_as_documented() -> Result<(), Skip> {
    let finished = Run::new("reuse-addr").arg("--matrix").finish();
    let shown = finished.stdout_text();
    assert_eq!(finished.code(), Some(0), "{shown}");
    assert!(shown.lines().all(|line| line.ends_with("as documented")), "{shown}");
    assert!(shown.lines().count() >= 19, "{shown}");
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let finished = Run::new("reuse-addr").args(["--matrix", "--json"]).finish();
    let filter = "select(.got != .documented or (.holds | not)) | .what";
    let read = Run::program("jq").args(["-r", filter]).stdin(finished.stdout).finish();
    assert_eq!((read.code(), read.stdout_text().as_str()), (Some(0), ""));
    Ok(())
}
