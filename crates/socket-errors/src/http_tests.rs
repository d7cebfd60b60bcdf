//! Headers that are right, and those that are not.

use super::*;
use proptest::prelude::*;

#[test]
fn a_path_has_visible_ascii_only() {
    for byte in 0..=255_u8 {
        let Ok(text) = String::from_utf8(vec![b'/', byte, b'x']) else { continue };
        let allowed = byte > 0x20 && byte < 0x7f;
        assert_eq!(text.parse::<Path>().is_ok(), allowed, "{byte:#04x}");
    }
    for text in ["", "index.html", "-1e99", "http://x/", "/\u{e9}", "/a b", "/a\r\nX: y"] {
        assert!(text.parse::<Path>().is_err(), "{text:?}");
    }
}

#[test]
fn the_request_names_its_host() {
    for (host, port, named) in [
        ("example.org", 80, "example.org"),
        ("127.0.0.1", 8000, "127.0.0.1:8000"),
        ("::1", 80, "[::1]"),
        ("fe80::1%lo", 8000, "[fe80::1]:8000"),
    ] {
        let sent = request(&host.parse().unwrap(), port, &Path("/a?b".to_owned()));
        let expected = format!("GET /a?b HTTP/1.0\r\nHost: {named}\r\n\r\n");
        assert_eq!(String::from_utf8(sent), Ok(expected));
    }
}

#[test]
fn a_header_is_judged_as_soon_as_it_can_be() {
    assert_eq!(judged(b"", 0), None);
    assert_eq!(judged(b"HTT", 0), None);
    assert_eq!(judged(b"HTTP/1.0 200 OK\r\n\r", 0), None);
    assert_eq!(judged(b"HTTP/1.0 200 OK\r\n\r\nbody\r\n\r\n", 0), Some(19));
    assert_eq!(judged(b"HTTP/1.0 200 OK\n\nbody", 0), Some(17));
    assert_eq!(judged(b"SSH-2.0", 0), Some(7));
    assert_eq!(judged(b"\x15", 0), None);
    assert_eq!(judged(b"\x15\x03", 0), Some(2));
    // Split anywhere, the end is found where it is.
    let whole = b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody";
    for cut in 0..24 {
        assert_eq!(judged(&whole[..cut], cut.saturating_sub(1)), None, "{cut}");
        assert_eq!(judged(whole, cut), Some(25), "{cut}");
    }
    let long = [b"HTTP/1.0 200 OK\r\n".as_slice(), &[b'x'; HEAD]].concat();
    assert_eq!(judged(&long, 0), Some(long.len()));
}

#[test]
fn a_header_is_read() {
    let head = b"HTTP/1.1 404 Not Found\r\nA:b\r\nB:  c \r\n\td\r\ncontent-length: 12\r\n\r\n";
    let head = parse(head).unwrap();
    assert_eq!((head.status, head.line.as_slice()), (404, b"404 Not Found".as_slice()));
    assert_eq!(head.length, Some(12));
    let fields: Vec<(&[u8], &[u8])> = head.fields.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    assert_eq!(fields, [(&b"A"[..], &b"b"[..]), (b"B", b"c d"), (b"content-length", b"12")]);
    assert_eq!(parse(b"HTTP/1.0 204\n\n").unwrap().length, Some(0));
    assert_eq!(parse(b"HTTP/1.0 304 x\nContent-Length: 7\n\n").unwrap().length, Some(0));
    assert_eq!(parse(b"HTTP/1.0 200 OK\n\n").unwrap().length, None);
}

#[test]
fn what_is_no_header_is_refused_and_why() {
    for (bytes, why) in [
        (&b"\x15\x03\x01\x00\x02\x02\x46"[..], "answers in TLS, an alert with code 70"),
        (b"\x16\x03\x03\x00\x7a", "answers in TLS: "),
        (b"\x15", "not HTTP: the answer begins with \"\\u{15}\""),
        (b"", "not HTTP"),
        (b"\x1b[31m\xff", r#"not HTTP: the answer begins with "\u{1b}[31m\xff""#),
        (b"HTTP/2 200\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 2000 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 +20 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.0  200 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 100 Continue\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 20", "not a status line"),
        (b"HTTP/1.0 200 OK\r\nno colon\r\n\r\n", "not a header line"),
        (b"HTTP/1.0 200 OK\r\n: v\r\n\r\n", "not a header line"),
        (b"HTTP/1.0 200 OK\r\n folded\r\n\r\n", "not a header line"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length \"-1\": no number"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: \r\n\r\n", "Content-Length"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "Content-Length"),
        (b"HTTP/1.0 200 OK\nContent-Length: 1\nContent-Length: 2\n\n", "two values"),
        (b"HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n", "Transfer-Encoding \"chunked\""),
    ] {
        let refusal = parse(bytes).unwrap_err();
        assert!(refusal.starts_with(why), "{}: {refusal}", bytes.escape_ascii());
    }
    let long = [b"HTTP/1.0 200 OK\r\nX: ".as_slice(), &[b'x'; HEAD]].concat();
    assert_eq!(parse(&long).unwrap_err(), "a header of more than 65536 bytes");
}

proptest! {
    #[test]
    fn no_bytes_panic_and_no_refusal_is_raw(bytes: Vec<u8>, status in "HTTP/1.[01] [0-9]{3}\r\n") {
        for head in [&bytes[..], &[status.as_bytes(), &bytes, b"\r\n\r\n"].concat()] {
            let _ = judged(head, 0);
            if let Err(refusal) = parse(head) {
                prop_assert!(!refusal.contains(char::is_control), "{refusal:?}");
            }
        }
    }

    #[test]
    fn a_header_is_found_however_it_is_cut(value in "[ -~]{0,40}", cut in 0..70_usize) {
        let head = format!("HTTP/1.0 200 OK\r\nX: {value}\r\n\r\n");
        let cut = cut.min(head.len() - 1);
        prop_assert_eq!(judged(&head.as_bytes()[..cut], 0), None);
        prop_assert_eq!(judged(head.as_bytes(), cut), Some(head.len()));
    }

    #[test]
    fn no_path_gets_more_than_one_line_out(text: String) {
        if let Ok(path) = text.parse::<Path>() {
            let sent = request(&"h".parse().unwrap(), 80, &path);
            prop_assert_eq!(sent.iter().filter(|byte| **byte == b'\n').count(), 3);
            prop_assert_eq!(sent.iter().filter(|byte| **byte == b' ').count(), 3);
        }
    }
}
