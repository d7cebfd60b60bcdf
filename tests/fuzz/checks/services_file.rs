//! What must hold for every services file. Each line is read a second time here, as text.

use netcore::service::{Protocol, Service};
use netcore::text::escape;

use super::seeded::Seeds;
use crate::args::{Protocols, Question, What};
use crate::report::Services;

pub(crate) const SEEDS: Seeds = &[
    (b"http\t\t80/tcp\t\twww www-http # a comment\r\nhttp 80/udp\n", "entries"),
    (b"first 9/tcp\nsecond 9/tcp first\nlast 4/sctp", "entries"),
    (b"# nothing\n\n \t\x0b\n#only 1/tcp", "no entry"),
    (b"\xff\xfe 1/tcp \\\nnul\0 12/tcp\nback\\slash\x0b14/dccp\n", "bad lines"),
    (b"no-port\nhuge 65536/tcp\nsigned +7/tcp\nhalf 7/\nhex 0x50/tcp\noctal 010/tcp", "bad lines"),
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"#",
    b"/",
    b"/tcp",
    b"/udp",
    b"/sctp",
    b"/dccp",
    b"\0",
    b"\\",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xa8",
    b"0",
    b"65535",
    b"65536",
    b"080",
    b"0x50",
    b"-1",
    b"http",
    b"20-25",
    b"25-20",
];

/// Checks a file, and each of its lines as a question. Returns what the file has.
///
/// # Panics
/// When something does not hold.
pub(crate) fn check(bytes: &[u8]) -> &'static str {
    let (services, bad) = Services::parse(bytes);
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut bad_lines = bad.iter();
    let mut entries: Vec<Service> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        match reading(line) {
            Reading::Blank => {}
            Reading::Entry(service) => entries.push(service),
            Reading::Bad => {
                let (number, text) = bad_lines.next().expect("a bad line");
                assert_eq!((*number, *text), (at + 1, line.trim_ascii()));
            }
        }
    }
    assert_eq!(bad_lines.next(), None);
    for protocol in Protocol::ALL {
        let same = entries.iter().filter(|entry| entry.protocol == protocol.name());
        for (at, entry) in same.clone().enumerate().take(64) {
            let mut before = same.clone().take(at + 1);
            let first = before.find(|other| other.port == entry.port);
            assert_eq!(services.find(What::Port(entry.port), protocol).as_ref(), first);
            // A name without a backslash is escaped as it is.
            if !entry.name.contains('\\') {
                let found = services.find(What::Name(&entry.name), protocol);
                assert_eq!(found.as_ref(), same.clone().find(|other| is_named(other, &entry.name)));
            }
        }
    }
    lines.iter().take(64).for_each(|line| question(&String::from_utf8_lossy(line)));
    match (bad.is_empty(), entries.is_empty()) {
        (false, _) => "bad lines",
        (true, false) => "entries",
        (true, true) => "no entry",
    }
}

fn is_named(service: &Service, name: &str) -> bool {
    service.name == name || service.aliases.iter().any(|alias| alias == name)
}

enum Reading {
    Blank,
    Entry(Service),
    Bad,
}

/// One line, read as text: a byte is a Latin-1 character.
fn reading(line: &[u8]) -> Reading {
    let text: String = line.iter().map(|byte| char::from(*byte)).collect();
    let text = text.split_once('#').map_or(text.as_str(), |(entry, _)| entry);
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c');
    let words: Vec<&str> = text.split(blank).filter(|word| !word.is_empty()).collect();
    let shown = |word: &str| {
        let bytes: Vec<u8> = word.chars().flat_map(|c| u8::try_from(u32::from(c))).collect();
        escape(&bytes)
    };
    let [name, port, aliases @ ..] = &words[..] else {
        return if words.is_empty() { Reading::Blank } else { Reading::Bad };
    };
    let Some((port, protocol)) = port.split_once('/') else { return Reading::Bad };
    let number = port.parse::<u16>().ok().filter(|number| number.to_string() == port);
    // The word with the port is UTF-8, or it has none.
    let bytes = protocol.chars().flat_map(|c| u8::try_from(u32::from(c)));
    let is_utf8 = String::from_utf8(bytes.collect()).is_ok();
    match number {
        Some(port) if !protocol.is_empty() && is_utf8 && !text.contains('\0') => {
            let aliases = aliases.iter().map(|alias| shown(alias)).collect();
            let (name, protocol) = (shown(name), shown(protocol));
            Reading::Entry(Service { name, port, protocol, aliases })
        }
        _ => Reading::Bad,
    }
}

/// A question is about ports from 1, in order, or about one name, which has a letter.
fn question(text: &str) {
    let Ok(question) = Question::read(text, Protocols::One(Protocol::Tcp)) else { return };
    let subject = text.split('/').next().unwrap_or_default();
    let mut last = 0;
    for (what, _) in question.each() {
        match what {
            What::Port(port) => {
                assert!(port > last, "{text}");
                assert!(
                    subject.split('-').any(|end| end == port.to_string()) || last > 0,
                    "{text}"
                );
                last = port;
            }
            What::Name(name) => {
                assert!(name == subject && name.contains(char::is_alphabetic), "{text}");
            }
        }
    }
    assert!(last == 0 || subject.ends_with(&last.to_string()), "{text}");
}
