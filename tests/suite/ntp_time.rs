//! `ntp-time`: what it prints, whom it believes, and how it ends.

mod check;
mod names;
mod others;
mod servers;
mod vote;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use netcheck::{Finished, Run, Server, Skip};
use serde_json::Value;

use crate::ntp::{self, is_off_by, number, request_count, responder, silent};
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "ntp_time",
        tests![
            an_answer_is_the_time_its_source_and_the_local_time,
            the_time_is_that_of_now_and_not_of_the_answer,
            raw_says_how_far_off_the_seed_is,
            a_form_is_all_that_is_printed,
            a_table_has_a_line_for_each_server,
            json_has_an_object_for_each_server_and_one_for_the_answer,
            what_cannot_be_together_costs_no_question,
            a_stream_that_is_full_or_closed_is_survived,
            a_signal_ends_it,
        ],
    );
    for part in [servers::trials, names::trials, vote::trials, check::trials, others::trials] {
        trials.extend(part());
    }
    trials
}

/// A responder for each offset.
fn responders(offsets: &[&str]) -> Vec<Server> {
    offsets.iter().map(|offset| responder(&["--offset", offset])).collect()
}

/// Asks these servers.
fn query<'a>(servers: impl IntoIterator<Item = &'a Server>, args: &[&str]) -> Finished {
    let words = servers.into_iter().map(|server| server.address().to_string());
    Run::new("ntp-time").args(args).args(words).finish()
}

/// All objects of `--json`.
fn objects(finished: &Finished) -> Vec<Value> {
    let text = finished.stdout_text();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The last object, which is the answer, of a run that has one.
fn answer(finished: &Finished) -> Value {
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let answer = objects(finished).pop().expect("an answer");
    assert_eq!(answer["type"], "answer", "{answer}");
    answer
}

/// It fails with the code, prints nothing, and says this on standard error.
fn fails(finished: &Finished, code: i32, words: &str) {
    ntp::fails("ntp-time", finished, code, words);
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970")
}

fn an_answer_is_the_time_its_source_and_the_local_time() -> Result<(), Skip> {
    let server = responder(&["--era", "1", "--stratum", "3"]);
    let address = server.address().to_string();
    // A zone that needs no database: 90 minutes east, and called XYZ.
    let finished = Run::new("ntp-time").arg(&address).env("TZ", "XYZ-1:30").finish();
    assert!(finished.code() == Some(0) && finished.stderr.is_empty(), "{finished:?}");
    let printed = finished.stdout_text();
    let lines: Vec<&str> = printed.lines().collect();
    let words: Vec<&str> = lines[0].split(' ').collect();
    let [time, _, "+/-", bound, word, ip, stratum, leap] = words[..] else { panic!("{printed}") };
    assert!(time.starts_with("2036-02-07T06:28:") && time.len() == 27, "{printed}");
    assert!(bound.parse::<f64>().unwrap() > 0.001, "{printed}");
    let source = (word, ip, stratum, leap);
    assert_eq!(source, (address.as_str(), "127.0.0.1", "s3", "leap=none"), "{printed}");
    assert!(lines[1].starts_with("    Time=Thu Feb  7 07:58:"), "{printed}");
    // One server has nobody to agree with.
    assert!(lines[1].ends_with(" XYZ 2036") && lines.len() == 2, "{printed}");
    Ok(())
}

fn the_time_is_that_of_now_and_not_of_the_answer() -> Result<(), Skip> {
    // The slow one is waited for; what the quick one said is old by then.
    let servers =
        [responder(&["--offset", "100s"]), responder(&["--offset", "100s", "--delay", "150ms"])];
    let (before, finished, after) = (now(), query(&servers, &["--json"]), now());
    let (answer, objects) = (answer(&finished), objects(&finished));
    let ours = number(&answer, "time_ns") - number(&answer, "offset_ns");
    let ours = Duration::from_nanos(ours.try_into().unwrap());
    assert!(before < ours && ours < after, "{before:?} {ours:?} {after:?}");
    let (quick, slow) = (number(&objects[0], "t4_ns"), number(&objects[1], "t4_ns"));
    let ours = i64::try_from(ours.as_nanos()).unwrap();
    assert!(quick + 150_000_000 < slow && slow <= ours, "{quick} {slow} {ours}");
    is_off_by(&answer, 100_000);
    Ok(())
}

fn raw_says_how_far_off_the_seed_is() -> Result<(), Skip> {
    let server = responder(&["--era", "1", "--delay", "200ms"]);
    let address = server.address().to_string();
    let run = Run::new("ntp-time").args(["--raw", &address]).env("TZ", "XYZ-1:30");
    let printed = run.finish().stdout_text();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("Thu Feb  7 07:58:") && lines[0].ends_with(" 2036"), "{printed}");
    let words: Vec<&str> = lines[1].trim_start().split(' ').collect();
    let behind: f64 = words[0].strip_prefix("Behind=").unwrap().parse().unwrap();
    // The way back, and the fraction of a second that ctime does not show.
    assert!((0.2..10.0).contains(&behind), "{printed}");
    assert_eq!((words[1], words[3]), ("+/-", address.as_str()), "{printed}");
    Ok(())
}

fn a_form_is_all_that_is_printed() -> Result<(), Skip> {
    let server = responder(&["--offset", "1000s"]);
    let address = server.address().to_string();
    let printed = |format: &str| {
        let run = Run::new("ntp-time").args(["--format", format, &address]);
        run.env("TZ", "XYZ-1:30").finish().stdout_text()
    };
    let (before, seconds) = (now(), printed("%s.%N"));
    let (seconds, nanos) = seconds.trim_end().split_once('.').unwrap();
    let ahead = seconds.parse::<u64>().unwrap() - before.as_secs();
    assert!((1000..1010).contains(&ahead) && nanos.len() == 9, "{seconds} {nanos} {before:?}");
    assert_eq!(printed("%Z %z 100%% %%N"), "XYZ +0130 100% %N\n");
    assert_eq!(printed(""), "\n");
    Ok(())
}

fn a_table_has_a_line_for_each_server() -> Result<(), Skip> {
    let servers = responders(&["1s", "1s", "9s"]);
    let finished = query(&servers, &["--compare"]);
    let printed = finished.stdout_text();
    let lines: Vec<Vec<&str>> =
        printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["SERVER", "ST", "OFFSET", "BOUND", "DELAY", "JITTER", "N", "VOTE"]);
    for (server, line) in servers.iter().zip(&lines[1..]) {
        assert_eq!((line[0], line[1], line[6]), (&*server.address().to_string(), "1", "1"));
    }
    let votes: Vec<&str> = lines[1..4].iter().map(|line| line[7]).collect();
    assert_eq!(votes, ["truechimer", "truechimer", "falseticker"], "{printed}");
    // The answer follows.
    assert!(lines[4][1].starts_with("+1.0") || lines[4][1].starts_with("+0.9"), "{printed}");
    Ok(())
}

fn json_has_an_object_for_each_server_and_one_for_the_answer() -> Result<(), Skip> {
    let (_socket, silent) = silent();
    let servers = [responder(&["--offset", "1s", "--lie", "all"]), responder(&["--offset", "1s"])];
    let args = ["--json", "--timeout", "200ms", &silent.to_string()];
    let finished = query(&servers, &args);
    let objects = objects(&finished);
    let types: Vec<&Value> = objects.iter().map(|object| &object["type"]).collect();
    assert_eq!(types, ["server", "server", "server", "answer"]);
    // Those that have a vote come first.
    let votes: Vec<&Value> = objects.iter().map(|object| &object["vote"]).collect();
    assert_eq!(votes[..3], ["truechimer", "truechimer", "none"]);
    assert_eq!(objects[0]["rejected"]["mode"], 7, "{}", objects[0]);
    assert_eq!((&objects[0]["stratum"], &objects[0]["reference_id"]), (&1.into(), &"LOCL".into()));
    assert_eq!(objects[2]["error"], format!("query {silent}, 2 times: timed out after 200ms"));
    let answer = answer(&finished);
    assert_eq!((number(&answer, "answered"), number(&answer, "agree")), (2, 2));
    is_off_by(&answer, 1_000);
    Ok(())
}

fn what_cannot_be_together_costs_no_question() -> Result<(), Skip> {
    let server = responder(&[]);
    for (args, words) in [
        (&["--compare", "--check"][..], "only one of them"),
        (&["--raw", "--format", "%s"], "only one of them"),
        (&["--warning", "1s"], "only with --check"),
        (&["--check", "--warning", "2s", "--critical", "1s"], "larger than --critical"),
        (&["--format", &"%Y".repeat(40_000)], "more than 64 KiB"),
        (&["--interval", "999ms"], "more frequent requests"),
        (&["--count", "0"], "from 1 to"),
        (&["-4", "-6"], "one of them"),
        (&["-6"], "not of the family"),
        (&["127.1"], "inet_aton"),
    ] {
        fails(&query([&server], args), 2, words);
    }
    let none = Run::new("ntp-time").finish().stderr_text();
    assert_eq!(none, "ntp-time: SERVER: required\nTry 'ntp-time --help'.\n");
    assert_eq!(request_count(&server), 0);
    Ok(())
}

fn a_stream_that_is_full_or_closed_is_survived() -> Result<(), Skip> {
    let servers = responders(&["0", "9s", "0"]);
    let addresses = servers.iter().map(|server| server.address().to_string());
    let addresses: Vec<String> = addresses.collect();
    for option in ["--compare", "--check", "--json"] {
        let args: Vec<&str> =
            [option].into_iter().chain(addresses.iter().map(String::as_str)).collect();
        ntp::survives_full_and_closed_streams("ntp-time", &args);
    }
    Ok(())
}

fn a_signal_ends_it() -> Result<(), Skip> {
    ntp::is_ended_by_a_signal("ntp-time");
    Ok(())
}
