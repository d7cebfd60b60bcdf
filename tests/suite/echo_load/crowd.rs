//! echo-load with many connections, few descriptors and short queues.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Signal, Skip, bin, evidence, need};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::{MS, load, measured, number, pause};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "echo_load",
        tests![
            the_soft_limit_of_descriptors_is_raised,
            two_thousand_connections_are_opened_and_served,
            too_few_descriptors_are_71_before_anything_is_opened,
            idle_connections_are_held_until_a_signal,
            a_server_that_is_slow_to_accept_is_waited_for,
            ipv6_is_loaded_too,
        ],
    )
}

/// A server that accepts `count` connections, each after a pause and with one reply, and then echoes on
/// all of them in turn until they have ended.
fn patient(count: usize, backlog: i32, between: Duration) -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(backlog).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let accept = |_| {
            pause(between);
            let mut stream = listener.accept().unwrap().0;
            reply(&mut stream);
            stream
        };
        let mut streams: Vec<TcpStream> = (0..count).map(accept).collect();
        while !streams.is_empty() {
            streams.retain_mut(reply);
        }
    });
    address
}

/// Echoes a message; false at the end of the stream.
fn reply(stream: &mut TcpStream) -> bool {
    let mut message = [0; 64];
    stream.read_exact(&mut message).and_then(|()| stream.write_all(&message)).is_ok()
}

fn the_soft_limit_of_descriptors_is_raised() -> Result<(), Skip> {
    let address = patient(100, 128, Duration::ZERO);
    let run = Run::script(r#"ulimit -Sn 40; exec "$@""#).arg(bin("echo-load"));
    let port = address.port().to_string();
    let args = ["--host", "127.0.0.1", "--port", &port, "--connections", "100"];
    let finished = run.args(args).args(["--duration", "100ms"]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.stdout_text().starts_with("100 connections, 64 bytes: "), "{finished:?}");
    Ok(())
}

fn two_thousand_connections_are_opened_and_served() -> Result<(), Skip> {
    // The server's ends are ours.
    need(Need::Descriptors(2_100))?;
    let address = patient(2000, 128, Duration::ZERO);
    let figures = measured(address, &["--connections", "2000", "--duration", "200ms"]);
    assert_eq!(number(&figures, "opened"), 2000, "{figures}");
    // Each of them had at least a message there and back.
    let trips = number(&figures, "round_trips");
    assert!(trips >= 2000 && number(&figures, "bytes") == trips * 64, "{figures}");
    Ok(())
}

fn too_few_descriptors_are_71_before_anything_is_opened() -> Result<(), Skip> {
    let server = Server::start("forking-echo", ["--port", "0"]);
    let finished = load(server.address(), &["--connections", "100"]).limit_nofile(64).finish();
    assert_eq!(finished.code(), Some(71), "{finished:?}");
    let said = finished.stderr_text();
    assert!(said.starts_with("echo-load: open 100 connections with 64 descriptors: "), "{said}");
    assert!(said.contains("(EMFILE)\nhint: "), "{said}");
    assert!(!server.stderr().contains("opened"), "{}", server.stderr());
    Ok(())
}

fn idle_connections_are_held_until_a_signal() -> Result<(), Skip> {
    let address = patient(50, 128, Duration::ZERO);
    let args = ["--idle", "--connections", "50", "--duration", "none"];
    let mut run = load(address, &args).start();
    let line = run.next_line(Duration::from_secs(10)).expect("it says that they are open");
    let open: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&open["type"], &open["connections"]), (&"open".into(), &50.into()), "{line}");
    let sockets = || {
        let open = evidence::descriptors(run.pid());
        open.values().filter(|target| target.starts_with("socket:")).count()
    };
    assert_eq!(sockets(), 50);
    run.signal(Signal::SIGTERM);
    assert!(run.wait(Duration::from_secs(10)).is_some());
    let figures: Value = serde_json::from_str(run.stdout().lines().last().unwrap()).unwrap();
    assert_eq!((&figures["mode"], &figures["round_trips"]), (&"idle".into(), &0.into()));
    Ok(())
}

fn a_server_that_is_slow_to_accept_is_waited_for() -> Result<(), Skip> {
    // With the backlog of Python's socketserver, and much slower than a client connects. The kernel would repeat
    // a connect that found the queue full after 1 s: that must not be needed.
    let address = patient(30, 5, 10 * MS);
    let args = ["--connections", "30", "--duration", "100ms", "--timeout", "900ms"];
    let figures = measured(address, &args);
    assert_eq!(number(&figures, "opened"), 30, "{figures}");
    Ok(())
}

fn ipv6_is_loaded_too() -> Result<(), Skip> {
    if TcpListener::bind("[::1]:0").is_err() {
        return Err(Skip { reason: "needs IPv6".to_owned() });
    }
    let server = Server::start("forking-echo", ["--port", "0", "--host", "::1"]);
    for kind in [&["--connections", "4"][..], &["--churn", "--connections", "4"]] {
        let args = [kind, &["-6", "--duration", "200ms"]].concat();
        assert!(number(&measured(server.address(), &args), "round_trips") > 0);
    }
    Ok(())
}
