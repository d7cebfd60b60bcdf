//! `backlog`: how many connections a queue takes, and who knows of whom.

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, bin, evidence, need};
use serde_json::Value;

use crate::try_it::{has, shell};
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "backlog",
        tests![
            a_queue_has_one_place_more_than_its_backlog,
            a_backlog_above_somaxconn_is_cut,
            who_found_the_queue_full_comes_with_a_later_syn,
            a_silent_client_that_the_server_does_not_know_is_never_accepted,
            without_cookies_the_server_has_every_client_that_is_connected,
            a_reset_on_overflow_changes_nothing,
            ss_shows_the_backlog_of_the_listener,
            too_few_descriptors_are_an_error,
            a_closed_or_full_output_ends_it,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

fn number(step: &Value, key: &str) -> u64 {
    step[key].as_u64().unwrap_or_else(|| panic!("{key} of {step}"))
}

/// The steps, by their types.
fn steps(run: Run) -> [Value; 4] {
    let finished = run.finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let shown = finished.stdout_text();
    let steps: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: [Value; 4] = steps.try_into().unwrap();
    let types = [&steps[0], &steps[1], &steps[2], &steps[3]].map(|step| &step["type"]);
    assert_eq!(types, ["connected", "accepted", "retried", "last"]);
    steps
}

fn backlog(args: &[&str]) -> Run {
    Run::new("backlog").arg("--json").args(args)
}

/// The same in a network of its own, where a sysctl has this value.
fn with_sysctl(sysctl: &str, args: &[&str]) -> Result<[Value; 4], Skip> {
    need(Need::OwnNames)?;
    let script = r#"echo "${1#*=}" > "/proc/sys/net/ipv4/${1%=*}"; shift; exec "$@""#;
    let run = Run::script(script).arg(sysctl).arg(bin("backlog")).arg("--json").args(args);
    Ok(steps(run.inside("tests/etc")))
}

/// Those that the server has: accepted, and in its queue.
fn known(step: &Value) -> u64 {
    number(step, "accepted") + number(step, "queue")
}

fn a_queue_has_one_place_more_than_its_backlog() -> Result<(), Skip> {
    for backlog_of in [0, 1, 5, 64] {
        let (places, clients) = (backlog_of + 1, (backlog_of + 10).to_string());
        let args = ["--backlog", &backlog_of.to_string(), "--clients", &clients];
        let [connected, accepted, ..] = steps(backlog(&args).args(["--timeout", "200ms"]));
        let counts = ["connected", "queue", "backlog"].map(|key| number(&connected, key));
        assert_eq!(counts, [places, places, backlog_of], "{connected}");
        let counts = ["accepted", "queue"].map(|key| number(&accepted, key));
        assert_eq!(counts, [places, 0], "{accepted}");
    }
    Ok(())
}

fn a_backlog_above_somaxconn_is_cut() -> Result<(), Skip> {
    let most = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let most: u64 = most.trim().parse().unwrap();
    let [connected, .., last] = steps(backlog(&["--backlog", "65535", "--clients", "3"]));
    assert_eq!(number(&connected, "backlog"), most.min(65_535));
    assert_eq!(number(&last, "accepted"), 3);
    Ok(())
}

fn who_found_the_queue_full_comes_with_a_later_syn() -> Result<(), Skip> {
    let [connected, _, retried, last] = steps(backlog(&["--clients", "18"]));
    assert_eq!(number(&connected, "connected"), 6);
    // Twice the six places: those that were accepted, and those that are in the queue again.
    assert_eq!(known(&retried), 12, "{retried}");
    assert!(number(&retried, "connected") >= 12, "{retried}");
    assert_eq!(number(&last, "accepted"), 18, "{last}");
    Ok(())
}

fn a_silent_client_that_the_server_does_not_know_is_never_accepted() -> Result<(), Skip> {
    let args = ["--clients", "18", "--silent", "--timeout", "2500ms"];
    // Of those that it does not know some may be half open still: their SYN-ACK is sent again, and
    // answered. That all are is possible, and unlikely.
    for _ in 0..3 {
        let [_, _, retried, last] = with_sysctl("tcp_syncookies=1", &args)?;
        let accepted = number(&last, "accepted");
        assert!(accepted >= known(&retried), "{retried}, {last}");
        if number(&retried, "connected") == 18 && accepted < 18 {
            return Ok(());
        }
    }
    panic!("the server knew every client");
}

fn without_cookies_the_server_has_every_client_that_is_connected() -> Result<(), Skip> {
    // A SYN that two processors take at the same moment may find room where its ACK does not.
    for _ in 0..3 {
        let [_, _, retried, last] = with_sysctl("tcp_syncookies=0", &["--clients", "18"])?;
        assert_eq!(number(&last, "accepted"), 18, "{last}");
        if (number(&retried, "connected"), known(&retried)) == (12, 12) {
            return Ok(());
        }
    }
    panic!("a client is connected that the server does not know");
}

fn a_reset_on_overflow_changes_nothing() -> Result<(), Skip> {
    let [connected, _, retried, last] =
        with_sysctl("tcp_abort_on_overflow=1", &["--clients", "18"])?;
    assert_eq!(number(&connected, "connected"), 6);
    assert_eq!(known(&retried), 12, "{retried}");
    assert_eq!(number(&last, "accepted"), 18, "{last}");
    Ok(())
}

fn ss_shows_the_backlog_of_the_listener() -> Result<(), Skip> {
    has("ss")?;
    let args = ["--backlog", "7", "--clients", "40", "--silent", "--timeout", "none"];
    let process = Run::new("backlog").args(args).start();
    let accepted = || process.stdout().contains("wait ").then_some(());
    evidence::wait_until(SOON, accepted).expect("it waits for the silent clients");
    let listeners = shell("ss -Hltnp").finish().stdout_text();
    let own = format!("pid={},", process.pid());
    let own = listeners.lines().find(|line| line.contains(&own)).expect("its listener");
    let [_, queue, backlog] = own.split_whitespace().take(3).collect::<Vec<_>>()[..] else {
        panic!("{own}")
    };
    assert_eq!((queue, backlog), ("0", "7"), "{own}");
    Ok(())
}

fn too_few_descriptors_are_an_error() -> Result<(), Skip> {
    let finished = backlog(&["--clients", "40"]).limit_nofile(30).finish();
    let said = "backlog: socket: Too many open files (EMFILE)\nhint: ";
    assert_eq!(finished.code(), Some(71), "{finished:?}");
    assert!(finished.stderr_text().starts_with(said), "{finished:?}");
    Ok(())
}

fn a_closed_or_full_output_ends_it() -> Result<(), Skip> {
    let full = shell("backlog --clients 1 > /dev/full").finish();
    assert_eq!((full.code(), full.stderr_text().lines().count()), (Some(74), 1), "{full:?}");
    let gone = shell("backlog --clients 1 2>&1 | head -n 0").finish();
    assert!(gone.code() == Some(0) && gone.stderr.is_empty(), "{gone:?}");
    Ok(())
}
