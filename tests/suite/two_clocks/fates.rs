//! What may become of a request: refused by a route, by nobody, by an address family, or not at all. Each
//! has its exit code, and only what is silent costs its timeout.

use libtest_mimic::Trial;
use netcheck::{Link, Need, Run, Server, Skip, bin, need};

use super::{CLIENTS, MS, TIMED_OUT, at_once, ends};
use crate::stream_servers;
use crate::{in_time, tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "two_clocks",
        tests![
            each_fate_of_a_request_has_its_code,
            without_a_free_port_nobody_waits,
            a_dead_ipv6_address_costs_a_quarter_of_a_second,
            a_silent_name_server_ends_at_the_timeout,
            a_server_looks_its_own_address_up_in_time,
        ],
    )
}

/// The clients of UDP, with what they need beside a host and a port.
const OTHERS: [&[&str]; 3] = [&["udp-client", "hello"], &["sntp-client"], &["ntp-time"]];

/// A client that asks there, and waits for two seconds at most.
fn ask(words: &[&str], host: &str, port: u16) -> Run {
    let run = Run::new(words[0]).args(&words[1..]).args(["--timeout", "2s"]);
    match words[0] {
        "sntp-client" | "ntp-time" => run.arg(format!("{host}:{port}")),
        _ => run.args(["--host", host, "--port", &port.to_string()]),
    }
}

fn each_fate_of_a_request_has_its_code() -> Result<(), Skip> {
    need(Need::Link)?;
    let mut link = Link::start().unwrap();
    for command in [
        "route add prohibit 198.51.100.1",
        "route add blackhole 198.51.100.2",
        "route add unreachable 198.51.100.3",
        // Nobody has this address: what is sent there is lost.
        "neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0",
    ] {
        link.near_ip(command).unwrap();
    }
    let all = [&CLIENTS[..], &OTHERS].concat();
    at_once(&all, |words| {
        for (host, code, why) in [
            ("127.0.0.1", 69, "Connection refused (ECONNREFUSED)"),
            ("192.0.2.2", 69, "Connection refused (ECONNREFUSED)"),
            ("198.51.100.1", 77, "Permission denied (EACCES)"),
            ("198.51.100.2", 71, "Invalid argument (EINVAL)"),
            ("198.51.100.3", 69, "No route to host (EHOSTUNREACH)"),
            ("203.0.113.1", 69, "Network is unreachable (ENETUNREACH)"),
        ] {
            let finished = link.near(ask(words, host, 7)).finish();
            let said = finished.stderr_text();
            let names = said.starts_with(words[0]) && said.contains(&format!(" {host}:7"));
            let right = names && said.contains(&format!(": {why}\n"));
            assert!(finished.code() == Some(code) && right, "{host} {why}: {finished:?}");
            assert!(finished.elapsed < 2000 * MS, "{finished:?}");
        }
        ends(TIMED_OUT, || link.near(ask(words, "192.0.2.9", 7)));
    });
    Ok(())
}

fn without_a_free_port_nobody_waits() -> Result<(), Skip> {
    need(Need::Link)?;
    let link = Link::start().unwrap();
    let script = "echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range";
    assert!(link.near(Run::script(script)).finish().status.success());
    let serve = |name: &str, host: &str, port: &str| {
        link.near(Run::new(name).args(["--host", host, "--port", port]))
    };
    let _tcp = Server::start_run(serve("echo-server", "0.0.0.0", "40000"));
    let _udp = Server::start_run(serve("udp-echo", "0.0.0.0", "40000"));
    let all = [&CLIENTS[..], &OTHERS].concat();
    let hint = "\nhint: `sysctl net.ipv4.ip_local_port_range` are the ports, ";
    at_once(&all, |words| {
        let finished = link.near(ask(words, "192.0.2.2", 7)).finish();
        let said = finished.stderr_text();
        let udp = ["udp-client", "sntp-client", "ntp-time"].contains(&words[0]);
        let errno = if udp { "(EAGAIN)" } else { "(EADDRNOTAVAIL)" };
        let right = said.contains("connect to 192.0.2.2:7: ") && said.contains(errno);
        assert!(finished.code() == Some(71) && right && said.contains(hint), "{finished:?}");
        assert!(finished.elapsed < 2000 * MS, "{finished:?}");
    });
    at_once(&["echo-server", "udp-echo"], |name| {
        let finished = serve(name, "0.0.0.0", "0").finish();
        let said = finished.stderr_text();
        assert!(finished.code() == Some(71) && said.contains("(EADDRINUSE)"), "{finished:?}");
        assert!(said.contains(hint) && finished.elapsed < 2000 * MS, "{finished:?}");
    });
    Ok(())
}

/// teacher.test has 2001:db8::10 and 192.0.2.10. `$1` is what becomes of the first, and of the second too if
/// both are dead; `$2` an echo server on the second, and then the client.
const TWO_FAMILIES: &str = r#"
    fate=$1; server=$2; shift 2; nobody=02:00:00:00:00:09
    ip link add v0 type veth peer name v1 && ip link set v1 up && ip link set v0 up &&
        ip address add 192.0.2.1/24 dev v0 && ip -6 address add 2001:db8::1/64 dev v0 nodad || exit 42
    case $fate in
        silent|both) ip -6 neighbour add 2001:db8::10 lladdr $nobody dev v0 ;;
        refused) ip -6 address add 2001:db8::10/128 dev lo nodad ;;
        unreachable) ip -6 route add unreachable 2001:db8::10 ;;
    esac
    folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; all=
    if [ $fate = both ]; then
        ip neighbour add 192.0.2.10 lladdr $nobody dev v0
    else
        ip address add 192.0.2.10/32 dev lo
        "$server" --host 192.0.2.10 --port 7777 >"$folder/out" 2>"$folder/log" & all=$!
        while ! grep -qs listening "$folder/out"; do :; done
    fi
    begun=$(date +%s%N); code=0; "$@" >&2 || code=$?
    echo $((($(date +%s%N) - begun) / 1000000)); [ -z "$all" ] || kill $all; exit $code"#;

fn a_dead_ipv6_address_costs_a_quarter_of_a_second() -> Result<(), Skip> {
    need(Need::Link)?;
    need(Need::OwnNames)?;
    let clients: [&[&str]; 3] =
        [&["echo-client", "hello"], &["forking-client"], &["echo-load", "-d1ms"]];
    // Half of the timeout would be two seconds.
    let fates = [
        ("silent", 0, 250..1000),
        ("refused", 0, 0..1000),
        ("unreachable", 0, 0..1000),
        ("both", 75, 4000..6000),
    ];
    at_once(&clients, |words| {
        for (fate, code, range) in &fates {
            in_time(|| {
                let run = Run::script(TWO_FAMILIES).arg(fate).arg(bin("echo-server"));
                let run = run.arg(bin(words[0])).args(["--host", "teacher.test", "--port", "7777"]);
                let run = run.args(["--timeout", "4s"]).args(&words[1..]).inside("tests/etc");
                let finished = run.finish();
                let took = finished.stdout_text().trim().parse().unwrap_or(0);
                assert_eq!(finished.code(), Some(*code), "{fate}: {finished:?}");
                assert!(took >= range.start, "{fate}: {finished:?}");
                took < range.end
            });
        }
    });
    Ok(())
}

fn a_silent_name_server_ends_at_the_timeout() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let what = format!("resolve silent.test: {TIMED_OUT}");
    at_once(&[&CLIENTS[..], &OTHERS].concat(), |words| {
        ends(&what, || ask(words, "silent.test", 7).inside("tests/etc"));
    });
    let look_up = |name| Run::new(name).args(["--timeout", "2s"]);
    ends(&what, || look_up("remote-ip").arg("silent.test").inside("tests/etc"));
    ends(&what, || look_up("host-info").arg("--strict").inside_named("tests/etc", "silent.test"));
    Ok(())
}

fn a_server_looks_its_own_address_up_in_time() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let mut servers = stream_servers::all_names();
    servers.extend(["udp-echo", "ntp-responder"].map(str::to_owned));
    at_once(&servers, |name| {
        let serve = |host: &str| {
            let dir: &[&str] = if name == "epoll-web" { &["--dir", "/etc"] } else { &[] };
            Run::new(name).args(["--port", "0", "--host", host]).args(dir)
        };
        for (host, code) in [("nosuch.test", 68), ("servfail.test", 75), ("both.test", 71)] {
            let finished = serve(host).inside("tests/etc").finish();
            assert_eq!(finished.code(), Some(code), "{host}: {finished:?}");
        }
        // SIGTERM while it waits for the name server.
        let run = Run::program("timeout").args(["--preserve-status", "0.5"]);
        let run = run.arg(bin(name)).args(["--port", "0", "--host", "silent.test"]);
        let run = if name == "epoll-web" { run.args(["--dir", "/etc"]) } else { run };
        assert_eq!(run.inside("tests/etc").finish().code(), Some(143), "{name}");
        in_time(|| {
            let finished = serve("silent.test").inside("tests/etc").finish();
            let said = finished.stderr_text();
            let right = said.contains("silent.test: ") && said.contains("timed out after 5s");
            assert!(finished.code() == Some(75) && right, "{finished:?}");
            assert!(finished.elapsed >= 5000 * MS, "{finished:?}");
            finished.elapsed < 7500 * MS
        });
    });
    Ok(())
}
