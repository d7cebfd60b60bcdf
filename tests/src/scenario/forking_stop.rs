//! How a forking server ends: it lets its clients finish, and leaves no child.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use netcheck::{Scenario, ScenarioRun, Signal, Stopped, evidence, peer};

use crate::served;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "forking-stop",
    summary: "SIGTERM drains, a restart works at once, a killed parent leaves no child",
    run,
};

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    drains(scenario)?;
    // What follows ends its servers in ways that leave none to be kept.
    if scenario.keep { Ok(()) } else { is_killed(scenario).and_then(|()| grace_expires(scenario)) }
}

fn drains(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("forking-echo", ["--port", "0", "--grace", "30s"]);
    let address = server.address();
    let mut client = served(address)?;
    server.signal(Signal::SIGTERM);
    let closed = || (!evidence::is_listening(address)).then_some(());
    let closed = evidence::wait_until(Duration::from_secs(2), closed).is_some();
    scenario.check("stops", "SIGTERM closes the listener at once", closed, "/proc/net/tcp")?;
    let refused = peer::connect(address).err().map(|error| error.kind());
    let expected = Some(ErrorKind::ConnectionRefused);
    scenario.check_eq("refuses", "new clients are refused", expected, refused, "ECONNREFUSED")?;
    client.write_all(b"still here")?;
    let mut reply = [0; 10];
    client.read_exact(&mut reply)?;
    let right = reply == *b"still here";
    scenario.check("drains", "the connected client is still served", right, "10 bytes back")?;

    let next = scenario.serve("forking-echo", ["--port", &address.port().to_string()]);
    let echoed = peer::exchange(next.address(), b"hello")?;
    let statement = "a new server binds the port while the old child still serves";
    scenario.check("restart", statement, echoed == b"hello", "5 bytes back")?;
    drop(client);
    let status = server.wait(Duration::from_secs(10));
    let evidence = status.map_or_else(|| "still running".to_owned(), |status| status.to_string());
    let ended = status.is_some_and(|status| status.success());
    scenario.check("ends", "the old server ends with 0 after its last client", ended, evidence)
}

fn is_killed(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("forking-echo", ["--port", "0"]);
    let _client = served(server.address())?;
    let children = evidence::children(server.pid());
    let killed = Instant::now();
    server.signal(Signal::SIGKILL);
    let ended = |child: &i32| evidence::state(*child).is_none_or(|state| state == 'Z');
    let all_ended = || children.iter().all(ended).then_some(());
    let gone = evidence::wait_until(Duration::from_secs(2), all_ended).is_some();
    let evidence = format!("{children:?} gone after {} ms", killed.elapsed().as_millis());
    let statement = "when the parent is killed, its child ends too";
    scenario.check("no-orphans", statement, gone && children.len() == 1, evidence)
}

fn grace_expires(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let grace = Duration::from_millis(100);
    let server = scenario.serve("forking-echo", ["--port", "0", "--grace", "100ms"]);
    let _client = served(server.address())?;
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    let status = server.wait(Duration::from_secs(10));
    let took = asked.elapsed();
    let ended = status.is_some_and(|status| status.success()) && took >= grace;
    let evidence = format!("{} ms", took.as_millis());
    scenario.check(
        "grace",
        "a client that stays is closed when the grace period expires",
        ended,
        evidence,
    )
}
