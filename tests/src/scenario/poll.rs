//! Many clients, one thread, and one of them that never reads.

use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Stopped, evidence, peer};

use crate::{ends, served};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "poll",
    summary: "many clients and one thread, which a client that never reads does not stop",
    run,
};

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("poll-echo", ["--port", "0", "--grace", "100ms"]);
    let (pid, address) = (server.pid(), server.address());
    let before = evidence::descriptors(pid).len();

    let port = address.port().to_string();
    let clients = Run::new("forking-client").args(["--port", &port, "--clients", "3"]);
    let clients = scenario.run(clients);
    let said = clients.stdout_text();
    let evidence = said.lines().last().unwrap_or_default().to_owned();
    scenario.check("own-bytes", "three clients at once", clients.code() == Some(0), evidence)?;

    let held = (0..20).map(|_| served(address)).collect::<Result<Vec<_>, _>>()?;
    let (threads, children) = (evidence::threads(pid).len(), evidence::children(pid).len());
    let more = evidence::descriptors(pid).len() - before;
    scenario.check(
        "one-thread",
        "twenty more are twenty descriptors of one thread",
        threads == 1 && children == 0 && more == 20,
        format_args!(
            "{threads} thread, {children} children, {more} descriptors more (/proc/{pid})"
        ),
    )?;

    let (deaf, sent) = peer::never_reads(address)?;
    let resident = evidence::rss(pid).unwrap_or(u64::MAX);
    scenario.check(
        "bounded",
        "a client that never reads fills the kernel's buffers, and not the server",
        resident < 16 << 20,
        format_args!("{sent} bytes went in, {} KiB resident", resident / 1024),
    )?;
    let beside =
        (0..20).filter(|_| peer::exchange(address, b"beside").is_ok_and(|r| r == b"beside"));
    let beside = beside.count();
    scenario.check_eq(
        "beside",
        "others are served beside it",
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
    scenario.check("no-spin", "and it sleeps while nobody wants anything", sleeps, evidence)?;
    ends(scenario, &server)?;
    drop((held, deaf));
    Ok(())
}
