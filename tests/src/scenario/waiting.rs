//! A service that starts late, one whose listener is silent, and one that closes at once.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use netcheck::peer::{SilentListener, refused_port};
use netcheck::{Run, Scenario, ScenarioRun, Stopped, evidence};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "waiting", summary: "when a port is open, and why one is not", run };

const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    late(scenario)?;
    silent(scenario)?;
    closing(scenario)
}

fn late(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let nobody = refused_port();
    let address = nobody.address();
    let mut waits = Run::new("wait-port").arg(address.to_string()).start();
    scenario.step(waits.command_line(), [format!("waits, pid {}", waits.pid())]);
    // Each try ends in a pause.
    let tried = || (evidence::context_switches(waits.pid())? > 5).then_some(());
    let tried = evidence::wait_until(SOON, tried).is_some();
    let holds = tried && waits.still_running() && !evidence::is_listening(address);
    let statement = "it tries again while there is no listener";
    let evidence = format!("no {address} in state 0A (/proc/net/tcp)");
    scenario.check("tries", statement, holds, evidence)?;

    drop(nobody);
    let server = scenario.serve("echo-server", ["--port", &address.port().to_string()]);
    let said = waits.next_line(SOON).unwrap_or_default();
    let ended = waits.wait(SOON).and_then(|status| status.code()) == Some(0);
    let listens = evidence::is_listening(server.address());
    let holds = said.ends_with(", before that ECONNREFUSED") && ended && listens;
    scenario.check("open", "it ends with 0 when the kernel has a listener", holds, said)?;
    crate::ends(scenario, &server)
}

/// The queue of its listener is full: the kernel drops every SYN.
fn silent(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let listener = SilentListener::start();
    let address = listener.address();
    let waits = Run::new("wait-port").args([&address.to_string(), "--timeout", "1500ms"]).start();
    let sent = || evidence::syn_sent(address).then_some(());
    let sent = evidence::wait_until(SOON, sent).is_some();
    let code = waits.wait(SOON).and_then(|status| status.code());
    scenario.step(waits.command_line(), waits.stderr().lines().map(str::to_owned));
    let statement = "a SYN without an answer is no refusal: 75, and not 69";
    let evidence = format!("SYN_SENT to {address} (/proc/net/tcp), exit code {code:?}");
    scenario.check("silent", statement, sent && code == Some(75), evidence)
}

/// A proxy without a server behind it.
fn closing(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let proxy = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let target = proxy.local_addr()?.to_string();
    thread::spawn(move || proxy.incoming().for_each(drop));
    let open = scenario.run(Run::new("wait-port").arg(&target));
    let args = [&target, "--stay", "500ms", "--timeout", "2s"];
    let closed = scenario.run(Run::new("wait-port").args(args));
    let codes = (open.code(), closed.code());
    let statement = "a proxy accepts and closes: open at once, and not for --stay";
    let evidence = format!("exit codes {:?} and {:?}", codes.0, codes.1);
    scenario.check("stay", statement, codes == (Some(0), Some(69)), evidence)
}
