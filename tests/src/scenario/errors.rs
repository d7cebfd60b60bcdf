//! Which stage of a request failed, and twelve errors that the kernel returns.

use std::time::Duration;

use netcheck::peer::{SilentListener, refused_port};
use netcheck::{Call, Finished, Need, Run, Scenario, ScenarioRun, Stopped, need};

use crate::ends;

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "errors", summary: "which stage of a request failed, and why", run };

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    // Connect fails: one port refuses, the other does not answer.
    let refused = refused_port();
    let finished = scenario.run(request(refused.address().port(), &[]));
    let statement = "no listener: connect fails at once, exit code 69";
    fails(scenario, "refused", statement, &finished, (69, "connect", "ECONNREFUSED"))?;

    let silent = SilentListener::start();
    let finished = scenario.run(request(silent.address().port(), &["--timeout", "300ms"]));
    let statement = "no answer: connect times out, exit code 75";
    fails(scenario, "silent", statement, &finished, (75, "connect", "timed out after 300ms"))?;
    scenario.check(
        "deadline",
        "it waited for the whole timeout",
        finished.elapsed >= Duration::from_millis(300),
        format_args!("{} ms", finished.elapsed.as_millis()),
    )?;

    // Every call succeeds, but the reply is the request itself.
    let server = scenario.serve("echo-server", ["--port", "0"]);
    let finished = scenario.run(request(server.address().port(), &["-v"]));
    let statement = "the reply of an echo server is not HTTP: exit code 65";
    fails(scenario, "echo", statement, &finished, (65, "parse", "not HTTP"))?;
    ends(scenario, &server)?;

    let run = Run::new("socket-errors").args(["--port", "80", "--file", "/a b"]);
    let finished = scenario.run(run);
    let said = finished.stderr_text();
    let statement = "a path with a space is a usage error: exit code 2";
    scenario.check_eq(
        "path",
        statement,
        Some(2),
        finished.code(),
        said.lines().next().unwrap_or(""),
    )?;

    let errors = Run::new("make-errors");
    let (finished, trace) = match need(Need::Strace) {
        Ok(()) => {
            let (run, trace) = errors.traced(&["trace=socket,bind,connect,recvfrom,sendto"]);
            (scenario.run(run), Some(trace))
        }
        Err(_) => (scenario.run(errors), None),
    };
    let table = finished.stdout_text();
    // `refused                ECONNREFUSED   Connection refused`, then three lines about it.
    let rows = table.lines().filter(|line| !line.starts_with(' '));
    let named: Vec<&str> = rows.filter_map(|row| row.split_whitespace().nth(1)).collect();
    scenario.check(
        "twelve",
        "twelve different errors are made",
        finished.code() == Some(0) && named.len() == 12,
        named.join(" "),
    )?;
    let statement = "the kernel returned each of them, in this order";
    let Some(trace) = trace else {
        return need(Need::Strace).or_else(|skip| scenario.skip(statement, &skip));
    };
    let failed: Vec<Call> = trace.calls().into_iter().filter(is_error).collect();
    let given: Vec<&str> = failed.iter().filter_map(|call| call.result.split(' ').nth(1)).collect();
    let evidence: Vec<String> =
        failed.iter().map(|call| format!("{}: {}", call.name, call.result)).collect();
    scenario.check_eq("kernel", statement, &named, &given, evidence.join("\n"))
}

/// The calls that failed. EINPROGRESS is none: the socket does not block, and the handshake goes on.
fn is_error(call: &Call) -> bool {
    call.result.starts_with("-1 ") && !call.result.contains("EINPROGRESS")
}

fn request(port: u16, more: &[&str]) -> Run {
    let port = port.to_string();
    Run::new("socket-errors").args(["--host", "127.0.0.1", "--port", &port]).args(more)
}

/// A statement that it ended with this code, in this stage, with these words.
fn fails(
    scenario: &mut ScenarioRun,
    id: &str,
    statement: &str,
    finished: &Finished,
    (code, stage, words): (i32, &str, &str),
) -> Result<(), Stopped> {
    let said = finished.stderr_text();
    let last = said.lines().last().unwrap_or_default();
    let is_there = last.starts_with(&format!("stage {stage}, ")) && said.contains(words);
    let holds = finished.code() == Some(code) && is_there;
    scenario.check(id, statement, holds, format_args!("{}, {last}", finished.status))
}
