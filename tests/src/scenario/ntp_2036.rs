//! The 32 bits that count seconds from 1900 end on 2036-02-07 at 06:28:16: before it, after it, and
//! in a year that is too far away to be guessed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netcheck::{Finished, Run, Scenario, ScenarioRun, Server, Stopped, evidence};

use crate::ends;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "ntp-2036",
    summary: "the time after the 32-bit seconds of NTP wrap, in 2036, 2037 and 2104",
    run,
};

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    turn(scenario)?;
    // 2037-01-01T00:00:00Z.
    year(scenario, 2_114_380_800, "2037-01-01T00:0", &[])?;
    // 2104-01-01T00:00:00Z: farther than 68 years, so that somebody has to know the century.
    year(scenario, 4_228_588_800, "2104-01-01T00:0", &["--pivot", "2100-01-01"])?;
    no_clock(scenario)
}

fn query(scenario: &mut ScenarioRun, server: &Server, args: &[&str]) -> Finished {
    scenario.run(Run::new("ntp-time").args(args).arg(server.address().to_string()))
}

/// The instant that an answer begins with.
fn time(answer: &Finished) -> String {
    answer.stdout_text().split(' ').next().unwrap_or_default().to_owned()
}

fn turn(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let args = ["--port", "0", "--era", "1", "--offset", "-2s"];
    let server = scenario.serve("ntp-responder", args);
    let before = query(scenario, &server, &[]);
    // Two seconds later every bit of the seconds is 0. It is queried until then, and shown once.
    let address = server.address().to_string();
    let is_over = || {
        let answer = Run::new("ntp-time").arg(&address).finish();
        (time(&answer).as_str() >= "2036-02-07T06:28:16").then_some(())
    };
    evidence::wait_until(Duration::from_secs(10), is_over);
    let after = query(scenario, &server, &[]);
    let (before, after) = (time(&before), time(&after));
    let minute = "2036-02-07T06:28:";
    let holds = before.starts_with(minute) && after.starts_with(minute) && before < after;
    let evidence = format!("{before}, {after}");
    let statement = "era 1 begins in the middle of a minute, and the time goes forward";
    scenario.check("turn", statement, holds, evidence)?;
    let over = after.as_str() >= "2036-02-07T06:28:16";
    scenario.check("over", "the seconds begin at 0 again, and the year is 2036", over, after)?;
    ends(scenario, &server)
}

/// A server whose clock is so far ahead that it shows an instant, told by its seconds since 1970.
fn year(
    scenario: &mut ScenarioRun,
    seconds: u64,
    begin: &str,
    args: &[&str],
) -> Result<(), Stopped> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let offset = format!("{}s", seconds.saturating_sub(now));
    let server = scenario.serve("ntp-responder", ["--port", "0", "--offset", &offset]);
    let answer = query(scenario, &server, args);
    let shown = time(&answer);
    let year = begin.get(..4).unwrap_or_default();
    let statement = format!("the time of a server in {year} is shown as {year}");
    scenario.check("year", &statement, shown.starts_with(begin), &shown)?;
    if !args.is_empty() {
        let answer = query(scenario, &server, &["--pivot", "2026-01-01"]);
        let statement = "with a pivot in 2026 the same bits mean 1967";
        scenario.check(
            "bits",
            statement,
            time(&answer).starts_with("1967-11-24"),
            time(&answer),
        )?;
    }
    ends(scenario, &server)
}

/// A machine without a clock of its own begins in 1970: 1970 as the pivot is what it would have,
/// were its clock believed, and is near enough until 2038.
fn no_clock(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("ntp-responder", ["--port", "0"]);
    let known = time(&query(scenario, &server, &[]));
    let shown = time(&query(scenario, &server, &["--pivot", "1970-01-01"]));
    let day = |time: &str| time.get(..10).unwrap_or_default().to_owned();
    // Midnight may lie between the two.
    let holds = day(&known) == day(&shown) || known.contains("T23:59:");
    let statement = "a client whose clock says 1970 gets the same time";
    scenario.check("no-clock", statement, holds, format!("{known}, {shown}"))?;
    ends(scenario, &server)
}
