//! Five ways to close, and the resets that the kernel counts.

use netcheck::{Need, Run, Scenario, ScenarioRun, Stopped, need};

use crate::{Alone, tcp_counter};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "closing", summary: "FIN or RST, and what the peer still receives", run };

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let finished = scenario.run(Run::new("linger"));
    let shown = finished.stdout_text();
    let documented = shown.matches("as documented").count();
    let holds = finished.code() == Some(0) && documented == 5;
    let evidence = format!("{documented} of 5 as documented");
    scenario.check("cases", "each way to close does what is documented", holds, evidence)?;

    for (id, counter, statement) in [
        ("close", "", "a close with everything received resets nothing"),
        ("unread", "TCPAbortOnClose", "bytes that were not received make close a reset"),
        ("linger-0", "TCPAbortOnData", "SO_LINGER 0 makes close a reset"),
    ] {
        if let Err(skip) = need(Need::OwnNames) {
            scenario.skip(statement, &skip)?;
            continue;
        }
        let counted = Alone::start("linger", &["--case", id], None).show(scenario)?;
        let count = |name: &str| tcp_counter(&counted, name);
        let resets = ["TCPAbortOnClose", "TCPAbortOnData"].map(|name| (name, count(name)));
        let holds = resets.iter().all(|(name, count)| *count == Some(u64::from(*name == counter)));
        let [(one, of_one), (other, of_other)] = resets;
        let evidence = format!(
            "{one} {}, {other} {} (/proc/net/netstat)",
            of_one.unwrap_or_default(),
            of_other.unwrap_or_default()
        );
        scenario.check(id, statement, holds, evidence)?;
    }
    Ok(())
}
