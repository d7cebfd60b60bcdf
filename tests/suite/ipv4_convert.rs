//! `ipv4-convert`, beside the C library's own two parsers.

use std::net::Ipv4Addr;

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
            a_text_that_inet_aton_takes_is_shown_escaped,
            one_address_is_plain_lines_and_several_are_blocks,
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

/// A generator of its own (xorshift), so that each run has the same lines.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// Any text of the alphabet that addresses are written in; few are one.
    fn noise(&mut self) -> String {
        let length = 1 + self.below(15);
        (0..length).map(|_| char::from(self.pick(b"0123456789abcdefxX. /:+-"))).collect()
    }

    /// Numbers with dots, with something odd at the end now and then; many are an address.
    fn numbers(&mut self) -> String {
        let count = 1 + self.below(5);
        let numbers: Vec<String> = (0..count).map(|_| self.number()).collect();
        let odd =
            ["", "", "", "", "", ".", "x", "0", "+", "-", " a", "..", "f", "/8", "/33", " /8"];
        numbers.join(".") + self.pick(&odd)
    }

    fn number(&mut self) -> String {
        let limit = self.pick(&[10, 256, 300, 65_536, 70_000, 1 << 24, 1 << 32, 1 << 33]);
        let value = self.below(limit);
        match self.below(6) {
            0 => format!("0x{value:x}"),
            1 => format!("0{value:o}"),
            2 => format!("0X{value:X}"),
            _ => value.to_string(),
        }
    }
}

/// The edges, and twice as many random lines as asked for, of two kinds.
fn lines(count: usize) -> Vec<String> {
    let edges = "127.1 1 256 0x7f.1 0177.0.0.1 010.0.0.1 1.2.65535 4294967295 4294967296 1.2.65536 \
                 08.0.0.1 0x 1..2 +1 0X7F.1 1.2.3.4.5 1.2.3 0x.1 00 000.0.0.0 1.2.3.256 1.256.3 \
                 1.2.3.4x 0x1.0x2.0x3.0x4 255.255.255.255 0xffffffff 0x100000000 . 1. .1 -1 0b1 \
                 0x0x1 0x-1 0x+1 7f:00:00:01 7F:00:00:01 7f:0:0:1 7f:00:00:01:00 7f:00:00 ::1 \
                 10.0.0.0/8 10/8 10.0.0.1/0 10.0.0.1/32 10.0.0.1/33 10.0.0.1/08 10.0.0.1/ /8 / // \
                 10.0.0.1/8/8 10.0.0.1/+8 10.0.0.1/-0 10.0.0.1/0x8 010.0.0.0/8 0x0a000000/8 \
                 99999999999999999999 0x99999999999999999999 00000000000000000000000001";
    let mut lines: Vec<String> = edges.split_whitespace().map(str::to_owned).collect();
    let blanks = ["1.2.3.4 foo", "1.2.3.4 /8", "1.2.3.4\t5", "1.2.3.4\x0b5", "1.2.3.4/8 x", "1. 2"];
    lines.extend(blanks.map(str::to_owned));
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..count {
        lines.push(random.noise());
        lines.push(random.numbers());
    }
    // The program drops blanks around a line and passes over an empty one.
    lines
        .iter()
        .map(|line| line.trim_ascii())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The value of a key in a line of JSON, whose values have no quotes in them here.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_once(&format!("\"{key}\":\""))?.1.split('"').next()
}

/// What the C library's two functions make of each text: inet_aton and inet_pton.
fn ask_the_c_library(texts: &[&str]) -> Vec<[Option<Ipv4Addr>; 2]> {
    let folder = tempfile::tempdir().unwrap();
    let oracle = folder.path().join("oracle");
    let cc = Run::program("cc").args(["-O2", "-x", "c", "-o"]).arg(&oracle).arg("-").stdin(ORACLE);
    let compiled = cc.finish();
    assert!(compiled.status.success(), "{}", compiled.stderr_text());
    let said = Run::program(oracle).stdin(texts.join("\n") + "\n").finish().stdout_text();
    let read = |line: &str| {
        let (aton, pton) = line.split_once(' ').unwrap();
        [aton, pton].map(|said| (said != "refused").then(|| said.parse().unwrap()))
    };
    let answers: Vec<_> = said.lines().map(read).collect();
    assert_eq!(answers.len(), texts.len());
    answers
}

/// An address in the one form that neither function knows, four bytes in hex.
fn colons(text: &str) -> Option<Ipv4Addr> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|part| {
            let hex = part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
            hex.then(|| u8::from_str_radix(part, 16).unwrap())
        })
        .collect::<Option<_>>()?;
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

/// What `ipv4-convert --aton` should say of each line: the address, and what inet_aton and inet_pton
/// make of it. It is put together from answers of the C library only.
fn expected(lines: &[String]) -> Vec<Option<[Option<Ipv4Addr>; 3]>> {
    let whole: Vec<&str> = lines.iter().map(String::as_str).collect();
    let before: Vec<&str> = whole.iter().map(|line| line.split('/').next().unwrap()).collect();
    let answers = ask_the_c_library(&whole).into_iter().zip(ask_the_c_library(&before));
    let lengths: Vec<String> = (0..=32).map(|length| length.to_string()).collect();
    let each = |(line, (whole, before)): (&String, ([Option<Ipv4Addr>; 2], [_; 2]))| {
        let length = line.split_once('/').map(|(_, length)| length.to_owned());
        let is_network = length.is_some_and(|length| lengths.contains(&length));
        match (whole, before) {
            ([Some(address), pton], _) => Some([Some(address), Some(address), pton]),
            (_, [Some(address), pton]) if is_network => Some([Some(address), Some(address), pton]),
            _ => colons(line).map(|address| [Some(address), None, None]),
        }
    };
    lines.iter().zip(answers).map(each).collect()
}

fn both_parsers_read_what_the_c_library_reads() -> Result<(), Skip> {
    need(Need::Cc)?;
    let lines = lines(100_000);
    let input = lines.join("\n") + "\n";
    let strict = Run::new("ipv4-convert").args(["--json", "-"]).stdin(input.clone()).finish();
    let ours = Run::new("ipv4-convert").args(["--aton", "--json", "-"]).stdin(input).finish();
    let (shown, said, strict) = (ours.stdout_text(), ours.stderr_text(), strict.stdout_text());
    // The errors are compared on standard error.
    let taken = |line: &&str| !line.starts_with(r#"{"type":"error","#);
    let (mut shown, mut said) = (shown.lines().filter(taken), said.lines());
    let mut strict = strict.lines().filter(taken).peekable();
    let mut taken = 0;
    for (line, expected) in lines.iter().zip(expected(&lines)) {
        let Some([address, aton, pton]) = expected else {
            let why = said.next().unwrap();
            assert!(why.starts_with(&format!("ipv4-convert: {line}: ")), "{line:?}: {why}");
            continue;
        };
        taken += 1;
        let shown = shown.next().unwrap();
        let read = |key| value(shown, key).and_then(|text| text.parse::<Ipv4Addr>().ok());
        let ours = ["dotted", "inet_aton", "inet_pton"].map(read);
        assert_eq!(ours, [address, aton, pton], "{line:?}: {shown}");
        // Without --aton fewer are taken, and none of them means another address.
        if pton.is_some() {
            assert_eq!(strict.peek(), Some(&shown), "{line:?}");
        }
        strict.next_if_eq(&shown);
    }
    assert_eq!((shown.next(), said.next(), strict.next()), (None, None, None));
    // Else the comparison said nothing.
    assert!((20_000..180_000).contains(&taken), "{taken}");
    Ok(())
}

fn a_hundred_thousand_lines_are_answered_in_order() -> Result<(), Skip> {
    let address = |number: u32| Ipv4Addr::from(number.wrapping_mul(2_654_435_761));
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
    assert!(taken.stdout_text().contains("dotted          127.0.0.1\n"));
    Ok(())
}

fn a_text_that_inet_aton_takes_is_shown_escaped() -> Result<(), Skip> {
    let item = "1.2.3.4 \u{1b}[2J\n\"";
    for format in [&["--aton", item, "1.1"][..], &["--aton", "--json", item, "1.1"]] {
        let finished = Run::new("ipv4-convert").args(format).finish();
        let shown = finished.stdout_text();
        assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
        assert!(shown.contains("1.2.3.4 \\") && !shown.contains('\u{1b}'), "{shown}");
    }
    Ok(())
}

fn one_address_is_plain_lines_and_several_are_blocks() -> Result<(), Skip> {
    let one = Run::new("ipv4-convert").arg("127.0.0.1").finish().stdout_text();
    let two = Run::new("ipv4-convert").args(["127.0.0.1", "::", "::1"]).finish();
    let two = two.stdout_text();
    assert!(one.starts_with("dotted "), "{one}");
    let block: String = one.lines().map(|line| format!("  {line}\n")).collect();
    assert_eq!(two, format!("127.0.0.1\n{block}"));
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let items = ["127.0.0.1", "10.0.0.0/8", "192.0.2.7/31"];
    let finished = Run::new("ipv4-convert").arg("--json").args(items).finish();
    let read = Run::program("jq")
        .args(["-c", "[.input, .decimal, .purpose, .hosts, .broadcast, .host_bits, .addresses]"]);
    let read = read.stdin(finished.stdout).finish().stdout_text();
    let expected = r#"["127.0.0.1",2130706433,"loopback (RFC 1122)",null,null,null,null]
["10.0.0.0/8",167772160,"private (RFC 1918)",16777214,"10.255.255.255",null,16777216]
["192.0.2.7/31",3221225991,"documentation (RFC 5737)",2,null,"0.0.0.1",2]
"#;
    assert_eq!(read, expected);
    Ok(())
}
