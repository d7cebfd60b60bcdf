//! Three clients at once, one thread each.

use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Stopped, evidence};

use crate::{ends, served, served_by};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "threads", summary: "three clients at once, one thread each", run };

/// How long after the last client its thread may still take to end.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("threaded-echo", ["--port", "0", "--show-tid", "--grace", "100ms"]);
    let (pid, address) = (server.pid(), server.address());
    let before = evidence::descriptors(pid);

    let port = address.port().to_string();
    let clients = Run::new("forking-client").args(["--port", &port, "--clients", "3"]);
    let clients = scenario.run(clients);
    let said = clients.stdout_text();
    let tids = served_by(&said);
    let listed: Vec<String> = tids.iter().map(i32::to_string).collect();
    scenario.check(
        "threads",
        "three threads served them",
        clients.code() == Some(0) && tids.len() == 3 && !tids.contains(&pid),
        format_args!("{}; main thread {pid}", listed.join(", ")),
    )?;

    let alone = || (evidence::threads(pid).len() == 1).then_some(());
    let joined = evidence::wait_until(JOIN_TIMEOUT, alone).is_some();
    let left = evidence::threads(pid).len();
    scenario.check(
        "joined",
        "only the main thread is left",
        joined,
        format_args!("{left} (/proc/{pid}/task)"),
    )?;

    let clients = [served(address)?, served(address)?];
    let threads = evidence::threads(pid);
    scenario.check(
        "one-process",
        "two more clients are two more threads of one process",
        threads.len() == 3 && evidence::children(pid).is_empty(),
        format_args!("{threads:?}, no child"),
    )?;
    let open = evidence::descriptors(pid);
    let more = open.len() - before.len();
    scenario.check_eq(
        "descriptors",
        "two more descriptors in the table that all threads share",
        2,
        more,
        format_args!("{} (/proc/{pid}/fd)", open.len()),
    )?;
    // They are still there when the grace is over: their threads wait in recv.
    ends(scenario, &server)?;
    drop(clients);
    let cut = server.stderr().matches("grace period expired").count();
    let evidence = format!("{cut} connections closed after the grace period (log)");
    scenario.check(
        "cut",
        "shutdown ended the threads that waited in recv",
        scenario.keep || cut == 2,
        evidence,
    )
}
