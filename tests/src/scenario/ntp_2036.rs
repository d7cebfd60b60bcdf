//! The 32 bits that count seconds from 1900 end on 2036-02-07 at 06:28:16: before it, after it, and
//! in a year that is too far away to be guessed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netcheck::{Finished, Halt, Run, Scenario, Server, Story, evidence};

use crate::ends;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "ntp-2036",
    summary: "the time when the seconds of NTP have run out, in 2036, 2037 and 2104",
    run,
};

fn run(story: &mut Story) -> Result<(), Halt> {
    turn(story)?;
    // 2037-01-01T00:00:00Z.
    year(story, 2_114_380_800, "2037-01-01T00:0", &[])?;
    // 2104-01-01T00:00:00Z: farther than 68 years, so that somebody has to know the century.
    year(story, 4_228_588_800, "2104-01-01T00:0", &["--pivot", "2100-01-01"])?;
    no_clock(story)
}

fn ask(story: &mut Story, server: &Server, args: &[&str]) -> Finished {
    story.run(Run::new("ntp-time").args(args).arg(server.address().to_string()))
}

/// The instant that an answer begins with.
fn time(answer: &Finished) -> String {
    answer.stdout_text().split(' ').next().unwrap_or_default().to_owned()
}

fn turn(story: &mut Story) -> Result<(), Halt> {
    let args = ["--port", "0", "--era", "1", "--offset", "-2s"];
    let server = story.serve("ntp-responder", args);
    let before = ask(story, &server, &[]);
    // Two seconds later every bit of the seconds is 0. Asked until then, and told once.
    let address = server.address().to_string();
    let is_over = || {
        let answer = Run::new("ntp-time").arg(&address).finish();
        (time(&answer).as_str() >= "2036-02-07T06:28:16").then_some(())
    };
    evidence::wait_until(Duration::from_secs(10), is_over);
    let after = ask(story, &server, &[]);
    let (before, after) = (time(&before), time(&after));
    let minute = "2036-02-07T06:28:";
    let holds = before.starts_with(minute) && after.starts_with(minute) && before < after;
    let evidence = format!("{before}, {after}");
    let statement = "era 1 begins in the middle of a minute, and no time is lost";
    story.check("turn", statement, holds, evidence)?;
    let over = after.as_str() >= "2036-02-07T06:28:16";
    story.check("over", "the seconds count from 0 again, and mean 2036", over, after)?;
    ends(story, &server)
}

/// A server whose clock is so far ahead that it shows an instant, told by its seconds since 1970.
fn year(story: &mut Story, seconds: u64, begin: &str, args: &[&str]) -> Result<(), Halt> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let offset = format!("{}s", seconds.saturating_sub(now));
    let server = story.serve("ntp-responder", ["--port", "0", "--offset", &offset]);
    let answer = ask(story, &server, args);
    let shown = time(&answer);
    let year = begin.get(..4).unwrap_or_default();
    let statement = format!("a server that stands in {year} is shown in {year}");
    story.check("year", &statement, shown.starts_with(begin), &shown)?;
    if !args.is_empty() {
        let answer = ask(story, &server, &["--pivot", "2026-01-01"]);
        let statement = "the same bits, from where 2026 is near, are an instant in 1967";
        story.check("bits", statement, time(&answer).starts_with("1967-11-24"), time(&answer))?;
    }
    ends(story, &server)
}

/// A machine without a clock of its own begins in 1970: 1970 as the pivot is what it would have,
/// were its clock believed, and is near enough until 2038.
fn no_clock(story: &mut Story) -> Result<(), Halt> {
    let server = story.serve("ntp-responder", ["--port", "0"]);
    let known = time(&ask(story, &server, &[]));
    let shown = time(&ask(story, &server, &["--pivot", "1970-01-01"]));
    let day = |time: &str| time.get(..10).unwrap_or_default().to_owned();
    // Midnight may lie between the two.
    let holds = day(&known) == day(&shown) || known.contains("T23:59:");
    let statement = "a machine that believes it is 1970 is told the same time";
    story.check("no-clock", statement, holds, format!("{known}, {shown}"))?;
    ends(story, &server)
}
