//! A connect that does not wait.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Signal, Stopped, evidence};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "connect",
    summary: "a connect that does not wait, its result, and how it is cancelled",
    run,
};

const SOON: Duration = Duration::from_secs(10);

/// O_NONBLOCK of open(2).
const O_NONBLOCK: i32 = 0o4000;

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let said = scenario.run(Run::new("connect-nonblocking")).stdout_text();
    let outcomes: Vec<&str> = said.lines().filter(|line| line.contains("poll:")).collect();
    let ends = |nth: usize, error: &str| {
        outcomes.get(nth).is_some_and(|line| line.contains(&format!("SO_ERROR {error},")))
    };
    let statement = "poll reports the end of a connect, SO_ERROR its result";
    let holds = ends(0, "0") && ends(1, "ECONNREFUSED");
    scenario.check("so-error", statement, holds, outcomes.join("\n").replace("  ", ""))?;
    called_off(scenario)
}

/// A connect without an answer, until Ctrl-C.
fn called_off(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let run = Run::new("connect-nonblocking").arg("--cancel");
    let command = run.command_line();
    let mut process = run.start();
    let line = process.next_line(SOON).unwrap_or_default();
    let pid = process.pid();
    scenario.step(&format!("{command} & # pid {pid}"), [line]);

    let open = evidence::descriptors(pid).into_iter();
    let sockets = open.filter(|(_, target)| target.starts_with("socket:"));
    let flags = sockets.filter_map(|(fd, _)| Some((fd, evidence::descriptor_flags(pid, fd)?)));
    let set: Vec<(i32, i32)> = flags.filter(|(_, flags)| flags & O_NONBLOCK != 0).collect();
    let shown: Vec<String> = set
        .iter()
        .map(|(fd, flags)| format!("/proc/{pid}/fdinfo/{fd}: flags 0{flags:o}"))
        .collect();
    let statement = "its socket has O_NONBLOCK";
    scenario.check("flag", statement, set.len() == 1, shown.join("\n"))?;

    // Two seconds, in which a busy loop would use two seconds of processor time.
    let before = evidence::cpu_time(pid);
    let ended = process.wait(Duration::from_secs(2));
    let used = evidence::cpu_time(pid).zip(before).map(|(after, before)| after - before);
    let idle = ended.is_none() && used.is_some_and(|used| used <= Duration::from_millis(20));
    let evidence = format!("{used:?} of 2 s (/proc/{pid}/stat)");
    scenario.check("idle", "it waits in poll and uses no processor time", idle, evidence)?;

    process.signal(Signal::SIGINT);
    let status = process.wait(SOON);
    let line = process.next_line(SOON).unwrap_or_default();
    scenario.step(&format!("kill -INT {pid}"), [line]);
    let signal = status.and_then(|status| status.signal());
    let evidence = "exit status 130 in a shell";
    scenario.check_eq("ended", "SIGINT ends it with the default action", Some(2), signal, evidence)
}
