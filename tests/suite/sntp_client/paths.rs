//! Paths that take long, that are unequal, and that lose datagrams.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::peer::{Fate, Fates, LossyPath};
use netcheck::{Skip, evidence};

use super::{answer, client, fails, parsed};
use crate::ntp::{SOON, is_off_by, number, request_count, responder};
use crate::{conversations, in_threads, tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "sntp_client",
        tests![
            equal_paths_cost_no_accuracy,
            unequal_paths_are_inside_the_bound,
            a_third_of_the_requests_may_be_lost,
            when_all_are_lost_it_is_75,
            loss_duplicates_reordering_and_jitter_cost_no_answer_and_no_bound,
        ],
    )
}

/// In nanoseconds.
const MS: i64 = 1_000_000;

fn equal_paths_cost_no_accuracy() -> Result<(), Skip> {
    let server = responder(&["--offset", "1.5s", "--delay", "20ms"]);
    // A machine that is busy wakes the responder late, and that looks like a longer path.
    let exact = || {
        let answer = answer(server.address(), &[]);
        let error = (number(&answer, "offset_ns") - 1_500 * MS).abs();
        assert!(error <= number(&answer, "bound_ns"), "{answer}");
        assert!(number(&answer, "delay_ns") >= 40 * MS, "{answer}");
        (error < MS).then_some(())
    };
    evidence::wait_until(SOON, exact).expect("less than a millisecond off");
    Ok(())
}

fn unequal_paths_are_inside_the_bound() -> Result<(), Skip> {
    for asymmetry in ["20ms", "-20ms"] {
        let server = responder(&["--delay", "20ms", "--asymmetry", asymmetry]);
        let sign = if asymmetry.starts_with('-') { -1 } else { 1 };
        let as_expected = || {
            let answer = answer(server.address(), &[]);
            let (error, bound) = (number(&answer, "offset_ns"), number(&answer, "bound_ns"));
            assert!(error.abs() <= bound, "{answer}");
            ((error - sign * 20 * MS).abs() < MS).then_some(())
        };
        evidence::wait_until(SOON, as_expected).expect("20 ms off, and within the bound");
    }
    Ok(())
}

fn a_third_of_the_requests_may_be_lost() -> Result<(), Skip> {
    // By its seed it loses 47 of the first 147 requests, and never four in a row, which happens about
    // once in 84 times. A try that this machine is too slow for only moves the runs along.
    let server = responder(&["--loss", "33"]);
    let answers = |_: &i32| client(server.address(), &["--timeout", "200ms"]).code() == Some(0);
    let answered = (0..100).filter(answers).count();
    let asked = request_count(&server);
    let lost = server.stderr().lines().filter(|line| line.ends_with(", lost")).count();
    assert!(answered >= 99, "{answered} of 100, {lost} of {asked} lost");
    assert!((28..=38).contains(&(100 * lost / asked)), "{lost} of {asked}");
    Ok(())
}

fn when_all_are_lost_it_is_75() -> Result<(), Skip> {
    let server = responder(&["--loss", "100"]);
    let finished = client(server.address(), &["--timeout", "50ms", "--retries", "2"]);
    fails(&finished, 75, ", 3 times: timed out after 50ms");
    assert!(server.wait_stderr(|log| log.matches(", lost\n").count() == 3, SOON));
    Ok(())
}

fn loss_duplicates_reordering_and_jitter_cost_no_answer_and_no_bound() -> Result<(), Skip> {
    let server = responder(&["-q"]);
    // Of a hundred replies 33 are lost, 10 come twice, 10 after the next one, which is another client's,
    // and the others up to 200 ms late.
    let late =
        [1, 20, 50, 90, 140, 200].map(|millis| (Fate::Late(Duration::from_millis(millis)), 7));
    let others = [(Fate::Lost, 33), (Fate::Doubled, 10), (Fate::Overtaken, 10)];
    let percent = [&others[..], &late].concat();
    let total = conversations(16);
    // Each thread of clients has a path of its own, which serves one of them after the other.
    let clients = |seed: u64| {
        let fates = Fates { seed, percent: percent.clone(), until: u64::MAX };
        let path = LossyPath::to(server.address(), fates);
        let ask = |_: &usize| {
            let args = ["--json", "--timeout", "6s", "--retries", "9"];
            let finished = client(path.address(), &args);
            let answered = finished.code() == Some(0);
            if answered {
                is_off_by(&parsed(&finished), 0);
            }
            answered
        };
        (0..total.div_ceil(8)).filter(ask).count()
    };
    let answered: usize = in_threads(8, 8, clients).into_iter().sum();
    let total = total.div_ceil(8) * 8;
    assert!(answered + (total / 100).max(1) >= total, "{answered} of {total}");
    Ok(())
}
