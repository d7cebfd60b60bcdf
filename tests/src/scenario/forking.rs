//! Three clients at once, one process each.

use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Stopped, evidence};

use crate::{ends, served_by};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "forking", summary: "three clients at once, one process each", run };

/// How long after the last client a zombie may still wait for its parent.
const REAP_TIMEOUT: Duration = Duration::from_millis(200);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("forking-echo", ["--port", "0", "--show-pid"]);
    let (pid, address) = (server.pid(), server.address());
    let before = evidence::descriptors(pid);

    let port = address.port().to_string();
    let clients = Run::new("forking-client").args(["--port", &port, "--clients", "3"]);
    let clients = scenario.run(clients);
    let said = clients.stdout_text();
    let rows = said.lines().filter(|line| line.starts_with("client ")).count();
    scenario.check(
        "own-bytes",
        "each client received exactly its own bytes",
        clients.code() == Some(0) && rows == 3,
        format_args!("{rows} of 3, forking-client: {}", clients.status),
    )?;

    let pids = served_by(&said);
    let listed: Vec<String> = pids.iter().map(i32::to_string).collect();
    scenario.check(
        "processes",
        "three processes served them",
        pids.len() == 3 && !pids.contains(&pid),
        format_args!("{}; parent {pid}", listed.join(", ")),
    )?;

    let none_left = || evidence::children(pid).is_empty().then_some(());
    let reaped = evidence::wait_until(REAP_TIMEOUT, none_left).is_some();
    let zombies = evidence::zombies(pid).len();
    scenario.check(
        "no-zombies",
        "no zombie is left",
        reaped && zombies == 0,
        format_args!("{zombies} after {} ms (/proc/*/stat)", REAP_TIMEOUT.as_millis()),
    )?;
    let after = evidence::descriptors(pid);
    scenario.check_eq(
        "descriptors",
        "the parent has the same descriptors as at the start",
        &before,
        &after,
        format_args!("{} of {} (/proc/{pid}/fd)", after.len(), before.len()),
    )?;
    ends(scenario, &server)?;
    if scenario.keep {
        return Ok(());
    }
    let counts = server.stderr().lines().last().unwrap_or_default().to_owned();
    scenario.check(
        "counts",
        "every forked child was reaped",
        counts.contains("forked 3, reaped 3, refused 0, crashed 0"),
        counts.trim_start_matches("forking-echo: "),
    )?;
    let listening = evidence::is_listening(address);
    scenario.check("no-listener", "no socket listens on the port", !listening, "/proc/net/tcp")
}
