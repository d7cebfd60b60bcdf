//! Two processes and a pair of sockets: who has which end open, and who hears the end.

use std::time::Duration;

use netcheck::{Need, Run, Scenario, ScenarioRun, Stopped, evidence, need};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "pair", summary: "the end is heard when the last copy is closed", run };

const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let finished = scenario.run(Run::new("socket-pair").args(["one", "two"]));
    let shown = finished.stdout_text();
    let ends = shown.matches("then the end      send after it: EPIPE").count();
    let none = shown.matches("no end in 200ms   send after it: ECONNREFUSED").count();
    let holds = finished.code() == Some(0) && (ends, none) == (2, 1);
    let evidence = format!("{ends} of 3 hear it");
    scenario.check(
        "types",
        "stream and seqpacket have an end, datagram has none",
        holds,
        evidence,
    )?;

    closes(scenario)?;
    let statement = "with --keep it waits for an end that it holds open itself";
    waits(scenario, "keep", &["--type", "stream", "--keep"], 2, statement)?;
    let statement = "a datagram socket waits though nobody is left who could send";
    waits(scenario, "datagram", &["--type", "datagram"], 1, statement)
}

/// After the fork both processes have both ends, and each closes the other's.
fn closes(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let statement = "each process closes the end of the other, the parent before it receives";
    if let Err(skip) = need(Need::Strace) {
        return scenario.skip(statement, &skip);
    }
    let expression = "trace=socketpair,close,recvfrom";
    let run = Run::new("socket-pair").args(["--type", "stream"]);
    let (run, trace) = run.traced(&[expression]);
    scenario.run(run);
    let calls = trace.calls();
    let made = calls.iter().position(|call| call.name == "socketpair");
    let Some((pair, after)) = made.and_then(|at| calls.get(at..)?.split_first()) else {
        return scenario.check("closes", statement, false, "no socketpair");
    };
    let first = |name: &str, child: bool| {
        let of_process = after.iter().enumerate();
        let mut named =
            of_process.filter(|(_, call)| call.name == name && (call.pid != pair.pid) == child);
        named.next().map(|(at, call)| (at, call.args.clone()))
    };
    let (child, parent, received) =
        (first("close", true), first("close", false), first("recvfrom", false));
    // [3, 4]: the first is the parent's.
    let ends =
        pair.args.split_once('[').and_then(|(_, ends)| ends.trim_matches(']').split_once(", "));
    let closed = |by: &Option<(usize, String)>| by.clone().map(|(_, fd)| fd);
    let holds = ends.is_some_and(|(ours, theirs)| {
        closed(&child).as_deref() == Some(ours) && closed(&parent).as_deref() == Some(theirs)
    }) && parent < received;
    let evidence = format!(
        "{}; close({}) in the child, close({}) in the parent (strace)",
        pair.args,
        closed(&child).unwrap_or_default(),
        closed(&parent).unwrap_or_default()
    );
    scenario.check("closes", statement, holds, evidence)
}

/// Without a limit it waits, with no child any more, and has so many ends open.
fn waits(
    scenario: &mut ScenarioRun,
    id: &str,
    args: &[&str],
    ends: usize,
    statement: &str,
) -> Result<(), Stopped> {
    let process = Run::new("socket-pair").args(args).args(["--timeout", "none"]).start();
    scenario.step(process.command_line(), [format!("waits, pid {}", process.pid())]);
    let pid = process.pid();
    let sockets = || {
        let open = evidence::descriptors(pid);
        open.values().filter(|link| link.starts_with("socket:")).cloned().collect::<Vec<_>>()
    };
    // Asleep, without a child: in recv.
    let waits = || {
        let asleep = evidence::state(pid) == Some('S') && evidence::children(pid).is_empty();
        (asleep && sockets().len() == ends).then_some(())
    };
    let holds = evidence::wait_until(SOON, waits).is_some();
    let evidence = format!("{} (/proc/{pid}/fd), no child", sockets().join(" "));
    scenario.check(id, statement, holds, evidence)
}
