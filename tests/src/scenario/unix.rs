//! A server on a path: who may connect, who has connected, and what a crash leaves.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Duration;

use netcheck::{Process, Run, Scenario, ScenarioRun, Signal, Stopped, evidence};

use crate::ends;

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "unix", summary: "a name in the file system that outlives its owner", run };

const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("echo.sock");
    let name = path.display().to_string();
    let killed = scenario.serve("unix-echo", [&name]);
    let file = fs::symlink_metadata(&path)?;
    let mode = file.permissions().mode() & 0o777;
    let holds = file.file_type().is_socket() && mode == 0o600;
    scenario.check("mode", "only its user may connect", holds, format_args!("mode {mode:o}"))?;

    let client = scenario.run(Run::new("unix-client").arg(&name));
    let said = client.stdout_text();
    let holds = said.contains(&format!(", pid {}) echoed 13 bytes", killed.pid()));
    scenario.check("listener", "the client learns which process listens", holds, said.trim())?;
    let knows = |log: &str| log.contains("uid ") && log.contains(" closed: 13 bytes in, 13 out");
    let holds = killed.wait_stderr(knows, SOON);
    let log = killed.stderr();
    let log = log.lines().last().unwrap_or_default();
    scenario.check("peer", "the server learns which process has connected", holds, log)?;

    killed.signal(Signal::SIGKILL);
    killed.wait(SOON);
    let refused = scenario.run(Run::new("unix-client").arg(&name));
    let holds = path.exists() && refused.stderr_text().contains("ECONNREFUSED");
    let statement = "the path outlives the server that was killed";
    scenario.check("left", statement, holds, "connect: ECONNREFUSED")?;

    // All at once: each finds a path that refuses.
    let starts: Vec<_> =
        (0..8).map(|_| Run::new("unix-echo").args([&name, "-q"]).start()).collect();
    let lost = || {
        let ended = starts.iter().filter(|one| !one.still_running()).count();
        (ended == starts.len() - 1).then_some(())
    };
    let holds = evidence::wait_until(SOON, lost).is_some();
    let winners = starts.iter().filter(|one| one.still_running()).count();
    let used = |one: &&Process| one.wait_stderr(|said| said.contains("EADDRINUSE"), SOON);
    let losers = starts.iter().filter(|one| !one.still_running()).filter(used).count();
    let evidence = format!("{winners} listens, {losers} ended with EADDRINUSE");
    scenario.check(
        "race",
        "of eight that start at once one takes the path",
        holds && losers == 7,
        evidence,
    )?;
    drop(starts);

    let server = scenario.serve("unix-echo", [&name]);
    ends(scenario, &server)?;
    let gone = scenario.keep || !path.exists();
    scenario.check("unlink", "a server that is stopped removes its path", gone, name)
}
