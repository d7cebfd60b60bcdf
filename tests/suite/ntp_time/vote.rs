//! Which sample of a server counts, and which servers are believed.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Skip, evidence};
use serde_json::{Value, json};

use super::{answer, fails, objects, query, responders};
use crate::ntp::{SOON, is_off_by, number, request_count, responder};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "ntp_time",
        tests![
            the_majority_is_right_and_the_falsetickers_are_named,
            one_server_is_its_own_majority,
            two_that_disagree_are_65_with_both_claims,
            half_is_no_majority,
            without_a_majority_the_table_and_json_have_the_claims,
            unequal_paths_make_no_falseticker,
            the_source_is_the_one_that_knows_it_best,
            the_sample_of_least_delay_counts,
            samples_of_all_servers_are_taken_at_the_same_time,
        ],
    )
}

fn the_majority_is_right_and_the_falsetickers_are_named() -> Result<(), Skip> {
    let servers = responders(&["-1h", "1s", "1s", "2s", "1s"]);
    let finished = query(&servers, &["--json"]);
    let answer = answer(&finished);
    is_off_by(&answer, 1_000);
    let wrong = [&servers[0], &servers[3]].map(|server| server.address().to_string());
    assert_eq!(answer["falsetickers"], json!(wrong));
    assert_eq!((number(&answer, "answered"), number(&answer, "agree")), (5, 3));
    // They are what somebody may want to see who only looks.
    let printed = query(&servers, &[]).stdout_text();
    for wrong in wrong {
        assert!(printed.contains(&format!("\n    Falseticker={wrong} ")), "{printed}");
    }
    Ok(())
}

fn one_server_is_its_own_majority() -> Result<(), Skip> {
    let server = responder(&["--offset", "1h"]);
    let finished = query([&server], &["--json"]);
    let (answer, object) = (answer(&finished), &objects(&finished)[0]);
    is_off_by(&answer, 3_600_000);
    // What is known is what it said, neither more nor less.
    let off = number(&answer, "offset_ns") - number(object, "offset_ns");
    let more = number(&answer, "bound_ns") - number(object, "bound_ns");
    assert_eq!((off, more, &object["vote"]), (0, 0, &json!("truechimer")));
    Ok(())
}

fn two_that_disagree_are_65_with_both_claims() -> Result<(), Skip> {
    let servers = responders(&["0", "1h"]);
    let finished = query(&servers, &[]);
    fails(&finished, 65, "ntp-time: 2 servers: no majority: no two servers agree\n");
    let said = finished.stderr_text();
    for (server, truth) in servers.iter().zip([0.0, 3_600.0]) {
        let claim = format!("ntp-time: {} says 20", server.address());
        let line = said.lines().find(|line| line.starts_with(&claim)).expect("a claim");
        let (_, said) = line.split_once(", ").expect("an offset");
        let (offset, bound) = said.split_once(" +/- ").expect("a bound");
        let (offset, bound): (f64, f64) = (offset.parse().unwrap(), bound.parse().unwrap());
        assert!((offset - truth).abs() <= bound, "{line}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");
    Ok(())
}

fn half_is_no_majority() -> Result<(), Skip> {
    let mut servers = responders(&["0", "0", "1h", "1h"]);
    fails(&query(&servers, &[]), 65, "4 servers: no majority: at most 2 servers agree\n");
    // One that does not answer decides nothing; one more that does, does.
    servers.push(responder(&["--stratum", "16"]));
    fails(&query(&servers, &["--timeout", "200ms"]), 65, "4 servers: no majority");
    servers.push(responder(&["--offset", "1h"]));
    let finished = query(&servers, &["--json", "--timeout", "200ms"]);
    is_off_by(&answer(&finished), 3_600_000);
    Ok(())
}

fn without_a_majority_the_table_and_json_have_the_claims() -> Result<(), Skip> {
    let servers = responders(&["0", "1h"]);
    let finished = query(&servers, &["--json"]);
    assert_eq!(finished.code(), Some(65), "{finished:?}");
    let objects = objects(&finished);
    let told: Vec<_> = objects.iter().map(|one| (&one["type"], &one["vote"])).collect();
    let undecided = (&Value::from("server"), &Value::from("undecided"));
    assert_eq!(told, [undecided, undecided, (&"error".into(), &Value::Null)]);
    let finished = query(&servers, &["--compare"]);
    assert_eq!(finished.code(), Some(65), "{finished:?}");
    assert_eq!(finished.stdout_text().matches(" undecided\n").count(), 2, "{finished:?}");
    assert_eq!(finished.stderr_text().lines().count(), 1, "{finished:?}");
    Ok(())
}

fn unequal_paths_make_no_falseticker() -> Result<(), Skip> {
    // 100 ms there and none back: 50 ms off, and it says so.
    let unequal = responder(&["--offset", "1s", "--delay", "50ms", "--asymmetry", "50ms"]);
    let servers = [unequal, responder(&["--offset", "1s"]), responder(&["--offset", "1s"])];
    // A machine that is busy wakes a responder late, and that looks like a longer way.
    let as_expected = || {
        let finished = query(&servers, &["--json"]);
        let answer = answer(&finished);
        is_off_by(&answer, 1_000);
        let agree = (&answer["falsetickers"], number(&answer, "agree"));
        assert_eq!(agree, (&json!([]), 3), "{answer}");
        let off = number(&objects(&finished)[0], "offset_ns") - 1_000_000_000;
        // Its middle is far from what all of them agree on.
        (off > 40_000_000 && number(&answer, "bound_ns") < 20_000_000).then_some(())
    };
    evidence::wait_until(SOON, as_expected).expect("50 ms off, and no falseticker");
    Ok(())
}

fn the_source_is_the_one_that_knows_it_best() -> Result<(), Skip> {
    let far = || responder(&["--delay", "100ms"]);
    let servers = [far(), responder(&[]), far()];
    let answer = answer(&query(&servers, &["--json"]));
    assert_eq!(answer["source"], servers[1].address().to_string(), "{answer}");
    Ok(())
}

fn the_sample_of_least_delay_counts() -> Result<(), Skip> {
    // The same seed makes the same ways: of four the first is not the shortest.
    let path = ["--offset", "1s", "--jitter", "300ms", "--seed", "4"];
    let delay = |count: &str| {
        let server = responder(&path);
        let finished = query([&server], &["--json", "--count", count]);
        is_off_by(&answer(&finished), 1_000);
        let object = objects(&finished).remove(0);
        assert_eq!(request_count(&server).to_string(), count);
        (number(&object, "delay_ns"), number(&object, "jitter_ns"))
    };
    let ((first, none), (best, jitter)) = (delay("1"), delay("4"));
    assert!(best + 100_000_000 < first, "{best}, {first}");
    assert!(none == 0 && jitter > 1_000_000, "{jitter}");
    Ok(())
}

fn samples_of_all_servers_are_taken_at_the_same_time() -> Result<(), Skip> {
    let servers = responders(&["0", "0", "0", "0", "0"]);
    let finished = query(&servers, &["--json", "--count", "2"]);
    assert_eq!(number(&answer(&finished), "agree"), 5, "{finished:?}");
    // A second apart; one server after the other would be five.
    let window = Duration::from_secs(1)..Duration::from_millis(4_500);
    assert!(window.contains(&finished.elapsed), "{:?}", finished.elapsed);
    for server in &servers {
        let twice =
            || (server.stderr().matches(" sent a request, version ").count() == 2).then_some(());
        evidence::wait_until(SOON, twice).expect("two requests");
    }
    Ok(())
}
