//! What a connection waits for: its program, its receiver, and a network that is cut.

use std::time::{Duration, Instant};

use netcheck::{Process, Run, Scenario, ScenarioRun, Signal, Stopped};

use crate::{ends, link};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "watched", summary: "what limits a connection, as the kernel counts it", run };

const SOON: Duration = Duration::from_secs(10);

/// A row of the table, by its columns.
struct Row {
    backoff: u64,
    retrans: u64,
    limited_by: String,
    line: String,
}

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let Some(link) = link(scenario)? else { return Ok(()) };
    let serve = ["--host", "192.0.2.2", "--port", "7777", "--idle-timeout", "none", "-q"];
    let server = scenario.serve_run(link.far(Run::new("epoll-echo").args(serve)));
    let watch = |args: &[&str]| {
        let run = Run::new("tcp-info").args(["--host", "192.0.2.2", "--port", "7777"]);
        link.near(run.args(["--fields", "rtt,backoff,retrans", "--interval", "200ms"]).args(args))
    };
    let idle = scenario.run(watch(&["--count", "3"]));
    let rows: Vec<Row> = idle.stdout_text().lines().filter_map(row).collect();
    let holds = rows.iter().skip(1).all(|row| row.limited_by == "program") && rows.len() == 3;
    let evidence = "busy_time does not grow (TCP_INFO)";
    scenario.check("program", "nothing is sent: its program limits it", holds, evidence)?;

    let run = watch(&["--bulk"]);
    scenario.step(&format!("{} &", run.command_line()), []);
    let mut watched = run.start();
    let mut until = |scenario: &mut ScenarioRun, id, statement, wanted: &dyn Fn(&Row) -> bool| {
        let found = find(&mut watched, wanted);
        let evidence = found.as_ref().map_or(watched.stderr(), |row| row.line.clone());
        scenario.check(id, statement, found.is_some(), evidence)
    };
    server.stop();
    scenario.step(&format!("kill -STOP {}", server.pid()), []);
    let statement = "the peer does not receive: its window is closed";
    until(scenario, "receiver", statement, &|row| row.limited_by == "receiver")?;
    server.signal(Signal::SIGCONT);
    scenario.step(&format!("kill -CONT {}", server.pid()), []);
    cable(scenario, &link, "down");
    let statement = "the cable is pulled: the network limits it, and the pauses double";
    until(scenario, "network", statement, &|row| row.limited_by == "network" && row.backoff > 1)?;
    cable(scenario, &link, "up");
    let statement = "plugged in again: what was lost has been sent again";
    until(scenario, "again", statement, &|row| row.backoff == 0 && row.retrans > 0)?;
    drop(watched);
    ends(scenario, &server)
}

fn cable(scenario: &mut ScenarioRun, link: &netcheck::Link, state: &str) {
    scenario.run(link.far(Run::program("ip").args(["link", "set", "v1", state])));
}

/// `ESTABLISHED  0.015 ms  2  33  network`
fn row(line: &str) -> Option<Row> {
    let ["ESTABLISHED", _, "ms", backoff, retrans, limited_by] =
        line.split_whitespace().collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let [backoff, retrans] = [backoff, retrans].map(str::parse);
    let (limited_by, line) = (limited_by.to_owned(), line.to_owned());
    Some(Row { backoff: backoff.ok()?, retrans: retrans.ok()?, limited_by, line })
}

/// The first row from now on that is wanted.
fn find(watched: &mut Process, wanted: &dyn Fn(&Row) -> bool) -> Option<Row> {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        let found = row(&watched.next_line(SOON)?).filter(|row| wanted(row));
        if found.is_some() {
            return found;
        }
    }
    None
}
