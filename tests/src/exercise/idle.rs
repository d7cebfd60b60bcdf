//! Whether a program under test waits without processor time.

use std::time::Duration;

use netcheck::evidence;

/// How often it is looked at.
const LOOKS: u64 = 50;

/// What an interpreter may do by itself meanwhile.
const FEW: u64 = LOOKS / 10;

/// What [`look`] finds out.
pub(super) const EXPECTED: &str = "of 50 looks, 2 ms apart, at most 5 find a thread running";

/// Looks at it, for a tenth of a second: the evidence, or what it got with its evidence.
pub(super) fn look(pid: i32) -> Result<String, (String, String)> {
    let before = evidence::context_switches(pid);
    let running = looks_that_find_it_running(pid);
    let after = evidence::context_switches(pid);
    let woken = after.zip(before).map_or(u64::MAX, |(after, before)| after - before);
    let got = format!("{running} of {LOOKS}, and it has woken up {woken} times");
    let evidence = format!("/proc/{pid}/task/*/stat and status");
    // A zombie takes no time either.
    if matches!(evidence::state(pid), None | Some('Z')) {
        return Err(("it has ended".to_owned(), evidence));
    }
    match running <= FEW && woken <= FEW {
        true => Ok(format!("{got} ({evidence})")),
        false => Err((got, evidence)),
    }
}

fn looks_that_find_it_running(pid: i32) -> u64 {
    let (mut looks, mut running) = (0, 0);
    evidence::wait_until(Duration::from_secs(10), || {
        let runs = |&thread: &i32| evidence::state(thread) == Some('R');
        running += u64::from(evidence::threads(pid).iter().any(runs));
        looks += 1;
        (looks == LOOKS).then_some(())
    });
    running
}
