//! `remote-ip`, and the resolver behind every host name of the cookbook, against a name server that
//! says what it is told to.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, need};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "remote_ip",
        tests![
            localhost_is_what_getent_says,
            the_hosts_file_comes_first_and_an_address_comes_once,
            both_families_come_in_the_order_of_getent,
            an_alias_has_a_canonical_name,
            fifty_addresses_come_by_tcp,
            a_reply_that_was_cut_is_asked_for_again,
            each_answer_of_the_name_server_has_its_symbol_and_its_exit_code,
            a_name_server_that_is_silent_costs_no_more_than_the_timeout,
            several_hosts_are_a_block_each_and_the_exit_code_is_the_worst,
            several_hosts_are_asked_for_at_once_and_answered_in_their_order,
            a_name_counts_when_it_has_the_address,
            names_that_do_not_come_cost_one_timeout_for_each_host,
            standard_input_is_a_host_a_line,
            a_line_that_is_too_long_is_refused_as_a_whole,
            what_is_no_host_is_refused_before_anything_is_looked_up,
            json_is_read_by_jq,
        ],
    )
}

const ETC: &str = "tests/etc";

/// It, where hosts file and name server are the test's.
fn inside(line: &str) -> Result<Finished, Skip> {
    need(Need::OwnNames)?;
    Ok(Run::new("remote-ip").args(line.split_whitespace()).inside(ETC).finish())
}

fn said(finished: &Finished, code: i32, stdout: &str) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    assert_eq!(finished.stdout_text(), stdout, "{}", finished.stderr_text());
}

/// The addresses that getent(1) has, without the repetitions: it lists each once for every type of
/// socket, and once for every line of the hosts file.
fn getent(finished: &Finished) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for line in finished.stdout_text().lines() {
        let address = line.split_whitespace().next().unwrap_or_default();
        if !addresses.iter().any(|known| known == address) {
            addresses.push(address.to_owned());
        }
    }
    addresses
}

fn ours(finished: &Finished) -> Vec<String> {
    let text = finished.stdout_text();
    text.lines().map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned()).collect()
}

fn localhost_is_what_getent_says() -> Result<(), Skip> {
    need(Need::Getent)?;
    let theirs = Run::program("getent").args(["ahosts", "localhost"]).finish();
    let finished = Run::new("remote-ip").arg("localhost").finish();
    assert!(!getent(&theirs).is_empty(), "{theirs:?}");
    assert_eq!(ours(&finished), getent(&theirs));
    Ok(())
}

fn both_families_come_in_the_order_of_getent() -> Result<(), Skip> {
    need(Need::Getent)?;
    need(Need::OwnNames)?;
    for host in ["both.test", "localhost", "teacher.test", "fifty.test", "alias.test"] {
        let theirs = Run::program("getent").args(["ahosts", host]).inside(ETC).finish();
        assert_eq!(ours(&inside(host)?), getent(&theirs), "{host}");
    }
    Ok(())
}

fn the_hosts_file_comes_first_and_an_address_comes_once() -> Result<(), Skip> {
    // Two lines of the file have the same address.
    let mut lines = ours(&inside("teacher.test")?);
    lines.sort();
    assert_eq!(lines, ["192.0.2.10", "2001:db8::10"]);
    said(&inside("-4 teacher.test")?, 0, "IPv4 192.0.2.10\n");
    said(&inside("-6 teacher.test")?, 0, "IPv6 2001:db8::10\n");
    said(&inside("-4 --port http teacher.test")?, 0, "IPv4 192.0.2.10:80\n");
    Ok(())
}

fn an_alias_has_a_canonical_name() -> Result<(), Skip> {
    said(&inside("-4 --canonical alias.test")?, 0, "canonical both.test\nIPv4 192.0.2.1\n");
    Ok(())
}

fn fifty_addresses_come_by_tcp() -> Result<(), Skip> {
    let mut lines = ours(&inside("fifty.test")?);
    lines.sort();
    let mut all: Vec<String> = (1..=50).map(|last| format!("198.51.100.{last}")).collect();
    all.sort();
    assert_eq!(lines, all);
    Ok(())
}

fn a_reply_that_was_cut_is_asked_for_again() -> Result<(), Skip> {
    said(&inside("cut.test")?, 0, "IPv4 192.0.2.9\n");
    Ok(())
}

fn each_answer_of_the_name_server_has_its_symbol_and_its_exit_code() -> Result<(), Skip> {
    for (line, code, symbol) in [
        ("nosuch.test", 68, "EAI_NONAME"),
        // A name server that answers so did answer.
        ("servfail.test", 75, ": no usable reply from a name server, try again later (EAI_AGAIN)"),
        ("refused.test", 75, ": no usable reply from a name server, try again later (EAI_AGAIN)"),
        ("-6 four.test", 68, ": the host has no address of that family (EAI_NODATA)"),
    ] {
        let finished = inside(line)?;
        said(&finished, code, "");
        let error = finished.stderr_text();
        assert!(error.starts_with("remote-ip: resolve ") && error.contains(symbol), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    Ok(())
}

fn a_name_server_that_is_silent_costs_no_more_than_the_timeout() -> Result<(), Skip> {
    let finished = inside("--timeout 300ms silent.test")?;
    said(&finished, 75, "");
    assert_eq!(finished.stderr_text(), "remote-ip: resolve silent.test: timed out after 300ms\n");
    assert!(finished.elapsed >= Duration::from_millis(300), "{:?}", finished.elapsed);
    // The resolver's own patience is 5 s, twice.
    assert!(finished.elapsed < Duration::from_secs(5), "{:?}", finished.elapsed);
    Ok(())
}

fn several_hosts_are_a_block_each_and_the_exit_code_is_the_worst() -> Result<(), Skip> {
    let finished = inside("--timeout 300ms nosuch.test silent.test four.test 192.0.2.7")?;
    said(&finished, 75, "four.test\n  IPv4 192.0.2.4\n192.0.2.7\n  IPv4 192.0.2.7\n");
    assert_eq!(finished.stderr_text().lines().count(), 2, "{}", finished.stderr_text());
    Ok(())
}

fn several_hosts_are_asked_for_at_once_and_answered_in_their_order() -> Result<(), Skip> {
    // 16 at once, and then one more.
    let silent = "silent.test ".repeat(15);
    let finished = inside(&format!("--timeout 1s {silent} four.test silent.test cut.test"))?;
    said(&finished, 75, "four.test\n  IPv4 192.0.2.4\ncut.test\n  IPv4 192.0.2.9\n");
    assert_eq!(finished.stderr_text().lines().count(), 16, "{}", finished.stderr_text());
    // One after the other they would take 16 s.
    let took = finished.elapsed;
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
    Ok(())
}

fn a_name_counts_when_it_has_the_address() -> Result<(), Skip> {
    for (line, shown) in [
        ("--reverse 192.0.2.1", "IPv4 192.0.2.1 both.test (confirmed)\n"),
        ("--reverse 192.0.2.66", "IPv4 192.0.2.66 both.test (not confirmed)\n"),
        ("--reverse 192.0.2.5", "IPv4 192.0.2.5 has no name\n"),
    ] {
        said(&inside(line)?, 0, shown);
    }
    // What could not be found out takes no address away.
    let finished = inside("--reverse 192.0.2.77 192.0.2.5")?;
    let blocks =
        "192.0.2.77\n  IPv4 192.0.2.77 name unknown\n192.0.2.5\n  IPv4 192.0.2.5 has no name\n";
    said(&finished, 75, blocks);
    // Whether the C library takes such a name or not, no terminal acts on it.
    let finished = inside("--reverse 192.0.2.99")?;
    assert!(!finished.stdout_text().trim_end().contains(char::is_control), "{finished:?}");
    Ok(())
}

fn names_that_do_not_come_cost_one_timeout_for_each_host() -> Result<(), Skip> {
    for (hosts, timeout) in [("nameless.test", 2), ("nameless.test nameless.test", 4)] {
        let finished = inside(&format!("-4 --reverse --timeout 2s {hosts}"))?;
        let lines: Vec<&str> = "IPv4 203.0.113.1 name unknown".split(' ').collect();
        let said = finished.stdout_text();
        let first = said.lines().find(|line| line.contains("203.0.113.1"));
        let first: Vec<&str> = first.unwrap_or_default().split_whitespace().collect();
        assert!(finished.code() == Some(75) && first == lines, "{finished:?}");
        let late = "remote-ip: resolve 203.0.113.3: timed out after 2s\n";
        assert!(finished.stderr_text().ends_with(late), "{finished:?}");
        let took = finished.elapsed.as_secs_f64() / f64::from(timeout);
        assert!((1.0..1.5).contains(&took), "{took}: {finished:?}");
    }
    Ok(())
}

fn standard_input_is_a_host_a_line() -> Result<(), Skip> {
    let lines = b"192.0.2.1\n\n  ::1  \n127.1\n\xff\x1b[2J\n192.0.2.2";
    let finished = Run::new("remote-ip").arg("-").stdin(lines).finish();
    let blocks = ["192.0.2.1\n  IPv4 192.0.2.1\n", "::1\n  IPv6 ::1\n"].concat();
    said(&finished, 2, &(blocks + "192.0.2.2\n  IPv4 192.0.2.2\n"));
    let errors = finished.stderr_text();
    assert_eq!(errors.lines().count(), 2, "{errors}");
    assert!(!errors.contains('\u{1b}'), "{errors}");
    Ok(())
}

fn a_line_that_is_too_long_is_refused_as_a_whole() -> Result<(), Skip> {
    let line = format!("192.0.2.1{}junk\n192.0.2.2\n", " ".repeat(5_000));
    let finished = Run::new("remote-ip").arg("-").stdin(line).finish();
    said(&finished, 2, "192.0.2.2\n  IPv4 192.0.2.2\n");
    Ok(())
}

fn what_is_no_host_is_refused_before_anything_is_looked_up() -> Result<(), Skip> {
    let label = "x".repeat(300);
    for bad in ["", "a b", "caf\u{e9}.test", label.as_str(), "1.2.3.4.5", "010.0.0.1"] {
        let finished = Run::new("remote-ip").args(["localhost", bad]).finish();
        said(&finished, 2, "");
        let error = finished.stderr_text();
        assert_eq!(error.lines().count(), 2, "{error}");
    }
    let advice = Run::new("remote-ip").arg("caf\u{e9}.test").finish().stderr_text();
    assert!(advice.contains("xn--"), "{advice}");
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let finished =
        Run::new("remote-ip").args(["--json", "--port", "80", "192.0.2.1", "::1"]).finish();
    let line = [".type, .host, .family, .address, .port", "--raw-output"];
    let read = Run::program("jq").args(line).stdin(finished.stdout).finish();
    let expected = ["address 192.0.2.1 IPv4 192.0.2.1 80", "address ::1 IPv6 ::1 80"];
    let read = read.stdout_text();
    assert_eq!(read.split_whitespace().collect::<Vec<_>>().join(" "), expected.join(" "));
    Ok(())
}
