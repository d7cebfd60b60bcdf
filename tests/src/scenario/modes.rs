//! Blocking and non-blocking calls.

use netcheck::{Run, Scenario, ScenarioRun, Stopped};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "modes",
    summary: "the same calls blocking and non-blocking, and which sockets share the flag",
    run,
};

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let finished = scenario.run(Run::new("socket-modes"));
    let said = finished.stdout_text();
    let rows = |mode: &str, errno: &str| -> Vec<&str> {
        let fits = |line: &&str| line.contains(&format!(" {mode} ")) && line.contains(errno);
        said.lines().filter(fits).collect()
    };
    let bounded = rows("blocking", " ended by SO_");
    let statement = "a blocking call waits until SO_RCVTIMEO or SO_SNDTIMEO expires";
    scenario.check("blocking", statement, bounded.len() == 5, bounded.join("\n"))?;
    let not_now = [rows("O_NONBLOCK", " EAGAIN "), rows("MSG_DONTWAIT", " EAGAIN ")].concat();
    let statement = "non-blocking accept, recv, send and unix connect return EAGAIN";
    scenario.check("not-now", statement, not_now.len() == 6, not_now.join("\n"))?;
    let begun = rows("O_NONBLOCK", " EINPROGRESS ");
    let statement = "a non-blocking TCP connect returns EINPROGRESS";
    scenario.check("begun", statement, begun.len() == 1, begun.join("\n"))?;

    let flags: Vec<&str> = said.lines().filter(|line| line.contains("set on")).collect();
    let shared = |by: &str, seen: &str| {
        flags.iter().any(|line| line.starts_with(by) && line.ends_with(seen))
    };
    let statement =
        "the flag belongs to the open file description: dup and fork share it, accept does not";
    let holds = shared("dup ", " has it") && shared("fork ", " has it");
    let holds = holds && shared("accept ", " does not have it");
    scenario.check("description", statement, holds, flags.join("\n"))
}
