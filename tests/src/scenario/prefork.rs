//! Two workers that are forked before the first client.

use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Server, Stopped, evidence};

use crate::{ends, served_by};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "prefork", summary: "workers forked in advance, and one that crashes", run };

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let args = ["--port", "0", "--workers", "2", "--show-pid"];
    let server = scenario.serve("prefork-echo", args);
    let pid = server.pid();
    let workers = two(&server, &[]);
    let found = workers.is_some();
    let workers = workers.unwrap_or_default();
    let evidence = format!("{workers:?} (/proc/{pid}/task)");
    scenario.check("before", "two workers run before the first client", found, evidence)?;

    let port = server.address().port().to_string();
    // While one is held, the other needs the other worker.
    let clients = || {
        let clients = Run::new("forking-client").args(["--port", &port, "--clients", "2"]);
        clients.args(["--hold", "100ms"])
    };
    let (said, code) = {
        let clients = scenario.run(clients());
        (clients.stdout_text(), clients.code())
    };
    let pids = served_by(&said);
    scenario.check(
        "served",
        "they serve two clients without a fork",
        code == Some(0) && pids.iter().eq(workers.iter()) && two(&server, &[]).is_some(),
        format_args!("{pids:?}"),
    )?;

    let victim = workers.first().copied().unwrap_or_default();
    // The shell's own: there may be no program of that name.
    scenario.run(Run::program("sh").args(["-c", &format!("kill -SEGV {victim}")]));
    let again = two(&server, &[victim]);
    let evidence = format!("{:?}", again.clone().unwrap_or_default());
    scenario.check("again", "a crashed worker is replaced", again.is_some(), evidence)?;
    let said = scenario.run(clients()).stdout_text();
    let pids = served_by(&said);
    let right = again.is_some_and(|again| pids.iter().eq(again.iter()));
    scenario.check(
        "served-again",
        "the two workers serve two clients",
        right,
        format_args!("{pids:?}"),
    )?;
    ends(scenario, &server)?;
    let none = scenario.keep || evidence::children(pid).is_empty();
    scenario.check("none-left", "no worker is left", none, format_args!("/proc/{pid}/task"))
}

/// The two workers, without a dead one.
fn two(server: &Server, dead: &[i32]) -> Option<Vec<i32>> {
    let alive = || {
        let workers = evidence::children(server.pid());
        let zombies = evidence::zombies(server.pid());
        let alive = workers.len() == 2 && zombies.is_empty();
        (alive && !workers.iter().any(|pid| dead.contains(pid))).then_some(workers)
    };
    evidence::wait_until(Duration::from_secs(10), alive)
}
