//! echo-server: what it alone does.

use std::io::{Read, Write};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Server, Skip, evidence, peer};
use scenarios::served;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "echo_server",
        tests![a_second_client_waits_until_the_first_closes, once_serves_one_connection_and_ends,],
    )
}

const SECOND: Duration = Duration::from_secs(1);

fn a_second_client_waits_until_the_first_closes() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0"]);
    let first = served(server.address()).unwrap();
    let mut second = peer::connect(server.address()).unwrap();
    second.write_all(b"second").unwrap();
    // It has accepted one connection only, although the other is in its queue.
    let sockets =
        |pid| evidence::descriptors(pid).values().filter(|to| to.starts_with("socket:")).count();
    assert_eq!(sockets(server.pid()), 2, "the listener and the first client");
    drop(first);
    let mut reply = [0; 6];
    second.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"second");
    Ok(())
}

fn once_serves_one_connection_and_ends() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0", "--once"]);
    assert_eq!(peer::exchange(server.address(), b"only").unwrap(), b"only");
    assert_eq!(server.wait(10 * SECOND).and_then(|status| status.code()), Some(0));
    Ok(())
}
