//! Five NTP servers, some of which are wrong and outvoted.

use std::time::Duration;

use netcheck::{Finished, Run, Scenario, ScenarioRun, Server, Signal, Stopped};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "ntp-majority",
    summary: "five NTP servers, and the falsetickers that the majority finds",
    run,
};

/// How far the clocks of those are ahead that are right.
const TRUTH: f64 = 1.5;

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    two_of_five(scenario)?;
    three_of_five(scenario)?;
    two_and_two(scenario)
}

/// A server for each offset, and one client that asks them all.
fn query(scenario: &mut ScenarioRun, offsets: &[&str]) -> (Vec<Server>, Finished) {
    let serve = |scenario: &mut ScenarioRun, offset: &str| {
        scenario.serve("ntp-responder", ["--port", "0", "-q", "--offset", offset])
    };
    let servers: Vec<Server> = offsets.iter().map(|offset| serve(scenario, offset)).collect();
    let words = servers.iter().map(|server| server.address().to_string());
    let finished = scenario.run(Run::new("ntp-time").args(words));
    (servers, finished)
}

fn end(scenario: &ScenarioRun, servers: &[Server]) -> Result<(), Stopped> {
    for server in servers.iter().filter(|_| !scenario.keep) {
        server.signal(Signal::SIGTERM);
        let code = server.wait(Duration::from_secs(10)).and_then(|status| status.code());
        if code != Some(0) {
            return Err(Stopped::Broken(format!("{} ended with {code:?}", server.command_line())));
        }
    }
    Ok(())
}

fn two_of_five(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let (servers, answer) = query(scenario, &["1.5s", "-1h", "1.5s", "1.5s", "2.5s"]);
    let text = answer.stdout_text();
    let mut words = text.split(' ').skip(1);
    let offset: Option<f64> = words.next().and_then(|word| word.parse().ok());
    let bound: Option<f64> = words.nth(1).and_then(|word| word.parse().ok());
    let in_bound = offset.zip(bound).is_some_and(|(offset, bound)| (offset - TRUTH).abs() <= bound);
    let evidence = text.lines().next().unwrap_or_default();
    scenario.check("time", "the time is that of the three right servers", in_bound, evidence)?;
    let named: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    Falseticker=")?.split(' ').next())
        .collect();
    let wrong: Vec<String> =
        servers.iter().skip(1).step_by(3).map(|server| server.address().to_string()).collect();
    let statement = "the two falsetickers are named, one wrong by an hour, one by a second";
    scenario.check("falsetickers", statement, named == wrong, named.join(", "))?;
    let status = answer.status;
    scenario.check_eq(
        "decided",
        "a majority agrees: exit code 0",
        Some(0),
        answer.code(),
        status,
    )?;
    end(scenario, &servers)
}

fn three_of_five(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let (servers, answer) = query(scenario, &["1.5s", "1.5s", "10s", "20s", "30s"]);
    let statement = "two of five agree: no majority, exit code 65";
    undecided(scenario, &servers, &answer, statement)
}

fn two_and_two(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let (servers, answer) = query(scenario, &["1.5s", "1.5s", "10s", "10s"]);
    let statement = "two against two: no majority, exit code 65";
    undecided(scenario, &servers, &answer, statement)
}

/// That there is no time but each server's claim.
fn undecided(
    scenario: &mut ScenarioRun,
    servers: &[Server],
    answer: &Finished,
    statement: &str,
) -> Result<(), Stopped> {
    let (code, status) = (answer.code(), answer.status);
    scenario.check_eq("undecided", statement, Some(65), code, status)?;
    let said = answer.stderr_text();
    let claims = |server: &&Server| said.contains(&format!(" {} says ", server.address()));
    let count = servers.iter().filter(claims).count();
    let evidence = said.lines().last().unwrap_or_default();
    scenario.check_eq(
        "claims",
        "the time of each server is shown",
        servers.len(),
        count,
        evidence,
    )?;
    let printed = answer.stdout_text();
    scenario.check_eq("silent", "no time is printed", "", printed.as_str(), "stdout is empty")?;
    end(scenario, servers)
}
