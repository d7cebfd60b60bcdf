//! A connection changes its process while it lives.

use std::io::{Read, Write};
use std::time::Duration;

use netcheck::{Scenario, ScenarioRun, Server, Signal, Stopped, evidence, peer};

use crate::{ends, served};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "handover", summary: "a live connection handed to another process", run };

const SOON: Duration = Duration::from_secs(10);

/// Connections that go through the front, one after the other.
const CLIENTS: usize = 200;

fn sockets(server: &Server) -> Vec<String> {
    let open = evidence::descriptors(server.pid()).into_values();
    open.filter(|to| to.starts_with("socket:")).collect()
}

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let name = format!("@handover-{}", std::process::id());
    let worker = scenario.serve("fd-pass", [&name, "-q"]);
    let front = scenario.serve("fd-pass", [&name, "--port", "0", "-q"]);
    let (of_worker, of_front) = (sockets(&worker), sockets(&front));

    let mut client = served(front.address())?;
    let new = || {
        let open = sockets(&worker).into_iter();
        open.filter(|socket| !of_worker.contains(socket)).collect::<Vec<String>>()
    };
    let gone = || (sockets(&front) == of_front).then_some(());
    let gone = evidence::wait_until(SOON, gone).is_some();
    let new = new();
    let evidence = format!("{} in /proc/{}/fd, none in the front's", new.join(" "), worker.pid());
    let statement = "the connection is the worker's, and no longer the front's";
    scenario.check("moved", statement, new.len() == 1 && gone, evidence)?;

    front.signal(Signal::SIGTERM);
    let ended = front.wait(SOON).and_then(|status| status.code()) == Some(0);
    client.write_all(b"still here")?;
    let mut reply = [0; 10];
    client.read_exact(&mut reply)?;
    let holds = ended && &reply == b"still here";
    scenario.check(
        "lives",
        "it outlives the front",
        holds,
        "10 bytes after the front has ended",
    )?;
    drop(client);

    let front = scenario.serve("fd-pass", [&name, "--port", "0", "-q"]);
    let before = sockets(&front).len();
    let count = scenario.many("clients", CLIENTS, 4);
    let mut equal = 0;
    for _ in 0..count {
        equal += usize::from(peer::exchange(front.address(), b"hello")? == b"hello");
    }
    let same = || sockets(&front).len() == before && sockets(&worker).len() == of_worker.len();
    let holds = equal == count && evidence::wait_until(SOON, || same().then_some(())).is_some();
    let evidence = format!("{equal} of {count} equal, {before} sockets in the front");
    scenario.check("many", "no connection stays behind in either process", holds, evidence)?;
    ends(scenario, &front)?;
    ends(scenario, &worker)
}
