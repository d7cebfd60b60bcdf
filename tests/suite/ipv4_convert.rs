//! `ipv4-convert`, beside the C library's own two parsers.

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, need};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "ipv4_convert",
        tests![
            both_parsers_read_what_the_c_library_reads,
            a_hundred_thousand_lines_are_answered_in_order,
            bad_items_are_refused_and_the_others_still_shown,
            what_inet_aton_alone_takes_is_taken_when_asked,
            json_is_read_by_jq,
        ],
    )
}

/// Prints for each line what inet_aton and inet_pton make of it.
const ORACLE: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
int main(void) {
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        struct in_addr address;
        char text[INET_ADDRSTRLEN];
        const char *refused = "refused";
        const char *aton = inet_aton(line, &address) ? inet_ntop(AF_INET, &address, text, sizeof text) : refused;
        printf("%s ", aton);
        const char *pton = inet_pton(AF_INET, line, &address) == 1 ? inet_ntop(AF_INET, &address, text, sizeof text) : refused;
        printf("%s\n", pton);
    }
}
"#;

/// Lines that look like addresses, often enough that many are one to either parser.
fn lines(count: usize) -> Vec<String> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let edges = "127.1 1 256 0x7f.1 0177.0.0.1 010.0.0.1 1.2.65535 4294967295 4294967296 1.2.65536 \
                 08.0.0.1 0x 1..2 +1 0X7F.1 1.2.3.4.5 1.2.3 0x.1 00 000.0.0.0 1.2.3.256 1.256.3 \
                 1.2.3.4x 0x1.0x2.0x3.0x4 255.255.255.255 0xffffffff 0x100000000 . 1. .1 -1";
    let mut lines: Vec<String> = edges.split_whitespace().map(str::to_owned).collect();
    lines.push("1.2.3.4 foo".to_owned());
    let junk = ["", "", "", "", "", "", ".", "x", "0", "8", "+", "-", " a", "..", "f"];
    while lines.len() < count {
        let parts = 1 + random(5);
        let number = |random: &mut dyn FnMut(u64) -> u64| {
            let limit = [10, 256, 300, 65_536, 70_000, 1 << 24, 1 << 32, 1 << 33]
                [usize::try_from(random(8)).unwrap()];
            let value = random(limit);
            match random(6) {
                0 => format!("0x{value:x}"),
                1 => format!("0{value:o}"),
                2 => format!("0X{value:X}"),
                _ => value.to_string(),
            }
        };
        let mut line: Vec<String> = (0..parts).map(|_| number(&mut random)).collect();
        let last = line.len() - 1;
        line[last] += junk[usize::try_from(random(junk.len() as u64)).unwrap()];
        lines.push(line.join("."));
    }
    lines
}

/// The value of a key in a line of JSON, whose values have no quotes in them here.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_once(&format!("\"{key}\":\""))?.1.split('"').next()
}

fn both_parsers_read_what_the_c_library_reads() -> Result<(), Skip> {
    need(Need::Cc)?;
    let folder = tempfile::tempdir().unwrap();
    let oracle = folder.path().join("oracle");
    let cc = Run::program("cc").args(["-O2", "-x", "c", "-o"]).arg(&oracle).arg("-").stdin(ORACLE);
    let compiled = cc.finish();
    assert!(compiled.status.success(), "{}", compiled.stderr_text());

    let lines = lines(100_000);
    let input = lines.join("\n") + "\n";
    let theirs = Run::program(oracle).stdin(input.clone()).finish().stdout_text();
    let ours = Run::new("ipv4-convert").args(["--aton", "--json", "-"]).stdin(input).finish();
    let (shown, said) = (ours.stdout_text(), ours.stderr_text());
    let (mut shown, mut said) = (shown.lines(), said.lines());
    let mut taken = 0;
    for (line, theirs) in lines.iter().zip(theirs.lines()) {
        let (aton, pton) = theirs.split_once(' ').unwrap();
        if aton == "refused" {
            let why = said.next().unwrap();
            assert!(why.ends_with("; inet_aton: refused"), "{line:?}: {why}");
            continue;
        }
        taken += 1;
        let shown = shown.next().unwrap();
        assert_eq!(value(shown, "dotted"), Some(aton), "{line:?}: {shown}");
        assert_eq!(value(shown, "inet_aton"), Some(aton), "{line:?}: {shown}");
        let strict = value(shown, "strict").unwrap();
        assert_eq!(strict.split(',').next(), Some(pton), "{line:?}: {shown}");
    }
    assert_eq!((shown.next(), said.next()), (None, None));
    // Else the comparison said nothing.
    assert!((10_000..90_000).contains(&taken), "{taken}");
    Ok(())
}

fn a_hundred_thousand_lines_are_answered_in_order() -> Result<(), Skip> {
    let address = |number: u32| std::net::Ipv4Addr::from(number.wrapping_mul(2_654_435_761));
    let input: String = (0..100_000).map(|number| format!("{}\n", address(number))).collect();
    let finished = Run::new("ipv4-convert").args(["--json", "-"]).stdin(input).finish();
    assert_eq!(finished.code(), Some(0));
    let shown = finished.stdout_text();
    assert_eq!(shown.lines().count(), 100_000);
    for (line, number) in shown.lines().zip(0..) {
        assert_eq!(value(line, "dotted"), Some(address(number).to_string().as_str()));
    }
    Ok(())
}

fn said(finished: &Finished) -> (Option<i32>, usize, String) {
    (finished.code(), finished.stderr_text().lines().count(), finished.stdout_text())
}

fn bad_items_are_refused_and_the_others_still_shown() -> Result<(), Skip> {
    let items = ["1.2.3.4", "1.2.3", "x\u{1b}[2J", "1.2.3.4/33", "", "5.6.7.8"];
    let finished = Run::new("ipv4-convert").args(items).finish();
    let (code, errors, shown) = said(&finished);
    assert_eq!((code, errors), (Some(2), 4), "{}", finished.stderr_text());
    assert!(shown.starts_with("1.2.3.4\n") && shown.contains("\n5.6.7.8\n"), "{shown}");
    assert!(!finished.stderr_text().contains('\u{1b}'));
    Ok(())
}

fn what_inet_aton_alone_takes_is_taken_when_asked() -> Result<(), Skip> {
    let refused = Run::new("ipv4-convert").arg("0177.1").finish();
    let why = "ipv4-convert: 0177.1: strict: refused, not four numbers; inet_aton: 127.0.0.1\n";
    assert_eq!((refused.code(), refused.stderr_text().as_str()), (Some(2), why));
    let taken = Run::new("ipv4-convert").args(["--aton", "0177.1"]).finish();
    assert_eq!(taken.code(), Some(0));
    assert!(taken.stdout_text().contains("  dotted          127.0.0.1\n"));
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let finished = Run::new("ipv4-convert").args(["--json", "127.0.0.1", "10.0.0.0/8"]).finish();
    let read = Run::program("jq").args(["-r", ".decimal, .purpose, .hosts"]);
    let read = read.stdin(finished.stdout).finish().stdout_text();
    let expected =
        "2130706433\nloopback (RFC 1122)\nnull\n167772160\nprivate (RFC 1918)\n16777214\n";
    assert_eq!(read, expected);
    Ok(())
}
