//! A queue of six places, and eighteen clients.

use netcheck::{Need, Run, Scenario, ScenarioRun, Stopped, need};

use crate::{Alone, tcp_counter};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "backlog", summary: "what a full accept queue does to the clients", run };

/// Twelve come to the server in two rounds, and six have to send first.
const CLIENTS: &str = "18";

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    if let Err(skip) = need(Need::OwnNames) {
        // Without the counters of a network of its own there still is what both ends say.
        let finished = scenario.run(Run::new("backlog").args(["--clients", CLIENTS]));
        let holds = finished.stdout_text().starts_with("connect  6 of 18 connected, 6 of 5 + 1");
        scenario.check("queue", "six are connected at once", holds, "TCP_INFO")?;
        return scenario.skip("the kernel counts the SYNs that it drops", &skip);
    }
    // Each has a machine of its own, and they wait at the same time.
    let clients = ["--clients", CLIENTS];
    let with = Alone::start("backlog", &clients, Some("1"));
    let without = Alone::start("backlog", &clients, Some("0"));
    let silent = [&clients[..], &["--silent", "--timeout", "2s"]].concat();
    let silent = Alone::start("backlog", &silent, Some("1"));

    let shown = with.show(scenario)?;
    let dropped = tcp_counter(&shown, "ListenOverflows").unwrap_or_default();
    let holds =
        line(&shown, "connect") == "6 of 18 connected, 6 of 5 + 1 places in the queue taken";
    let statement = "a backlog of 5 has six places, and the SYNs of the others are dropped";
    let evidence = format!("ListenOverflows {dropped} (/proc/net/netstat)");
    scenario.check("queue", statement, holds && dropped >= 12, evidence)?;

    let cookies = tcp_counter(&shown, "TCPReqQFullDoCookies").unwrap_or_default();
    let (say, has) = connected(&shown);
    let statement = "with SYN cookies more clients say that they are connected than the server has";
    let slow = "strace slows the clients down, and no SYN has to wait";
    if !scenario.leaves_out(statement, slow) {
        let evidence = format!("{say} and {has}; TCPReqQFullDoCookies {cookies}");
        scenario.check("cookies", statement, say > has && cookies > 0, evidence)?;
    }
    let holds = line(&shown, "send").starts_with("18 of 18 accepted");
    let evidence = line(&shown, "send");
    scenario.check("send", "when they send the server gets to know them", holds, evidence)?;

    let honest = "without cookies the server has every client that says that it is connected";
    let never = "clients that wait for the server to speak first are never accepted";
    if scenario.leaves_out(honest, slow) && scenario.leaves_out(never, slow) {
        return Ok(());
    }
    let shown = without.show(scenario)?;
    let (say, has) = connected(&shown);
    let holds = say == has && tcp_counter(&shown, "TCPReqQFullDoCookies") == Some(0);
    scenario.check("honest", honest, holds, format_args!("{say} and {has}"))?;

    let shown = silent.show(scenario)?;
    let (say, has) = connected(&shown);
    let accepted: u64 =
        line(&shown, "silent").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default();
    let evidence = format!("{say} connected, {accepted} accepted");
    scenario.check("silent", never, accepted < say && say > has, evidence)
}

/// What follows the name of a step.
fn line<'a>(shown: &'a str, step: &str) -> &'a str {
    shown.lines().find_map(|line| line.strip_prefix(step)).unwrap_or_default().trim_start()
}

/// How many clients say that they are connected, and how many the server has.
fn connected(shown: &str) -> (u64, u64) {
    // `1103 ms: 18 clients say that they are connected, the server has 12`
    let (_, said) = line(shown, "wait").split_once(": ").unwrap_or_default();
    let mut numbers = said.split(' ').filter_map(|word| word.parse().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}
