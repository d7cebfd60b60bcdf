//! forking-echo: what it prints, and what its children do.

use std::io::{Read, Write};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Signal, Skip, evidence, peer};

use crate::forking_echo::start;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "forking_output",
        tests![
            the_readiness_line_is_not_doubled_by_fork,
            json_events_are_whole_lines,
            the_prefix_is_the_pid_of_a_child,
        ],
    )
}

const SECOND: Duration = Duration::from_secs(1);

fn the_readiness_line_is_not_doubled_by_fork() -> Result<(), Skip> {
    for args in [&[][..], &["--json"]] {
        let server = start(args);
        for _ in 0..5 {
            peer::exchange(server.address(), b"x").unwrap();
        }
        server.signal(Signal::SIGTERM);
        server.wait(10 * SECOND).expect("it ends");
        assert_eq!(server.stdout().matches("listening").count(), 1, "{}", server.stdout());
    }
    Ok(())
}

fn json_events_are_whole_lines() -> Result<(), Skip> {
    let server = start(&["--json", "-v", "--max-children", "100", "--backlog", "100"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    peer::exchange(server.address(), b"\"\\\n\x1b\xff").unwrap();
                }
            });
        }
    });
    server.signal(Signal::SIGTERM);
    server.wait(10 * SECOND).expect("it ends");
    let mut counted = std::collections::BTreeMap::new();
    for line in server.stdout().lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect(line);
        *counted.entry(event["type"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        if event["type"] == "closed" {
            assert_eq!((&event["received"], &event["sent"]), (&5.into(), &5.into()), "{line}");
        }
    }
    let expected =
        [("closed", 200), ("counts", 1), ("listening", 1), ("opened", 200), ("received", 200)];
    assert_eq!(counted, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
    assert_eq!(server.stderr(), "");
    Ok(())
}

fn the_prefix_is_the_pid_of_a_child() -> Result<(), Skip> {
    let server = start(&["--show-pid"]);
    let mut client = peer::connect(server.address()).unwrap();
    let child = || evidence::children(server.pid()).first().copied();
    let child = evidence::wait_until(5 * SECOND, child).expect("a child");
    let expected = format!("{child}: one two");
    for part in ["one", " two"] {
        client.write_all(part.as_bytes()).unwrap();
    }
    let mut reply = vec![0; expected.len()];
    client.read_exact(&mut reply).unwrap();
    assert_eq!(String::from_utf8_lossy(&reply), expected, "before the first byte, and only there");
    Ok(())
}
