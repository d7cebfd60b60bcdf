//! `host-info`, beside what the kernel lists under /sys and /proc.

use std::fs;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, bin, need};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "host_info",
        tests![
            the_three_answers_stand_under_their_own_headings,
            every_interface_has_its_index_and_its_addresses,
            the_route_to_a_peer_costs_no_packet,
            a_peer_is_an_address_with_a_route,
            an_empty_network_is_no_error_but_has_no_default_route,
            a_name_that_does_not_resolve_is_fatal_only_when_asked,
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
    for no_address in ["localhost", "127.1", ""] {
        let finished = Run::new("host-info").args(["--route-to", no_address]).finish();
        assert_eq!(finished.code(), Some(2), "{no_address}");
    }
    let both = Run::new("host-info").args(["--route-to", "127.0.0.1", "--primary"]).finish();
    assert_eq!(both.code(), Some(2));
    Ok(())
}

fn an_empty_network_is_no_error_but_has_no_default_route() -> Result<(), Skip> {
    need(Need::UserNamespace)?;
    let empty = |args: &[&str]| {
        let unshare = Run::program("unshare").args(["--user", "--map-root-user", "--net"]);
        unshare.arg(bin("host-info")).args(args).finish()
    };
    let finished = empty(&["--timeout", "2s"]);
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.stdout_text().ends_with("interfaces\n  1 lo <LOOPBACK>\n"), "{finished:?}");
    let finished = empty(&["--primary"]);
    let error = "host-info: there is no default route\n";
    assert_eq!((finished.code(), finished.stderr_text().as_str()), (Some(1), error));
    assert!(finished.stdout.is_empty());
    Ok(())
}

/// It on a machine of that name.
fn named(name: &str, args: &str) -> Result<Finished, Skip> {
    need(Need::OwnNames)?;
    let program = bin("host-info");
    let script =
        format!("printf '{name}' > /proc/sys/kernel/hostname; exec {} {args}", program.display());
    let run = Run::program("unshare").args(["--uts", "sh", "-c", &script]);
    Ok(run.inside(ETC).finish())
}

fn a_name_that_does_not_resolve_is_fatal_only_when_asked() -> Result<(), Skip> {
    let finished = named("nosuch.test", "")?;
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.stdout_text().contains("  nothing: resolve nosuch.test: no such host"));
    let finished = named("nosuch.test", "--strict")?;
    assert_eq!(finished.code(), Some(68));
    assert!(finished.stderr_text().ends_with("(EAI_NONAME)\n"), "{}", finished.stderr_text());

    let finished = named("teacher", "")?;
    let shown = finished.stdout_text();
    assert!(shown.contains("resolves to\n  canonical teacher.test\n  192.0.2.10\n"), "{shown}");
    assert!(!shown.contains("loopback only"), "{shown}");
    assert!(named("localhost", "")?.stdout_text().contains("loopback only"));
    Ok(())
}

fn a_name_that_is_no_text_is_escaped() -> Result<(), Skip> {
    let finished = named(r"\377\033[2Jx", "")?;
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let shown = finished.stdout_text();
    assert!(shown.starts_with("host name\n  \\xff\\u{1b}[2Jx\n"), "{shown:?}");
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let finished = Run::new("host-info").arg("--json").finish();
    let filter = r#"select(.type == "interface" and .name == "lo") | .index"#;
    let read = Run::program("jq").args(["-r", filter]).stdin(finished.stdout).finish();
    assert_eq!(read.stdout_text(), "1\n", "{}", read.stderr_text());
    Ok(())
}
