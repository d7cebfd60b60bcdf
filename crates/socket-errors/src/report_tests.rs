//! Advice for every errno, headers that are right, and those that are not.

use super::*;
use netcore::error::Attempt;
use proptest::prelude::*;

const ALL: [Stage; 6] =
    [Stage::Resolve, Stage::Socket, Stage::Connect, Stage::Send, Stage::Receive, Stage::Parse];

#[test]
fn every_errno_has_advice_or_a_hint_of_its_own() {
    let with_hint = [Errno::ECONNREFUSED, Errno::EADDRNOTAVAIL, Errno::EMFILE];
    for raw in 1..134 {
        let errno = Errno::from_raw(raw);
        let error = Err::<(), _>(errno).attempt("connect to x").unwrap_err();
        for stage in ALL {
            let own =
                with_hint.contains(&errno) || matches!(errno, Errno::ENFILE | Errno::EADDRINUSE);
            assert_eq!(advice(stage, &error).is_none(), own, "{errno:?} in {stage:?}");
        }
    }
}

#[test]
fn a_timeout_is_explained_by_its_stage() {
    let after = std::time::Duration::from_secs(1);
    let error = Error::Timeout { attempt: String::new(), after };
    let said = ALL.map(|stage| advice(stage, &error).unwrap());
    assert!(said[0].contains("name server") && said[2].contains("backlog"), "{said:?}");
    assert!(said[4].contains("slow"), "{said:?}");
}

#[test]
fn the_end_of_a_header_is_found_as_soon_as_it_can_be() {
    assert_eq!(end_of_header(b"", 0), None);
    assert_eq!(end_of_header(b"HTT", 0), None);
    assert_eq!(end_of_header(b"HTTP/1.0 200 OK\r\n\r", 0), None);
    assert_eq!(end_of_header(b"HTTP/1.0 200 OK\r\n\r\nbody\r\n\r\n", 0), Some(19));
    assert_eq!(end_of_header(b"HTTP/1.0 200 OK\n\nbody", 0), Some(17));
    assert_eq!(end_of_header(b"HTTP/1.0 200 OK\n\r\nbody", 0), Some(18));
    assert_eq!(end_of_header(b"SSH-2.0", 0), Some(7));
    assert_eq!(end_of_header(b"\x15", 0), None);
    assert_eq!(end_of_header(b"\x15\x03", 0), Some(2));
    // Split anywhere, the end is found where it is.
    let whole = b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody";
    for cut in 0..24 {
        assert_eq!(end_of_header(&whole[..cut], cut.saturating_sub(1)), None, "{cut}");
        assert_eq!(end_of_header(whole, cut), Some(25), "{cut}");
    }
    let long = [b"HTTP/1.0 200 OK\r\n".as_slice(), &[b'x'; HEAD]].concat();
    assert_eq!(end_of_header(&long, 0), Some(long.len()));
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
        (&b"\x15\x03\x01\x00\x02\x02\x46"[..], "the reply is TLS, an alert with code 70"),
        (b"\x16\x03\x03\x00\x7a", "the reply is TLS: "),
        (b"\x15", "not HTTP: the reply begins with \"\\u{15}\""),
        (b"", "not HTTP"),
        (b"\x1b[31m\xff", r#"not HTTP: the reply begins with "\u{1b}[31m\xff""#),
        (b"HTTP/2 200\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 2000 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 +20 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.0  200 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 099 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 600 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.0 20", "not a status line"),
        (b"HTTP/1.0 200 OK\r\nno colon\r\n\r\n", "not a header line"),
        (b"HTTP/1.0 200 OK\r\n: v\r\n\r\n", "not a header line"),
        (b"HTTP/1.0 200 OK\r\n folded\r\n\r\n", "not a header line"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length \"-1\": not a number"),
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
            let _ = end_of_header(head, 0);
            if let Err(refusal) = parse(head) {
                prop_assert!(!refusal.contains(char::is_control), "{refusal:?}");
            }
        }
    }

    #[test]
    fn a_header_is_found_however_it_is_cut(value in "[ -~]{0,40}", cut in 0..70_usize) {
        let head = format!("HTTP/1.0 200 OK\r\nX: {value}\r\n\r\n");
        let cut = cut.min(head.len() - 1);
        prop_assert_eq!(end_of_header(&head.as_bytes()[..cut], 0), None);
        prop_assert_eq!(end_of_header(head.as_bytes(), cut), Some(head.len()));
    }
}

#[path = "../../../tests/fuzz/checks/http_reply.rs"]
mod check;
#[path = "../../../tests/fuzz/seeded.rs"]
mod seeded;

#[test]
fn the_check_of_the_fuzz_target_holds_for_changed_replies() {
    seeded::run(check::SEEDS, check::WORDS, check::check);
}
