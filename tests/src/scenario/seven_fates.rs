//! Seven ways in which a connect ends, on a machine whose routes are made for it.

use std::time::Duration;

use netcheck::{Finished, Link, Run, Scenario, ScenarioRun, Stopped, bin, workspace};

use crate::{ends, link};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "seven-fates",
    summary: "seven ways in which a connect ends, and how long each of them takes",
    run,
};

const TIMEOUT: Duration = Duration::from_secs(1);

/// What a busy machine may add to it.
const LATE: Duration = Duration::from_millis(1500);

/// The commands of ip(8) for routes that refuse, and for an address that no machine has.
const ROUTES: [&str; 4] = [
    "route add unreachable 198.51.100.1",
    "route add prohibit 198.51.100.2",
    "route add blackhole 198.51.100.3",
    "neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0",
];

/// A statement, where the connect goes, and how it ends: exit code and reason.
const FATES: [(&str, &str, &str, i32, &str); 4] = [
    ("refused", "nobody listens: ECONNREFUSED, from the peer", "192.0.2.2", 69, "ECONNREFUSED"),
    ("unreachable", "an unreachable route: EHOSTUNREACH", "198.51.100.1", 69, "EHOSTUNREACH"),
    ("prohibit", "a prohibit route: EACCES", "198.51.100.2", 77, "EACCES"),
    ("blackhole", "a blackhole route: EINVAL for a connect", "198.51.100.3", 71, "EINVAL"),
];

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let Some(mut link) = link(scenario)? else { return Ok(()) };
    add(scenario, &mut link, &ROUTES)?;
    for (id, statement, host, code, errno) in FATES {
        let finished = scenario.run(connect(&link, host));
        let holds = finished.code() == Some(code) && finished.stderr_text().contains(errno);
        let in_time = finished.elapsed < LATE;
        scenario.check(id, statement, holds && in_time, how_it_ended(&finished))?;
    }

    let finished = scenario.run(connect(&link, "192.0.2.9"));
    let in_time = (TIMEOUT..LATE).contains(&finished.elapsed);
    let statement = "a neighbour that is silent: only the timeout ends it";
    let holds = finished.code() == Some(75) && in_time;
    scenario.check("silent", statement, holds, how_it_ended(&finished))?;

    dead_ipv6(scenario, &mut link)?;
    no_port(scenario, &link)
}

/// Adds routes and addresses of the near machine.
fn add(scenario: &mut ScenarioRun, link: &mut Link, commands: &[&str]) -> Result<(), Stopped> {
    for command in commands {
        link.near_ip(command)?;
        scenario.step(&format!("near ip {command}"), []);
    }
    Ok(())
}

fn connect(link: &Link, host: &str) -> Run {
    let args = ["--host", host, "--port", "7", "--timeout", "1s", "hello"];
    link.near(Run::new("echo-client").args(args))
}

fn how_it_ended(finished: &Finished) -> String {
    format!("{}, {} ms", finished.status, finished.elapsed.as_millis())
}

/// A name has two addresses; that of IPv6, which comes first, is dead.
fn dead_ipv6(scenario: &mut ScenarioRun, link: &mut Link) -> Result<(), Stopped> {
    const STATEMENT: &str = "the first address of a name is silent: the next is tried after 250 ms";
    let commands = [
        "-6 address add 2001:db8::1/64 dev v0 nodad",
        "-6 neighbour add 2001:db8::10 lladdr 02:00:00:00:00:09 dev v0",
    ];
    add(scenario, link, &commands)?;
    link.far_ip("address add 192.0.2.10/24 dev v1")?;
    scenario.step("far ip address add 192.0.2.10/24 dev v1", []);
    let server = Run::new("echo-server").args(["--host", "192.0.2.10", "--port", "7"]);
    let server = scenario.serve_run(link.far(server));

    let mount = Run::program("unshare").args(["--mount", "sh", "-euc"]);
    let mount = mount.arg(r#"mount --bind "$0" /etc/hosts; exec "$@""#);
    let mount = mount.arg(workspace().join("tests/etc/hosts")).arg(bin("echo-client"));
    let client = mount.args(["--host", "teacher.test", "--port", "7", "--timeout", "1s", "hello"]);
    let finished = scenario.run(link.near(client));
    let in_time = (Duration::from_millis(250)..LATE).contains(&finished.elapsed);
    let evidence = format!("2001:db8::10 and 192.0.2.10: {}", how_it_ended(&finished));
    scenario.check("dead-ipv6", STATEMENT, finished.status.success() && in_time, evidence)?;
    ends(scenario, &server)
}

/// The only port of the machine is taken.
fn no_port(scenario: &mut ScenarioRun, link: &Link) -> Result<(), Stopped> {
    let range = "echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range";
    scenario.run(link.near(Run::program("sh").args(["-c", range])));
    let server = Run::new("echo-server").args(["--host", "0.0.0.0", "--port", "40000"]);
    let _server = scenario.serve_run(link.near(server));
    let finished = scenario.run(connect(link, "192.0.2.2"));
    let said = finished.stderr_text();
    let holds = finished.code() == Some(71) && said.contains("EADDRNOTAVAIL");
    let statement = "no port is left: EADDRNOTAVAIL";
    scenario.check("no-port", statement, holds && finished.elapsed < LATE, how_it_ended(&finished))
}
