//! Eight connections, and which of them notices that its peer is silent.

use std::time::Duration;

use netcheck::{Link, Process, Run, Scenario, ScenarioRun, Stopped, evidence};

use crate::link;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "dead-peer",
    summary: "a pulled cable on an idle connection and on one that sends: who notices it, and when",
    run,
};

const SOON: Duration = Duration::from_secs(10);

/// Probes after a second without a word, each second, three of them.
const PROBES: [&str; 6] = ["--idle", "1s", "--every", "1s", "--probes", "3"];

/// Two messages a second.
const SENDS: [&str; 2] = ["--send", "500ms"];

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let Some(link) = link(scenario)? else { return Ok(()) };
    let serve = |host: &str| {
        let args = ["--host", host, "--port", "7777", "--idle-timeout", "none", "-q"];
        Run::new("epoll-echo").args(args)
    };
    let _server = scenario.serve_run(link.far(serve("192.0.2.2")));
    let stopped = scenario.serve_run(link.near(serve("192.0.2.1")));
    let mut watch = |host: &str, args: &[&[&str]]| {
        let run = Run::new("keepalive").args(["--host", host, "--port", "7777"]);
        start(scenario, link.near(run.args(args.concat())))
    };
    let idle = watch("192.0.2.2", &[&PROBES])?;
    let shorter = watch("192.0.2.2", &[&PROBES, &["--user-timeout", "2500ms"]])?;
    let longer = watch("192.0.2.2", &[&PROBES, &["--user-timeout", "5s"]])?;
    let sends = watch("192.0.2.2", &[&PROBES, &SENDS])?;
    let both = watch("192.0.2.2", &[&PROBES, &SENDS, &["--user-timeout", "3s"]])?;
    let neither = watch("192.0.2.2", &[&["--idle", "none", "--user-timeout", "1s"]])?;
    let answers = watch("192.0.2.1", &[&PROBES])?;
    let deaf = ["--send", "10ms", "--size", "64K", "--user-timeout", "2s"];
    let deaf = watch("192.0.2.1", &[&PROBES, &deaf])?;

    stopped.stop();
    scenario.step(&format!("kill -STOP {}", stopped.pid()), []);
    scenario.run(link.far(Run::program("ip").args(["link", "set", "v1", "down"])));
    for ends in [&idle, &shorter, &longer, &both, &deaf] {
        ends.wait(SOON);
    }
    let noticed = |process: &Process| !process.still_running();
    let last = |process: &Process| process.stdout().lines().last().unwrap_or_default().to_owned();

    let holds = noticed(&idle) && last(&idle).contains("ETIMEDOUT");
    scenario.check("probes", "three probes without an answer end it", holds, last(&idle))?;
    let statement = "a shorter user timeout takes the place of their number";
    let holds = noticed(&shorter) && silence(&shorter) < silence(&idle);
    scenario.check("shorter", statement, holds, last(&shorter))?;
    let holds = noticed(&longer) && silence(&longer) > silence(&idle);
    let statement = "and so does a longer one";
    scenario.check("longer", statement, holds, last(&longer))?;
    let statement = "with bytes under way there are no probes: they are sent again, and again";
    let timer = timers(&link, sends.pid());
    let holds = !noticed(&sends) && timer.contains("timer:(on,");
    scenario.check("sends", statement, holds, timer)?;
    let holds = noticed(&both);
    scenario.check("both", "the user timeout ends that", holds, last(&both))?;
    let timer = timers(&link, neither.pid());
    let holds = !noticed(&neither) && !timer.contains("timer:");
    let statement = "and does nothing for a connection on which nothing is sent";
    scenario.check("neither", statement, holds, timer)?;
    let statement = "a process that is stopped is not noticed: its kernel answers the probes";
    let timer = timers(&link, answers.pid());
    let holds = !noticed(&answers) && timer.contains("timer:(keepalive,");
    scenario.check("stopped", statement, holds, timer)?;
    let statement = "the user timeout ends a connection to a peer that lives and does not receive";
    let holds = noticed(&deaf) && silence(&deaf) < Duration::from_secs(2);
    scenario.check("deaf", statement, holds, last(&deaf))
}

/// Starts it, and waits until it is connected.
fn start(scenario: &mut ScenarioRun, run: Run) -> Result<Process, Stopped> {
    scenario.step(&format!("{} &", run.command_line()), []);
    let process = run.start();
    let connected = || process.stdout().contains(" connected").then_some(());
    match evidence::wait_until(SOON, connected) {
        Some(()) => Ok(process),
        None => Err(Stopped::Broken(format!("not connected: {}", process.stderr()))),
    }
}

/// How long before its end the peer was heard for the last time: `…, the last ACK from the peer 4093 ms ago`.
fn silence(process: &Process) -> Duration {
    let said = process.stdout();
    let millis = said.trim_end().rsplit(' ').nth(2).and_then(|number| number.parse::<f64>().ok());
    Duration::from_secs_f64(millis.unwrap_or_default() / 1e3)
}

/// What ss(8) says of the connection of a process, with its timer.
fn timers(link: &Link, pid: i32) -> String {
    let said = link.near(Run::program("ss").args(["-Htnpo"])).finish().stdout_text();
    let own = format!("pid={pid},");
    said.lines().find(|line| line.contains(&own)).unwrap_or_default().to_owned()
}
