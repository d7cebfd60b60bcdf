//! `connect-nonblocking`: what it says of a connect, and what is seen of it from outside.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Process, Run, Signal, Skip, bin, evidence, need};
use serde_json::Value;

use crate::try_it::shell;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "connect_nonblocking",
        tests![
            a_connect_is_decided_by_so_error_which_is_read_once,
            a_connect_that_waits_takes_no_processor_time_and_does_not_block,
            a_connect_is_cancelled_by_a_signal_that_then_ends_the_program,
            a_signal_that_was_ignored_cancels_too,
            a_connect_that_nobody_cancels_ends_with_its_timeout,
            a_connect_that_nobody_cancels_ends_when_tcp_gives_up,
            a_closed_or_full_output_ends_it,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

/// O_NONBLOCK of open(2).
const O_NONBLOCK: i32 = 0o4000;

fn run(args: &[&str]) -> Run {
    Run::new("connect-nonblocking").args(args)
}

fn a_connect_is_decided_by_so_error_which_is_read_once() -> Result<(), Skip> {
    let finished = run(&["--json"]).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let said = finished.stdout_text();
    let outcomes: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |of: &Value, key: &str| of[key].as_str().unwrap().to_owned();
    let [connected, refused] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    for outcome in &outcomes {
        assert_eq!(text(outcome, "errno"), "EINPROGRESS", "{outcome}");
        assert_eq!(text(outcome, "so_error_again"), "0", "{outcome}");
        // Both are writable.
        assert!(text(outcome, "poll").split('|').any(|event| event == "POLLOUT"), "{outcome}");
    }
    assert_eq!(text(connected, "poll"), "POLLOUT");
    assert_eq!(text(connected, "so_error"), "0");
    assert!(text(refused, "poll").contains("POLLERR"), "{refused}");
    assert_eq!(text(refused, "so_error"), "ECONNREFUSED");
    Ok(())
}

/// A process that waits for its connect, and the address that does not answer.
fn connecting(run: Run) -> (Process, SocketAddr) {
    let mut process = run.start();
    let line = process.next_line(SOON).expect("a line");
    let rest = line.strip_prefix("connecting to ").expect(&line);
    let (peer, rest) = rest.split_once(": ").unwrap();
    assert_eq!(rest, "EINPROGRESS; poll waits, Ctrl-C cancels");
    let peer = peer.parse().unwrap();
    (process, peer)
}

fn a_connect_that_waits_takes_no_processor_time_and_does_not_block() -> Result<(), Skip> {
    let (process, peer) = connecting(run(&["--cancel"]));
    assert!(evidence::syn_sent(peer), "{peer}");
    let pid = process.pid();
    let open = evidence::descriptors(pid).into_iter();
    let sockets = open.filter(|(_, target)| target.starts_with("socket:"));
    let flags: Vec<i32> =
        sockets.filter_map(|(fd, _)| evidence::descriptor_flags(pid, fd)).collect();
    // It alone: those of the peers block.
    assert_eq!(flags.iter().filter(|flags| *flags & O_NONBLOCK != 0).count(), 1, "{flags:?}");
    let before = evidence::cpu_time(pid).unwrap();
    assert_eq!(process.wait(Duration::from_secs(2)), None, "{}", process.stderr());
    let used = evidence::cpu_time(pid).unwrap() - before;
    assert!(used <= Duration::from_millis(20), "{used:?} of 2 s");
    Ok(())
}

/// Sends the signal, and finds that it was said and obeyed.
fn is_cancelled(mut process: Process, peer: SocketAddr, signal: Signal) {
    process.signal(signal);
    let line = process.next_line(SOON).expect("a line");
    assert!(line.starts_with(&format!("cancelled by {signal} after ")), "{line}");
    let status = process.wait(SOON).expect("it ends");
    // What the shell shows as 130 and 143.
    assert_eq!(status.signal(), Some(signal as i32), "{status}");
    assert!(process.stderr().is_empty(), "{}", process.stderr());
    assert!(!evidence::syn_sent(peer), "{peer}");
}

fn a_connect_is_cancelled_by_a_signal_that_then_ends_the_program() -> Result<(), Skip> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (process, peer) = connecting(run(&["--cancel"]));
        is_cancelled(process, peer, signal);
    }
    Ok(())
}

fn a_signal_that_was_ignored_cancels_too() -> Result<(), Skip> {
    // As a shell without job control starts what is put into the background.
    let script = r#"trap '' INT; exec "$1" --cancel"#;
    let shell = Run::script(script).arg(bin("connect-nonblocking"));
    let (process, peer) = connecting(shell);
    is_cancelled(process, peer, Signal::SIGINT);
    Ok(())
}

fn a_connect_that_nobody_cancels_ends_with_its_timeout() -> Result<(), Skip> {
    let finished = run(&["--cancel", "--timeout", "300ms", "--json"]).finish();
    assert_eq!(finished.code(), Some(75), "{finished:?}");
    assert!(finished.elapsed >= Duration::from_millis(300), "{:?}", finished.elapsed);
    let shown = finished.stdout_text();
    let connecting: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    let said = format!(
        "connect-nonblocking: connect to 127.0.0.1:{}: timed out after 300ms\n",
        connecting["port"]
    );
    assert_eq!(finished.stderr_text(), said);
    Ok(())
}

fn a_connect_that_nobody_cancels_ends_when_tcp_gives_up() -> Result<(), Skip> {
    need(Need::UserNamespace)?;
    // A SYN, another one a second later, and that is all.
    let script = r#"ip link set lo up && echo 1 > /proc/sys/net/ipv4/tcp_syn_retries || exit 9
        exec "$1" --cancel"#;
    let run = Run::script(script).arg(bin("connect-nonblocking")).unshared(&["--net"]);
    let finished = run.deadline(Duration::from_secs(60)).finish();
    if finished.code() == Some(9) {
        return Err(Skip {
            reason: "needs ip, and sysctls of a namespace of one's own".to_owned(),
        });
    }
    assert_eq!(finished.code(), Some(75), "{finished:?}");
    let said = finished.stderr_text();
    assert!(said.ends_with(": Connection timed out (ETIMEDOUT)\n"), "{said}");
    Ok(())
}

fn a_closed_or_full_output_ends_it() -> Result<(), Skip> {
    for args in ["", "--cancel"] {
        let line = format!("connect-nonblocking {args} > /dev/full");
        let finished = shell(&line).deadline(SOON).finish();
        assert_eq!(finished.code(), Some(74), "{finished:?}");
    }
    let finished = shell("connect-nonblocking 2>&1 | head -n 0").finish();
    assert!(finished.code() == Some(0) && finished.stderr.is_empty(), "{finished:?}");
    Ok(())
}
