//! Names, addresses and ports: which is tried, and in which order.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use libtest_mimic::Trial;
use netcheck::peer::SilentListener;
use netcheck::{Finished, Need, Run, Skip, bin, need};
use socket2::{Domain, Socket, Type};

use super::{fails, take_request};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "socket_errors",
        tests![
            every_address_is_tried_in_the_resolvers_order,
            a_silent_address_leaves_time_for_the_next,
            the_port_is_http_if_none_is_given_and_may_be_a_name,
        ],
    )
}

const OK: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// It, with names of our own in the place of /etc/hosts.
fn with_hosts(hosts: &str, program: impl AsRef<OsStr>, args: &[&str]) -> Result<Finished, Skip> {
    need(Need::UserNamespace)?;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    fs::write(&path, hosts).unwrap();
    let script = r#"mount --bind "$1" /etc/hosts || exit 99; shift; exec "$@""#;
    let run = Run::script(script).arg(path).arg(program).args(args);
    let finished = run.unshared(&["--mount"]).finish();
    match finished.code() {
        Some(99) => Err(Skip { reason: "needs mounts in a user namespace".to_owned() }),
        _ => Ok(finished),
    }
}

fn every_address_is_tried_in_the_resolvers_order() -> Result<(), Skip> {
    let hosts = "127.0.0.3 several\n127.0.0.2 several\n127.0.0.1 several\n::1 several\n";
    // Nobody listens on port 1: the error has them all, in their order.
    let finished =
        with_hosts(hosts, bin("socket-errors"), &["--host", "several", "--port", "1", "-4"])?;
    let getent = with_hosts(hosts, "getent", &["ahostsv4", "several"])?.stdout_text();
    let stream = getent.lines().filter(|line| line.contains("STREAM"));
    let listed: Vec<&str> = stream.filter_map(|line| line.split_whitespace().next()).collect();
    // For IPv4 ::1 counts as 127.0.0.1, which is there already.
    let is_new = |(at, ip): &(usize, &&str)| !listed[..*at].contains(ip);
    let order: Vec<&str> = listed.iter().enumerate().filter(is_new).map(|(_, ip)| *ip).collect();
    assert_eq!(order.len(), 3, "{listed:?}");
    let refused = |ip: &&str| format!("connect to {ip}:1: Connection refused (ECONNREFUSED)");
    let all: Vec<String> = order.iter().map(refused).collect();
    fails(&finished, 69, "connect", &all.join(", "));
    // The last of them is the one that answers; IPv6 comes before all (RFC 6724).
    let last: IpAddr = order[2].parse().unwrap();
    if TcpListener::bind((last, 0)).is_err() {
        return Err(Skip { reason: format!("needs {last} on the loopback interface") });
    }
    // The same port of the others is bound, and refuses: no server of another test is given it.
    let found = (0..100).find_map(|_| {
        let listener = TcpListener::bind((last, 0)).ok()?;
        let port = listener.local_addr().ok()?.port();
        let others = order.iter().take(2).map(|ip| bound(ip.parse().ok()?, port));
        Some((listener, others.collect::<Option<Vec<Socket>>>()?))
    });
    let (listener, _others) = found.expect("a port that is free at three addresses");
    let address = listener.local_addr().unwrap();
    answer(listener);
    let port = address.port().to_string();
    let args = ["--host", "several", "--port", &port, "-v"];
    let finished = with_hosts(hosts, bin("socket-errors"), &args)?;
    let said = finished.stderr_text();
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(0), "hello"), "{said}");
    let mut tried: Vec<&str> = said.lines().filter(|line| line.starts_with("connect ")).collect();
    // gai.conf(5) may say otherwise.
    let table = fs::read_to_string("/etc/gai.conf").unwrap_or_default();
    let usual = !table.lines().any(|line| line.starts_with("precedence"));
    if usual && TcpListener::bind("[::1]:0").is_ok() {
        assert!(tried.remove(0).contains("[::1]:"), "{said}");
    }
    // Else its address may come at any place, or not at all.
    tried.retain(|line| !line.contains("[::1]:"));
    assert_eq!(tried.len(), 3, "{said}");
    assert!(tried.iter().zip(&order).all(|(line, ip)| line.contains(&format!(" {ip}:"))), "{said}");
    assert!(tried[2].ends_with(&format!("  {address}")), "{said}");
    Ok(())
}

/// A socket that is bound and does not listen.
fn bound(ip: IpAddr, port: u16) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&SocketAddr::from((ip, port)).into()).ok()?;
    Some(socket)
}

/// Answers the one connection that comes.
fn answer(listener: TcpListener) {
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        take_request(&stream);
        stream.write_all(OK).unwrap();
    });
}

fn a_silent_address_leaves_time_for_the_next() -> Result<(), Skip> {
    // The same port of another address; it may be taken.
    let found = (0..100).find_map(|_| {
        let silent = SilentListener::start();
        let other = SocketAddr::from(([127, 0, 0, 2], silent.address().port()));
        Some((silent, other, TcpListener::bind(other).ok()?))
    });
    let Some((silent, other, listener)) = found else {
        return Err(Skip { reason: "needs 127.0.0.2 on the loopback interface".to_owned() });
    };
    answer(listener);
    let port = other.port().to_string();
    let args = ["--host", "two", "--port", &port, "--timeout", "6s", "-v"];
    let finished = with_hosts("127.0.0.1 two\n127.0.0.2 two\n", bin("socket-errors"), &args)?;
    let said = finished.stderr_text();
    assert_eq!(
        (finished.code(), finished.stdout.as_slice()),
        (Some(0), b"hello".as_slice()),
        "{said}"
    );
    assert!(said.contains(&format!("connect to {}: timed out after ", silent.address())), "{said}");
    Ok(())
}

fn the_port_is_http_if_none_is_given_and_may_be_a_name() -> Result<(), Skip> {
    let host = "127.80.80.80";
    if TcpStream::connect((host, 80)).is_ok() {
        return Err(Skip { reason: "needs a port 80 that nobody serves".to_owned() });
    }
    let services = fs::read_to_string("/etc/services").unwrap_or_default();
    let known = services.lines().any(|line| line.split_whitespace().take(2).eq(["http", "80/tcp"]));
    for port in [&[][..], &["--port", "80"], &["--port", "http"]] {
        if known || !port.contains(&"http") {
            let finished = Run::new("socket-errors").args(["--host", host]).args(port).finish();
            let words = "connect to 127.80.80.80:80: Connection refused (ECONNREFUSED)";
            fails(&finished, 69, "connect", words);
        }
    }
    for port in ["65536", "70000", "-1", "0x50", "080", "", "no-such-service", "0"] {
        let finished = Run::new("socket-errors").args(["--port", port]).finish();
        let said = finished.stderr_text();
        assert_eq!(finished.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("socket-errors: --port {port}: ")), "{said}");
    }
    Ok(())
}
