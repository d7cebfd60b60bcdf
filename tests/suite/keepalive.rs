//! `keepalive`: how a connection ends, and what is said of it. When each combination of options notices a
//! silent peer is the scenario `dead-peer`.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Link, Need, Process, Run, Skip, evidence, need};
use serde_json::Value;
use socket2::SockRef;

use crate::try_it::has;
use crate::{in_time, tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "keepalive",
        tests![
            without_a_port_it_shows_what_the_system_has,
            what_the_kernel_would_refuse_or_cut_is_refused,
            ss_shows_the_timer_of_the_first_probe,
            a_peer_that_closes_is_0,
            a_peer_that_resets_is_69,
            a_peer_that_sends_much_costs_no_memory,
            a_peer_that_was_started_again_is_noticed_at_the_first_probe,
            a_silent_peer_is_noticed_when_the_options_say_so,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

/// Probes after a second without a word, each second, three of them.
const PROBES: [&str; 6] = ["--idle", "1s", "--every", "1s", "--probes", "3"];

fn keepalive(args: &[&str]) -> Run {
    Run::new("keepalive").args(args)
}

/// It, connected to a listener, and the peer.
fn connected(run: impl FnOnce(&[&str]) -> Run, listener: &TcpListener) -> (Process, TcpStream) {
    let address = listener.local_addr().unwrap();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let process = run(&["--host", &host, "--port", &port]).start();
    let (peer, _) = listener.accept().unwrap();
    let connected = || process.stdout().contains("connected").then_some(());
    evidence::wait_until(SOON, connected).expect("it says so");
    (process, peer)
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// How it has ended, and what it has printed.
fn ended(process: &Process, code: i32) -> Vec<Value> {
    let ended = process.wait(SOON).and_then(|status| status.code());
    assert_eq!(ended, Some(code), "{}{}", process.stdout(), process.stderr());
    let said = process.stdout();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_type<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["type"] == kind)
}

fn without_a_port_it_shows_what_the_system_has() -> Result<(), Skip> {
    let sysctl = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_{name}")).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    let options = |args: &[&str]| {
        let finished = keepalive(args).arg("--json").finish();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        serde_json::from_str::<Value>(&finished.stdout_text()).unwrap()
    };
    let shown = options(&[]);
    let [idle, every, probes] =
        ["keepalive_time", "keepalive_intvl", "keepalive_probes"].map(sysctl);
    let number = |key: &str| shown[key].as_u64();
    let read = ["idle_s", "every_s", "probes", "user_timeout_ms"].map(number);
    assert_eq!(read, [Some(idle), Some(every), Some(probes), Some(0)], "{shown}");
    let noticed = Duration::from_secs(idle + every * probes).as_nanos();
    assert_eq!(number("noticed_ns").map(u128::from), Some(noticed), "{shown}");

    let off = options(&["--idle", "none"]);
    assert_eq!((&off["keepalive"], off.get("noticed_ns")), (&false.into(), None), "{off}");
    let text = keepalive(&["--user-timeout", "2500ms"]).finish().stdout_text();
    assert!(text.ends_with("bytes sent    a silent peer is noticed after 2.5 s\n"), "{text}");
    Ok(())
}

fn what_the_kernel_would_refuse_or_cut_is_refused() -> Result<(), Skip> {
    let refused = |finished: Finished, said: &str| {
        assert_eq!(finished.code(), Some(2), "{finished:?}");
        assert!(finished.stderr_text().contains(said), "{said}? {finished:?}");
    };
    for option in ["--idle", "--every"] {
        for time in ["500ms", "0", "32768s"] {
            refused(keepalive(&[option, time]).finish(), "whole seconds from 1s to 32767s");
        }
    }
    refused(keepalive(&["--probes", "128"]).finish(), "write a whole number from 1 to 127");
    refused(keepalive(&["--user-timeout", "25d"]).finish(), "at most 2147483647ms");
    refused(keepalive(&["--send", "0"]).finish(), "0 would take a whole processor");
    Ok(())
}

fn ss_shows_the_timer_of_the_first_probe() -> Result<(), Skip> {
    has("ss")?;
    let listener = listener();
    let (process, _peer) = connected(|to| keepalive(to).args(["--idle", "1000s"]), &listener);
    let connections = Run::program("ss").args(["-Htnpo"]).finish().stdout_text();
    let own = format!("pid={},", process.pid());
    let own = connections.lines().find(|line| line.contains(&own)).expect("its connection");
    // `timer:(keepalive,16min,0)`
    assert!(own.contains("timer:(keepalive,16min,0)"), "{own}");
    Ok(())
}

fn a_peer_that_closes_is_0() -> Result<(), Skip> {
    let listener = listener();
    let (process, peer) = connected(|to| keepalive(to).arg("--json"), &listener);
    drop(peer);
    let said = ended(&process, 0);
    assert_eq!(of_type(&said, "ended").expect("an end")["why"], "closed by the peer");
    Ok(())
}

fn a_peer_that_resets_is_69() -> Result<(), Skip> {
    for args in [&["--json"][..], &["--json", "--send", "1ms", "--size", "1M"]] {
        let listener = listener();
        let (process, peer) = connected(|to| keepalive(to).args(args), &listener);
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let said = ended(&process, 69);
        assert_eq!(of_type(&said, "ended").expect("an end")["why"], "ECONNRESET");
        let error = format!("keepalive: connection to {}: ", listener.local_addr().unwrap());
        assert!(process.stderr().starts_with(&error), "{}", process.stderr());
    }
    Ok(())
}

fn a_peer_that_sends_much_costs_no_memory() -> Result<(), Skip> {
    let listener = listener();
    let (process, mut peer) = connected(|to| keepalive(to).arg("--json"), &listener);
    let before = evidence::rss(process.pid()).unwrap();
    for _ in 0..512 {
        peer.write_all(&[b'x'; 65_536]).unwrap();
    }
    let grown = evidence::rss(process.pid()).unwrap().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes");
    drop(peer);
    ended(&process, 0);
    Ok(())
}

fn a_peer_that_was_started_again_is_noticed_at_the_first_probe() -> Result<(), Skip> {
    need(Need::Link)?;
    let link = Link::start().unwrap();
    let listener = link.listen().unwrap();
    let run = |to: &[&str]| link.near(keepalive(to).args(PROBES).arg("--json"));
    let (process, peer) = connected(run, &listener);
    link.pull().unwrap();
    // It forgets the connection, and its reset is lost.
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    link.plug().unwrap();
    let said = ended(&process, 69);
    let end = of_type(&said, "ended").expect("an end");
    assert_eq!(end["why"], "ECONNRESET", "{end}");
    assert!(end["duration_ns"].as_u64() >= Some(900_000_000), "{end}");
    Ok(())
}

fn a_silent_peer_is_noticed_when_the_options_say_so() -> Result<(), Skip> {
    need(Need::Link)?;
    let link = Link::start().unwrap();
    let listener = link.listen().unwrap();
    let cases: [&[&str]; 3] = [
        &["--idle", "1s", "--every", "1s", "--probes", "1"],
        &["--idle", "1s", "--every", "1s", "--probes", "9", "--user-timeout", "2500ms"],
        &["--idle", "none", "--send", "200ms", "--user-timeout", "2s"],
    ];
    in_time(|| {
        let start = |args: &&[&str]| {
            connected(|to| link.near(keepalive(to).args(*args).arg("--json")), &listener)
        };
        let all: Vec<_> = cases.iter().map(start).collect();
        link.pull().unwrap();
        let silences = all.iter().map(|(process, _)| {
            let said = ended(process, 75);
            let end = of_type(&said, "ended").expect("an end");
            assert_eq!(end["why"], "ETIMEDOUT", "{end}");
            assert!(of_type(&said, "unanswered").is_some(), "{said:?}");
            Duration::from_nanos(end["silence_ns"].as_u64().unwrap())
        });
        let silences: Vec<Duration> = silences.collect();
        link.plug().unwrap();
        // A probe that could not be sent is tried again after half a second.
        let least = [2000, 2500, 2000].map(Duration::from_millis);
        // The kernel counts in ticks.
        let tick = Duration::from_millis(20);
        silences.iter().zip(least).all(|(silence, least)| {
            assert!(*silence + tick >= least, "{silence:?} of {least:?}");
            *silence < least * 2
        })
    });
    Ok(())
}
