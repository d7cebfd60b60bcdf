//! `udp-client` on a path that loses, doubles, reorders, changes and delays what comes back.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::Skip;
use netcheck::peer::{Fate, Fates, LossyPath};

use super::{client, echo, fails, summary};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "udp_client",
        tests![
            each_fault_of_the_path_is_counted_as_what_it_is,
            retries_make_up_for_what_is_lost,
            a_reply_after_the_time_is_late_and_its_datagram_lost,
        ],
    )
}

fn each_fault_of_the_path_is_counted_as_what_it_is() -> Result<(), Skip> {
    let server = echo();
    for seed in 1..=3 {
        // The last replies come as they went, so that none is overtaken by nothing.
        let percent =
            [Fate::Lost, Fate::Doubled, Fate::Overtaken, Fate::Changed].map(|fate| (fate, 8));
        let fates = Fates { seed, percent: percent.into(), until: 380 };
        let path = LossyPath::to(server.address(), fates.clone());
        // A window that the lost ones never fill: there is always a next one to overtake.
        let args = ["--count", "400", "--window", "80", "--retries", "0"];
        let args = [&args[..], &["--timeout", "2s", "--json"]].concat();
        let finished = client(path.address(), &args).finish();
        let summary = summary(&finished);
        let count = |key: &str| summary[key].as_u64().unwrap();
        let (lost, changed) = (fates.count(Fate::Lost), fates.count(Fate::Changed));
        assert!(0 < lost && lost < 79 && 0 < changed);
        assert_eq!((count("lost"), count("changed")), (lost, changed), "{summary}");
        assert_eq!(count("doubled"), fates.count(Fate::Doubled), "{summary}");
        assert_eq!((count("count"), count("resent"), count("late")), (400, 0, 0));
        assert_eq!(count("echoed") + lost + changed, 400);
        // A reply that waits for the next one is overtaken by it, unless that one does not come, is
        // changed, or waits too.
        let overtaken = |n: &u64| {
            let by_next = matches!(fates.fate(n + 1), Fate::Comes | Fate::Doubled);
            fates.fate(*n) == Fate::Overtaken && by_next
        };
        assert_eq!(count("reordered"), (0..380).filter(overtaken).count() as u64, "{summary}");
        // The wrong bytes are what it ends with.
        fails(&finished, 65, "was sent as 0x");
    }
    Ok(())
}

fn retries_make_up_for_what_is_lost() -> Result<(), Skip> {
    let server = echo();
    let fates = Fates { seed: 7, percent: vec![(Fate::Lost, 30)], until: 1_000 };
    let path = LossyPath::to(server.address(), fates);
    let args = ["--count", "100", "--window", "4", "--retries", "20", "--backoff", "10ms"];
    let finished = client(path.address(), &[&args[..], &["--json", "--timeout", "none"]].concat());
    let finished = finished.finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let summary = summary(&finished);
    assert_eq!((&summary["echoed"], &summary["lost"]), (&100.into(), &0.into()));
    // On a loaded machine one may be sent again that was only slow.
    assert!(summary["resent"].as_u64().unwrap() >= 20, "{summary}");
    Ok(())
}

fn a_reply_after_the_time_is_late_and_its_datagram_lost() -> Result<(), Skip> {
    let server = echo();
    let late = Fate::Late(Duration::from_millis(1600));
    let path =
        LossyPath::to(server.address(), Fates { seed: 1, percent: vec![(late, 100)], until: 1 });
    // The first is given up after 800 ms; the pause between two keeps the client there.
    let args = ["--count", "3", "--retries", "0", "--timeout", "800ms", "--json"];
    let run = client(path.address(), &[&args[..], &["--interval", "1s"]].concat());
    let finished = run.finish();
    let summary = summary(&finished);
    let counts = ["echoed", "lost", "late", "doubled"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 1, 0], "{summary}");
    fails(&finished, 75, "1 of 3 datagrams not echoed");
    Ok(())
}
