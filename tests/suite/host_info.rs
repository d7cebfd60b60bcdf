//! `host-info`, beside what the kernel lists under /sys and /proc.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, bin, need};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "host_info",
        tests![
            the_three_answers_stand_under_their_own_headings,
            every_interface_has_its_index_and_its_addresses,
            flags_are_those_that_ip_shows,
            an_address_with_a_label_belongs_to_its_interface,
            the_route_to_a_peer_costs_no_packet,
            a_peer_is_an_address_with_a_route,
            an_empty_network_is_no_error_but_has_no_default_route,
            a_shortage_is_not_taken_for_a_missing_route,
            a_name_that_does_not_resolve_is_fatal_only_when_asked,
            a_silent_name_server_does_not_hold_up_the_rest,
            a_name_that_is_no_text_is_escaped,
            json_is_read_by_jq,
        ],
    )
}

const ETC: &str = "tests/etc";

fn the_three_answers_stand_under_their_own_headings() -> Result<(), Skip> {
    let finished = Run::new("host-info").finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let shown = finished.stdout_text();
    let headings: Vec<&str> = shown.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(headings, ["host name", "that name resolves to", "interfaces"]);
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(shown.lines().nth(1).map(str::trim), Some(name.trim()));
    Ok(())
}

fn every_interface_has_its_index_and_its_addresses() -> Result<(), Skip> {
    let shown = Run::new("host-info").finish().stdout_text();
    let links = fs::read_dir("/sys/class/net").unwrap().flatten();
    for link in links.filter(|link| link.path().join("ifindex").is_file()) {
        let index = fs::read_to_string(link.path().join("ifindex")).unwrap();
        let line = format!("  {} {} <", index.trim(), link.file_name().display());
        assert!(shown.lines().any(|shown| shown.starts_with(&line)), "{line}\n{shown}");
    }
    // proc(5): address, index, length of the prefix, scope, flags, name.
    for line in fs::read_to_string("/proc/net/if_inet6").unwrap_or_default().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = u128::from_str_radix(words[0], 16).unwrap();
        let address = std::net::Ipv6Addr::from(address);
        let prefix = u8::from_str_radix(words[2], 16).unwrap();
        let zone = if words[3] == "20" { format!("%{}", words[5]) } else { String::new() };
        let line = format!("    {address}{zone}/{prefix}");
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    Ok(())
}

/// What a script prints that runs in a network of its own; `$1` is host-info. `ip` is there, or skip.
fn with_ip(script: &'static str) -> Result<String, Skip> {
    need(Need::UserNamespace)?;
    let up = Run::program("ip").args(["link", "set", "lo", "up"]).unshared(&["--net"]);
    if !up.finish().status.success() {
        return Err(Skip { reason: "needs ip".to_owned() });
    }
    let finished = Run::script(script).arg(bin("host-info")).unshared(&["--net"]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    Ok(finished.stdout_text())
}

fn flags_are_those_that_ip_shows() -> Result<(), Skip> {
    let shown = with_ip(r#"ip link set lo up; ip -o link; "$1""#)?;
    let flags = |line: &str| line.split_once('<')?.1.split_once('>').map(|(f, _)| f.to_owned());
    let (ip, ours): (Vec<&str>, Vec<&str>) =
        shown.lines().filter(|line| line.contains('<')).partition(|line| line.contains(": <"));
    let ip: Vec<_> = ip.into_iter().map(flags).collect();
    assert!(ip.contains(&Some("LOOPBACK,UP,LOWER_UP".to_owned())), "{shown}");
    assert_eq!(ip, ours.into_iter().map(flags).collect::<Vec<_>>(), "{shown}");
    Ok(())
}

fn an_address_with_a_label_belongs_to_its_interface() -> Result<(), Skip> {
    let script = r#"ip link set lo up
        ip address add 10.9.9.9/24 label lofoo dev lo
        ip address add 10.9.8.9/24 label lo:1 dev lo
        "$1""#;
    let shown = with_ip(script)?;
    let lo = "  1 lo <LOOPBACK,UP,LOWER_UP>\n    127.0.0.1/8\n    10.9.9.9/24\n    10.9.8.9/24\n";
    assert!(shown.contains(lo), "{shown}");
    Ok(())
}

fn the_route_to_a_peer_costs_no_packet() -> Result<(), Skip> {
    need(Need::Strace)?;
    let (run, trace) = Run::new("host-info")
        .args(["--route-to", "127.0.0.9"])
        .traced(&["trace=socket,connect,getsockname,send,sendto,sendmsg,sendmmsg,write"]);
    let finished = run.finish();
    assert_eq!(finished.stdout_text(), "127.0.0.1\n");
    let calls: Vec<String> = trace.calls().iter().map(|call| call.name.clone()).collect();
    // The write is the answer, on standard output.
    assert_eq!(calls, ["socket", "connect", "getsockname", "write"]);
    Ok(())
}

/// It with a loopback network of its own.
fn inside(args: &[&str]) -> Result<Finished, Skip> {
    need(Need::OwnNames)?;
    Ok(Run::new("host-info").args(args).inside(ETC).finish())
}

fn a_peer_is_an_address_with_a_route() -> Result<(), Skip> {
    let finished = inside(&["--route-to", "192.0.2.1"])?;
    let error = "host-info: route to 192.0.2.1: Network is unreachable (ENETUNREACH)\n";
    assert_eq!((finished.code(), finished.stderr_text().as_str()), (Some(69), error));
    // A broadcast address, for which a socket needs SO_BROADCAST.
    let finished = inside(&["--route-to", "127.255.255.255"])?;
    assert_eq!(finished.code(), Some(77), "{}", finished.stderr_text());
    for no_address in ["local host", "127.1", "", "fe80::1", "ff02::1", "fe80::1%nosuch"] {
        let finished = Run::new("host-info").args(["--route-to", no_address]).finish();
        assert_eq!(finished.code(), Some(2), "{no_address}");
    }
    // A name is looked up, within --timeout.
    let finished = inside(&["--route-to", "localhost"])?;
    assert!(["127.0.0.1\n", "::1\n"].contains(&finished.stdout_text().as_str()), "{finished:?}");
    let finished = inside(&["--route-to", "teacher.test"])?;
    let error = finished.stderr_text();
    assert!(error.starts_with("host-info: route to ") && finished.code() == Some(69), "{error}");
    assert_eq!(inside(&["--route-to", "nosuch.test"])?.code(), Some(68));
    let finished = inside(&["--route-to", "silent.test", "--timeout", "200ms"])?;
    assert_eq!(finished.code(), Some(75), "{finished:?}");
    let both = Run::new("host-info").args(["--route-to", "127.0.0.1", "--primary"]).finish();
    assert_eq!(both.code(), Some(2));
    Ok(())
}

fn an_empty_network_is_no_error_but_has_no_default_route() -> Result<(), Skip> {
    need(Need::UserNamespace)?;
    let empty = |args: &[&str]| Run::new("host-info").args(args).unshared(&["--net"]).finish();
    let finished = empty(&["--timeout", "2s"]);
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.stdout_text().ends_with("interfaces\n  1 lo <LOOPBACK>\n"), "{finished:?}");
    let finished = empty(&["--primary"]);
    let error = finished.stderr_text();
    assert_eq!(finished.code(), Some(1), "{error}");
    assert!(error.starts_with("host-info: there is no default route (IPv4 ENETUNREACH"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(finished.stdout.is_empty());
    Ok(())
}

fn a_shortage_is_not_taken_for_a_missing_route() -> Result<(), Skip> {
    need(Need::Strace)?;
    let strace = Run::program("strace").args(["-o", "/dev/null", "-e", "trace=socket"]);
    let strace = strace.args(["-e", "inject=socket:error=EMFILE"]);
    let finished = strace.arg(bin("host-info")).arg("--primary").finish();
    let error = finished.stderr_text();
    assert_eq!(finished.code(), Some(71), "{error}");
    assert!(error.starts_with("host-info: socket: Too many open files (EMFILE)\n"), "{error}");
    Ok(())
}

/// It on a machine of that name.
fn named(name: impl AsRef<OsStr>, args: &[&str]) -> Result<Finished, Skip> {
    need(Need::OwnNames)?;
    Ok(Run::new("host-info").args(args).inside_named(ETC, name).finish())
}

fn a_name_that_does_not_resolve_is_fatal_only_when_asked() -> Result<(), Skip> {
    let finished = named("nosuch.test", &[])?;
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.stdout_text().contains("  nothing: resolve nosuch.test: no such host"));
    let finished = named("nosuch.test", &["--strict"])?;
    assert_eq!(finished.code(), Some(68));
    assert!(finished.stderr_text().ends_with("(EAI_NONAME)\n"), "{}", finished.stderr_text());

    let finished = named("teacher", &[])?;
    let shown = finished.stdout_text();
    assert!(shown.contains("resolves to\n  canonical teacher.test\n  192.0.2.10\n"), "{shown}");
    assert!(!shown.contains("loopback only"), "{shown}");
    assert!(named("localhost", &[])?.stdout_text().contains("loopback only"));
    Ok(())
}

fn a_name_that_is_no_text_is_escaped() -> Result<(), Skip> {
    let finished = named(OsStr::from_bytes(b"\xff\x1b[2Jx"), &[])?;
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let shown = finished.stdout_text();
    let name = "host name\n  \\xff\\u{1b}[2Jx\nthat name resolves to\n  nothing: not UTF-8\n";
    assert!(shown.starts_with(name), "{shown:?}");
    // Text, but no name of a host: nobody is asked.
    let finished = named("a b", &[])?;
    let shown = finished.stdout_text();
    assert!(shown.contains("\n  nothing: a host name has no ' '\ninterfaces\n"), "{shown:?}");
    let finished = named("a b", &["--strict"])?;
    assert_eq!(finished.code(), Some(68), "{}", finished.stderr_text());
    Ok(())
}

fn a_silent_name_server_does_not_hold_up_the_rest() -> Result<(), Skip> {
    let begun = Instant::now();
    let finished = named("silent.test", &["--timeout", "200ms"])?;
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let shown = finished.stdout_text();
    let nothing = "\n  nothing: resolve silent.test: timed out after 200ms\ninterfaces\n  1 lo ";
    assert!(shown.contains(nothing), "{shown}");
    // The resolver would ask twice, for five seconds each.
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(named("silent.test", &["--timeout", "200ms", "--strict"])?.code(), Some(75));
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let finished = Run::new("host-info").arg("--json").finish();
    let filter = r#"select(.type == "interface" and .name == "lo") | .index"#;
    let read = Run::program("jq").args(["-r", filter]).stdin(finished.stdout).finish();
    assert_eq!(read.stdout_text(), "1\n", "{}", read.stderr_text());

    // In a network of its own lo has the addresses that the kernel gives it.
    let finished = inside(&["--json"])?;
    let filter = r#"select(.type == "address") | "\(.interface) \(.family) \(.prefix + 1)""#;
    let read = Run::program("jq").args(["-r", filter]).stdin(finished.stdout).finish();
    let (lines, errors) = (read.stdout_text(), read.stderr_text());
    assert!(lines.starts_with("lo IPv4 9\n"), "{lines}{errors}");
    Ok(())
}
