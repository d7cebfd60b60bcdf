//! More clients than a server may have descriptors.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Stopped, evidence, peer};

use crate::{cpu_share, ends, served};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "out-of-descriptors",
    summary: "200 clients and 32 descriptors: the server closes those that are too many, and sleeps",
    run,
};

const LIMIT: usize = 32;
const CLIENTS: usize = 200;
const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let args = ["--port", "0", "--backlog", "256"];
    let server = Run::new("epoll-echo").args(args).limit_nofile(LIMIT as u64);
    let server = scenario.serve_run(server);
    let (pid, address) = (server.pid(), server.address());
    drop(served(address)?);
    let before = evidence::wait_until(SOON, || Some(evidence::descriptors(pid)).filter(is_quiet));
    let own = before.as_ref().map_or(0, BTreeMap::len);
    let evidence = format!("{own} of {LIMIT} (/proc/{pid}/fd)");
    scenario.check(
        "own",
        "without a client the server has a few open",
        (1..LIMIT).contains(&own),
        evidence,
    )?;

    let count = scenario.many("clients", CLIENTS, 40);
    let clients = peer::hold(address, count)?;
    let shed = || {
        let waiting = evidence::accept_queue(address);
        (waiting == 0 && open(&clients) < LIMIT).then_some(())
    };
    let shed = evidence::wait_until(SOON, shed).is_some();
    let (open, queue) = (open(&clients), evidence::accept_queue(address));
    let evidence = format!("{} closed, {open} open, {queue} in the queue", count - open);
    let statement =
        format!("of {count} clients those without a descriptor are closed at once; none waits");
    scenario.check("shed", &statement, shed && open > 0, evidence)?;
    let taken = evidence::descriptors(pid).len();
    // Its reserve is the last one: with it, a connection is accepted and closed.
    let evidence = format!("{taken} of {LIMIT}, one of them its reserve (/proc/{pid}/fd)");
    scenario.check_eq("full", "the server has as many as it may have", LIMIT, taken, evidence)?;

    let share = cpu_share(pid, Duration::from_secs(2));
    let complaints: Vec<String> =
        server.stderr().lines().filter(|line| line.contains("EMFILE")).map(str::to_owned).collect();
    let evidence = format!("{:.0} % of a core for 2 s (/proc/{pid}/stat)", share * 100.0);
    scenario.check("sleeps", "the server sleeps meanwhile", share < 0.05, evidence)?;
    let few = (1..=5).contains(&complaints.len());
    scenario.check(
        "says",
        "the log says why, at most once a second",
        few,
        complaints.join("\n"),
    )?;

    drop(clients);
    let mut client = None;
    let serves = || {
        client = served(address).ok();
        client.is_some().then_some(())
    };
    let serves = evidence::wait_until(SOON, serves).is_some();
    drop(client);
    let same = || (Some(evidence::descriptors(pid)) == before).then_some(());
    let same = evidence::wait_until(SOON, same).is_some();
    let evidence = format!("{} (/proc/{pid}/fd)", evidence::descriptors(pid).len());
    let statement = "when they leave, the next client is served, and no descriptor is lost";
    scenario.check("recovers", statement, serves && same, evidence)?;
    ends(scenario, &server)
}

/// Its listener is the only socket.
fn is_quiet(open: &BTreeMap<i32, String>) -> bool {
    open.values().filter(|link| link.starts_with("socket:")).count() == 1
}

/// How many connections the server has not closed.
fn open(clients: &[TcpStream]) -> usize {
    let is_open = |client: &&TcpStream| {
        let peeked = client.set_nonblocking(true).and_then(|()| client.peek(&mut [0]));
        peeked.is_err_and(|why| why.kind() == ErrorKind::WouldBlock)
    };
    clients.iter().filter(is_open).count()
}
