//! deadline: a client gives its server a time for the whole, however many calls wait meanwhile.

use std::time::{Duration, Instant};

use netcheck::{Signal, evidence};

use super::{Caller, Check, Exercise, Fault, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "deadline",
    recipe: "echo-client",
    args: &["--host", "{host}", "--port", "{port}", "--timeout", "500ms", "hello"],
    checks: &[
        Check {
            id: "in-time",
            statement: "when all bytes come back in time, in two pieces, it ends with 0",
            run: in_time,
        },
        Check {
            id: "silent",
            statement: "when the server sends nothing, it ends after half a second, and not with 0",
            run: silent,
        },
        Check {
            id: "drip",
            statement: "when a byte comes now and then, it ends after half a second all the same",
            run: drip,
        },
        Check {
            id: "interrupted",
            statement: "when it is stopped and continued while it waits, the time goes on",
            run: interrupted,
        },
        Check {
            id: "too-late",
            statement: "when it was stopped until the time was over, it ends, although a byte has come",
            run: too_late,
        },
    ],
};

/// What it sends, and wants back.
const MESSAGE: &[u8] = b"hello";

/// The time that the task gives.
const TIME: Duration = Duration::from_millis(500);

/// When it has to have ended: a right program needs little more than its time.
const LATEST: Duration = Duration::from_millis(1000);

fn in_time(subject: &Subject) -> Result<String, Fault> {
    let (mut caller, _) = asked(subject)?;
    let (first, rest) = MESSAGE.split_at(2);
    caller.send(first)?;
    still_waits(&mut caller, TIME / 5)?;
    caller.send(rest)?;
    caller.close()?;
    Ok("exit code 0".to_owned())
}

fn silent(subject: &Subject) -> Result<String, Fault> {
    let (mut caller, since) = asked(subject)?;
    still_waits(&mut caller, TIME / 2)?;
    ended(&mut caller, since)
}

fn drip(subject: &Subject) -> Result<String, Fault> {
    let (mut caller, since) = asked(subject)?;
    // Less than its time apart, and more than its time in all.
    let apart = TIME * 7 / 10;
    for byte in MESSAGE.chunks(1) {
        if caller.process().wait(apart.min(left(since))).is_some() || left(since).is_zero() {
            break;
        }
        let _ = caller.send(byte); // it may have ended just now
    }
    let evidence = format!("it was sent a byte every {} ms", apart.as_millis());
    ended(&mut caller, since).map_err(|fault| with_evidence(fault, evidence))
}

fn interrupted(subject: &Subject) -> Result<String, Fault> {
    let (mut caller, since) = asked(subject)?;
    let mut times = 0;
    while caller.process().wait((TIME / 5).min(left(since))).is_none() && !left(since).is_zero() {
        stop(&mut caller);
        caller.process().cont();
        times += 1;
    }
    let evidence = format!("SIGSTOP and SIGCONT, {times} times");
    ended(&mut caller, since).map_err(|fault| with_evidence(fault, evidence))
}

fn too_late(subject: &Subject) -> Result<String, Fault> {
    let (mut caller, since) = asked(subject)?;
    stop(&mut caller);
    // Stopped, it does not end: nothing but time passes.
    caller.process().wait((TIME * 6 / 5).saturating_sub(since.elapsed()));
    let _ = caller.send(MESSAGE.split_at(1).0); // one that has ended before it was stopped takes none
    let continued = Instant::now();
    caller.process().cont();
    ended(&mut caller, continued)
}

/// Stops it, unless it has ended.
fn stop(caller: &mut Caller) {
    let process = caller.process();
    process.signal(Signal::SIGSTOP);
    let stands = || matches!(evidence::state(process.pid()), None | Some('T' | 't' | 'Z'));
    evidence::wait_until(LATEST, || stands().then_some(()));
}

/// A client that has sent its message, and when.
fn asked(subject: &Subject) -> Result<(Caller, Instant), Fault> {
    let mut caller = subject.call(|run| run)?;
    caller.receive(MESSAGE)?;
    Ok((caller, Instant::now()))
}

fn still_waits(caller: &mut Caller, time: Duration) -> Result<(), Fault> {
    let Some(status) = caller.process().wait(time) else { return Ok(()) };
    let expected = format!("it waits for {} ms at least", time.as_millis());
    Err(caller.wrong(&expected, format!("it has ended: {status}"), ""))
}

/// How long it may still run.
fn left(since: Instant) -> Duration {
    LATEST.saturating_sub(since.elapsed())
}

/// It ends in time, and says with its code that not all has come back.
fn ended(caller: &mut Caller, since: Instant) -> Result<String, Fault> {
    /// What Rust exits with after a panic.
    const PANIC: i32 = 101;
    let Some(status) = caller.process().wait(left(since)) else {
        let expected = format!("it ends within {} ms", LATEST.as_millis());
        return Err(caller.wrong(&expected, "it still waits", ""));
    };
    let after = format!("after {} ms", since.elapsed().as_millis());
    match status.code() {
        None | Some(0 | PANIC) => {
            let expected = "it ends with a code that says that not all bytes have come back";
            Err(caller.wrong(expected, format!("{status}, {after}"), ""))
        }
        Some(_) => Ok(format!("{status}, {after}")),
    }
}

fn with_evidence(mut fault: Fault, evidence: String) -> Fault {
    if let Fault::Wrong(wrong) = &mut fault {
        wrong.evidence = format!("{evidence}; {}", wrong.evidence);
        wrong.evidence.truncate(wrong.evidence.trim_end_matches("; ").len());
    }
    fault
}
