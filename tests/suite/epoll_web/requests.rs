//! Requests in all shapes, and what is no request.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use netcheck::peer::{self, Pace};
use netcheck::{Run, Skip, evidence};

use super::{BIG, PAGE, SECOND, Web, body_of, field, status};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "epoll_web::requests",
        tests![
            a_head_may_be_cut_anywhere,
            a_head_may_come_byte_by_byte,
            requests_that_come_together_are_answered_in_order,
            a_connection_is_kept_unless_one_side_says_otherwise,
            what_is_no_request_is_told_which_and_the_connection_ends,
            a_request_that_is_not_served_keeps_its_connection,
            a_body_that_is_passed_over_is_no_request,
            an_answer_overtakes_a_body_that_nobody_reads,
            head_has_the_fields_of_get_and_no_body,
            the_date_is_that_of_this_second,
            the_longest_head_is_8_kib,
        ],
    )
}

const GET_PAGE: &str = "GET /page.html HTTP/1.1\r\nHost: a\r\n\r\n";

fn a_head_may_be_cut_anywhere() -> Result<(), Skip> {
    let web = Web::start(&["-v"]);
    let mut client = web.served();
    let mut seen = 1;
    for cut in 1..GET_PAGE.len() {
        let (first, rest) = GET_PAGE.split_at(cut);
        client.write_all(first.as_bytes()).unwrap();
        seen += 1;
        // Else it could receive both at once.
        let received = |log: &str| log.matches(" sent ").count() == seen;
        assert!(web.server.wait_stderr(received, 10 * SECOND), "{}", web.server.stderr());
        client.write_all(rest.as_bytes()).unwrap();
        seen += 1;
        assert_eq!(body_of(&mut client), PAGE, "cut at {cut}");
    }
    Ok(())
}

fn a_head_may_come_byte_by_byte() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let pace = Pace::ByteEvery(Duration::from_millis(2));
    let twice = GET_PAGE.repeat(2);
    let answer = peer::exchange_with(web.server.address(), twice.as_bytes(), pace).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap().matches(PAGE).count(), 2);
    Ok(())
}

fn requests_that_come_together_are_answered_in_order() -> Result<(), Skip> {
    let web = Web::start(&[]);
    // Together they are longer than a head may be.
    let numbers: Vec<usize> = (0..400).map(|number| number * 7 % 1000).collect();
    let asked = |number: &usize| {
        format!("GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes={number}-{number}\r\n\r\n")
    };
    let requests: String = numbers.iter().map(asked).collect();
    let answers = web.request(&requests);
    let ranges = answers.lines().filter_map(|line| line.strip_prefix("Content-Range: bytes "));
    let sent: Vec<String> = ranges.map(str::to_owned).collect();
    let all = numbers.iter().map(|number| format!("{number}-{number}/{BIG}"));
    assert_eq!(sent, all.collect::<Vec<_>>());
    Ok(())
}

fn a_connection_is_kept_unless_one_side_says_otherwise() -> Result<(), Skip> {
    let web = Web::start(&[]);
    for (rest, answers, said) in [
        ("1.1\r\nHost: a", 2, None),
        ("1.1\r\nHost: a\r\nConnection: close", 1, Some("close")),
        ("1.0", 1, Some("close")),
        ("1.0\r\nConnection: keep-alive", 2, Some("keep-alive")),
    ] {
        let answer = web.request(&format!("GET /page.html HTTP/{rest}\r\n\r\n").repeat(2));
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), answers, "{rest}\n{answer}");
        assert_eq!(field(&answer, "Connection"), said, "{rest}");
    }
    Ok(())
}

fn what_is_no_request_is_told_which_and_the_connection_ends() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let long = "x".repeat(9000);
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a b/@:99999\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n".to_owned(), "400"),
        ("GET /\r\n\r\n".to_owned(), "400"),
        ("\0\u{1}\u{2}".to_owned(), "400"),
        (format!("GET /{long} HTTP/1.1\r\n"), "414"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {long}\r\n\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(70)), "431"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".to_owned(), "411"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), "501"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "505"),
    ] {
        // What follows it could be anything.
        let answer = web.request(&(request.clone() + GET_PAGE));
        assert_eq!(status(&answer), expected, "{request:?}");
        assert_eq!(field(&answer, "Connection"), Some("close"), "{request:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:?}");
        assert!(answer.contains(&format!("\r\n\r\n{expected} ")), "{answer}");
    }
    Ok(())
}

fn a_request_that_is_not_served_keeps_its_connection() -> Result<(), Skip> {
    let web = Web::start(&[]);
    for (line, expected) in [
        ("POST /page.html", "405"),
        ("OPTIONS *", "405"),
        ("get /page.html", "405"),
        ("GET *", "400"),
        ("GET /none", "404"),
        ("HEAD /none", "404"),
        ("GET /docs", "301"),
    ] {
        let answer = web.request(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n{GET_PAGE}"));
        assert_eq!(status(&answer), expected, "{line}");
        assert!(answer.ends_with(&format!("\r\n\r\n{PAGE}")), "{line}: {answer}");
        let allowed = (expected == "405").then_some("GET, HEAD");
        assert_eq!(field(&answer, "Allow"), allowed, "{line}");
    }
    Ok(())
}

fn a_body_that_is_passed_over_is_no_request() -> Result<(), Skip> {
    let web = Web::start(&[]);
    for length in [GET_PAGE.len(), 65_536] {
        // A body that looks like requests.
        let body = &GET_PAGE.repeat(length / GET_PAGE.len() + 1)[..length];
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let answer = web.request(&format!("{head}{body}HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n"));
        let lines = answer.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 "));
        assert_eq!(lines.collect::<Vec<_>>(), ["200 OK", "404 Not Found"], "{length}");
    }
    Ok(())
}

fn an_answer_overtakes_a_body_that_nobody_reads() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let body = "x".repeat(500_000);
    for _ in 0..20 {
        let answer = web
            .request(&format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n{body}"));
        assert!(answer.ends_with("\r\n\r\n413 Content Too Large\n"), "{answer}");
    }
    Ok(())
}

fn head_has_the_fields_of_get_and_no_body() -> Result<(), Skip> {
    let web = Web::start(&[]);
    for target in ["/", "/page.html", "/big.bin", "/docs", "/none"] {
        let answer_to = |method: &str| {
            let rest = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let answer = web.request(&format!("{method} {target} {rest}"));
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let fields = head.lines().filter(|line| !line.starts_with("Date: "));
            (fields.map(str::to_owned).collect::<Vec<_>>(), body.len())
        };
        let ((get, _), (head, body)) = (answer_to("GET"), answer_to("HEAD"));
        assert_eq!((&head, body), (&get, 0), "{target}");
    }
    Ok(())
}

/// The time as HTTP has it, by date(1).
fn date() -> String {
    let format = "+%a, %d %b %Y %H:%M:%S GMT";
    let printed = Run::program("date").args(["-u", format]).env("LC_ALL", "C").finish();
    printed.stdout_text().trim_end().to_owned()
}

fn the_date_is_that_of_this_second() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for _ in 0..3 {
        // Once more where the second ended in between.
        let same = || {
            let (before, answer) = (date(), web.get("/page.html"));
            (before == date()).then(|| (before, field(&answer, "Date").map(str::to_owned)))
        };
        let (now, said) = evidence::wait_until(10 * SECOND, same).expect("a quick answer");
        assert_eq!(said, Some(now));
        let then = second();
        evidence::wait_until(10 * SECOND, || (second() > then).then_some(())).expect("time");
    }
    Ok(())
}

fn the_longest_head_is_8_kib() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let start = "GET /page.html HTTP/1.1\r\nHost: a\r\nA: ";
    for (length, expected) in [(8192, "200"), (8193, "431")] {
        let filler = "x".repeat(length - start.len() - 4);
        let answer = web.request(&format!("{start}{filler}\r\n\r\n"));
        assert_eq!(status(&answer), expected, "{length}");
    }
    Ok(())
}
