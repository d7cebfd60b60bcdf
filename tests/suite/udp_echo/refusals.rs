//! Who gets no answer, so that no two servers can be set against each other.

use std::io::ErrorKind;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, bin, need};

use super::{SOON, client, counts, from, has_ipv6, is_echoed, is_silent, server};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "udp_echo",
        tests![
            its_own_port_gets_no_answer_even_elsewhere,
            a_broadcast_gets_no_answer,
            a_flood_of_refusals_does_not_fill_the_log,
            forged_senders_set_no_two_servers_against_each_other,
            two_servers_on_two_other_ports_loop_until_one_ends,
            a_link_local_address_is_answered_with_its_zone_and_a_multicast_address_not,
        ],
    );
    trials.extend(topic("udp_echo::as_root", tests![services_that_answer_anything_get_no_answer]));
    trials
}

fn services_that_answer_anything_get_no_answer() -> Result<(), Skip> {
    let server = server(&["-v"]);
    for port in [7, 13, 17, 19, 37] {
        // An address that hardly any server takes for itself.
        let service = match from("127.7.7.7", port) {
            Err(why) if why.kind() == ErrorKind::PermissionDenied => {
                return Err(Skip { reason: "needs the right to a port below 1024".to_owned() });
            }
            service => service.unwrap(),
        };
        service.connect(server.address()).unwrap();
        service.send(b"hello").unwrap();
        let line = format!("127.7.7.7:{port} not answered: port {port} is ");
        assert!(server.wait_stderr(|log| log.contains(&line), SOON), "{}", server.stderr());
        is_silent(&service);
    }
    is_echoed(&client("127.0.0.1", &server), b"hello");
    Ok(())
}

fn its_own_port_gets_no_answer_even_elsewhere() -> Result<(), Skip> {
    let server = server(&["--json"]);
    let twin = from("127.0.0.2", server.address().port()).unwrap();
    twin.connect(server.address()).unwrap();
    twin.send(b"hello").unwrap();
    is_silent(&twin);
    is_echoed(&client("127.0.0.1", &server), b"hello");
    let counts = counts(&server);
    assert_eq!((&counts["refused"], &counts["echoed"]), (&1.into(), &1.into()), "{counts}");
    Ok(())
}

fn a_broadcast_gets_no_answer() -> Result<(), Skip> {
    for host in ["0.0.0.0", "::", "127.255.255.255"] {
        if host == "::" {
            has_ipv6()?;
        }
        let server = server(&["--host", host, "-v"]);
        let asker = from("127.0.0.1", 0).unwrap();
        asker.set_broadcast(true).unwrap();
        // That of loopback's own network: nothing leaves this machine.
        asker.send_to(b"hello", ("127.255.255.255", server.address().port())).unwrap();
        let line = "not answered: 127.255.255.255 is a broadcast or multicast address\n";
        assert!(server.wait_stderr(|log| log.contains(line), SOON), "{}", server.stderr());
        is_silent(&asker);
    }
    Ok(())
}

fn a_flood_of_refusals_does_not_fill_the_log() -> Result<(), Skip> {
    let server = server(&[]);
    let twin = from("127.0.0.2", server.address().port()).unwrap();
    twin.connect(server.address()).unwrap();
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        for _ in 0..10 {
            twin.send(b"hello").unwrap();
        }
        // One that is answered has them all behind it.
        is_echoed(&client("127.0.0.1", &server), b"hello");
    }
    let most = 1 + begun.elapsed().as_secs();
    let lines = server.stderr().matches("not answered").count() as u64;
    assert!((1..=most).contains(&lines), "{lines} lines:\n{}", server.stderr());
    Ok(())
}

/// Runs a script of the shell on a machine of its own: `$1` is udp-echo, `$2` udp-client, and `$3` sends
/// datagrams with a forged sender, `from` `to` each.
fn on_its_own_machine(script: &'static str) -> Result<Finished, Skip> {
    need(Need::OwnNames)?;
    let run = Run::script(script).arg(bin("udp-echo")).arg(bin("udp-client")).arg(bin("forge"));
    Ok(run.stdin("hello").inside("tests/etc").finish())
}

fn forged_senders_set_no_two_servers_against_each_other() -> Result<(), Skip> {
    // One server on the port of the echo service, two on another. Each datagram claims to come from
    // one of them; the last from nobody, who is not answered either. Then each is asked once.
    let script = r#"
        ready() { while ! grep -q listening "$1"; do :; done; }
        folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; cd "$folder"
        : >a; : >b; : >c
        "$1" --port 7 --host 127.0.0.1 >a 2>a.log & a=$!
        "$1" --port 7777 --host 127.0.0.1 >b 2>b.log & b=$!
        "$1" --port 7777 --host 127.0.0.2 >c 2>c.log & c=$!
        ready a; ready b; ready c
        "$3" 127.0.0.1:7 127.0.0.1:7777  127.0.0.1:7777 127.0.0.1:7777 \
            127.0.0.2:7777 127.0.0.1:7777  127.0.0.1:7777 127.0.0.2:7777 \
            127.0.0.1:0 127.0.0.1:7777
        for server in '127.0.0.1 --port 7' '127.0.0.1 --port 7777' '127.0.0.2 --port 7777'; do
            "$2" -q --host $server
        done
        kill $a $b $c; wait; tail -qn 1 a.log b.log c.log"#;
    let finished = on_its_own_machine(script)?;
    let said = finished.stdout_text();
    assert!(finished.status.success(), "{finished:?}");
    let counted = |line: &str| {
        let received = line.split(' ').nth(2)?.parse::<u32>().ok()?;
        let (before, _) = line.split_once(" refused")?;
        Some((received, before.rsplit(' ').next()?.parse::<u32>().ok()?))
    };
    let counts: Vec<Option<(u32, u32)>> = said.lines().map(counted).collect();
    // A loop would be thousands.
    assert_eq!(counts, [Some((1, 0)), Some((5, 4)), Some((2, 1))], "{said}");
    Ok(())
}

fn two_servers_on_two_other_ports_loop_until_one_ends() -> Result<(), Skip> {
    // The header says it, and no limit of a source ends it: such a limit would end a fast client too.
    let script = r#"
        folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; cd "$folder"
        "$1" --port 7001 --host 127.0.0.1 >a 2>a.log & a=$!
        "$1" --port 7002 --host 127.0.0.1 >b 2>b.log & b=$!
        for out in a b; do while ! grep -qs listening $out; do :; done; done
        "$3" 127.0.0.1:7001 127.0.0.1:7002
        while ! grep -qs ' [0-9]\{4,\} received' a.log; do kill -USR1 $a; done
        kill $a; wait $a; "$2" -q --host 127.0.0.1 --port 7002; "$2" -q --host 127.0.0.1 --port 7002
        kill -USR1 $b; kill $b; wait; tail -qn 1 b.log"#;
    let finished = on_its_own_machine(script)?;
    let said = finished.stdout_text();
    assert!(finished.status.success(), "{finished:?}");
    let received = said.split(' ').nth(2).and_then(|count| count.parse::<u32>().ok());
    assert!(received >= Some(1_000), "{said}");
    let explained = Run::new("udp-echo").arg("--explain").finish().stdout_text();
    assert!(explained.contains("Two servers on two other ports are not protected"), "{explained}");
    Ok(())
}

fn a_link_local_address_is_answered_with_its_zone_and_a_multicast_address_not() -> Result<(), Skip>
{
    let script = r#"
        ip link add v0 type veth peer name v1 && ip link set v1 up && ip link set v0 up &&
            ip -6 address add fe80::1/64 dev v0 nodad || exit 42
        folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; cd "$folder"
        : >out; "$1" --port 7777 --host :: -v >out 2>log & server=$!
        while ! grep -q listening out; do :; done
        "$2" --port 7777 --host fe80::1%v0 hello
        code=0; "$2" --port 7777 --host ff02::1%v0 --timeout 200ms hello || code=$?
        kill $server; wait; cat log; exit $code"#;
    let finished = on_its_own_machine(script)?;
    if finished.code() == Some(42) {
        return Err(Skip { reason: "needs ip and a pair of veth".to_owned() });
    }
    let said = finished.stdout_text();
    assert_eq!(finished.code(), Some(75), "{finished:?}");
    // Shown with the zone that it has there, a number.
    assert!(said.starts_with("[fe80::1%") && said.contains("]:7777 echoed 5 bytes"), "{said}");
    assert!(said.contains(" sent 5 bytes to fe80::1: "), "{said}");
    assert!(
        said.contains(" not answered: ff02::1 is a broadcast or multicast address\n"),
        "{said}"
    );
    Ok(())
}
