//! What 900 idle clients cost: processor time with poll, only memory with epoll.

use std::io::{Read, Write};
use std::time::Duration;

use netcheck::{Need, Scenario, ScenarioRun, Server, Stopped, evidence, need};

use crate::{ends, served};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "epoll",
    summary: "900 idle clients: what they cost with poll and with epoll",
    run,
};

/// Clients of each of the two servers.
const IDLE: usize = 900;
/// The descriptors of all of them are ours, and a few more.
const DESCRIPTORS: u64 = 2_000;
const ROUND_TRIPS: usize = 2_000;

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    if let Err(skip) = need(Need::Descriptors(DESCRIPTORS)) {
        return scenario.skip("900 idle clients of each of two servers", &skip);
    }
    let args = ["--port", "0", "--grace", "100ms", "-q"];
    let servers = [scenario.serve("poll-echo", args), scenario.serve("epoll-echo", args)];
    let [poll, epoll] = &servers;

    let count = scenario.many("idle clients of each server", IDLE, 5);
    let trips = scenario.many("round trips", ROUND_TRIPS, 1);
    let alone = [spent(poll, trips)?, spent(epoll, trips)?];
    let mut idle = Vec::new();
    for server in &servers {
        for _ in 0..count {
            idle.push(served(server.address())?);
        }
    }
    let listed = listed(epoll.pid());
    scenario.check_eq(
        "list",
        "the kernel keeps the interest list: clients, listener, signals, timer",
        count + 3,
        listed,
        format_args!("{listed} entries (/proc/{}/fdinfo)", epoll.pid()),
    )?;
    let crowd = [spent(poll, trips)?, spent(epoll, trips)?];
    let micros = |spent: Duration| spent.as_micros() / trips as u128;
    let statement = "with idle clients, a round trip costs more than twice as much with poll";
    if !scenario.leaves_out(statement, "strace takes time, too") {
        let evidence = format!(
            "poll {} us, without them {}; epoll {} us, without them {}",
            micros(crowd[0]),
            micros(alone[0]),
            micros(crowd[1]),
            micros(alone[1]),
        );
        scenario.check("cost", statement, crowd[0] > 2 * crowd[1], evidence)?;
    }
    for server in &servers {
        ends(scenario, server)?;
    }
    drop(idle);
    Ok(())
}

/// The processor time that the server takes for so many round trips of one client.
fn spent(server: &Server, trips: usize) -> Result<Duration, Stopped> {
    let mut client = served(server.address())?;
    let before = evidence::cpu_time(server.pid());
    for _ in 0..trips {
        client.write_all(b"hello")?;
        client.read_exact(&mut [0; 5])?;
    }
    let after = evidence::cpu_time(server.pid());
    Ok(after.zip(before).map(|(after, before)| after - before).unwrap_or_default())
}

/// How many descriptors its epoll descriptor has on the list.
fn listed(pid: i32) -> usize {
    let descriptors = evidence::descriptors(pid);
    let epoll = descriptors.iter().find(|(_, link)| link.contains("[eventpoll]"));
    let Some((fd, _)) = epoll else { return 0 };
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    info.lines().filter(|line| line.starts_with("tfd:")).count()
}
