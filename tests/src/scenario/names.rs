//! The story of one name: where it is looked for, in which order its addresses come, how a port and
//! an address are written. It is told in a namespace whose hosts file, services file and name server
//! are in `tests/etc` and in the harness.

use netcheck::{Finished, Halt, Need, Run, Scenario, Story, need};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "names", summary: "one name, from the hosts file to the address", run };

/// The folder with the files that take the place of those in /etc.
const ETC: &str = "tests/etc";

fn run(story: &mut Story) -> Result<(), Halt> {
    if let Err(skip) = need(Need::OwnNames) {
        return story.skip("a name server and a hosts file of its own", &skip);
    }

    let found = ask(story, "remote-ip", &["teacher.test"]);
    let lines = sorted(&found);
    let both = lines == ["IPv4 192.0.2.10", "IPv6 2001:db8::10"];
    let evidence = "tests/etc/hosts has it twice";
    story.check("hosts", "the hosts file is first, an address comes once", both, evidence)?;

    let found = ask(story, "remote-ip", &["-4", "--canonical", "alias.test"]);
    let expected = "canonical both.test\nIPv4 192.0.2.1\n";
    let statement = "then the name server: an alias leads to a name";
    story.check_eq("alias", statement, expected, &found.stdout_text(), "CNAME, then A")?;

    let fifty = Run::new("remote-ip").arg("fifty.test").inside(ETC);
    let command = fifty.command_line();
    let count = fifty.finish().stdout_text().lines().count();
    story.step(&format!("{command} | wc -l"), [count.to_string()]);
    let statement = "fifty addresses fit no datagram: TCP has them";
    story.check_eq("fifty", statement, 50, count, "512 bytes without EDNS")?;

    let found = ask(story, "remote-ip", &["--timeout", "300ms", "silent.test", "four.test"]);
    let evidence = format!("{} ms, exit {:?}", found.elapsed.as_millis(), found.code());
    let statement = "silence costs the time-out, and no more";
    let next = found.stdout_text() == "four.test\n  IPv4 192.0.2.4\n" && found.code() == Some(75);
    story.check("silent", statement, next, evidence)?;

    let found = ask(story, "remote-ip", &["nosuch.test"]);
    let statement = "a name that nobody has is an error of its own";
    story.check_eq("noname", statement, Some(68), found.code(), "EAI_NONAME")?;

    let found = ask(story, "remote-ip", &["--reverse", "192.0.2.1", "192.0.2.66"]);
    let text = found.stdout_text();
    let told = text.contains("192.0.2.1 both.test (confirmed)")
        && text.contains("192.0.2.66 both.test (not confirmed)");
    let statement = "a name counts when it has the address";
    story.check("reverse", statement, told, "192.0.2.66 lies")?;

    let found = ask(story, "service-name", &["7777", "class"]);
    let text = found.stdout_text();
    let lesson = |line: &str| line.split_whitespace().eq(["lesson", "7777/tcp", "class"]);
    let told = text.lines().count() == 2 && text.lines().all(lesson);
    story.check("service", "a port has a name, and a name a port", told, "tests/etc/services")?;

    let found = ask(story, "ipv4-convert", &["010.0.0.1"]);
    let statement = "what two parsers read differently is refused";
    let told = found.stderr_text().contains("8.0.0.1") && found.code() == Some(2);
    story.check("aton", statement, told, "inet_aton: 010 is octal")
}

/// A program of the workspace, told as a step.
fn ask(story: &mut Story, name: &str, args: &[&str]) -> Finished {
    story.run(Run::new(name).args(args).inside(ETC))
}

fn sorted(found: &Finished) -> Vec<String> {
    let mut lines: Vec<String> = found.stdout_text().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
