use proptest::prelude::*;

use super::*;

/// The request of a head that is complete.
fn read(head: &str) -> Result<Request<'_>, Status> {
    parse(head.as_bytes()).map(|read| {
        let (request, length) = read.expect("a whole head");
        assert_eq!(length, head.len());
        request
    })
}

#[test]
fn a_head_says_what_is_wanted() {
    let request =
        read("GET /a?b HTTP/1.1\r\nHOST: a\r\nRange: bytes=1-\r\nif-range:x\r\n\r\n").unwrap();
    let expected = Request {
        method: "GET",
        target: "/a?b",
        keep: true,
        range: Some(b"bytes=1-"),
        if_range: Some(b"x"),
        ..Request::default()
    };
    assert_eq!(request, expected);
}

#[test]
fn a_head_is_complete_at_its_last_byte_and_not_before() {
    let head = "\r\nHEAD / HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nIf-Modified-Since: x\r\n\r\n";
    let both = format!("{head}GET / HTTP/1.1\r\n").into_bytes();
    for end in 0..=both.len() {
        let read = parse(&both[..end]).unwrap();
        assert_eq!(read.map(|(_, length)| length), (end >= head.len()).then_some(head.len()));
    }
}

#[test]
fn a_connection_is_kept_as_the_version_and_its_options_say() {
    for (rest, keep) in [
        ("1.1\r\nHost: a", true),
        ("1.1\r\nHost: a\r\nConnection: close", false),
        ("1.1\r\nHost: a\r\nConnection: x , CLOSE", false),
        ("1.1\r\nHost: a\r\nConnection: keep-alive", true),
        ("1.0", false),
        ("1.0\r\nConnection: Keep-Alive", true),
        ("1.0\r\nConnection: keep-alive, close", false),
        ("1.1\r\nHost: a\r\nContent-Length: 65536", true),
        ("1.1\r\nHost: a\r\nContent-Length: 65537", false),
        ("1.1\r\nHost: a\r\nContent-Length: 7\r\nExpect: 100-continue", false),
    ] {
        assert_eq!(read(&format!("GET / HTTP/{rest}\r\n\r\n")).unwrap().keep, keep, "{rest}");
    }
}

#[test]
fn a_request_whose_end_is_unclear_is_refused() {
    for (rest, status) in [
        ("1.1", Status::BAD_REQUEST),
        ("1.1\r\nHost: a\r\nHost: a", Status::BAD_REQUEST),
        ("1.0\r\nHost: a\r\nHost: a", Status::BAD_REQUEST),
        ("1.1\r\nHost: a\r\nContent-Length: +1", Status::BAD_REQUEST),
        ("1.1\r\nHost: a\r\nContent-Length: 1, 1", Status::BAD_REQUEST),
        ("1.1\r\nHost: a\r\nContent-Length: 99999999999999999999", Status::BAD_REQUEST),
        ("1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2", Status::BAD_REQUEST),
        ("1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", Status::BAD_REQUEST),
        ("1.0\r\nTransfer-Encoding: chunked", Status::BAD_REQUEST),
        ("1.1\r\nHost: a\r\nTransfer-Encoding: Chunked", Status::LENGTH_REQUIRED),
        ("1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", Status::NOT_IMPLEMENTED),
        ("1.1\r\nHost : a", Status::BAD_REQUEST),
        ("1.1\r\nHost: a\r\n b", Status::BAD_REQUEST),
        ("2.0\r\nHost: a", Status::VERSION),
    ] {
        assert_eq!(read(&format!("POST / HTTP/{rest}\r\n\r\n")), Err(status), "{rest}");
    }
    assert_eq!(parse(b"\x16\x03\x01\x02"), Err(Status::BAD_REQUEST), "TLS is told at once");
}

#[test]
fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
    let status = |host: &str| {
        let [new, old] = ["1.1", "1.0"].map(|version| {
            read(&format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n")).map(drop)
        });
        assert_eq!(new, old, "{host:?}");
        new
    };
    for good in [
        "",
        "a",
        "a:80",
        "a:",
        ":80",
        "A-1._b.example:8080",
        "127.0.0.1:7777",
        "[::1]",
        "[::1]:80",
        "[fe80::1]:",
        "x%41%c3%a9",
        "(a)!*'",
        " a ",
    ] {
        assert_eq!(status(good), Ok(()), "{good:?}");
    }
    for bad in [
        "a b/@:99999",
        "a:b:c",
        "[::1",
        "::1",
        "[::1]80",
        "[1]",
        "[]",
        "a/",
        "u@a",
        "a:-1",
        "a:8x",
        "a b",
        "\u{e9}",
        "a%",
        "a%4",
        "a,b/",
        "<a>",
        "a\"",
        "[::1%25eth0]",
    ] {
        assert_eq!(status(bad), Err(Status::BAD_REQUEST), "{bad:?}");
    }
}

#[test]
fn what_is_longer_than_a_head_says_which_part_is() {
    let long = "x".repeat(HEAD);
    let cut = |text: String| parse(&text.as_bytes()[..HEAD]).unwrap_err();
    assert_eq!(cut(format!("GET /{long}")), Status::TARGET_TOO_LONG);
    assert_eq!(cut(format!("GET / HTTP/1.1\r\nHost: {long}")), Status::FIELDS_TOO_LARGE);
    assert_eq!(cut(long), Status::BAD_REQUEST);
    let many = "A: b\r\n".repeat(FIELDS);
    assert_eq!(
        read(&format!("GET / HTTP/1.1\r\n{many}C: d\r\n\r\n")),
        Err(Status::FIELDS_TOO_LARGE)
    );
    let rest = "x".repeat(HEAD - "GET / HTTP/1.0\r\nA: \r\n\r\n".len());
    assert!(read(&format!("GET / HTTP/1.0\r\nA: {rest}\r\n\r\n")).is_ok(), "the longest one");
}

#[test]
fn a_target_names_a_file_below_the_folder() {
    for (target, expected) in [
        ("/", ""),
        ("/a", "a"),
        ("/a/b/", "a/b/"),
        ("/a?../..", "a"),
        ("/%41%c3%a9%20", "Aé "),
        ("/a%252e", "a%2e"),
        ("/a..b/c.", "a..b/c."),
        ("http://host/a", "a"),
        ("HTTP://host", ""),
        ("http://host?a", ""),
        ("/.well-known/a", ".well-known/a"),
        ("/%2ewell-known", ".well-known"),
    ] {
        assert_eq!(path(target).as_deref(), Ok(expected.as_bytes()), "{target}");
    }
    assert_eq!(path("/%E9/\u{e9}%ff").as_deref(), Ok(&b"\xe9/\xc3\xa9\xff"[..]));
}

#[test]
fn a_target_that_could_lead_elsewhere_names_none() {
    for target in [
        "/..",
        "/../a",
        "/a/../b",
        "/%2e%2e/a",
        "/.%2E/a",
        "/a/./b",
        "/.git/config",
        "/a/.well-known/b",
        "/.well-known/.b",
        "/.well-known/../b",
        "/.well-known.old",
        "/%2egit",
        "//a",
        "/a//b",
        "//evil.example/",
        "/a%2fb",
        "/..%2f..%2fa",
        "/%2F",
        "/a/%2e%2e%2f",
    ] {
        assert_eq!(path(target), Err(Status::NOT_FOUND), "{target}");
    }
    for target in ["*", "a", "https://host/a", "host:80", "/%", "/%4", "/%4g", "/a%00b", "/%+1"] {
        assert_eq!(path(target), Err(Status::BAD_REQUEST), "{target}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..HEAD + 1)) {
        if let Ok(Some((request, length))) = parse(&bytes) {
            prop_assert!(length <= bytes.len());
            let _ = path(request.target);
        }
    }

    /// What looks like a head gets farther than what does not.
    #[test]
    fn no_head_panics(
        line in "(GET|[A-Z]{0,9}) [ -~é]{0,40} HTTP/1.[0-2]",
        fields in proptest::collection::vec(
            "(Host|Content-Length|Connection|Range|Transfer-Encoding|[!-~]{1,9}): ?[ -~]{0,20}", 0..70
        ),
    ) {
        let head = format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n"));
        if let Ok(Some((request, length))) = parse(head.as_bytes()) {
            prop_assert!(length <= head.len());
            let _ = path(request.target);
        }
    }

    #[test]
    fn no_target_leads_out(target in "/([./%a2eEfF5cC]|%2[eEfF]){0,20}") {
        if let Ok(path) = path(&target) {
            prop_assert!(!path.starts_with(b"/"), "{path:?}");
            let mut names = path.split(|byte| *byte == b'/');
            prop_assert!(!names.any(|name| name.starts_with(b".")), "{path:?}");
        }
    }
}

#[path = "../../../tests/fuzz/checks/http_request.rs"]
mod check;
#[path = "../../../tests/fuzz/seeded.rs"]
mod seeded;

#[test]
fn the_check_of_the_fuzz_target_holds_for_changed_requests() {
    seeded::run(check::SEEDS, check::WORDS, check::check);
}
