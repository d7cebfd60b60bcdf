//! Who holds the port after a server has ended in one way or another, and for how long.

use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netcheck::{Need, Run, Scenario, ScenarioRun, Server, Signal, Stopped, evidence, need};

use crate::served;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "restart",
    summary: "after SIGTERM, kill -9, and kill -9 with stopped workers: who holds the port, and how long",
    run,
};

const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    time_wait(scenario)?;
    // What follows kills its servers: none is left to be kept.
    if scenario.keep {
        return Ok(());
    }
    one_process(scenario)?;
    workers(scenario, false)?;
    workers(scenario, true)?;
    match need(Need::IoUring) {
        Ok(()) => ring(scenario),
        Err(skip) => {
            scenario.skip("a ring may hold the listener a moment longer than its process", &skip)
        }
    }
}

/// The server closes first: its side of the connection keeps the address for a minute.
fn time_wait(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("echo-server", ["--port", "0", "--grace", "100ms"]);
    let address = server.address();
    let mut client = served(address)?;
    server.signal(Signal::SIGTERM);
    scenario.step(&format!("kill {}", server.pid()), []);
    client.read_to_end(&mut Vec::new())?;
    drop(client);
    let ended = server.wait(SOON).is_some();
    let waits = || (evidence::in_time_wait(address.port()) == 1).then_some(());
    let waits = evidence::wait_until(SOON, waits).is_some();
    let owners = evidence::listener_owners(address);
    let holds = ended && waits && owners.is_empty();
    let evidence = "1 (/proc/net/tcp, state 06)";
    scenario.check(
        "time-wait",
        "SIGTERM: no process has the listener, a connection is in TIME_WAIT",
        holds,
        evidence,
    )?;
    let again = scenario.serve("echo-server", ["--port", &address.port().to_string()]);
    let listens = evidence::is_listening(again.address());
    let statement = "with SO_REUSEADDR the next server binds at once";
    scenario.check("bound", statement, listens, "state 0A in /proc/net/tcp")
}

/// A process takes its descriptors with it, and its child has closed its copy of the listener.
fn one_process(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("forking-echo", ["--port", "0"]);
    let _client = served(server.address())?;
    let child = evidence::children(server.pid());
    let owners = evidence::listener_owners(server.address());
    let only = owners.iter().all(|(pid, _)| *pid == server.pid()) && !child.is_empty();
    let evidence = format!("{owners:?}, its child is {child:?} (/proc/*/fd)");
    scenario.check(
        "owner",
        "only the parent has the listener, its child has closed it",
        only,
        evidence,
    )?;
    kill(scenario, &server);
    let again = restart(scenario, "forking-echo", server.address())?;
    scenario.check(
        "killed",
        "after kill -9 the port is free at once",
        again.attempts == 1,
        again.text(),
    )
}

/// The workers have the listener open, and the kernel kills them once their parent is dead: also those that
/// were stopped, which obey no other signal.
fn workers(scenario: &mut ScenarioRun, stopped: bool) -> Result<(), Stopped> {
    let server = scenario.serve("prefork-echo", ["--port", "0", "--workers", "2"]);
    let all = || Some(evidence::children(server.pid())).filter(|all| all.len() == 2);
    let workers = evidence::wait_until(SOON, all).unwrap_or_default();
    let _client = served(server.address())?;
    if stopped {
        let pids: Vec<String> = workers.iter().map(i32::to_string).collect();
        Run::script(r#"kill -STOP "$@""#).args(&pids).finish();
        scenario.step(&format!("kill -STOP {}", pids.join(" ")), []);
    }
    kill(scenario, &server);
    let again = restart(scenario, "prefork-echo", server.address())?;
    let gone = |pid: &i32| evidence::state(*pid).is_none_or(|state| state == 'Z');
    let dead = || workers.iter().all(gone).then_some(());
    let dead = evidence::wait_until(SOON, dead).is_some();
    let (id, statement) = match stopped {
        false => (
            "workers",
            "after kill -9 of the parent the kernel kills its workers, and the port is free",
        ),
        true => ("stopped", "it kills stopped workers too"),
    };
    scenario.check(id, statement, dead, again.text())
}

/// The kernel takes a ring down after its process, and with it what the requests in it refer to.
fn ring(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("uring-echo", ["--port", "0"]);
    let _client = served(server.address())?;
    kill(scenario, &server);
    let left = evidence::is_listening(server.address());
    let owners = evidence::listener_owners(server.address());
    let again = restart(scenario, "uring-echo", server.address())?;
    let left = if left { "still listened" } else { "was gone already" };
    let evidence = format!("it {left} when its process had ended; {}", again.text());
    let statement = "after kill -9 a ring may hold the listener a moment longer than its process";
    scenario.check("ring", statement, owners.is_empty(), evidence)
}

fn kill(scenario: &mut ScenarioRun, server: &Server) {
    server.signal(Signal::SIGKILL);
    server.wait(SOON);
    scenario.step(&format!("kill -KILL {}", server.pid()), []);
}

/// When a server has bound the port again.
struct Again {
    took: Duration,
    attempts: usize,
}

impl Again {
    fn text(&self) -> String {
        format!("bound after {} ms, at attempt {}", self.took.as_millis(), self.attempts)
    }
}

/// Starts the server again until it binds the port.
fn restart(scenario: &mut ScenarioRun, name: &str, address: SocketAddr) -> Result<Again, Stopped> {
    let killed = Instant::now();
    let port = address.port().to_string();
    let mut attempts = 0;
    let bound = || {
        attempts += 1;
        let mut server = Run::new(name).args(["--port", &port]).start();
        // One that does not bind ends, and prints no line.
        let line = server.next_line(SOON)?;
        Some((server, line))
    };
    let bound = evidence::wait_until(SOON, bound);
    let (server, line) = bound.ok_or_else(|| Stopped::Broken(format!("{name} does not bind")))?;
    let took = killed.elapsed();
    scenario.step(server.command_line(), [line]);
    Ok(Again { took, attempts })
}
