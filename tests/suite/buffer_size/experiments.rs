//! buffer-size: what it measures, and what an accepted socket inherits.

use std::net::TcpStream;

use libtest_mimic::Trial;
use netcheck::sys::pidfd_getfd;
use netcheck::{Need, Server, Skip, evidence, need};
use serde_json::Value;
use socket2::{SockRef, Socket};

use super::{SOON, objects, run};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "buffer_size",
        tests![
            a_set_buffer_takes_less_than_an_untouched_one,
            a_listener_hands_on_what_was_set_in_time,
            a_listener_of_another_program_hands_on_what_is_set_after_listen,
            the_sweep_draws_every_size,
        ],
    )
}

/// The bytes of a row of `--measure`, taken and kept, by what was set.
fn buffered(rows: &[Value], socket: &str, send: bool, receive: bool) -> (u64, u64) {
    let set = |row: &Value, key: &str| row.get(key).is_some();
    let of = |row: &&Value| {
        row["socket"] == socket
            && set(row, "send_asked") == send
            && set(row, "receive_asked") == receive
    };
    let row = rows.iter().find(of).unwrap_or_else(|| panic!("{socket} {send} {receive}: {rows:?}"));
    (row["bytes"].as_u64().unwrap(), row["kept"].as_u64().unwrap())
}

fn a_set_buffer_takes_less_than_an_untouched_one() -> Result<(), Skip> {
    let rows = objects(&["--measure"]);
    assert_eq!(rows.len(), 3 * 4, "{rows:?}");
    let tcp = |send, receive| buffered(&rows, "TCP", send, receive).0;
    assert!(tcp(true, false) < tcp(false, false), "{rows:?}");
    assert!(tcp(false, true) < tcp(false, false), "{rows:?}");
    assert!(tcp(true, true) < tcp(true, false) && tcp(true, true) < tcp(false, true), "{rows:?}");
    // Both read back 8192, and a segment may be on its way between them.
    assert!(tcp(true, true) < 128 * 1024, "{rows:?}");
    let unix = |send, receive| buffered(&rows, "unix", send, receive).0;
    assert!(unix(true, false) < unix(false, false), "{rows:?}");
    assert_eq!(unix(false, true), unix(false, false), "{rows:?}");
    let (sent, kept) = buffered(&rows, "UDP", false, true);
    assert!(0 < kept && kept < sent && kept < buffered(&rows, "UDP", false, false).1, "{rows:?}");
    Ok(())
}

fn a_listener_hands_on_what_was_set_in_time() -> Result<(), Skip> {
    for moment in ["before-listen", "after-listen", "after-accept"] {
        let rows = objects(&["--when", moment]);
        let buffers: Vec<&Value> = rows.iter().map(|row| &row["buffer"]).collect();
        assert_eq!(buffers, ["send", "receive"], "{rows:?}");
        for row in rows {
            assert_eq!(row["listener"], 2 * 9973, "{row}");
            let inherited = row["accepted"] == row["listener"];
            assert_eq!(inherited, moment != "after-accept", "{moment}: {row}");
            assert_eq!(row["as_documented"], true, "{row}");
        }
    }
    Ok(())
}

/// The server's sockets from its lowest descriptor on, as copies.
fn sockets_of(server: &Server) -> Vec<Socket> {
    let open = evidence::descriptors(server.pid());
    let sockets = open.iter().filter(|(_, target)| target.starts_with("socket:"));
    sockets.filter_map(|(fd, _)| pidfd_getfd(server.pid(), *fd).ok()).map(Socket::from).collect()
}

fn a_listener_of_another_program_hands_on_what_is_set_after_listen() -> Result<(), Skip> {
    need(Need::PidfdGetfd)?;
    let server = Server::start("echo-server", ["--port", "0"]);
    let listener = sockets_of(&server).into_iter().next().expect("a listener");
    listener.set_recv_buffer_size(9973).unwrap();
    let client = TcpStream::connect(server.address()).unwrap();
    let peer = client.local_addr().unwrap();
    let accepted = || {
        let is_it = |socket: &Socket| {
            socket.peer_addr().ok().and_then(|address| address.as_socket()) == Some(peer)
        };
        sockets_of(&server).into_iter().find(is_it)
    };
    let accepted = evidence::wait_until(SOON, accepted).expect("it accepts");
    assert_eq!(accepted.recv_buffer_size().unwrap(), 2 * 9973);
    assert_ne!(SockRef::from(&client).recv_buffer_size().unwrap(), 2 * 9973);
    Ok(())
}

fn the_sweep_draws_every_size() -> Result<(), Skip> {
    let finished = run(&["--sweep"]);
    let said = finished.stdout_text();
    assert_eq!((finished.code(), said.lines().count()), (Some(0), 13), "{said}");
    let bar = |line: &str| line.chars().filter(|c| *c == '#').count();
    // The fastest has the longest bar, and none has a longer one.
    assert_eq!(said.lines().map(bar).max(), Some(30), "{said}");
    assert!(said.lines().skip(1).all(|line| bar(line) > 0), "{said}");
    for row in objects(&["--sweep"]) {
        assert!(row["duration_ns"].as_u64() >= Some(200_000_000), "{row}");
    }
    Ok(())
}
