//! Another server that others wrote: the ntpd of NTPsec. It always takes port 123, and sets the clock
//! if it may. So it has a network of its own, and users of its own: none of them may.

use std::{fs, iter};

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Process, Run, Signal, Skip, evidence, need};
use tempfile::TempDir;

use super::{fails, is_exact, parsed};
use crate::ntp::SOON;
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "sntp_client",
        tests![
            ntpd_is_believed,
            ntpd_without_a_source_has_only_begun,
            ntpd_that_follows_no_clock_is_refused_by_its_leap,
            ntpd_that_may_be_far_from_its_clock_is_refused,
            ntpd_that_is_near_its_clock_is_believed,
            ntpd_that_is_asked_too_often_says_so,
            ntpd_ends_with_its_namespace,
        ],
    )
}

/// With nobody to ask, it is at this stratum by its own clock, from its first second on.
const ORPHAN: &str = "tos orphan 3 orphanwait 0";

/// By default a client that asks more often than once a second soon gets no answer.
const UNLIMITED: &str = "restrict 127.0.0.1";

/// What it says once it has its port.
const LISTENS: &str = " 127.0.0.1:123";

/// One with these lines of ntp.conf(5), that takes requests, with the folder of its files.
fn start(directives: &[&str]) -> Result<(Process, TempDir), Skip> {
    for needed in [Need::Ntpd, Need::OwnNames, Need::Nsenter] {
        need(needed)?;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ntp.conf");
    let own = format!("statsdir \"{}/\"", folder.path().display());
    fs::write(&file, [directives, &[&own, ""]].concat().join("\n")).unwrap();
    // -n: in the foreground, and its log on standard output.
    let mut server = Run::program("ntpd").args(["-n", "-c"]).arg(file).inside("tests/etc").start();
    let listens = iter::from_fn(|| server.next_line(SOON)).any(|line| line.ends_with(LISTENS));
    assert!(listens, "{}", log(&server));
    Ok((server, folder))
}

/// All that it has said, of its errors last.
fn log(server: &Process) -> String {
    server.stdout() + &server.stderr()
}

/// One that tells the time.
pub(crate) fn serve() -> Result<(Process, TempDir), Skip> {
    let (server, folder) = start(&[ORPHAN, "disable ntp", UNLIMITED])?;
    wait_for(&server, |finished| finished.code() == Some(0));
    Ok((server, folder))
}

fn client(server: &Process, args: &[&str]) -> Finished {
    Run::new("sntp-client").args(args).arg("127.0.0.1").beside(server).finish()
}

/// Asks until the end is the wanted one.
fn wait_for(server: &Process, wanted: impl Fn(&Finished) -> bool) -> Finished {
    let mut last = None;
    let ends = || wanted(last.insert(client(server, &["--retries", "0"]))).then_some(());
    let ended = evidence::wait_until(2 * SOON, ends);
    assert!(ended.is_some(), "{last:?}\n{}", log(server));
    last.expect("it was asked")
}

/// Its first answer after those that say that it has only begun.
fn wait_for_more(server: &Process) -> Finished {
    wait_for(server, |finished| !finished.stderr_text().contains(": INIT: "))
}

fn ntpd_is_believed() -> Result<(), Skip> {
    let (server, _folder) = serve()?;
    for version in ["3", "4"] {
        let answer = parsed(&client(&server, &["--json", "--ntp-version", version]));
        is_exact(&answer, 3);
        assert_eq!(answer["version"].to_string(), version);
    }
    Ok(())
}

fn ntpd_without_a_source_has_only_begun() -> Result<(), Skip> {
    let (server, _folder) = start(&[UNLIMITED])?;
    fails(&client(&server, &[]), 65, "INIT: the server has not synchronised its clock yet\n");
    Ok(())
}

fn ntpd_that_follows_no_clock_is_refused_by_its_leap() -> Result<(), Skip> {
    // It has chosen a clock, and a stratum by it, but does not go by it.
    let clock = "refclock local stratum 3 prefer";
    let (server, _folder) = start(&[clock, "disable ntp", UNLIMITED])?;
    let why = "no valid reply; 1 datagram rejected: the server's clock is not synchronised\n";
    fails(&wait_for_more(&server), 65, why);
    Ok(())
}

fn ntpd_that_may_be_far_from_its_clock_is_refused() -> Result<(), Skip> {
    // After its first sample it says that it may be 8 s off. It takes the next a minute later.
    let (server, _folder) = start(&["refclock local stratum 3 prefer", UNLIMITED])?;
    let why = "1 datagram rejected: its root dispersion is 1.5 s or more\n";
    fails(&wait_for_more(&server), 65, why);
    Ok(())
}

fn ntpd_that_is_near_its_clock_is_believed() -> Result<(), Skip> {
    // A sample every second or two; each halves how far off it says that it may be.
    let clock = "refclock local stratum 3 minpoll 0 maxpoll 0 prefer";
    let (server, _folder) = start(&[clock, UNLIMITED])?;
    wait_for(&server, |finished| finished.code() == Some(0));
    let answer = parsed(&client(&server, &["--json"]));
    // One more than its clock.
    is_exact(&answer, 4);
    assert_eq!((&answer["leap"], &answer["reference_id"]), (&"none".into(), &"127.127.1.0".into()));
    Ok(())
}

fn ntpd_that_is_asked_too_often_says_so() -> Result<(), Skip> {
    // One request in minutes; to each of the others it says so.
    let limits = ["restrict 127.0.0.1 kod limited", "limit average 0.0001 burst 100 kod 1000"];
    let (server, _folder) = start(&[&limits[..], &[ORPHAN]].concat())?;
    let first = client(&server, &[]);
    assert!(!first.stderr_text().contains("RATE"), "{first:?}");
    let again = client(&server, &["--count", "3", "--retries", "3"]);
    fails(&again, 75, "127.0.0.1:123: RATE: too many requests");
    Ok(())
}

fn ntpd_ends_with_its_namespace() -> Result<(), Skip> {
    let (server, _folder) = start(&[UNLIMITED])?;
    let [ntpd] = evidence::children(server.pid())[..] else { panic!("{}", log(&server)) };
    // As when the harness is killed: nobody is left to end the tree.
    server.signal(Signal::SIGKILL);
    let ended = || matches!(evidence::state(ntpd), None | Some('Z')).then_some(());
    evidence::wait_until(SOON, ended).expect("it is killed too");
    Ok(())
}
