//! Bytes from outside made safe to show, and JSON lines.

use std::fmt::{Display, Write};

/// How many characters of a payload are shown.
const SHOWN: usize = 512;

/// Makes bytes from a peer, a resolver or a file safe for a terminal, a log and a reader's eye.
///
/// Control characters (C0, DEL, C1), separators of lines, and the invisible characters that
/// reorder or hide text become `\n` or `\u{202e}`; bytes that are not UTF-8 become `\xNN`. A
/// backslash is doubled, so that what is shown is not mistaken for what was sent.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    escape_some(bytes, usize::MAX).0
}

/// A payload in quotes, cut at 512 characters, with the number of bytes that were left out.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    cut(bytes, "\"")
}

/// A word of a protocol, cut as a payload is, without the quotes.
#[must_use]
pub fn shown_word(bytes: &[u8]) -> String {
    cut(bytes, "")
}

fn cut(bytes: &[u8], quote: &str) -> String {
    let (text, used) = escape_some(bytes, SHOWN);
    match bytes.len().saturating_sub(used) {
        0 => format!("{quote}{text}{quote}"),
        more => format!("{quote}{text}{quote} and {}", counted(more, "more byte")),
    }
}

/// `1 byte`, `2 bytes`, `2 processes`.
#[must_use]
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let plural = match noun.ends_with('s') {
        _ if count == N::from(1) => "",
        true => "es",
        false => "s",
    };
    format!("{count} {noun}{plural}")
}

/// `once`, `4 times`.
#[must_use]
pub fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Escapes up to `most` characters; also returns how many bytes of the input they stand for.
fn escape_some(bytes: &[u8], most: usize) -> (String, usize) {
    let mut text = String::with_capacity(bytes.len().min(most));
    let (mut used, mut count) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if count == most {
                return (text, used);
            }
            if c == '\\' || is_unsafe(c) {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
            (used, count) = (used + c.len_utf8(), count + 1);
        }
        for byte in chunk.invalid() {
            if count == most {
                return (text, used);
            }
            let _ = write!(text, "\\x{byte:02x}");
            (used, count) = (used + 1, count + 1);
        }
    }
    (text, used)
}

/// Characters that act on a terminal, break a line, or cannot be seen but change what is seen:
/// the controls, and Unicode's format characters (general category Cf) and separators.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

/// One object of JSON Lines, built key by key; every line of the cookbook begins with its type.
pub struct Json(String);

impl Json {
    /// `{"type":"…"`
    #[must_use]
    pub fn new(kind: &str) -> Json {
        Json(format!("{{\"type\":{}", quoted(kind)))
    }

    /// A string. What came from outside goes through [`escape`] first.
    #[must_use]
    pub fn text(mut self, key: &str, value: &str) -> Json {
        let _ = write!(self.0, ",{}:{}", quoted(key), quoted(value));
        self
    }

    /// A whole number.
    #[must_use]
    pub fn number(mut self, key: &str, value: impl Into<i128>) -> Json {
        let _ = write!(self.0, ",{}:{}", quoted(key), value.into());
        self
    }

    /// True or false.
    #[must_use]
    pub fn flag(mut self, key: &str, value: bool) -> Json {
        let _ = write!(self.0, ",{}:{value}", quoted(key));
        self
    }

    /// A list of strings.
    #[must_use]
    pub fn texts(mut self, key: &str, values: &[String]) -> Json {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        let _ = write!(self.0, ",{}:[{}]", quoted(key), values.join(","));
        self
    }

    /// A duration in integer nanoseconds; the key ends in `_ns`.
    #[must_use]
    pub fn nanos(self, key: &str, value: std::time::Duration) -> Json {
        self.number(key, i128::try_from(value.as_nanos()).unwrap_or(i128::MAX))
    }

    /// How often each of several things happened, as an object.
    #[must_use]
    pub fn counts<'a>(mut self, key: &str, counts: impl Iterator<Item = (&'a str, u64)>) -> Json {
        let counts: Vec<String> =
            counts.map(|(name, count)| format!("{}:{count}", quoted(name))).collect();
        let _ = write!(self.0, ",{}:{{{}}}", quoted(key), counts.join(","));
        self
    }

    /// An address as two keys, `address` and `port`.
    #[must_use]
    pub fn address(self, address: std::net::SocketAddr) -> Json {
        self.text("address", &address.ip().to_string()).number("port", address.port())
    }
}

impl Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}}}", self.0)
    }
}

/// A JSON string (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        assert_eq!(escape(b"a\x1b[31m\n\t\r\x7f"), r"a\u{1b}[31m\n\t\r\u{7f}");
        assert_eq!(
            escape("\u{9b}31m \u{202e}abc\u{2028}".as_bytes()),
            r"\u{9b}31m \u{202e}abc\u{2028}"
        );
        assert_eq!(escape(b"\xff\xfe caf\xc3\xa9 \xc3"), "\\xff\\xfe caf\u{e9} \\xc3");
        assert_eq!(escape(br"\x41"), r"\\x41");
    }

    #[test]
    fn a_long_payload_is_cut_and_says_by_how_much() {
        assert_eq!(shown(b"abc"), "\"abc\"");
        assert_eq!(shown(&[b'x'; 512]).len(), 514);
        assert!(shown(&[b'x'; 600]).ends_with("x\" and 88 more bytes"));
        assert!(shown(&[0xff; 600]).ends_with("\\xff\" and 88 more bytes"));
        assert_eq!(shown_word(b"GET"), "GET");
        assert_eq!(shown_word(&[b'/'; 513]), format!("{} and 1 more byte", "/".repeat(512)));
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(counted(1_u32, "byte"), "1 byte");
        assert_eq!(counted(0_usize, "byte"), "0 bytes");
        assert_eq!(counted(2_u64, "process"), "2 processes");
        assert!(shown(&[b'x'; 513]).ends_with("x\" and 1 more byte"));
    }

    #[test]
    fn json_is_one_line_whatever_it_holds() {
        let line = Json::new("a\"b").text("k", "\\ \n \u{1}").number("n", 7).to_string();
        assert_eq!(line, r#"{"type":"a\"b","k":"\\ \u000a \u0001","n":7}"#);
        let counts = Json::new("c").counts("of", [("a", 1), ("b\"", 2)].into_iter()).to_string();
        assert_eq!(counts, r#"{"type":"c","of":{"a":1,"b\"":2}}"#);
    }

    #[test]
    fn a_million_random_payloads_are_a_million_lines() {
        // A generator of its own: proptest's are too slow for this many.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut log = Vec::new();
        for _ in 0..1_000_000 {
            let mut payload = [0_u8; 16];
            for byte in &mut payload {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state.to_be_bytes()[0];
            }
            log.extend_from_slice(shown(&payload).as_bytes());
            log.push(b'\n');
        }
        assert_eq!(log.iter().filter(|byte| **byte < 0x20).count(), 1_000_000);
    }

    proptest! {
        #[test]
        fn escape_lets_nothing_through(bytes: Vec<u8>) {
            prop_assert!(!escape(&bytes).chars().any(is_unsafe));
        }

        #[test]
        fn what_is_shown_stays_short(bytes in proptest::collection::vec(any::<u8>(), 0..5_000)) {
            // The longest escape is `\u{10ffff}`, ten characters for one.
            prop_assert!(shown(&bytes).chars().count() <= SHOWN * 10 + 40);
        }
    }
}
