//! A client that has sent everything still receives everything.

use std::time::Duration;

use netcheck::peer::{self, Pace};
use netcheck::{Scenario, ScenarioRun, Stopped, evidence};

use crate::ends;

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "half-close", summary: "shutdown(SHUT_WR) ends sending, not receiving", run };

/// Far more than the buffers of both sides hold: the FIN is sent long before the last byte is back.
const SIZE: usize = 16 * 1024 * 1024;

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let bytes = peer::pattern(16, SIZE);
    for name in ["echo-server", "forking-echo"] {
        let server = scenario.serve(name, ["--port", "0"]);

        let sent = b"sent before the FIN";
        let echoed = peer::half_close(server.address(), sent)?;
        let evidence = format!("{} bytes, then the end of the stream", echoed.len());
        scenario.check(
            "small",
            "send, shut down, then read: every byte comes back",
            echoed == sent,
            evidence,
        )?;

        let echoed = peer::exchange_with(server.address(), &bytes, Pace::SmallBuffers(4096))?;
        let evidence = format!("{} of {SIZE} bytes", echoed.len());
        let statement = "16 MiB through socket buffers of 4 KiB come back equal";
        scenario.check("large", statement, echoed == bytes, evidence)?;

        // Each byte a segment, and a recv and a send of the server.
        let pace = Pace::ByteEvery(Duration::from_millis(1));
        let echoed = peer::exchange_with(server.address(), sent, pace)?;
        let evidence = format!("{} of {} bytes", echoed.len(), sent.len());
        scenario.check(
            "trickle",
            "one byte per millisecond comes back equal",
            echoed == sent,
            evidence,
        )?;

        let pid = server.pid();
        let none_left = || evidence::children(pid).is_empty().then_some(());
        let closed = evidence::wait_until(Duration::from_secs(2), none_left).is_some();
        scenario.check("no-child", "no child is left", closed, format_args!("/proc/{pid}/task"))?;
        ends(scenario, &server)?;
    }
    Ok(())
}
