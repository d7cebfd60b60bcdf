//! What must hold for every stream of bytes that chat-server and chat-client cut into frames.

use netcore::chat::{Frames, LONGEST_MESSAGE, LONGEST_TEXT, ServerMessage, frame, name};
use netcore::text::escape;

use super::seeded::Seeds;

pub(crate) const SEEDS: Seeds = &[
    (b"\x01\0\0\0\x05alice\0\0\0\x02hi\0\0\0\0", "whole"),
    (b"\x03\0\0\0\x0cjoined\talice\0\0\0\x0esaid\tbob\ta\tb\r\n\0\0\0\x03\xc3\xa9x", "whole"),
    (b"\xff\0\0\0\x08left\tbob\0\0\0\x09refused\tx\0\0\0\x08closed\tx", "whole"),
    (b"\x02\0\0\0\x05alic", "cut short"),
    (b"\x02\0\0\x10\0alic", "cut short"),
    (b"\x02\0\0\0\x01a\0\0\x10\x01", "too long"),
    (b"\x02GET / HTTP/1.1\r\n", "too long"),
    (b"\x07\0\0\0\x02\xc3(", "not UTF-8"),
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"\0\0\0\0",
    b"\0\0\0\x01",
    b"\0\0\0\x02",
    b"\0\0\0\x08",
    b"\0\0\x10\0",
    b"\0\0\x10\x01",
    b"\0\0\x10\x86",
    b"\0\0\x10\x87",
    b"\xff\xff\xff\xff",
    b"\t",
    b"said\t",
    b"joined\t",
    b"left\t",
    b"refused\t",
    b"closed\t",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\x1b[",
    b"\\",
    b"\n",
];

/// Checks a stream; its first byte says how long the pieces are that it comes in.
///
/// Returns how it ends.
///
/// # Panics
/// When something does not hold.
pub(crate) fn check(bytes: &[u8]) -> &'static str {
    let Some((piece, stream)) = bytes.split_first() else { return "whole" };
    let end = both(LONGEST_TEXT, usize::from(*piece).max(1), stream);
    both(LONGEST_MESSAGE, usize::from(*piece).max(1), stream);
    end
}

/// The frames are those that are cut from the whole stream at once, whatever its pieces.
fn both(longest: usize, piece: usize, stream: &[u8]) -> &'static str {
    let (mut frames, mut texts, mut fault) = (Frames::new(longest), Vec::new(), None);
    for piece in stream.chunks(piece) {
        frames.push(piece).expect("memory");
        loop {
            match frames.next_text() {
                Ok(Some(text)) => texts.push(text),
                Ok(None) => break,
                Err(what) => fault = fault.or(Some(what)),
            }
            if fault.is_some() {
                break;
            }
        }
        if fault.is_some() {
            break;
        }
    }
    let (expected, rest, end) = cut(longest, stream);
    assert_eq!(texts, expected, "{}", stream.escape_ascii());
    assert_eq!(fault.is_some(), end == "too long" || end == "not UTF-8", "{fault:?}");
    assert!(fault.is_some() || frames.is_inside() != rest.is_empty(), "{}", stream.escape_ascii());
    // Framed again, the texts are how the stream began.
    let again: Vec<u8> = texts.iter().flat_map(|text| frame(text)).collect();
    assert_eq!([&again, rest].concat(), stream);
    texts.iter().for_each(|text| message(text));
    end
}

/// The frames at the beginning of a stream, what follows them, and why they end there.
fn cut(longest: usize, mut stream: &[u8]) -> (Vec<String>, &[u8], &'static str) {
    let mut texts = Vec::new();
    loop {
        let Some((&[a, b, c, d], rest)) = stream.split_first_chunk() else {
            return (texts, stream, if stream.is_empty() { "whole" } else { "cut short" });
        };
        let length = [a, b, c, d].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if length > longest {
            return (texts, stream, "too long");
        }
        let Some((text, rest)) = rest.split_at_checked(length) else {
            return (texts, stream, "cut short");
        };
        let Ok(text) = String::from_utf8(text.to_vec()) else {
            return (texts, stream, "not UTF-8");
        };
        texts.push(text);
        stream = rest;
    }
}

/// A message is what it was read from; a name that is taken is shown as it is, and fits a message.
fn message(text: &str) {
    let Some(message) = ServerMessage::parse(text) else {
        return assert!(!text.starts_with("joined\t") && !text.starts_with("closed\t"), "{text}");
    };
    assert_eq!(message.frame(), frame(text));
    if let ServerMessage::Joined(text) | ServerMessage::Refused(text) = message
        && let Ok(taken) = name(&text)
    {
        assert!(
            taken == text && escape(text.as_bytes()) == text && !text.contains(char::is_whitespace)
        );
        let longest = ServerMessage::Said(taken, "x".repeat(LONGEST_TEXT)).frame();
        assert!(longest.len() <= 4 + LONGEST_MESSAGE);
    }
}
