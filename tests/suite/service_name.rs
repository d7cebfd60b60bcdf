//! `service-name`, beside getent over the whole services file of this machine.

use std::collections::BTreeSet;
use std::fs;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, need};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "service_name",
        tests![
            every_port_has_the_name_that_getent_has,
            every_name_and_alias_has_the_port_that_getent_has,
            the_file_says_what_the_c_library_says,
            an_unknown_service_is_1_and_says_nothing_on_standard_output,
            a_range_passes_over_what_is_unknown,
            what_is_no_port_is_refused_before_any_look_up,
            json_is_read_by_jq,
        ],
    )
}

/// The keys of this machine's services file: each port with its protocol, each name and alias.
fn keys() -> Result<(Vec<String>, Vec<String>), Skip> {
    let file = fs::read_to_string("/etc/services").unwrap_or_default();
    let (mut ports, mut names) = (BTreeSet::new(), BTreeSet::new());
    for line in file.lines() {
        let text = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let [name, port, aliases @ ..] = words.as_slice() else { continue };
        let protocol = port.split('/').nth(1).unwrap_or_default();
        if ["tcp", "udp", "sctp", "dccp"].contains(&protocol) {
            ports.insert((*port).to_owned());
            for name in [name].into_iter().chain(aliases) {
                names.insert(format!("{name}/{protocol}"));
            }
        }
    }
    match ports.len() {
        0 => Err(Skip { reason: "needs /etc/services".to_owned() }),
        _ => Ok((ports.into_iter().collect(), names.into_iter().collect())),
    }
}

fn ours(source: &str, keys: &[String]) -> Finished {
    Run::new("service-name").args(["--source", source]).args(keys).finish()
}

/// Both print the columns of services(5).
fn compare(keys: &[String]) -> Result<(), Skip> {
    need(Need::Getent)?;
    let theirs = Run::program("getent").arg("services").args(keys).finish();
    let ours = ours("nss", keys);
    assert_eq!((ours.code(), theirs.code()), (Some(0), Some(0)), "{}", ours.stderr_text());
    let [ours, theirs] = [ours, theirs].map(|finished| finished.stdout_text());
    assert_eq!(ours.lines().count(), keys.len());
    for ((ours, theirs), key) in ours.lines().zip(theirs.lines()).zip(keys) {
        assert_eq!(ours, theirs, "{key}");
    }
    Ok(())
}

fn every_port_has_the_name_that_getent_has() -> Result<(), Skip> {
    compare(&keys()?.0)
}

fn every_name_and_alias_has_the_port_that_getent_has() -> Result<(), Skip> {
    compare(&keys()?.1)
}

fn the_file_says_what_the_c_library_says() -> Result<(), Skip> {
    let (mut all, names) = keys()?;
    all.extend(names);
    let [nss, file] = ["nss", "file"].map(|source| ours(source, &all).stdout_text());
    assert_eq!(nss, file);
    Ok(())
}

fn an_unknown_service_is_1_and_says_nothing_on_standard_output() -> Result<(), Skip> {
    for (word, source) in [("no-such-service", "nss"), ("1/dccp", "nss"), ("HTTP", "nss")] {
        let finished = Run::new("service-name").args(["--source", source, word]).finish();
        assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(1), ""), "{word}");
        assert_eq!(finished.stderr_text(), format!("service-name: {word}: unknown\n"));
    }
    Ok(())
}

fn a_range_passes_over_what_is_unknown() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let within = |line: &str| {
        let args = line.split_whitespace();
        Run::new("service-name").args(args).inside("tests/etc").finish()
    };
    let finished = within("70-130");
    let shown = "http                  80/tcp www\nntp                   123/udp\n";
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(0), shown));
    assert_eq!(within("--protocol udp 70-130 class/tcp").stdout_text().lines().count(), 2);
    assert_eq!(within("81-122").code(), Some(1));
    assert_eq!(within("--source file 70-130").stdout_text(), shown);
    Ok(())
}

fn what_is_no_port_is_refused_before_any_look_up() -> Result<(), Skip> {
    for bad in ["0", "65536", "-1", "0x50", "080", "25-20", "0-5", "80/icmp", ""] {
        let finished = Run::new("service-name").args(["1-65535", bad]).finish();
        assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(2), ""), "{bad:?}");
        assert_eq!(finished.stderr_text().lines().count(), 2, "{}", finished.stderr_text());
    }
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    need(Need::OwnNames)?;
    let run = Run::new("service-name").args(["--json", "--protocol", "tcp", "www", "7777"]);
    let read = Run::program("jq").args(["-r", ".name, .port, .protocol, .aliases[0]"]);
    let read = read.stdin(run.inside("tests/etc").finish().stdout).finish().stdout_text();
    assert_eq!(read, "http\n80\ntcp\nwww\nlesson\n7777\ntcp\nclass\n");
    Ok(())
}
