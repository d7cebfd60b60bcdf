//! How the kernel changes a requested buffer size.

use std::fs;
use std::time::Duration;

use netcheck::{Finished, Need, Run, Scenario, ScenarioRun, Skip, Stopped, evidence, need};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "buffers", summary: "how the kernel changes a requested buffer size", run };

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    doubled(scenario)?;
    clamped(scenario)?;
    inherited(scenario)?;

    let measured = scenario.run(Run::new("buffer-size").arg("--measure"));
    let bytes_of = |row: &str| {
        let said = measured.stdout_text();
        let rest = said.lines().find_map(|line| line.strip_prefix(row).map(str::to_owned))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (untouched, set) =
        (bytes_of("TCP  untouched"), bytes_of("TCP  SO_SNDBUF 4096, SO_RCVBUF 4096"));
    scenario.check(
        "autotuning",
        "a size that is set ends autotuning: less than half is buffered",
        set.zip(untouched).is_some_and(|(set, untouched)| set * 2 < untouched),
        format_args!("{} bytes, {} with autotuning", shown(set), shown(untouched)),
    )?;
    let (untouched, set) = (bytes_of("unix untouched"), bytes_of("unix SO_RCVBUF 4096"));
    scenario.check_eq(
        "unix",
        "a unix socket ignores the receiver's SO_RCVBUF",
        untouched,
        set,
        format_args!("{} bytes in both cases", shown(set)),
    )
}

fn doubled(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let run = Run::new("buffer-size").args(["--send", "4096"]);
    let command = run.command_line();
    let statement = "a request for 4096 sets 8192";
    if let Err(skip) = need(Need::Strace) {
        let finished = scenario.run(run);
        scenario.skip(statement, &skip)?;
        return holds(scenario, "doubled", "each kind of socket doubles it", &finished);
    }
    let (traced, trace) = run.traced(&["trace=setsockopt,getsockopt"]);
    let finished = traced.finish();
    scenario.step(&command, finished.stdout_text().lines().map(str::to_owned));
    // What was passed to the kernel and what it returned, whatever the program prints.
    let pairs = || {
        let calls = trace.calls();
        let pair = |pair: &[netcheck::Call]| match pair {
            [set, get] => set.args.contains("SO_SNDBUF, [4096]") && get.args.contains("[8192]"),
            _ => false,
        };
        (calls.windows(2).filter(|two| pair(two)).count() == 3).then_some(())
    };
    let seen = evidence::wait_until(Duration::from_secs(10), pairs).is_some();
    scenario.check("doubled", statement, seen, "three pairs of setsockopt and getsockopt (strace)")
}

fn clamped(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let finished = scenario.run(Run::new("buffer-size").args(["--send", "2147483647"]));
    let statement = "too large a request is no error: it sets twice net.core.wmem_max";
    let most = fs::read_to_string("/proc/sys/net/core/wmem_max").ok();
    let Some(most) = most.and_then(|most| most.trim().parse::<u64>().ok()) else {
        return scenario.skip(statement, &Skip { reason: "needs net.core.wmem_max".to_owned() });
    };
    let read_back = format!("read back {}", (2 * most).min(2_147_483_646));
    let rows = finished.stdout_text().matches(&read_back).count();
    let evidence = format!("{rows} of 3 {read_back}, /proc/sys/net/core/wmem_max is {most}");
    scenario.check("clamped", statement, finished.code() == Some(0) && rows == 3, evidence)
}

fn inherited(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    for (moment, statement) in [
        (
            "after-listen",
            "an accepted socket inherits the size of its listener, even when set after listen",
        ),
        ("after-accept", "it does not inherit what is set after accept"),
    ] {
        let finished = scenario.run(Run::new("buffer-size").args(["--when", moment]));
        holds(scenario, moment, statement, &finished)?;
    }
    Ok(())
}

/// The program compares each answer with what is documented, and ends with 1 where they differ.
fn holds(
    scenario: &mut ScenarioRun,
    id: &str,
    statement: &str,
    finished: &Finished,
) -> Result<(), Stopped> {
    let agreed = finished.stdout_text().matches("as documented").count();
    let holds = finished.code() == Some(0) && agreed > 0;
    scenario.check(id, statement, holds, format_args!("{agreed} values as documented"))
}

fn shown(number: Option<u64>) -> String {
    number.map_or("no value".to_owned(), |number| number.to_string())
}
