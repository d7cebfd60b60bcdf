//! Names with several addresses, on a machine of its own where localhost is ::1 and 127.0.0.1.

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, bin, need};

use super::{answer, fails, objects};
use crate::ntp::{is_off_by, number};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "ntp_time",
        tests![
            the_next_address_of_a_name_is_asked,
            a_retry_goes_to_the_next_address,
            every_address_of_a_name_can_have_a_vote,
            names_that_do_not_resolve_cost_one_timeout_in_all,
            a_name_that_does_not_resolve_takes_no_time_from_the_others,
        ],
    )
}

/// The client with these arguments, and a responder for each line of options, all on port 7777.
fn among(responders: &[&str], args: &[&str]) -> Result<Finished, Skip> {
    need(Need::OwnNames)?;
    // A line of options for each responder, which are words.
    let script = r#"responder=$1 lines=$2 pids=; shift 2
        trap 'kill $pids' EXIT
        while read -r options; do
            : > ready
            "$responder" --port 7777 -q $options > ready & pids="$pids $!"
            until grep -q listening ready; do :; done
        done < "$lines"
        "$@""#;
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    fs::write(&lines, responders.join("\n") + "\n").unwrap();
    let run = Run::script(script).folder(folder.path()).arg(bin("ntp-responder")).arg(lines);
    let run = run.arg(bin("ntp-time")).arg("--json").args(args);
    let finished = run.inside("tests/etc").finish();
    assert!(!finished.timed_out, "{finished:?}");
    Ok(finished)
}

fn the_next_address_of_a_name_is_asked() -> Result<(), Skip> {
    let finished = among(&["--offset 1s"], &["localhost:7777"])?;
    is_off_by(&answer(&finished), 1_000);
    assert!(finished.stderr.is_empty(), "{finished:?}");
    // The first refused, and a refusal is no wait.
    let server = &objects(&finished)[0];
    assert_eq!((&server["address"], number(server, "tries")), (&"127.0.0.1".into(), 2));
    Ok(())
}

fn a_retry_goes_to_the_next_address() -> Result<(), Skip> {
    for timeout in ["2s", "none"] {
        let args = ["--timeout", timeout, "--retries", "1", "localhost:7777"];
        let finished = among(&["--host ::1 --loss 100", "--offset 1s"], &args)?;
        is_off_by(&answer(&finished), 1_000);
        assert!(finished.elapsed < Duration::from_secs(5), "{finished:?}");
    }
    Ok(())
}

fn every_address_of_a_name_can_have_a_vote() -> Result<(), Skip> {
    for (option, votes) in [("--ipv6", 1), ("--all-addresses", 2)] {
        let finished = among(&["--host ::"], &[option, "localhost:7777"])?;
        assert_eq!(number(&answer(&finished), "answered"), votes, "{finished:?}");
    }
    Ok(())
}

fn names_that_do_not_resolve_cost_one_timeout_in_all() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let names = (1..=8).map(|port| format!("silent.test:{port}"));
    let run = Run::new("ntp-time").args(["--timeout", "1s"]).args(names).inside("tests/etc");
    let finished = run.finish();
    fails(&finished, 75, "resolve silent.test: timed out after 1s");
    assert_eq!(finished.stderr_text().lines().count(), 8, "{finished:?}");
    assert!(finished.elapsed < Duration::from_secs(5), "{:?}", finished.elapsed);
    Ok(())
}

fn a_name_that_does_not_resolve_takes_no_time_from_the_others() -> Result<(), Skip> {
    let args = ["--timeout", "1s", "silent.test:7777", "127.0.0.1:7777"];
    let finished = among(&["--offset 1s"], &args)?;
    is_off_by(&answer(&finished), 1_000);
    assert!(finished.stderr_text().contains("resolve silent.test: timed out after 1s\n"));
    Ok(())
}
