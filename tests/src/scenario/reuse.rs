//! A server is restarted while its old connections are in TIME_WAIT.

use std::io::Read;
use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Signal, Stopped, evidence, peer};

use crate::ends;

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "reuse", summary: "what SO_REUSEADDR allows, and what it does not", run };

const CONNECTIONS: usize = 100;

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("reuse-addr", ["--port", "0", "--quiet"]);
    let port = server.address().port();
    let count = scenario.many("connections", CONNECTIONS, 5);
    // The server closes first: it keeps the address.
    let connection = || peer::connect(server.address())?.read_to_end(&mut Vec::new());
    for _ in 0..count {
        connection()?;
    }
    // One that came from the port of an earlier one has its place: it takes another one then.
    let all = || {
        let waits = evidence::in_time_wait(port) >= count;
        (waits || connection().is_err()).then_some(())
    };
    evidence::wait_until(Duration::from_secs(5), all);
    let waits = evidence::in_time_wait(port) >= count;
    server.signal(Signal::SIGTERM);
    server.wait(Duration::from_secs(10));
    let evidence = format!("{} (/proc/net/tcp, state 06)", evidence::in_time_wait(port));
    let statement = format!("{count} connections are in TIME_WAIT");
    scenario.check("time-wait", &statement, waits, evidence)?;

    let port = port.to_string();
    let refused = scenario.run(Run::new("reuse-addr").args(["--no-reuse", "--port", &port]));
    let said = refused.stderr_text();
    let held = said.lines().last().unwrap_or_default();
    let holds = said.contains("EADDRINUSE") && held.contains("in TIME_WAIT");
    scenario.check(
        "refused",
        "without the option bind fails, though no process holds the port",
        holds,
        held,
    )?;

    let again = scenario.serve("reuse-addr", ["--port", &port, "--quiet"]);
    let listens = evidence::is_listening(again.address());
    let evidence = format!("{} listens (/proc/net/tcp, state 0A)", again.address());
    scenario.check("restart", "with it the server restarts at once", listens, evidence)?;

    let second = scenario.run(Run::new("reuse-addr").args(["--port", &port]));
    let said = second.stderr_text();
    let listener = format!("is held by a listener of pid {} ", again.pid());
    let holds = said.contains("EADDRINUSE") && said.contains(&listener);
    let evidence = format!("EADDRINUSE, which {}", listener.trim_end());
    scenario.check("one", "a second listener fails with or without the option", holds, evidence)?;
    ends(scenario, &again)?;

    let matrix = scenario.run(Run::new("reuse-addr").arg("--matrix"));
    let count = matrix.stdout_text().matches("as documented").count();
    let holds = matrix.code() == Some(0) && count > 0;
    scenario.check(
        "matrix",
        "this kernel follows every documented rule",
        holds,
        format_args!("{count} rules"),
    )
}
