//! Two small writes, Nagle's algorithm and the delayed ACK.

use std::fs;
use std::time::Duration;

use netcheck::{Call, Need, Run, Scenario, ScenarioRun, Skip, Stopped, evidence, need};

use crate::tcp_counter;

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "nagle", summary: "two small writes that wait for a delayed ACK", run };

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let before = delayed_acks();
    let run = Run::new("nagle");
    let (finished, trace) = match need(Need::Strace) {
        Ok(()) => {
            let command = run.command_line();
            let (run, trace) = run.traced(&["trace=setsockopt,sendto"]);
            let finished = run.finish();
            scenario.step(&command, finished.stdout_text().lines().map(str::to_owned));
            (finished, Some(trace))
        }
        Err(_) => (scenario.run(run), None),
    };
    let after = delayed_acks();
    let said = finished.stdout_text();

    let row = |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    scenario.check(
        "waits",
        "two small writes wait for a delayed ACK, the other variants do not",
        finished.code() == Some(0) && said.matches("as documented").count() == 5,
        row("two writes  "),
    )?;

    let statement = "the kernel counts the delayed ACKs";
    match before.zip(after) {
        // Those of other connections are counted too, so this is the least.
        Some((before, after)) => {
            let evidence = format!("{} more DelayedACKs in /proc/net/netstat", after - before);
            scenario.check("delayed", statement, after >= before + 10, evidence)?;
        }
        None => {
            let reason = "needs /proc/net/netstat".to_owned();
            scenario.skip(statement, &Skip { reason })?;
        }
    }

    let statement = "TCP_CORK is set before the two writes and cleared after them";
    let Some(trace) = trace else {
        return need(Need::Strace).or_else(|skip| scenario.skip(statement, &skip));
    };
    let corked = || {
        let calls: Vec<Call> = trace.calls().into_iter().filter(is_of_client).collect();
        let corked = calls.windows(4).filter(|four| is_corked(four)).count();
        (corked >= 20).then_some(corked)
    };
    let corked = evidence::wait_until(Duration::from_secs(10), corked);
    let evidence = format!("{} requests (strace)", corked.unwrap_or_default());
    scenario.check("corked", statement, corked.is_some(), evidence)
}

/// How many delayed ACKs this machine has sent.
fn delayed_acks() -> Option<u64> {
    tcp_counter(&fs::read_to_string("/proc/net/netstat").ok()?, "DelayedACKs")
}

/// The server replies with the whole of a request.
fn is_of_client(call: &Call) -> bool {
    !call.args.contains("\"headbody\"")
}

fn is_corked(calls: &[Call]) -> bool {
    let [set, head, body, clear] = calls else { return false };
    set.args.contains("TCP_CORK, [1]")
        && head.args.contains("\"head\"")
        && body.args.contains("\"body\"")
        && clear.args.contains("TCP_CORK, [0]")
}
