//! Four NTP servers: a good one, one that is down, a faulty one, and one that denies service.

use netcheck::{Finished, Run, Scenario, ScenarioRun, Server, Stopped, evidence, peer};

use crate::ends;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "sntp",
    summary: "an SNTP client with a good, an absent, a faulty and a denying server",
    run,
};

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    good(scenario)?;
    dead(scenario)?;
    faulty(scenario)?;
    kiss(scenario)
}

/// Asks a server, with options before its address.
fn query(scenario: &mut ScenarioRun, address: &str, args: &[&str]) -> Finished {
    scenario.run(Run::new("sntp-client").args(args).arg(address))
}

/// The offset and its bound in the first line of an answer, in seconds.
fn offset_and_bound(answer: &Finished) -> Option<(f64, f64)> {
    let text = answer.stdout_text();
    let mut words = text.split(' ').skip(1);
    let offset = words.next()?.parse().ok()?;
    Some((offset, words.nth(1)?.parse().ok()?))
}

/// That an offset was found, but for its bound.
fn is_off_by(
    scenario: &mut ScenarioRun,
    id: &str,
    answer: &Finished,
    seconds: f64,
) -> Result<(), Stopped> {
    let found = offset_and_bound(answer);
    let in_bound = found.is_some_and(|(offset, bound)| (offset - seconds).abs() <= bound);
    let evidence = match found {
        Some((offset, bound)) => format!("{offset:+.6} +/- {bound:.6}"),
        None => format!("no answer, {}", answer.status),
    };
    scenario.check(id, &format!("the offset is {seconds} s, within the bound"), in_bound, evidence)
}

fn good(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let path = ["--delay", "20ms", "--asymmetry", "20ms"];
    let server =
        scenario.serve("ntp-responder", ["--port", "0", "--offset", "1.5s"].iter().chain(&path));
    let address = server.address().to_string();
    let answer = query(scenario, &address, &[]);
    is_off_by(scenario, "good", &answer, 1.5)?;
    let error = offset_and_bound(&answer).map_or(0.0, |(offset, _)| (offset - 1.5).abs());
    let evidence = format!("{:.3} ms", error * 1e3);
    let statement = "40 ms there and 0 ms back look like an offset of 20 ms";
    scenario.check("unequal", statement, error >= 0.019, evidence)?;
    ends(scenario, &server)
}

fn dead(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    // A port that is bound to TCP has no socket for UDP: the kernel refuses for it, with ICMP.
    let nobody = peer::refused_port();
    let refused = query(scenario, &nobody.address().to_string(), &[]);
    let status = refused.status;
    let statement = "no server: the request is refused at once";
    scenario.check_eq("dead", statement, Some(69), refused.code(), status)
}

fn faulty(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let args = ["--port", "0", "--offset", "1.5s", "--lie", "all"];
    let server = scenario.serve("ntp-responder", args);
    let address = server.address().to_string();
    let answer = query(scenario, &address, &[]);
    is_off_by(scenario, "truth", &answer, 1.5)?;
    let text = answer.stdout_text();
    let rejected = text.lines().nth(1).unwrap_or_default().trim();
    let many = rejected.starts_with("27 datagrams rejected: ");
    scenario.check(
        "lies",
        "27 invalid replies before the valid one are rejected",
        many,
        rejected,
    )?;
    is_queried(scenario, &server, "once", "it sent one request", 1)?;
    ends(scenario, &server)
}

fn kiss(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    for (code, exit) in [("DENY", 77), ("RATE", 75)] {
        let server = scenario.serve("ntp-responder", ["--port", "0", "--kiss", code]);
        let address = server.address().to_string();
        let denied = query(scenario, &address, &["--retries", "5", "--count", "5"]);
        let (got, status) = (denied.code(), denied.status);
        scenario.check_eq(
            "kiss",
            "a kiss-o'-death has its own exit code",
            Some(exit),
            got,
            status,
        )?;
        is_queried(scenario, &server, "obeyed", "it sent no other request", 1)?;
        ends(scenario, &server)?;
    }
    Ok(())
}

/// How many requests the log of a server has. It writes them before it answers, and we read later.
fn is_queried(
    scenario: &mut ScenarioRun,
    server: &Server,
    id: &str,
    statement: &str,
    times: usize,
) -> Result<(), Stopped> {
    let count = || server.stderr().matches(" sent a request, version ").count();
    let soon = std::time::Duration::from_secs(2);
    evidence::wait_until(soon, || (count() >= times).then_some(()));
    let log = server.stderr();
    scenario.check_eq(id, statement, times, count(), log.trim_end())
}
