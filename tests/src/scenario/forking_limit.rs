//! What happens to a client when the server has no child left for it.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use netcheck::{Scenario, ScenarioRun, Stopped, evidence, peer};

use crate::{cpu_share, ends, served};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "forking-limit",
    summary: "at most two children: the third client waits or is refused",
    run,
};

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    waits(scenario)?;
    refuses(scenario)
}

fn waits(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("forking-echo", ["--port", "0", "--max-clients", "2"]);
    let (first, second) = (served(server.address())?, served(server.address())?);
    let full = evidence::children(server.pid());
    let evidence = format!("{full:?} (/proc/{}/task)", server.pid());
    scenario.check_eq("two", "two clients have one child each", 2, full.len(), evidence)?;

    let mut third = peer::connect(server.address())?;
    let sent = third.write(b"third")?;
    let evidence = format!("connect: 0, send: {sent}");
    scenario.check(
        "connects",
        "a third client connects and waits in the queue",
        sent == 5,
        evidence,
    )?;
    // The listener is ready all the time; a server that still polled it would turn.
    let share = cpu_share(server.pid(), Duration::from_millis(300));
    let still = evidence::children(server.pid()) == full;
    let evidence = format!("{:.0} % of a core for 300 ms", share * 100.0);
    scenario.check(
        "no-spin",
        "the server sleeps while it is full",
        still && share < 0.05,
        evidence,
    )?;

    drop(first);
    let mut reply = [0; 5];
    third.read_exact(&mut reply)?;
    let right = reply == *b"third";
    scenario.check(
        "served",
        "when a child ends, the third client is served",
        right,
        "5 bytes back",
    )?;

    // Full again, with one more in the queue; the clients leave, so the children end too.
    let _waiting = peer::connect(server.address())?;
    let leave = std::thread::spawn(move || {
        let closed = || (!evidence::is_listening(third.peer_addr().ok()?)).then_some(());
        let obeyed = evidence::wait_until(Duration::from_secs(3), closed).is_some();
        drop((second, third));
        obeyed
    });
    let ended = ends(scenario, &server);
    let obeyed = scenario.keep || leave.join().unwrap_or(false);
    ended?;
    scenario.check(
        "obeys",
        "on SIGTERM the full server closes its listener at once",
        obeyed,
        "/proc/net/tcp",
    )
}

fn refuses(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let args = ["--port", "0", "--max-clients", "1", "--when-full", "refuse"];
    let server = scenario.serve("forking-echo", args);
    let held = served(server.address())?;
    // A close with bytes of the client unread is a RST, which any of its calls may report.
    let (closed, evidence) = match peer::exchange(server.address(), b"hello") {
        Ok(reply) => (reply.is_empty(), format!("{} bytes back", reply.len())),
        Err(error) => (error.kind() != ErrorKind::WouldBlock, error.to_string()),
    };
    scenario.check(
        "refused",
        "with --when-full refuse, the second client is closed at once",
        closed,
        evidence,
    )?;
    drop(held);
    let free = || evidence::children(server.pid()).is_empty().then_some(());
    let free = evidence::wait_until(Duration::from_secs(2), free).is_some();
    let echoed = peer::exchange(server.address(), b"hello")?;
    let right = free && echoed == b"hello";
    scenario.check(
        "again",
        "the next client is served when the child has ended",
        right,
        "5 bytes back",
    )?;
    ends(scenario, &server)
}
