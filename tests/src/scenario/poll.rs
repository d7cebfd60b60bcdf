//! Many clients, one thread, and a client that never reads.

use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Stopped, evidence, peer};

use crate::{ends, served};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "poll", summary: "many clients in one thread, one of which never reads", run };

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("poll-echo", ["--port", "0", "--grace", "100ms"]);
    let (pid, address) = (server.pid(), server.address());
    let before = evidence::descriptors(pid).len();

    let port = address.port().to_string();
    let clients = Run::new("forking-client").args(["--port", &port, "--clients", "3"]);
    let clients = scenario.run(clients);
    let said = clients.stdout_text();
    let evidence = said.lines().last().unwrap_or_default().to_owned();
    scenario.check(
        "own-bytes",
        "three clients at once receive their own bytes",
        clients.code() == Some(0),
        evidence,
    )?;

    let held = (0..20).map(|_| served(address)).collect::<Result<Vec<_>, _>>()?;
    let (threads, children) = (evidence::threads(pid).len(), evidence::children(pid).len());
    let more = evidence::descriptors(pid).len() - before;
    scenario.check(
        "one-thread",
        "20 more clients are 20 more descriptors of one thread",
        threads == 1 && children == 0 && more == 20,
        format_args!(
            "{threads} thread, {children} children, {more} more descriptors (/proc/{pid})"
        ),
    )?;

    let (deaf, sent) = peer::never_reads(address)?;
    let resident = evidence::rss(pid).unwrap_or(u64::MAX);
    scenario.check(
        "bounded",
        "a client that never reads fills the kernel's buffers only",
        resident < 16 << 20,
        format_args!("{sent} bytes sent, {} KiB resident", resident / 1024),
    )?;
    let beside =
        (0..20).filter(|_| peer::exchange(address, b"beside").is_ok_and(|r| r == b"beside"));
    let beside = beside.count();
    scenario.check_eq(
        "beside",
        "other clients are served meanwhile",
        20,
        beside,
        format_args!("{beside} of 20"),
    )?;
    let (cpu, pause) = (|| evidence::cpu_time(pid).unwrap_or_default(), Duration::from_millis(500));
    let spent = cpu();
    evidence::wait_until(pause, || None::<()>);
    let spent = cpu() - spent;
    let sleeps = spent < pause / 20;
    let evidence = format!("{} ms in {} ms", spent.as_millis(), pause.as_millis());
    scenario.check("no-spin", "the idle server uses no processor time", sleeps, evidence)?;
    ends(scenario, &server)?;
    drop((held, deaf));
    Ok(())
}
