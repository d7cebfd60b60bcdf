//! One name: where it is looked for, in which order its addresses come, how a port and
//! an address are written. It runs in a namespace whose hosts file, services file and name server
//! are in `tests/etc` and in the harness.

use netcheck::{Finished, Need, Run, Scenario, ScenarioRun, Stopped, need};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "names", summary: "one name, from the hosts file to the address", run };

/// The folder with the files that take the place of those in /etc.
const ETC: &str = "tests/etc";

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    if let Err(skip) = need(Need::OwnNames) {
        return scenario.skip("names from a hosts file and a name server of its own", &skip);
    }

    let found = look_up(scenario, "remote-ip", &["teacher.test"]);
    let lines = sorted(&found);
    let both = lines == ["IPv4 192.0.2.10", "IPv6 2001:db8::10"];
    let evidence = "tests/etc/hosts has one of them twice";
    scenario.check(
        "hosts",
        "the hosts file comes first, without duplicate addresses",
        both,
        evidence,
    )?;

    let found = look_up(scenario, "remote-ip", &["-4", "--canonical", "alias.test"]);
    let expected = "canonical both.test\nIPv4 192.0.2.1\n";
    let statement = "the name server comes next: an alias has a canonical name";
    scenario.check_eq("alias", statement, expected, &found.stdout_text(), "CNAME, then A")?;

    let fifty = Run::new("remote-ip").arg("fifty.test").inside(ETC);
    let command = fifty.command_line();
    let count = fifty.finish().stdout_text().lines().count();
    scenario.step(&format!("{command} | wc -l"), [count.to_string()]);
    let statement = "50 addresses do not fit a datagram: TCP is used";
    scenario.check_eq("fifty", statement, 50, count, "at most 512 bytes without EDNS")?;

    let found = look_up(scenario, "remote-ip", &["--timeout", "300ms", "silent.test", "four.test"]);
    let evidence = format!("{} ms, exit {:?}", found.elapsed.as_millis(), found.code());
    let statement = "a name without an answer costs its timeout only";
    let next = found.stdout_text() == "four.test\n  IPv4 192.0.2.4\n" && found.code() == Some(75);
    scenario.check("silent", statement, next, evidence)?;

    let found = look_up(scenario, "remote-ip", &["nosuch.test"]);
    let statement = "a name that does not exist has its own exit code";
    scenario.check_eq("noname", statement, Some(68), found.code(), "EAI_NONAME")?;

    let found = look_up(scenario, "remote-ip", &["--reverse", "192.0.2.1", "192.0.2.66"]);
    let text = found.stdout_text();
    let holds = text.contains("192.0.2.1 both.test (confirmed)")
        && text.contains("192.0.2.66 both.test (not confirmed)");
    let statement = "a reverse name is confirmed when it has the address";
    scenario.check(
        "reverse",
        statement,
        holds,
        "192.0.2.66 claims a name that has another address",
    )?;

    let found = look_up(scenario, "service-name", &["7777", "class"]);
    let text = found.stdout_text();
    let lesson = |line: &str| line.split_whitespace().eq(["lesson", "7777/tcp", "class"]);
    let holds = text.lines().count() == 2 && text.lines().all(lesson);
    scenario.check(
        "service",
        "a port has a name, and the name has the port",
        holds,
        "tests/etc/services",
    )?;

    let found = look_up(scenario, "ipv4-convert", &["010.0.0.1"]);
    let statement = "an address that two parsers read differently is refused";
    let holds = found.stderr_text().contains("8.0.0.1") && found.code() == Some(2);
    scenario.check("aton", statement, holds, "010 is octal for inet_aton")
}

/// A program of the workspace, as a step.
fn look_up(scenario: &mut ScenarioRun, name: &str, args: &[&str]) -> Finished {
    scenario.run(Run::new(name).args(args).inside(ETC))
}

fn sorted(found: &Finished) -> Vec<String> {
    let mut lines: Vec<String> = found.stdout_text().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
