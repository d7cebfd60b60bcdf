//! `udp-echo`: what comes back, from which address, and what does not.

mod failures;
mod refusals;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Server, Signal, Skip, evidence, peer};
use serde_json::Value;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let own = topic(
        "udp_echo",
        tests![
            every_size_comes_back_exactly,
            ipv6_takes_twenty_bytes_more,
            the_bounds_of_datagrams_are_kept,
            the_answer_leaves_from_the_address_that_was_asked,
            an_ipv4_peer_of_a_dual_stack_socket_is_shown_as_ipv4,
            a_datagram_longer_than_the_buffer_is_reported_and_not_echoed,
            one_socket_serves_many_clients,
            the_log_is_a_line_a_datagram_or_nothing,
            sigusr1_shows_the_counts_so_far,
            its_port_is_taken_by_one_socket_only,
        ],
    );
    own.into_iter().chain(failures::trials()).chain(refusals::trials()).collect()
}

const SOON: Duration = Duration::from_secs(10);

/// How long nothing must come before it counts as nothing.
const A_WHILE: Duration = Duration::from_millis(200);

fn server(args: &[&str]) -> Server {
    Server::start("udp-echo", ["--port", "0"].iter().chain(args))
}

/// A client that is connected: what comes from another address than was asked, it does not hear.
fn client(host: &str, server: &Server) -> UdpSocket {
    let any = if host.contains(':') { "[::]:0" } else { "127.0.0.1:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect((host, server.address().port())).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    let length = socket.recv(&mut bytes).expect("an answer");
    bytes.truncate(length);
    bytes
}

fn is_echoed(socket: &UdpSocket, bytes: &[u8]) {
    socket.send(bytes).unwrap();
    let got = receive(socket);
    assert!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
}

fn is_silent(socket: &UdpSocket) {
    socket.set_read_timeout(Some(A_WHILE)).unwrap();
    assert!(socket.recv(&mut [0; 16]).is_err(), "an answer");
    socket.set_read_timeout(Some(SOON)).unwrap();
}

/// Ends it, and returns the counts of its last line; it was started with `--json`.
fn counts(server: &Server) -> Value {
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
    let log = server.stdout();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "summary", "{log}");
    last
}

fn has_ipv6() -> Result<(), Skip> {
    let bound = UdpSocket::bind("[::1]:0");
    bound.map(drop).map_err(|_| Skip { reason: "needs IPv6".to_owned() })
}

fn every_size_comes_back_exactly() -> Result<(), Skip> {
    let server = server(&["--json"]);
    let client = client("127.0.0.1", &server);
    let sizes = [0, 1, 2, 511, 1472, 1473, 8192, 65_506, 65_507];
    for size in sizes {
        is_echoed(&client, &peer::pattern(size as u64, size));
    }
    // An answer is as long as its request, and there is one: nothing more comes.
    is_silent(&client);
    let counts = counts(&server);
    assert_eq!(
        (&counts["received"], &counts["echoed"]),
        (&sizes.len().into(), &counts["received"])
    );
    assert_eq!(counts["bytes"], sizes.iter().sum::<usize>());
    Ok(())
}

fn ipv6_takes_twenty_bytes_more() -> Result<(), Skip> {
    has_ipv6()?;
    // The length in a UDP header counts its own 8 bytes; that of IPv4 counts its 20 too.
    let server = server(&["--host", "::1"]);
    let client = client("::1", &server);
    for size in [0, 65_507, 65_527] {
        is_echoed(&client, &peer::pattern(1, size));
    }
    assert!(client.send(&peer::pattern(1, 65_528)).is_err());
    Ok(())
}

fn the_bounds_of_datagrams_are_kept() -> Result<(), Skip> {
    let server = server(&[]);
    let client = client("127.0.0.1", &server);
    let sizes = [3, 0, 1, 4000, 0, 2];
    // Sent while nobody reads, they wait side by side in the queue.
    server.stop();
    for size in sizes {
        client.send(&peer::pattern(9, size)).unwrap();
    }
    server.cont();
    assert_eq!(sizes.map(|_| receive(&client).len()), sizes);
    Ok(())
}

fn the_answer_leaves_from_the_address_that_was_asked() -> Result<(), Skip> {
    // A socket that is bound to all addresses would answer from the one that the route picks:
    // 127.0.0.1, whichever was asked.
    for host in ["0.0.0.0", "::"] {
        if host == "::" {
            has_ipv6()?;
        }
        let server = server(&["--host", host]);
        for asked in ["127.0.0.1", "127.0.0.2", "127.255.255.254"] {
            is_echoed(&client(asked, &server), asked.as_bytes());
        }
        if host == "::" {
            is_echoed(&client("::1", &server), b"::1");
        }
    }
    Ok(())
}

fn an_ipv4_peer_of_a_dual_stack_socket_is_shown_as_ipv4() -> Result<(), Skip> {
    has_ipv6()?;
    let server = server(&["--host", "::", "-v"]);
    let client = client("127.0.0.2", &server);
    is_echoed(&client, b"hello");
    let local = client.local_addr().unwrap();
    let line = format!("udp-echo: {local} sent 5 bytes to 127.0.0.2: \"hello\"\n");
    assert!(server.wait_stderr(|log| log.contains(&line), SOON), "{}", server.stderr());
    Ok(())
}

fn a_datagram_longer_than_the_buffer_is_reported_and_not_echoed() -> Result<(), Skip> {
    let server = server(&["--buffer", "1000", "-v"]);
    let client = client("127.0.0.1", &server);
    client.send(&peer::pattern(1, 1001)).unwrap();
    // Its part is no echo: the next answer is that of the next datagram.
    is_echoed(&client, &peer::pattern(2, 1000));
    let local = client.local_addr().unwrap();
    let line = format!("{local} not answered: 1001 bytes do not fit into the buffer of 1000\n");
    assert!(server.wait_stderr(|log| log.contains(&line), SOON), "{}", server.stderr());
    Ok(())
}

fn one_socket_serves_many_clients() -> Result<(), Skip> {
    let server = server(&[]);
    let clients: Vec<UdpSocket> = (0..50).map(|_| client("127.0.0.1", &server)).collect();
    clients.iter().for_each(|client| is_echoed(client, b"hello"));
    let descriptors = evidence::descriptors(server.pid());
    let sockets = descriptors.values().filter(|link| link.starts_with("socket:")).count();
    assert_eq!((sockets, evidence::datagram_sockets(server.address()).len()), (1, 1));
    Ok(())
}

fn the_log_is_a_line_a_datagram_or_nothing() -> Result<(), Skip> {
    let bytes = b"\x1b]0;title\x07\n\xff";
    for (args, lines) in [(&["-v"][..], 11), (&[], 1), (&["-q"], 0), (&["-q", "-v"], 0)] {
        let server = server(args);
        let client = client("127.0.0.1", &server);
        (0..10).for_each(|_| is_echoed(&client, bytes));
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
        let log = server.stderr();
        assert_eq!(log.lines().count(), lines, "{args:?}: {log}");
        assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
        assert_eq!(
            log.matches(r#": "\u{1b}]0;title\u{7}\n\xff""#).count(),
            lines.saturating_sub(1)
        );
    }
    Ok(())
}

fn sigusr1_shows_the_counts_so_far() -> Result<(), Skip> {
    let server = server(&[]);
    is_echoed(&client("127.0.0.1", &server), b"hello");
    server.signal(Signal::SIGUSR1);
    let line = "udp-echo: datagrams: 1 received (5 bytes), 1 echoed, 0 refused, ";
    assert!(server.wait_stderr(|log| log.starts_with(line), SOON), "{}", server.stderr());
    is_echoed(&client("127.0.0.1", &server), b"hello");
    Ok(())
}

fn its_port_is_taken_by_one_socket_only() -> Result<(), Skip> {
    let server = server(&[]);
    // With SO_REUSEADDR on both, this one would be given its datagrams.
    let thief = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    thief.set_reuse_address(true).unwrap();
    let refused = thief.bind(&server.address().into()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    Ok(())
}

/// A socket that asks from this address.
fn from(host: &str, port: u16) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(host.parse().expect("an address"), port))?;
    socket.set_read_timeout(Some(SOON))?;
    Ok(socket)
}
