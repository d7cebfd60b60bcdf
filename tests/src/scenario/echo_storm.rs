//! Two servers that reply to each other: one forged datagram, and it never ends by itself.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use netcheck::{Link, Run, Scenario, ScenarioRun, Server, Stopped, bin, evidence};

use crate::{ends, link};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "echo-storm",
    summary: "two echo servers and one forged datagram: a loop, its end, and who gets no reply",
    run,
};

const SOON: Duration = Duration::from_secs(10);

/// How long packets are counted.
const COUNTED: Duration = Duration::from_millis(500);

const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let Some(link) = link(scenario)? else { return Ok(()) };
    storm(scenario, &link)?;
    refusal(scenario, &link)
}

fn serve(host: Ipv4Addr, port: &str) -> Run {
    Run::new("udp-echo").args(["--host", &host.to_string(), "--port", port])
}

/// A datagram to the near server that claims to come from the far one.
fn forge(scenario: &mut ScenarioRun, link: &Link, from: &Server, to: &Server) {
    let [from, to] = [from, to].map(|server| server.address().to_string());
    scenario
        .step(&format!("echo hello | far cargo run -qp netcheck --bin forge -- {from} {to}"), []);
    link.far(Run::program(bin("forge")).args([from, to]).stdin("hello\n")).finish();
}

/// How many packets the near machine receives in a second.
fn packets_a_second(server: &Server) -> f64 {
    let count = || evidence::traffic(server.pid(), "v0").map_or(0, |v0| v0.packets_received);
    let (begun, before) = (Instant::now(), count());
    evidence::wait_until(COUNTED, || None::<()>);
    (count() - before) as f64 / begun.elapsed().as_secs_f64()
}

fn storm(scenario: &mut ScenarioRun, link: &Link) -> Result<(), Stopped> {
    let near = scenario.serve_run(link.near(serve(NEAR, "7001")));
    let far = scenario.serve_run(link.far(serve(FAR, "7002")));
    forge(scenario, link, &far, &near);
    let cpu = || evidence::cpu_time(near.pid()).zip(evidence::cpu_time(far.pid()));
    let before = cpu();
    let rate = packets_a_second(&near);
    let used = cpu().zip(before).map(|((near, far), then)| near + far - then.0 - then.1);
    let cores = used.unwrap_or_default().as_secs_f64() / COUNTED.as_secs_f64();
    let evidence = format!("{rate:.0} packets a second on v0, {cores:.1} cores");
    let statement = "one datagram is echoed, and echoed again, as fast as both can";
    scenario.check("loop", statement, rate > 500.0, evidence)?;

    for state in ["down", "up"] {
        scenario.run(link.far(Run::program("ip").args(["link", "set", "v1", state])));
    }
    let rate = packets_a_second(&near);
    let evidence = format!("{rate:.0} packets a second");
    let statement = "it ends when a cable, a full queue or a filter loses that one datagram";
    scenario.check("end", statement, rate < 100.0, evidence)?;
    ends(scenario, &near)?;
    ends(scenario, &far)
}

fn refusal(scenario: &mut ScenarioRun, link: &Link) -> Result<(), Stopped> {
    let near = scenario.serve_run(link.near(serve(NEAR, "7777").arg("-v")));
    for (id, port, statement, why) in [
        ("own-port", "7777", "a server on the same port gets no reply", "that of this server"),
        ("service", "7", "the port of a service that replies to anything gets none", "echo"),
    ] {
        let far = scenario.serve_run(link.far(serve(FAR, port)));
        forge(scenario, link, &far, &near);
        let line = format!("{} not answered: port {port} is {why}", far.address());
        let refused = near.wait_stderr(|log| log.contains(&line), SOON);
        let rate = packets_a_second(&near);
        let evidence = format!("udp-echo: {line}\n{rate:.0} packets a second");
        scenario.check(id, statement, refused && rate < 100.0, evidence)?;
    }
    ends(scenario, &near)
}
