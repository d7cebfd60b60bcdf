//! A chat room, and a member that does not read.

use std::time::{Duration, Instant};

use netcheck::{Run, Scenario, ScenarioRun, Stopped, evidence};

use crate::{Chatter, ends};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "chat",
    summary: "a chat room in one thread, which drops a member that does not read",
    run,
};

/// More than the buffers of the kernel and the queue hold together.
const MESSAGES: usize = 20_000;

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let args = ["--port", "0", "--history", "2", "--queue", "50", "--grace", "200ms"];
    let server = scenario.serve("chat-server", args);
    let (pid, address) = (server.pid(), server.address());
    let port = address.port().to_string();
    let speaks = Run::new("chat-client").args(["--port", &port, "--name", "alice"]);
    scenario.run(speaks.stdin("hello\n"));
    let joins = scenario.run(Run::new("chat-client").args(["--port", &port, "--name", "bob"]));
    let heard = joins.stdout_text();
    scenario.check_eq(
        "history",
        "a new member receives the history",
        "alice: hello\n* bob joined\n* bob left\n",
        heard.as_str(),
        format_args!("{} lines", heard.lines().count()),
    )?;

    let carol = Chatter::join(address, "carol")?;
    let before = evidence::descriptors(pid).len();
    let mut people = [carol, Chatter::join(address, "dave")?];
    let deaf = Chatter::join(address, "eve")?;
    let threads = evidence::threads(pid).len();
    let more = evidence::descriptors(pid).len() - before;
    scenario.check(
        "one-thread",
        "two more members are two more descriptors of one thread",
        threads == 1 && more == 2,
        format_args!("{threads} thread, {more} more descriptors (/proc/{pid})"),
    )?;
    drops(scenario, pid, &mut people, deaf)?;
    ends(scenario, &server)?;
    if !scenario.keep {
        let informed = people.iter_mut().filter_map(|one| one.hear_all().ok()?.pop());
        let informed = informed.filter(|last| last == "closed\tthe server stops").count();
        scenario.check_eq(
            "stop",
            "the members are informed when the server stops",
            2,
            informed,
            format_args!("{informed} of 2"),
        )?;
    }
    Ok(())
}

/// One of the people talks until the one who does not read is dropped.
fn drops(
    scenario: &mut ScenarioRun,
    pid: i32,
    people: &mut [Chatter; 2],
    mut deaf: Chatter,
) -> Result<(), Stopped> {
    let (mut slowest, mut said, text) = (Duration::ZERO, 0, "x".repeat(1000));
    let mut left = false;
    while !left && said < MESSAGES {
        said += 1;
        let begun = Instant::now();
        let [carol, dave] = &mut *people;
        carol.say(&text)?;
        for person in [carol, dave] {
            let heard = person.hear_until(&format!("said\tcarol\t{text}"))?;
            left |= heard.iter().any(|heard| heard == "left\teve");
            slowest = slowest.max(begun.elapsed());
        }
    }
    let evidence =
        format!("after {said} messages of 1000 bytes; the slowest took {slowest:.0?} to arrive");
    scenario.check("dropped", "a member that never reads is dropped", left, evidence)?;
    let resident = evidence::rss(pid).unwrap_or(u64::MAX);
    scenario.check(
        "bounded",
        "its queue was bounded",
        resident < 16 << 20,
        format_args!("{} KiB resident", resident / 1024),
    )?;
    let heard = deaf.hear_all()?;
    let why = "closed\ttoo slow: 50 messages waiting";
    scenario.check_eq(
        "told",
        "the last frame it can read says why",
        Some(why),
        heard.last().map(String::as_str),
        format_args!("{} frames, then {:?}", heard.len() - 1, heard.last()),
    )?;
    Ok(())
}
