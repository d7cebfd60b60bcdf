//! One server, one client, every byte echoed; a second client waits for the first.

use std::io::{Read, Write};
use std::net::Shutdown;

use netcheck::{Run, Scenario, ScenarioRun, Stopped, peer};

use crate::{ends, served, sockets};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "echo", summary: "one connection at a time, every byte echoed", run };

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("echo-server", ["--port", "0"]);
    let port = server.address().port().to_string();

    let hello = scenario.run(Run::new("echo-client").args(["--port", &port, "Hello, server"]));
    let status = hello.status;
    scenario.check("exit", "the client received what it sent", status.success(), status)?;
    let more = scenario.run(Run::new("echo-client").args(["--port", &port, "--size", "4194304"]));
    let status = more.status;
    scenario.check("bulk", "4 MiB come back equal, byte for byte", status.success(), status)?;

    let first = served(server.address())?;
    scenario.event("connected", "the first client, which stays");
    let mut second = peer::connect(server.address())?;
    let sent = second.write(b"second")?;
    scenario.event("connected", "the second client");
    let evidence = format!("connect: 0, send: {sent}");
    scenario.check(
        "connects",
        "a second client connects and sends without waiting",
        sent == 6,
        evidence,
    )?;
    // That it is not served can't be shown by waiting; the kernel shows that it was not accepted.
    let sockets = sockets(&server);
    let evidence = format!("{sockets} sockets in /proc/{}/fd", server.pid());
    scenario.check_eq(
        "one",
        "the server has the listener and one connection",
        2,
        sockets,
        evidence,
    )?;

    first.shutdown(Shutdown::Write)?;
    let mut reply = [0; 6];
    second.read_exact(&mut reply)?;
    let right = reply == *b"second";
    scenario.check(
        "waits",
        "when the first client ends, the second is served",
        right,
        "6 bytes back",
    )?;
    drop((first, second));
    ends(scenario, &server)
}
