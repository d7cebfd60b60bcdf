//! A machine that has little: no privileges, no place to write, few processes, little memory.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use netcheck::{
    Need, Run, Scenario, ScenarioRun, Server, Skip, Stopped, bin, evidence, need, peer,
};

use crate::{ends, served};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "small-machine",
    summary: "no privileges, few processes, little memory: what is refused, and who is served",
    run,
};

const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    privileges(scenario)?;
    processes(scenario)?;
    memory(scenario)
}

/// Makes the file system read-only, and runs a program that can take no privilege.
const NO_PRIVILEGES: &str = r#"mount -o remount,bind,ro /
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@""#;

fn privileges(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let statement = "a server without any privilege serves, on a read-only file system";
    let run = |what: &str, args: &[&str]| {
        let run = Run::script(NO_PRIVILEGES).arg(what).args(args);
        run.unshared(&["--mount"])
    };
    if let Err(skip) = need(Need::UserNamespace) {
        return scenario.skip(statement, &skip);
    }
    if run("true", &[]).finish().code() != Some(0) {
        let reason = "needs setpriv, and a mount of its own".to_owned();
        return scenario.skip(statement, &Skip { reason });
    }
    let program = bin("epoll-echo");
    let server = scenario.serve_run(run(&program.to_string_lossy(), &["--port", "0"]));
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let is_shown = |line: &&str| ["CapEff:", "NoNewPrivs:"].iter().any(|it| line.starts_with(it));
    let shown: Vec<&str> = status.lines().filter(is_shown).collect();
    let none = shown == ["CapEff:\t0000000000000000", "NoNewPrivs:\t1"];
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", server.pid()))?;
    let read_only = mounts.lines().any(|line| line.contains(" / / ro,"));
    let right = peer::exchange(server.address(), b"hello")? == b"hello";
    let shown = shown.join("\n").replace('\t', " ");
    let evidence = format!("{shown}\n/ is mounted ro (/proc/{}/mountinfo)", server.pid());
    scenario.check("privileges", statement, none && read_only && right, evidence)?;
    ends(scenario, &server)
}

/// Processes, the server among them.
const PROCESSES: usize = 4;
/// A user that nothing else runs as.
const USER: u32 = 61_235;

/// A server whose processes are counted apart from all others: as another user for root, whom the limit does
/// not bind; otherwise in a user namespace.
fn counted_apart(scenario: &mut ScenarioRun) -> Result<Server, Skip> {
    let server = Run::new("forking-echo").args(["--port", "0"]);
    let server = match need(Need::OtherUser) {
        Ok(()) => server.uid(USER),
        Err(_) => need(Need::UserNamespace).map(|()| server.unshared(&[]))?,
    };
    need(Need::Prlimit)?;
    Ok(scenario.serve_run(server))
}

fn processes(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let statement = "of six clients only those for which fork fails are refused";
    if scenario.leaves_out(statement, "strace is a process of that user, too") {
        return Ok(());
    }
    let server = match counted_apart(scenario) {
        Ok(server) => server,
        Err(skip) => return scenario.skip(statement, &skip),
    };
    // Only the same user may, or one with CAP_SYS_RESOURCE.
    let run = Run::program("prlimit").args(["--pid", &server.pid().to_string()]);
    let run = run.arg(format!("--nproc={PROCESSES}"));
    scenario.run(if need(Need::OtherUser).is_ok() { run.uid(USER) } else { run });
    let clients: Vec<Option<TcpStream>> = (0..6).map(|_| served(server.address()).ok()).collect();
    let lucky = clients.iter().flatten().count();
    let children = evidence::children(server.pid()).len();
    let log = server.stderr();
    let why: Vec<&str> =
        log.lines().filter(|line| line.ends_with("fork: Try again (EAGAIN)")).collect();
    let (refused, line) = (why.len(), why.last().copied().unwrap_or_default());
    let evidence = format!("{lucky} served by {children} children\n{line}");
    let holds = lucky == PROCESSES - 1 && children == lucky && refused == 6 - lucky;
    scenario.check("processes", statement, holds, evidence)?;
    drop(clients);
    let again = || served(server.address()).ok();
    let again = evidence::wait_until(SOON, again).is_some();
    let statement = "when a child has ended, the next client is served";
    scenario.check("again", statement, again, "5 bytes back")?;
    ends(scenario, &server)
}

/// Clients of which each leaves 4,000 bytes of a request with the server: four times what there is room for.
const CLIENTS: usize = 1000;
const ROOM: u64 = 1 << 20;

fn memory(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let statement = "of 1,000 clients that leave half a request, those without memory are closed";
    if let Err(skip) = need(Need::Prlimit).and_then(|()| need(Need::Descriptors(1500))) {
        return scenario.skip(statement, &skip);
    }
    if scenario.leaves_out(statement, "strace takes memory, too") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("page.html"), "hello\n")?;
    let server = Run::new("epoll-web").args(["--port", "0", "--backlog", "1024", "--dir", "."]);
    let server = scenario.serve_run(server.args(["--max-clients", "2000"]).folder(folder.path()));
    let ask = || {
        let answer = peer::exchange(server.address(), b"GET /page.html HTTP/1.0\r\n\r\n");
        answer.is_ok_and(|answer| answer.ends_with(b"hello\n"))
    };
    // What it takes now, and a little more.
    let before = ask();
    let size = fs::read_to_string(format!("/proc/{}/statm", server.pid()))?;
    let pages: u64 =
        size.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or_default();
    let limit = format!("--as={}:", pages * 4096 + ROOM);
    let pid = server.pid().to_string();
    scenario.run(Run::program("prlimit").args(["--pid", &pid, &limit]));

    let part = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'x'; 4000]].concat();
    let mut clients = peer::hold(server.address(), CLIENTS)?;
    // One that is closed already may be reset.
    clients.iter_mut().for_each(|client| client.write_all(&part).unwrap_or_default());
    let closed = |log: &str| log.matches(", no memory for ").count();
    let said = server.wait_stderr(|log| closed(log) > 0, SOON);
    let log = server.stderr();
    let line = log.lines().find(|line| line.contains(", no memory for ")).unwrap_or_default();
    let evidence = format!("{} of {CLIENTS} so far\n{line}", closed(&log));
    let alive = server.still_running() && closed(&log) < CLIENTS;
    scenario.check("memory", statement, before && said && alive, evidence)?;
    drop(clients);
    let again = evidence::wait_until(SOON, || ask().then_some(())).is_some();
    let statement = "when they leave, the next client is served";
    scenario.check("room", statement, again, "the page was received")?;
    ends(scenario, &server)
}
