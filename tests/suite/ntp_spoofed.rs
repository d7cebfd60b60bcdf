//! Answers that somebody else sends with the server's address and port as their sender, to the port that
//! was asked from. All that they lack is the nonce.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, bin, need};
use serde_json::{Value, json};

use crate::ntp::{is_off_by, number};
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "ntp_spoofed",
        tests![
            no_forged_answer_is_believed_and_the_honest_one_is,
            a_flood_of_forged_answers_does_not_move_the_deadline,
        ],
    )
}

/// How many come within the seconds of the flood, at least.
const A_SECOND: u64 = 10_000;

/// The client, where a raw socket may be opened, flooded for so many seconds after its request.
fn flooded(seconds: &str, args: &[&str]) -> Result<(Finished, u64, u64), Skip> {
    need(Need::OwnNames)?;
    let run = Run::new("forger").arg(seconds).arg(bin("sntp-client")).args(args);
    let finished = run.inside("tests/etc").finish();
    let said = finished.stderr_text();
    let counts = said.lines().last().and_then(|line| {
        let (forged, dropped) = line.strip_prefix("forged ")?.split_once(", dropped ")?;
        Some((forged.parse().ok()?, dropped.parse().ok()?))
    });
    let (forged, dropped) = counts.unwrap_or_else(|| panic!("{finished:?}"));
    Ok((finished, forged, dropped))
}

fn no_forged_answer_is_believed_and_the_honest_one_is() -> Result<(), Skip> {
    let (finished, forged, dropped) = flooded("2", &["--json", "--timeout", "20s"])?;
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let answer: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert!(forged >= 2 * A_SECOND, "{forged} in 2 s");
    // Each was refused for its nonce, but for those that found no room in the queue.
    assert_eq!(answer["rejected"], json!({ "origin": forged - dropped }), "{forged}, {dropped}");
    assert!(dropped < forged, "{forged}, {dropped}");
    // The forged ones are ten years ahead.
    is_off_by(&answer, 0);
    assert_eq!(number(&answer, "tries"), 1, "{answer}");
    Ok(())
}

fn a_flood_of_forged_answers_does_not_move_the_deadline() -> Result<(), Skip> {
    let args = ["--timeout", "1s", "--retries", "1"];
    let (finished, forged, _) = flooded("10", &args)?;
    let said = finished.stderr_text();
    assert_eq!((finished.code(), finished.stdout.len()), (Some(65), 0), "{said}");
    assert!(
        said.contains(" datagrams rejected: its origin timestamp is not that of our request\n"),
        "{said}"
    );
    // Both tries were flooded.
    assert!(forged >= A_SECOND, "{forged} in a second");
    let window = Duration::from_secs(1)..Duration::from_secs(5);
    assert!(window.contains(&finished.elapsed), "{:?}", finished.elapsed);
    Ok(())
}
