//! The cable is pulled in the middle of a file, plugged in again, and pulled for good.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use netcheck::{Link, Process, Run, Scenario, ScenarioRun, Server, Skip, Stopped, evidence, peer};

use crate::{ends, link, sockets};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "cable-pulled",
    summary: "a cable pulled in the middle of a file: nobody is told, and a timeout ends it",
    run,
};

/// More than all buffers hold, and two thirds of a second on a line of 100 Mbit/s.
const FILE: usize = 8 << 20;

/// Until this much is sent, the file has just begun.
const BEGUN: u64 = 1 << 20;

const SOON: Duration = Duration::from_secs(10);

/// Of the server for a silent peer, and of the client for its request.
const IDLE: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(3);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let Some(link) = link(scenario)? else { return Ok(()) };
    let slow = ["qdisc", "add", "dev", "v0", "root", "tbf"];
    let slow = [&slow[..], &["rate", "100mbit", "burst", "32k", "latency", "50ms"]].concat();
    let tc = scenario.run(link.near(Run::program("tc").args(slow)));
    if !tc.status.success() {
        let reason = "needs tc, and tbf in the kernel".to_owned();
        return scenario.skip("a file that takes its time", &Skip { reason });
    }
    let folder = tempfile::tempdir()?;
    let bytes = peer::pattern(1, FILE);
    fs::write(folder.path().join("file"), &bytes)?;
    let web = Run::new("epoll-web").args(["--host", "192.0.2.1", "--port", "8080", "--dir"]);
    let web = web.arg(folder.path()).args(["--idle-timeout", "2s"]);
    let server = scenario.serve_run(link.near(web));

    plugged_in_again(scenario, &link, &server, folder.path(), &bytes)?;
    pulled_for_good(scenario, &link, &server, folder.path())?;
    ends(scenario, &server)
}

/// A client of the far machine that has a part of the file.
fn fetch(
    scenario: &mut ScenarioRun,
    link: &Link,
    server: &Server,
    folder: &Path,
) -> Result<Process, Stopped> {
    let sent = || evidence::traffic(server.pid(), "v0").map_or(0, |traffic| traffic.bytes_sent);
    let before = sent();
    let get = Run::new("socket-errors").args(["--host", "192.0.2.1", "--port", "8080"]);
    let get = link.far(get.args(["--file", "/file", "--timeout", "3s"]));
    scenario.step(&format!("{} > copy &", get.command_line()), []);
    let client = get.folder(folder).redirected("> copy").start();
    let begun = || (sent() - before > BEGUN).then_some(());
    match evidence::wait_until(SOON, begun) {
        Some(()) => Ok(client),
        None => Err(Stopped::Broken(format!("no file comes: {}", client.stderr()))),
    }
}

fn cable(scenario: &mut ScenarioRun, link: &Link, state: &str) {
    scenario.run(link.far(Run::program("ip").args(["link", "set", "v1", state])));
}

/// What ss(8) says of the server's connections in a state, without its header.
fn ss(link: &Link, state: &str) -> Run {
    link.near(Run::program("ss").args(["-Htno", "state", state]))
}

fn plugged_in_again(
    scenario: &mut ScenarioRun,
    link: &Link,
    server: &Server,
    folder: &Path,
    bytes: &[u8],
) -> Result<(), Stopped> {
    let client = fetch(scenario, link, server, folder)?;
    cable(scenario, link, "down");
    // `timer:(on,` is that of a retransmission, and the last number counts them.
    let repeats = || {
        let said = ss(link, "established").finish().stdout_text();
        (said.contains("timer:(on,") && !said.contains(",0)")).then_some(())
    };
    let sends_again = evidence::wait_until(SOON, repeats).is_some();
    scenario.run(ss(link, "established"));
    let statement = "nobody is told: the connection stays, and the kernel sends again";
    let holds = sends_again && client.still_running() && !server.stderr().contains(" closed");
    scenario.check("not-told", statement, holds, "timer:(on, until the next, retransmissions)")?;

    cable(scenario, link, "up");
    let status = client.wait(SOON);
    let copy = fs::read(folder.join("copy"))?;
    let said = status.map_or_else(|| client.stderr(), |status| status.to_string());
    let evidence = format!("{} of {FILE} bytes, {said}", copy.len());
    let whole = status.is_some_and(|status| status.success()) && copy == bytes;
    scenario.check("again", "plugged in again in time, the file arrives whole", whole, evidence)
}

fn pulled_for_good(
    scenario: &mut ScenarioRun,
    link: &Link,
    server: &Server,
    folder: &Path,
) -> Result<(), Stopped> {
    let started = Instant::now();
    let client = fetch(scenario, link, server, folder)?;
    cable(scenario, link, "down");
    let after = Instant::now();
    let closed = server.wait_stderr(|log| log.contains("timed out after 2s"), SOON);
    // Its last byte may have gone before the cable was pulled.
    let in_time = started.elapsed() >= IDLE && after.elapsed() < IDLE * 3 / 2;
    let evidence = server.stderr().lines().last().unwrap_or_default().to_owned();
    let statement = "the server closes it when --idle-timeout has passed";
    scenario.check("server", statement, closed && in_time, evidence)?;

    let left = scenario.run(ss(link, "fin-wait-1")).stdout_text();
    let open = sockets(server);
    let evidence = format!("FIN-WAIT-1, and {open} socket in /proc/{}/fd", server.pid());
    let statement = "the kernel keeps what it still has to send; no process has it open";
    scenario.check("orphan", statement, left.contains(":8080 ") && open == 1, evidence)?;

    let status = client.wait(SOON);
    let (took, said) = (started.elapsed(), client.stderr());
    let in_time = took >= WHOLE && took < WHOLE * 3 / 2;
    let ended = status.and_then(|status| status.code()) == Some(75) && in_time;
    let evidence = said.lines().next().unwrap_or_default().to_owned();
    let statement = "the client, which waits for bytes, is ended by its --timeout";
    scenario.check("client", statement, ended, evidence)
}
