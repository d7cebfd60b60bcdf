//! Who gets no reply, so that no two servers can be set against each other.

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, bin, need};

use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "ntp_responder",
        tests![
            forged_senders_set_no_two_servers_against_each_other,
            a_fault_that_does_harm_is_for_loopback_and_for_no_service,
        ],
    )
}

/// Functions of Python: a request with that nonce, and a datagram with a forged sender, which takes
/// CAP_NET_RAW.
const PYTHON: &str = r"
import socket, struct, sys
def request(nonce):
    return b'\x23' + bytes(39) + struct.pack('!Q', nonce)
def forge(source, port):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    a = socket.inet_aton('127.0.0.1')
    udp = struct.pack('!HHHH', source, port, 56, 0) + request(source << 32 | port)
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 76, 0, 0, 64, 17, 0, a, a)
    raw.sendto(ip + udp, ('127.0.0.1', 0))
def client(host, port):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((host, port))
    udp.settimeout(10)
    return udp
";

/// Runs a script of the shell on a machine of its own: `$1` is ntp-responder, `$2` udp-echo, `$3` a
/// program in Python.
fn on_its_own_machine(script: &'static str, python: &str) -> Result<Finished, Skip> {
    need(Need::OwnNames)?;
    need(Need::Python3)?;
    let run = Run::script(script).arg(bin("ntp-responder")).arg(bin("udp-echo"));
    Ok(run.arg(format!("{PYTHON}{python}")).inside("tests/etc").finish())
}

fn forged_senders_set_no_two_servers_against_each_other() -> Result<(), Skip> {
    // Each datagram claims to come from the server itself, or from one of the others. Then each is asked
    // 50 times: a loop would take its turn with every one of these requests.
    let python = r"
servers = [7001, 7002, 7003, 7004]
for source in [*servers, 7005]:
    for port in servers:
        forge(source, port)
asker = client('127.0.0.1', 0)
for nonce in range(1, 51):
    for port in servers:
        asker.sendto(request(nonce), ('127.0.0.1', port))
        while True:
            reply, peer = asker.recvfrom(65535)
            if peer[1] == port and len(reply) == 48 and reply[:2] == b'\x24\x01' and \
                    reply[24:32] == request(nonce)[40:] and reply[32:40] <= reply[40:]:
                break
";
    let script = r#"
        folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; cd "$folder"
        "$1" --port 7001 --lie mirror >1 2>1.log & all=$!
        "$1" --port 7002 --lie mode-3 >2 2>2.log & all="$all $!"
        "$1" --port 7003 --lie all >3 2>3.log & all="$all $!"
        "$1" --port 7004 >4 2>4.log & all="$all $!"
        "$2" --port 7005 -v >5 2>5.log & all="$all $!"
        for out in 1 2 3 4 5; do while ! grep -qs listening $out; do :; done; done
        python3 -c "$3" || exit
        kill $all; wait; wc -l <1.log; wc -l <2.log; wc -l <3.log; wc -l <4.log; wc -l <5.log"#;
    let finished = on_its_own_machine(script, python)?;
    assert!(finished.status.success(), "{finished:?}");
    let lines: Vec<u32> =
        finished.stdout_text().lines().map(|line| line.parse().unwrap()).collect();
    // Lines of the log: 50 requests, and what the 20 datagrams cost, each with some 30 faults at most.
    assert!(lines.len() == 5 && lines.iter().all(|lines| *lines < 500), "{lines:?}");
    Ok(())
}

fn a_fault_that_does_harm_is_for_loopback_and_for_no_service() -> Result<(), Skip> {
    let python = r"
for host, port in [('127.0.0.1', 1023), ('192.0.2.1', 5000)]:
    asker = client(host, port)
    for port in [7001, 7002, 7003, 7004, 7005, 7006]:
        asker.sendto(request(port), (host, port))
    asker.sendto(request(1), (host, 7007))
    # The two that reply to anybody.
    seen = set()
    while not {7006, 7007} <= seen:
        seen.add(asker.recvfrom(65535)[1][1])
";
    let script = r#"
        ip address add 192.0.2.1/32 dev lo || exit 42
        folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; cd "$folder"; all=
        start() { name=$1; shift; "$@" --host 0.0.0.0 >$name 2>$name.log & all="$all $!"; }
        start 1 "$1" --port 7001 --lie mirror
        start 2 "$1" --port 7002 --lie mode-3
        start 3 "$1" --port 7003 --lie all
        start 4 "$1" --port 7004 --lie long
        start 5 "$1" --port 7005 --lie long --lie-to-network
        start 6 "$1" --port 7006 --lie mode-6
        start 7 "$1" --port 7007
        for out in 1 2 3 4 5 6 7; do while ! grep -qs listening $out; do :; done; done
        python3 -c "$3" || exit
        for out in 1 2 3 4 5; do
            while [ $(grep -c ' gets no reply\| sent a request' $out.log) -lt 2 ]; do :; done
        done
        kill $all; wait; cat 1.log 2.log 3.log 4.log 5.log 6.log"#;
    let finished = on_its_own_machine(script, python)?;
    if finished.code() == Some(42) {
        return Err(Skip { reason: "needs ip".to_owned() });
    }
    assert!(finished.status.success(), "{finished:?}");
    let mut expected = Vec::new();
    for name in ["mirror", "mode-3", "all", "long"] {
        let refused = |peer: &str, why: &str| {
            format!("ntp-responder: {peer} gets no reply: --lie {name} is {why}")
        };
        expected.push(refused("127.0.0.1:1023", "not for a port below 1024"));
        expected.push(refused("192.0.2.1:5000", "for loopback without --lie-to-network"));
    }
    let refused = "127.0.0.1:1023 gets no reply: --lie long is not for a port below 1024";
    expected.push(format!("ntp-responder: {refused}"));
    for peer in ["192.0.2.1:5000", "127.0.0.1:1023", "192.0.2.1:5000"] {
        expected.push(format!("ntp-responder: {peer} sent a request, version 4"));
    }
    assert_eq!(finished.stdout_text().lines().collect::<Vec<_>>(), expected, "{finished:?}");
    Ok(())
}
