//! Many clients, and all their processes reaped.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use netcheck::{Scenario, ScenarioRun, Signal, Stopped, evidence, peer};

use crate::served;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "no-zombies",
    summary: "1,000 clients, 64 at once, then 50 that end at the same time",
    run,
};

const CLIENTS: usize = 1000;
const AT_ONCE: usize = 64;
const TOGETHER: usize = 50;

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let args = ["--port", "0", "--max-clients", "100"];
    let server = scenario.serve("forking-echo", args);
    let (pid, address) = (server.pid(), server.address());
    let before = evidence::descriptors(pid);

    let clients = scenario.many("clients", CLIENTS, 24);
    let at_once = scenario.many("at once", AT_ONCE, 4);
    let served = many(address, clients, at_once);
    scenario.check_eq(
        "served",
        &format!("all of {clients} clients are served, {at_once} at once"),
        clients,
        served,
        format_args!("{served} equal replies"),
    )?;
    check_clean(scenario, pid)?;

    // These children end together: the kernel merges their SIGCHLDs into few, or one.
    let count = scenario.many("that end together", TOGETHER, 6);
    let held = together(address, count)?;
    let children = evidence::children(pid).len();
    scenario.check_eq(
        "fifty",
        &format!("{count} more clients have one child each"),
        count,
        children,
        "/proc/PID/task/PID/children",
    )?;
    drop(held);
    check_clean(scenario, pid)?;

    let after = evidence::descriptors(pid);
    scenario.check_eq(
        "descriptors",
        "the parent has the same descriptors as at the start",
        &before,
        &after,
        format_args!("{} in /proc/{pid}/fd", after.len()),
    )?;
    server.signal(Signal::SIGUSR1);
    let total = clients + count;
    let counts = format!("forked {total}, reaped {total}, refused 0, crashed 0");
    let printed = server.wait_stderr(|log| log.contains(&counts), Duration::from_secs(5));
    let line = server
        .stderr()
        .lines()
        .rfind(|line| line.contains("accepted"))
        .unwrap_or_default()
        .to_owned();
    scenario.check("counts", "as many children were reaped as forked (SIGUSR1)", printed, line)
}

/// 200 ms after the last client no child is left, neither alive nor a zombie.
fn check_clean(scenario: &mut ScenarioRun, pid: i32) -> Result<(), Stopped> {
    let none_left = || evidence::children(pid).is_empty().then_some(());
    let clean = evidence::wait_until(Duration::from_millis(200), none_left).is_some();
    let (children, zombies) = (evidence::children(pid).len(), evidence::zombies(pid).len());
    let evidence = format!("{zombies} zombies of {children} children (/proc/*/stat)");
    scenario.check("no-zombies", "after 200 ms no zombie is left", clean && zombies == 0, evidence)
}

/// That many exchanges by some threads; how many got their own bytes.
fn many(address: SocketAddr, clients: usize, at_once: usize) -> usize {
    let (next, right) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= clients {
                        return;
                    }
                    let bytes = format!("client {number}");
                    if peer::exchange(address, bytes.as_bytes())
                        .is_ok_and(|echoed| echoed == bytes.as_bytes())
                    {
                        right.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    right.into_inner()
}

/// Clients that have had a reply; dropped, they all close within the same instant.
fn together(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>, Stopped> {
    let clients = (0..count).map(|_| served(address)).collect::<Result<_, _>>()?;
    Ok(clients)
}
