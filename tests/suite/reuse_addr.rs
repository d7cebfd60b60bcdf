//! `reuse-addr`, seen from outside: the option of its socket, and a restart under TIME_WAIT.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{NOBODY, Need, Run, Server, Signal, Skip, evidence, need, peer};
use socket2::{Domain, Socket, Type};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "reuse_addr",
        tests![
            the_option_is_what_it_says,
            a_restart_under_100_connections_in_time_wait_binds_20_times_of_20,
            without_the_option_it_says_what_holds_the_port,
            what_a_server_without_the_option_left_behind_blocks_one_with_it,
            a_listener_that_holds_the_port_is_named,
            an_open_connection_is_named,
            a_socket_that_is_only_bound_is_not_found,
            who_connects_is_said,
            every_rule_is_as_documented,
            json_is_read_by_jq,
        ],
    );
    trials.extend(topic(
        "reuse_addr::as_root",
        tests![
            a_listener_of_another_user_is_not_looked_into,
            another_user_takes_the_datagrams_of_a_udp_socket
        ],
    ));
    trials
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

fn stop(server: &Server) {
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
}

/// A port with that many connections in TIME_WAIT, and nobody who listens.
fn left_behind(count: usize, more: &[&str]) -> u16 {
    let server = Server::start("reuse-addr", [&["--port", "0", "-q"], more].concat());
    let (address, port) = (server.address(), server.address().port());
    connections(address, count);
    // One that came from the port of an earlier one has its place: it takes another one then.
    let all = || {
        let waits = evidence::in_time_wait(port) >= count;
        if !waits {
            connections(address, 1);
        }
        waits.then_some(())
    };
    let waited = evidence::wait_until(SOON, all);
    assert!(waited.is_some(), "{} of {count} in TIME_WAIT", evidence::in_time_wait(port));
    stop(&server);
    port
}

fn a_restart_under_100_connections_in_time_wait_binds_20_times_of_20() -> Result<(), Skip> {
    let port = left_behind(100, &[]);
    for _ in 0..20 {
        let server = Server::start("reuse-addr", ["--port", &port.to_string(), "-q"]);
        connections(server.address(), 2);
        stop(&server);
    }
    // All of it was under TIME_WAIT, which a server without the option still finds.
    let said = refused(Run::new("reuse-addr").arg("--no-reuse"), port);
    assert!(evidence::in_time_wait(port) >= 100, "{said}");
    Ok(())
}

/// It fails with EADDRINUSE, and says so before it says what holds the port.
fn refused(run: Run, port: u16) -> String {
    let finished = run.args(["--port", &port.to_string()]).finish();
    let said = finished.stderr_text();
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(71), ""), "{said}");
    let error = "Address already in use (EADDRINUSE)\nhint: ";
    assert!(said.contains(error), "{said}");
    said
}

fn without_the_option_it_says_what_holds_the_port() -> Result<(), Skip> {
    let port = left_behind(3, &[]);
    let said = refused(Run::new("reuse-addr").arg("--no-reuse"), port);
    let count = evidence::in_time_wait(port);
    let held = format!("127.0.0.1:{port} is held by {count} in TIME_WAIT, of no process");
    assert!(said.contains(&held), "{said}");
    Ok(())
}

fn what_a_server_without_the_option_left_behind_blocks_one_with_it() -> Result<(), Skip> {
    let port = left_behind(1, &["--no-reuse"]);
    let said = refused(Run::new("reuse-addr"), port);
    let count = evidence::in_time_wait(port);
    assert!(said.contains(&format!("is held by {count} in TIME_WAIT")), "{said}");
    Ok(())
}

fn a_listener_that_holds_the_port_is_named() -> Result<(), Skip> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap();
    let held =
        format!("\nreuse-addr: {local} is held by a listener of pid {} (", std::process::id());
    for host in ["127.0.0.1", "0.0.0.0"] {
        let said = refused(Run::new("reuse-addr").args(["--host", host]), local.port());
        assert_eq!(said.matches("is held by").count(), 1, "{said}");
        assert!(said.contains(&held), "{said}");
    }
    Ok(())
}

fn a_listener_of_another_user_is_not_looked_into() -> Result<(), Skip> {
    need(Need::OtherUser)?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = refused(Run::new("reuse-addr").uid(NOBODY), port);
    let held = "is held by a listener of a process of uid 0, which this user may not inspect";
    assert!(said.contains(held), "{said}");
    Ok(())
}

fn an_open_connection_is_named() -> Result<(), Skip> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap();
    let _client = peer::connect(local).unwrap();
    let _accepted = listener.accept().unwrap();
    drop(listener);
    // std set SO_REUSEADDR on the listener, so only --no-reuse is refused.
    let said = refused(Run::new("reuse-addr").arg("--no-reuse"), local.port());
    let held = format!("{local} is held by an open connection of pid {}", std::process::id());
    assert!(said.contains(&held), "{said}");
    Server::start("reuse-addr", ["--port", &local.port().to_string()]);
    Ok(())
}

fn a_socket_that_is_only_bound_is_not_found() -> Result<(), Skip> {
    let bound = peer::refused_port();
    let said = refused(Run::new("reuse-addr").arg("--no-reuse"), bound.address().port());
    assert!(said.contains("it does not list a socket that is only bound"), "{said}");
    Ok(())
}

fn who_connects_is_said() -> Result<(), Skip> {
    let server = Server::start("reuse-addr", ["--port", "0", "--json"]);
    let mut client = peer::connect(server.address()).unwrap();
    let port = client.local_addr().unwrap().port();
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "the server closes");
    drop(client);
    let said = || {
        let lines = server.stdout();
        let opened = format!(r#"{{"type":"opened","address":"127.0.0.1","port":{port}}}"#);
        let option = r#"{"type":"option","name":"SO_REUSEADDR","was":0,"is":1}"#;
        let all = [option, &opened, r#""type":"closed""#];
        all.iter().all(|line| lines.contains(line)).then_some(())
    };
    assert!(evidence::wait_until(SOON, said).is_some(), "{}", server.stdout());
    stop(&server);
    Ok(())
}

fn every_rule_is_as_documented() -> Result<(), Skip> {
    let finished = Run::new("reuse-addr").arg("--matrix").finish();
    let shown = finished.stdout_text();
    assert_eq!(finished.code(), Some(0), "{shown}{}", finished.stderr_text());
    let rules: Vec<&str> = shown.lines().skip(1).collect();
    assert_eq!(rules.len(), 50, "{shown}");
    for rule in rules {
        if rule.ends_with("not tried") {
            return Err(Skip { reason: "needs IPv6".to_owned() });
        }
        assert!(rule.ends_with("as documented"), "{shown}");
    }
    Ok(())
}

fn another_user_takes_the_datagrams_of_a_udp_socket() -> Result<(), Skip> {
    need(Need::OtherUser)?;
    need(Need::Python3)?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let ours = UdpSocket::from(socket);
    let local = ours.local_addr().unwrap();
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
        s.bind(('127.0.0.1', int(sys.argv[1])))\n\
        print('bound', flush=True)\n\
        print(s.recv(100).decode(), flush=True)";
    let run = Run::program("python3").args(["-c", script, &local.port().to_string()]);
    let mut theirs = run.uid(NOBODY).start();
    assert_eq!(theirs.next_line(SOON).as_deref(), Some("bound"), "{}", theirs.stderr());
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"ours?", local).unwrap();
    assert_eq!(theirs.next_line(SOON).as_deref(), Some("ours?"), "{}", theirs.stderr());
    ours.set_nonblocking(true).unwrap();
    assert!(ours.recv(&mut [0; 8]).is_err(), "the first socket has it too");
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let finished = Run::new("reuse-addr").args(["--matrix", "--json"]).finish();
    let filter = "map(select(.type == \"rule\" and .as_documented)) | length";
    let read = Run::program("jq").args(["-s", filter]).stdin(finished.stdout).finish();
    assert_eq!((read.code(), read.stdout_text().as_str()), (Some(0), "50\n"));
    Ok(())
}
