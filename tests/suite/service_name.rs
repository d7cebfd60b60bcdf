//! `service-name`, beside getent over the whole services file of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

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
            a_file_of_odd_lines_is_read_as_the_c_library_reads_it,
            lines_that_are_no_entry_are_shown_with_their_number,
            a_file_that_cannot_be_read_is_one_line_and_74,
            an_unknown_service_is_1_and_says_nothing_on_standard_output,
            a_range_passes_over_what_is_unknown,
            what_is_no_port_is_refused_before_any_look_up,
            a_refused_line_opens_no_services_file,
            standard_input_is_a_question_a_line,
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

/// Lines that look odd and are entries, and after them lines that are none.
const ODD: &[u8] = b"# a comment\n\
    http\t\t80/tcp\t\twww www-http # and another\r\n\
    http 80/udp\n \t indented 7/tcp\n\n\
    first 9/tcp\nsecond 9/tcp first\n\
    back\\slash 41/tcp\nvertical\x0b43/tcp\ncut 49/tcp a#b c\n#only 1/tcp\n\
    no-port\nhalf 51\nblank 53 /tcp\nletters x/tcp\nnul\0 55/tcp\nlast 4/sctp";

/// The machine of a test, whose services file is `services`.
fn with_services(folder: &Path, args: &[&str]) -> Finished {
    fs::write(folder.join("nsswitch.conf"), "services: files\n").unwrap();
    Run::new("service-name").args(args).inside(folder.to_str().unwrap()).finish()
}

fn a_file_of_odd_lines_is_read_as_the_c_library_reads_it() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("services"), ODD).unwrap();
    let names = "1-100 http www www-http indented first second back\\slash back\\\\slash vertical \
                 cut a b c only no-port half blank letters nul last";
    let [nss, file] = ["nss", "file"].map(|source| {
        let args: Vec<&str> = ["--source", source].into_iter().chain(names.split(' ')).collect();
        let finished = with_services(folder.path(), &args);
        (finished.code(), finished.stdout_text(), finished.stderr_text())
    });
    assert_eq!(nss, file);
    assert_eq!(nss.1.lines().filter(|line| line.ends_with(" 80/tcp www www-http")).count(), 4);
    // The names in the file that are found nowhere, and the backslash that is not doubled there.
    assert_eq!(nss.2.lines().count(), 9, "{}", nss.2);
    Ok(())
}

fn lines_that_are_no_entry_are_shown_with_their_number() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let folder = tempfile::tempdir().unwrap();
    // glibc reads the last three, as the ports 8, 80 and 1.
    let odd = [ODD, b"\noctal 010/tcp\nhex 0x50/tcp\nhuge 65537/tcp\n"].concat();
    fs::write(folder.path().join("services"), odd).unwrap();
    let finished = with_services(folder.path(), &["--source", "file", "-v", "9/tcp"]);
    assert_eq!(finished.stdout_text(), "first                 9/tcp\n");
    let lines = [
        "12: not an entry: \"no-port\"",
        "13: not an entry: \"half 51\"",
        "14: not an entry: \"blank 53 /tcp\"",
        "15: not an entry: \"letters x/tcp\"",
        "16: not an entry: \"nul\\u{0} 55/tcp\"",
        "18: not an entry: \"octal 010/tcp\"",
        "19: not an entry: \"hex 0x50/tcp\"",
        "20: not an entry: \"huge 65537/tcp\"",
    ];
    let lines = lines.map(|line| format!("service-name: /etc/services:{line}\n")).concat();
    assert_eq!((finished.code(), finished.stderr_text()), (Some(0), lines));
    Ok(())
}

fn a_file_that_cannot_be_read_is_one_line_and_74() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let folder = tempfile::tempdir().unwrap();
    // Root may read a file of any mode, but nobody opens a socket.
    let _socket = UnixListener::bind(folder.path().join("services")).unwrap();
    let finished = with_services(folder.path(), &["--source", "file", "80"]);
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(74), ""));
    let why = "service-name: read /etc/services: No such device or address (ENXIO)\n";
    assert_eq!(finished.stderr_text(), why);
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
    let look_up = |line: &str| {
        let args = line.split_whitespace();
        Run::new("service-name").args(args).inside("tests/etc").finish()
    };
    let finished = look_up("70-130");
    let shown = "http                  80/tcp www\nntp                   123/udp\n";
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(0), shown));
    assert_eq!(look_up("--protocol udp 70-130 class/tcp").stdout_text().lines().count(), 2);
    assert_eq!(look_up("81-122").code(), Some(1));
    assert_eq!(look_up("--source file 70-130").stdout_text(), shown);
    Ok(())
}

fn what_is_no_port_is_refused_before_any_look_up() -> Result<(), Skip> {
    let ports = ["0", "65536", "-1", "0x50", "080", "80/icmp", "80/", ""];
    let ranges = ["25-20", "0-5", "1-65536", "20-080", "20-0x50", "0x50-0x60", "20--1", "20-"];
    for bad in ports.into_iter().chain(ranges) {
        let finished = Run::new("service-name").args(["1-65535", bad]).finish();
        assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(2), ""), "{bad:?}");
        assert_eq!(finished.stderr_text().lines().count(), 2, "{}", finished.stderr_text());
    }
    Ok(())
}

fn a_refused_line_opens_no_services_file() -> Result<(), Skip> {
    need(Need::Strace)?;
    for source in ["nss", "file"] {
        let opened = |words: &[&str]| {
            let run = Run::new("service-name").args(["--source", source]).args(words);
            let (run, trace) = run.traced(&["trace=openat"]);
            run.finish();
            trace.calls().iter().any(|call| call.args.contains("/etc/services"))
        };
        assert!(opened(&["80"]), "{source}");
        assert!(!opened(&["80", "0"]), "{source}");
    }
    Ok(())
}

fn standard_input_is_a_question_a_line() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let lines = b"80/tcp\r\n\n  class \n0\nno-such\n\xff\x1b[2J\n123";
    let run = Run::new("service-name").arg("-").stdin(lines).inside("tests/etc").finish();
    let shown = "http                  80/tcp www\nlesson                7777/tcp class\n\
                 ntp                   123/udp\n";
    assert_eq!((run.code(), run.stdout_text().as_str()), (Some(2), shown));
    let errors = run.stderr_text();
    assert_eq!(errors.lines().count(), 3, "{errors}");
    assert!(errors.contains("no-such: unknown\n") && !errors.contains('\u{1b}'), "{errors}");
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
