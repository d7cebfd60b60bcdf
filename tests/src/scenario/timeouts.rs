//! Four ways to bound a wait.

use std::net::TcpStream;
use std::time::Duration;

use netcheck::{Need, Run, Scenario, ScenarioRun, Stopped, evidence, need, sys};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "timeouts",
    summary: "four ways to bound a wait, and a peer that only a deadline stops",
    run,
};

/// A machine may be this late, and a peer that sends a byte every 100 ms is still in time.
const TIMEOUT: Duration = Duration::from_millis(700);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let timeout_text = format!("{}ms", TIMEOUT.as_millis());
    let finished = scenario.run(Run::new("socket-timeout").args(["--timeout", &timeout_text]));
    let said = finished.stdout_text();
    let rows: Vec<&str> =
        said.lines().filter(|line| line.contains(&format!("  {timeout_text}, "))).collect();

    let of = |bound: &str| -> Vec<&str> {
        rows.iter().copied().filter(|row| row.contains(&format!(" {bound} "))).collect()
    };
    for (id, bound, statement, errno) in [
        ("receive", "SO_RCVTIMEO", "SO_RCVTIMEO ends recv and accept, with EAGAIN", "EAGAIN"),
        ("poll", "poll", "poll ends at its deadline, with 0 and no errno", "poll = 0"),
    ] {
        let rows = of(bound);
        let holds = rows.len() == 2 && rows.iter().all(|row| row.contains(errno));
        scenario.check(id, statement, holds, rows.join("\n"))?;
    }
    let rows_of_send = of("SO_SNDTIMEO");
    let [send, connect] = rows_of_send.as_slice() else {
        return Err(Stopped::Broken(format!(
            "expected two rows with SO_SNDTIMEO: {rows_of_send:?}"
        )));
    };
    scenario.check(
        "send",
        "SO_SNDTIMEO ends send with EAGAIN, and connect with EINPROGRESS",
        send.contains(" EAGAIN ") && connect.contains(" EINPROGRESS "),
        format_args!("{send}\n{connect}"),
    )?;
    let early = rows.iter().filter(|row| measured(row).is_none_or(|took| took < TIMEOUT)).count();
    let last: Vec<&str> = rows.iter().filter_map(|row| row.rsplit(", ").next()).collect();
    scenario.check("not-early", "none of them ends early", early == 0, last.join(", "))?;

    let line = |words: &str| said.lines().find(|line| line.starts_with(words)).unwrap_or_default();
    let (timeout, deadline) = (line("SO_RCVTIMEO of "), line("one deadline of "));
    let lesson = "one byte every 100 ms: no timeout of recv expires, a deadline does";
    let holds = timeout.contains("never expired") && deadline.contains("expired after");
    scenario.check("drip", lesson, holds, format_args!("{timeout}\n{deadline}"))?;

    let statement = "the option is set on the socket of the process";
    match need(Need::PidfdGetfd) {
        Err(skip) => scenario.skip(statement, &skip),
        Ok(()) => seen_from_outside(scenario, statement),
    }
}

/// The last column of a row.
fn measured(row: &str) -> Option<Duration> {
    let millis: f64 = row.rsplit(", ").next()?.strip_suffix(" ms")?.parse().ok()?;
    Some(Duration::from_secs_f64(millis / 1e3))
}

/// Another process copies the socket that waits, and asks the kernel.
fn seen_from_outside(scenario: &mut ScenarioRun, statement: &str) -> Result<(), Stopped> {
    let run = Run::new("socket-timeout").args(["--timeout", "20s"]);
    let command = run.command_line();
    let process = run.start();
    let pid = process.pid();
    let bound = || {
        let sockets =
            evidence::descriptors(pid).into_iter().filter(|(_, to)| to.contains("socket:"));
        sockets
            .filter_map(|(fd, _)| sys::pidfd_getfd(pid, fd).ok().map(TcpStream::from))
            .find_map(|socket| socket.read_timeout().ok()?)
    };
    let bound = evidence::wait_until(Duration::from_secs(10), bound);
    scenario.step(&format!("{command} &"), [format!("pid {pid}")]);
    let evidence = format!("pidfd_getfd, then getsockopt: {bound:?}");
    scenario.check_eq("from-outside", statement, Some(Duration::from_secs(20)), bound, evidence)
}
