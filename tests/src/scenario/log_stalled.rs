//! A log whose reader stops, and what becomes of the server that writes it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use netcheck::{Process, Run, Scenario, ScenarioRun, Server, Stopped, evidence, peer};

use crate::{cpu_share, ends};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "log-stalled",
    summary: "the reader of a log stops: who waits for it, who serves on, which lines are lost",
    run,
};

/// Two lines each of some 50 bytes: more than the 64 KiB of a pipe.
const CONNECTIONS: usize = 1000;
const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    scenario.no_picture("2,000 connections, one after another, are too much to draw")?;
    let folder = tempfile::tempdir()?;
    scenario.run(Run::program("mkfifo").arg("log").folder(folder.path()));
    let reader = Run::program("cat").arg("log").folder(folder.path()).start();
    scenario.step("cat log &", [format!("pid {}", reader.pid())]);
    let server = Run::new("epoll-echo").args(["--port", "0"]).folder(folder.path());
    let server = scenario.serve_run(server.redirected("2> log"));

    peer::exchange(server.address(), b"hello")?;
    let two = || (events(&reader) == 2).then_some(());
    let read = evidence::wait_until(SOON, two).is_some();
    let line = reader.stdout().lines().last().unwrap_or_default().to_owned();
    scenario.check("read", "the log is read", read, line)?;

    reader.stop();
    scenario.step(&format!("kill -STOP {}", reader.pid()), []);
    let served = serve(&server);
    scenario.check_eq(
        "served",
        "1,000 clients are served while nothing reads the log",
        CONNECTIONS,
        served,
        format_args!("{served} equal replies"),
    )?;
    waits(scenario, folder.path())?;
    let share = cpu_share(server.pid(), Duration::from_millis(300));
    let evidence = format!("{:.0} % of a core (/proc/{}/stat)", share * 100.0, server.pid());
    scenario.check(
        "sleeps",
        "the server does not wait for it, and does not spin",
        share < 0.05,
        evidence,
    )?;

    reader.cont();
    scenario.step(&format!("kill -CONT {}", reader.pid()), []);
    // What was lost is said with the next line.
    let mut connections = 1 + CONNECTIONS;
    let said = || {
        peer::exchange(server.address(), b"hello").ok()?;
        connections += 1;
        let all = || (events(&reader) + lost(&reader) == 2 * connections).then_some(());
        (lost(&reader) > 0 && evidence::wait_until(SOON, all).is_some()).then_some(())
    };
    let whole = evidence::wait_until(SOON, said).is_some();
    let log = reader.stdout();
    let line = log.lines().find(|line| line.contains(" lost: ")).unwrap_or_default();
    let (written, lost) = (events(&reader), lost(&reader));
    let evidence = format!("{line}\n{written} + {lost} lines = 2 x {connections} connections");
    let statement = "read again, the log says how many lines were lost; all others are whole";
    scenario.check("lost", statement, whole, evidence)?;

    reader.stop();
    scenario.step(&format!("kill -STOP {}", reader.pid()), []);
    serve(&server);
    ends(scenario, &server)
}

/// How many of the clients were served.
fn serve(server: &Server) -> usize {
    let exchange =
        |_: &usize| peer::exchange(server.address(), b"hello").is_ok_and(|it| it == b"hello");
    (0..CONNECTIONS).filter(exchange).count()
}

/// A program that writes as most do waits in write(2) until there is room.
fn waits(scenario: &mut ScenarioRun, folder: &Path) -> Result<(), Stopped> {
    let writer = Run::program("yes").folder(folder).redirected("> log").start();
    scenario.step("yes > log &", [format!("pid {}", writer.pid())]);
    let place = || fs::read_to_string(format!("/proc/{}/wchan", writer.pid())).unwrap_or_default();
    let in_write = || place().contains("pipe_write").then_some(());
    let known = evidence::wait_until(SOON / 5, in_write).is_some();
    // Where only root may see in which call it waits, its state has to do.
    let waits = known || evidence::state(writer.pid()) == Some('S');
    let evidence = format!("state S, {} (/proc/{}/wchan)", place(), writer.pid());
    let statement = "a program that writes without asking for room waits for the reader";
    scenario.check("waits", statement, waits, evidence)
}

fn events(reader: &Process) -> usize {
    let is_event = |line: &&str| line.contains(" opened") || line.contains(" closed: ");
    reader.stdout().lines().filter(is_event).count()
}

/// The sum of what the lines about lost lines say.
fn lost(reader: &Process) -> usize {
    let lost = |line: &str| {
        let (count, _) =
            line.strip_prefix("epoll-echo: ")?.split_once(" lines of this log lost: ")?;
        count.parse::<usize>().ok()
    };
    reader.stdout().lines().filter_map(lost).sum()
}
