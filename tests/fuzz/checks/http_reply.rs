//! What must hold for the head of every reply to socket-errors, which is read a second time here by the
//! library `httparse`.

use super::seeded::Seeds;
use crate::report::{Head, end_of_header, parse};

pub(crate) const SEEDS: Seeds = &[
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "head"),
    (b"HTTP/1.1 404 Not Found\r\nA:b\r\nB:  c \r\n\td\r\ncontent-length: 12\r\n\r\n", "head"),
    (b"HTTP/1.0 204\n\n", "head"),
    (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "head"),
    (b"HTTP/1.0 200 OK\r\nX-Odd: \x1b]0;t\x07\xff\r\nA(b: c\r\n\r\n", "head"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n", "not whole"),
    (b"HT", "not whole"),
    (b"\x15\x03\x01\0\x02\x02\x46", "refused"),
    (b"SSH-2.0-OpenSSH\r\n", "refused"),
    (b"HTTP/2 200\r\n\r\n", "refused"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "refused"),
    (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "refused"),
    (b"HTTP/1.0 200 OK\r\nno colon\r\n\r\n", "refused"),
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"HTTP/1.0 ",
    b"HTTP/1.1 ",
    b"HTTP/1.9 ",
    b"200",
    b"100",
    b"204",
    b"304",
    b"599",
    b"600",
    b"099",
    b"+20",
    b" OK",
    b"Content-Length: ",
    b"0",
    b"+1",
    b"18446744073709551616",
    b"Transfer-Encoding: ",
    b"chunked",
    b"\x15\x03",
    b"\x16",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"\r\n folded",
    b"(",
    b"\x1b[",
];

/// More fields than these inputs have.
const FIELDS: usize = 4096;

/// Checks the head of a reply. Returns what it is.
///
/// # Panics
/// When something does not hold.
pub(crate) fn check(bytes: &[u8]) -> &'static str {
    let end = end_of_header(bytes, 0);
    // It is where it is, however the bytes come: one by one, and in two pieces.
    let (mut looked_at, mut first) = (0, None);
    for received in
        (1..=bytes.len()).filter(|received| *received <= 300 || *received == bytes.len())
    {
        first = end_of_header(&bytes[..received], looked_at);
        if first.is_some() {
            break;
        }
        looked_at = received;
    }
    let is_http = bytes.iter().zip(b"HTTP/").all(|(byte, wanted)| byte == wanted);
    // What is not HTTP ends where that is known.
    assert!(if is_http { first == end } else { first <= end }, "{}", bytes.escape_ascii());
    let Some(end) = end else {
        assert!(!bytes.windows(2).any(|two| two == b"\n\n"), "{}", bytes.escape_ascii());
        assert!(!bytes.windows(3).any(|three| three == b"\n\r\n"), "{}", bytes.escape_ascii());
        return "not whole";
    };
    let head = &bytes[..end];
    let ours = parse(head);
    let mut fields = vec![httparse::EMPTY_HEADER; FIELDS];
    let mut theirs = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let parsed = config.parse_response(&mut theirs, head);
    match (ours, parsed) {
        (Ok(ours), Ok(httparse::Status::Complete(_))) => {
            same(&ours, &theirs, head);
            "head"
        }
        // Here a field may have what should not be there: it is shown, escaped.
        (Ok(ours), _) => {
            assert!(is_odd(head), "{}", head.escape_ascii());
            assert!((100..600).contains(&ours.status));
            "head"
        }
        (Err(why), parsed) => {
            assert!(!why.chars().any(char::is_control), "{why:?}");
            // A reply that is one for both is refused for what it says of its body. httparse passes over
            // empty lines before it, which RFC 9112 §2.2 asks of servers only.
            let is_status = theirs.code.is_some_and(|code| (100..600).contains(&code));
            let whole = is_status && parsed.is_ok_and(|status| status.is_complete());
            let own = ["Content-Length ", "Transfer-Encoding ", "two values of"];
            let is_own = own.iter().any(|own| why.starts_with(own));
            assert!(
                !whole || is_own || head.starts_with(b"\r") || head.starts_with(b"\n"),
                "{why}: {}",
                head.escape_ascii()
            );
            "refused"
        }
    }
}

fn same(ours: &Head, theirs: &httparse::Response, head: &[u8]) {
    let shown = head.escape_ascii();
    assert_eq!(Some(ours.status), theirs.code, "{shown}");
    let names = |text: &[u8]| text.to_ascii_lowercase();
    let words = |text: &[u8]| -> Vec<Vec<u8>> {
        text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(names).collect()
    };
    let our_fields: Vec<_> =
        ours.fields.iter().map(|(name, value)| (names(name), words(value))).collect();
    let their_fields: Vec<_> = theirs
        .headers
        .iter()
        .map(|field| (names(field.name.as_bytes()), words(field.value)))
        .collect();
    assert_eq!(our_fields, their_fields, "{shown}");
    let mut lengths = their_fields.iter().filter(|(name, _)| name == b"content-length");
    let length = lengths.next().map(|(_, words)| words.concat());
    let length = length.and_then(|length| String::from_utf8(length).ok()?.parse().ok());
    let has_body = !matches!(ours.status, 100..200 | 204 | 304);
    assert_eq!(ours.length, if has_body { length } else { Some(0) }, "{shown}");
}

/// Whether a head has what the grammar of RFC 9112 does not allow, and we show.
fn is_odd(head: &[u8]) -> bool {
    let is_control = |byte: &u8| (*byte < b' ' && !b"\t\r\n".contains(byte)) || *byte == 0x7f;
    let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    let bare_cr = |line: &&[u8]| line.strip_suffix(b"\r").unwrap_or(line).contains(&b'\r');
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let odd_name = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        !line.starts_with(b" ") && !line.starts_with(b"\t") && !name.iter().all(is_token)
    };
    head.iter().any(is_control)
        || lines.iter().any(bare_cr)
        || lines.iter().skip(1).any(|line| !line.is_empty() && odd_name(line))
        || !(head.starts_with(b"HTTP/1.0") || head.starts_with(b"HTTP/1.1"))
        || !head.iter().all(u8::is_ascii)
}
