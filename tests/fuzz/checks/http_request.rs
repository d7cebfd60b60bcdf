//! What must hold for the head of every request to epoll-web. The rules of RFC 9112 are written a second
//! time here, line by line: epoll-web has the library `httparse` cut the head into fields.

use super::seeded::Seeds;
use crate::request::{HEAD, Request, parse, path};
use crate::status::Status;

pub(crate) const SEEDS: Seeds = &[
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "complete"),
    (
        b"GET /a%41/?b HTTP/1.1\r\nHost: [::1]:80\r\nRange: bytes=1-\r\nif-range:x\r\n\r\n",
        "complete",
    ),
    (b"HEAD /.well-known/a HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\nGET", "complete"),
    (
        b"POST http://a/b HTTP/1.1\nHost:a:1\nContent-Length: 65537\nExpect: 100-continue\n\n",
        "complete",
    ),
    (
        b"GET / HTTP/1.0\r\nIf-None-Match: *\r\nIf-Modified-Since: x\r\nConnection: close\r\n\r\n",
        "complete",
    ),
    (b"\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n", "incomplete"),
    (b"GET / HTTP/1.1\r\n\r\n", "Bad Request"),
    (b"GET / HTTP/2.0\r\n\r\n", "HTTP Version Not Supported"),
    (b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "Length Required"),
    (b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "Not Implemented"),
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b",",
    b"/",
    b"?",
    b"%",
    b"%2e",
    b"%2f",
    b"%00",
    b"/../",
    b"/.",
    b"//",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"http://",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"Host: ",
    b"Content-Length: ",
    b"Transfer-Encoding: ",
    b"Connection: ",
    b"close",
    b"keep-alive",
    b"chunked",
    b"Expect: ",
    b"Range: ",
    b"If-Range: ",
    b"If-None-Match: ",
    b"If-Modified-Since: ",
    b"0",
    b"65536",
    b"18446744073709551616",
    b"+1",
    b"-1",
    b"[::1]",
    b"a:b",
    b"\r\n folded",
];

/// Checks one head. Returns `complete`, `incomplete`, or the words of the status that it is refused with.
///
/// # Panics
/// When something does not hold.
pub(crate) fn check(bytes: &[u8]) -> &'static str {
    let bytes = bytes.get(..HEAD).unwrap_or(bytes);
    match parse(bytes) {
        Ok(Some((request, length))) => {
            let (head, rest) = bytes.split_at(length);
            // What follows the head does not change it, and it is not complete before its last byte.
            assert_eq!(parse(head), Ok(Some((clone(&request), length))));
            let cut = rest.len() % length;
            assert_eq!(parse(&head[..cut]), Ok(None), "{cut} of {}", head.escape_ascii());
            assert_eq!(second_reading(head).as_ref(), Some(&request), "{}", head.escape_ascii());
            target(request.target);
            "complete"
        }
        Ok(None) => {
            assert!(bytes.len() < HEAD);
            assert_eq!(end_of_head(bytes), None, "{}", bytes.escape_ascii());
            "incomplete"
        }
        Err(status) => {
            assert!((400..600).contains(&status.0) && status != Status::NOT_FOUND);
            // No more bytes would have made it a request.
            for end in ["", "\r\n\r\n", " / HTTP/1.0\r\n\r\n"] {
                let more = [bytes, end.as_bytes()].concat();
                let head = end_of_head(&more).map_or(&more[..], |end| &more[..end]);
                assert_eq!(second_reading(head), None, "{status:?}: {}", more.escape_ascii());
            }
            status.1
        }
    }
}

fn clone<'b>(request: &Request<'b>) -> Request<'b> {
    Request { ..*request }
}

/// The length of the head: up to the first empty line, but for those before the request line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    let mut has_begun = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        match line {
            b"\n" | b"\r\n" if has_begun => return Some(end),
            b"\n" | b"\r\n" => {}
            _ => has_begun = true,
        }
    }
    None
}

/// The request of a head, if it is one.
fn second_reading(head: &[u8]) -> Option<Request<'_>> {
    let lines = head.split(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.find(|line| !line.is_empty())?;
    let [method, target, version] = line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let is_old = match version {
        b"HTTP/1.0" => true,
        b"HTTP/1.1" => false,
        _ => return None,
    };
    let (method, target) = (str::from_utf8(method).ok()?, str::from_utf8(target).ok()?);
    let is_shown = |byte: u8| byte > b' ' && byte != 0x7f;
    if !is_token(method.as_bytes()) || target.is_empty() || !target.bytes().all(is_shown) {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name)
            || value.iter().any(|byte| *byte != b'\t' && (*byte < b' ' || *byte == 0x7f))
        {
            return None;
        }
        fields.push((name.to_ascii_lowercase(), value.trim_ascii()));
    }
    (fields.len() <= 64).then_some(())?;
    let all = |name: &str| {
        let same = fields.iter().filter(|(other, _)| other == name.as_bytes());
        same.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let hosts = all("host");
    if hosts.len() > 1 || hosts.is_empty() && !is_old || !hosts.iter().all(|host| is_host(host)) {
        return None;
    }
    // A length with a coding, two that differ, and a coding that we do not decode are refused.
    let lengths = all("content-length").into_iter().map(digits).collect::<Option<Vec<u64>>>()?;
    let length = lengths.first().copied().unwrap_or_default();
    if lengths.iter().any(|other| *other != length) || !all("transfer-encoding").is_empty() {
        return None;
    }
    let options = all("connection").join(&b',').to_ascii_lowercase();
    let says = |wanted: &str| {
        options.split(|byte| *byte == b',').any(|option| option.trim_ascii() == wanted.as_bytes())
    };
    let is_too_large = length > 65_536;
    let is_clear = !is_too_large && (length == 0 || all("expect").is_empty());
    Some(Request {
        method,
        target,
        is_old,
        keep: is_clear && !says("close") && (!is_old || says("keep-alive")),
        body: usize::try_from(length.min(65_536)).ok()?,
        is_too_large,
        range: all("range").last().copied(),
        if_range: all("if-range").last().copied(),
        if_modified_since: all("if-modified-since").last().copied(),
        if_none_match: all("if-none-match").last().copied(),
    })
}

fn is_token(bytes: &[u8]) -> bool {
    let others = b"!#$%&'*+-.^_`|~";
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || others.contains(byte))
}

/// A number that is written in digits and fits.
fn digits(text: &[u8]) -> Option<u64> {
    let add = |sum: u64, byte: &u8| {
        let digit = char::from(*byte).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    };
    (!text.is_empty()).then_some(())?;
    text.iter().try_fold(0, add)
}

/// A host and perhaps a port, cut from behind.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else { return false };
    let without_digits = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let host = without_digits.strip_suffix(':').unwrap_or(text);
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let mut parts = host.split('%');
    let is_plain = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte))
    };
    // Behind each % two digits, which are not 00.
    parts.next().is_some_and(is_plain)
        && parts.all(|part| {
            let byte = part.get(..2).filter(|two| !two.starts_with('+'));
            byte.and_then(|two| u8::from_str_radix(two, 16).ok()).is_some_and(|byte| byte > 0)
                && part.get(2..).is_some_and(is_plain)
        })
}

/// What a target names is below the folder, and comes of its own encoding again.
fn target(target: &str) {
    let path = match path(target) {
        Ok(path) => path,
        Err(status) => {
            assert!([Status::BAD_REQUEST, Status::NOT_FOUND].contains(&status), "{target}");
            return;
        }
    };
    assert!(!path.contains(&0) && !path.starts_with(b"/"), "{target}");
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let (last, folders) = names.split_last().expect("one at least");
    assert!(folders.iter().all(|name| !name.is_empty()), "{target}");
    for (at, name) in folders.iter().chain([last]).enumerate() {
        let is_known = at == 0 && *name == b".well-known";
        assert!(!name.starts_with(b".") || is_known, "{target}");
    }
    let encoded: String = path.iter().fold("/".to_owned(), |text, byte| match byte {
        b'/' => text + "/",
        byte => text + &format!("%{byte:02x}"),
    });
    assert_eq!(crate::request::path(&encoded), Ok(path), "{target}");
}
