//! socket-errors with servers that misbehave, and each error told from the others.

mod bounds;
mod bytes;
mod ends;
mod names;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Call, Finished, Need, Run, Skip, evidence, need, peer};
use socket2::SockRef;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let misbehaving = tests![
        nobody_who_listens_is_69_in_stage_connect,
        a_full_backlog_is_75_in_stage_connect,
        a_server_that_accepts_and_stays_silent_is_75_in_stage_receive,
        a_server_that_sends_a_byte_at_a_time_does_not_outlast_the_timeout,
        a_reset_is_69_and_what_came_before_it_is_kept,
        a_reset_before_the_request_is_69_in_stage_send,
        an_answer_that_was_sent_before_the_reset_is_read,
        a_close_before_the_end_of_the_header_is_65,
        a_body_that_is_cut_short_is_65_and_what_came_is_kept,
        a_content_length_that_does_not_match_is_65,
        a_body_without_a_length_ends_with_the_stream,
        a_server_that_does_not_close_is_not_waited_for,
        interim_replies_are_passed_over,
    ];
    let mut trials = topic("socket_errors", misbehaving);
    trials.extend(bounds::trials());
    trials.extend(bytes::trials());
    trials.extend(ends::trials());
    trials.extend(names::trials());
    trials
}

/// Long enough for a machine that is busy.
const SOON: Duration = Duration::from_secs(10);

/// A server for one connection that does what it is told to.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    address
}

/// Reads a request up to its empty line.
fn take_request(mut stream: &TcpStream) -> Vec<u8> {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        request.push(byte[0]);
    }
    request
}

/// A server that answers a request with these bytes, and closes.
fn answers(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    server(move |mut stream| {
        take_request(&stream);
        let _ = stream.write_all(&bytes);
    })
}

fn client(address: SocketAddr, args: &[&str]) -> Run {
    let port = address.port().to_string();
    Run::new("socket-errors").args(["--host", "127.0.0.1", "--port", &port]).args(args)
}

/// It fails with the code, in a line that has the words, and says in which stage.
fn fails(finished: &Finished, code: i32, stage: &str, words: &str) {
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(code), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("socket-errors: ") && lines[0].contains(words), "{said}");
    assert!(lines[1].starts_with("hint: "), "{said}");
    assert!(lines[2].starts_with(&format!("stage {stage}, after ")), "{said}");
    assert!(!said.replace('\n', "").contains(char::is_control), "{said:?}");
}

fn nobody_who_listens_is_69_in_stage_connect() -> Result<(), Skip> {
    let nobody = peer::refused_port();
    let words = format!("connect to {}: Connection refused (ECONNREFUSED)", nobody.address());
    fails(&client(nobody.address(), &[]).finish(), 69, "connect", &words);
    Ok(())
}

fn a_full_backlog_is_75_in_stage_connect() -> Result<(), Skip> {
    let silent = peer::SilentListener::start();
    let finished = client(silent.address(), &["--timeout", "300ms"]).finish();
    let words = format!("connect to {}: timed out after 300ms", silent.address());
    fails(&finished, 75, "connect", &words);
    assert!(finished.elapsed >= Duration::from_millis(300));
    Ok(())
}

fn a_server_that_accepts_and_stays_silent_is_75_in_stage_receive() -> Result<(), Skip> {
    let address = server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let finished = client(address, &["--timeout", "300ms"]).finish();
    fails(&finished, 75, "receive", "(the header, 0 bytes so far): timed out after 300ms");
    assert!(finished.elapsed >= Duration::from_millis(300));
    Ok(())
}

fn a_server_that_sends_a_byte_at_a_time_does_not_outlast_the_timeout() -> Result<(), Skip> {
    let address = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    let finished = client(address, &["--timeout", "500ms"]).finish();
    fails(&finished, 75, "receive", "(the end of the body, ");
    assert!(finished.elapsed >= Duration::from_millis(500));
    // It never kept silent for as long as that, and each byte of it is there.
    assert!(finished.stdout.len() > 1 && finished.stdout.iter().all(|byte| *byte == b'x'));
    Ok(())
}

/// Closing with a linger time of 0 is a reset, socket(7).
fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

fn a_reset_is_69_and_what_came_before_it_is_kept() -> Result<(), Skip> {
    let head = b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n";
    let reply = [head.as_slice(), &peer::pattern(4, 4095)].concat();
    for sent in [0, 1, 4095] {
        let bytes = reply[..sent].to_vec();
        let body = bytes.get(head.len()..).unwrap_or_default().to_vec();
        let address = server(move |mut stream| {
            take_request(&stream);
            stream.write_all(&bytes).unwrap();
            reset(&stream);
        });
        let finished = client(address, &[]).finish();
        fails(&finished, 69, "receive", "Connection reset by peer (ECONNRESET)");
        assert!(finished.stdout == body, "{sent}: {} bytes came", finished.stdout.len());
    }
    Ok(())
}

/// It under strace, which makes it wait with its send until the server has done what it does, and
/// that is once the connection has been found to stand.
fn late(serve: impl FnOnce(TcpStream)) -> Result<(Option<i32>, String, String), Skip> {
    need(Need::Strace)?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = client(listener.local_addr().unwrap(), &[]);
    let (run, trace) =
        run.traced(&["trace=getsockopt,sendto", "inject=sendto:delay_enter=2000000"]);
    let process = run.start();
    let stream = listener.accept().unwrap().0;
    let connected = |call: &Call| call.args.contains("SO_ERROR") && call.result == "0";
    let found = || trace.calls().iter().any(connected).then_some(());
    evidence::wait_until(SOON, found).expect("it looks at SO_ERROR");
    serve(stream);
    let status = process.wait(SOON).expect("it ends");
    Ok((status.code(), process.stdout(), process.stderr()))
}

fn a_reset_before_the_request_is_69_in_stage_send() -> Result<(), Skip> {
    let (code, _, said) = late(|stream| reset(&stream))?;
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("Connection reset by peer (ECONNRESET)\nhint: "), "{said}");
    assert!(said.contains("\nstage send, after "), "{said}");
    Ok(())
}

fn an_answer_that_was_sent_before_the_reset_is_read() -> Result<(), Skip> {
    let (code, printed, said) = late(|mut stream| {
        stream.write_all(b"HTTP/1.0 503 Busy\r\nContent-Length: 4\r\n\r\nbusy").unwrap();
        reset(&stream);
    })?;
    assert_eq!((code, printed.as_str()), (Some(1), "busy"), "{said}");
    assert!(said.ends_with(": 503 Busy\n"), "{said}");
    Ok(())
}

fn a_close_before_the_end_of_the_header_is_65() -> Result<(), Skip> {
    for header in ["", "HTT", "HTTP/1.0 200 OK\r\n", "HTTP/1.0 200 OK\r\nA: b\r\n\r"] {
        let words = format!("closed within the header, after {} byte", header.len());
        fails(&client(answers(header), &[]).finish(), 65, "receive", &words);
    }
    Ok(())
}

fn a_body_that_is_cut_short_is_65_and_what_came_is_kept() -> Result<(), Skip> {
    let body = peer::pattern(7, 200_000);
    let head = b"HTTP/1.0 200 OK\r\nContent-Length: 200001\r\n\r\n";
    let finished = client(answers([head.as_slice(), &body].concat()), &[]).finish();
    let words = "closed after 200000 bytes of the body, Content-Length is 200001";
    fails(&finished, 65, "receive", words);
    assert!(finished.stdout == body, "{} bytes came", finished.stdout.len());
    Ok(())
}

fn a_content_length_that_does_not_match_is_65() -> Result<(), Skip> {
    let finished = client(answers("HTTP/1.0 200 OK\nContent-Length: 3\n\nabcde"), &[]).finish();
    fails(&finished, 65, "receive", "at least 2 bytes more than Content-Length 3");
    assert_eq!(finished.stdout, b"abc");
    for (length, why) in
        [("-1", "not a number"), ("3, 3", "not a number"), ("3\nContent-Length: 4", "two")]
    {
        let reply = format!("HTTP/1.0 200 OK\nContent-Length: {length}\n\nabc");
        fails(&client(answers(reply), &[]).finish(), 65, "parse", why);
    }
    // The bytes that are too many may come later than the others.
    let address = server(|mut stream| {
        take_request(&stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        thread::park_timeout(Duration::from_millis(50));
        let _ = stream.write_all(b"de");
    });
    let words = "at least 2 bytes more than Content-Length 3";
    fails(&client(address, &[]).finish(), 65, "receive", words);
    Ok(())
}

fn a_body_without_a_length_ends_with_the_stream() -> Result<(), Skip> {
    // Every byte value, and more than one buffer of them.
    let body = [(0..=255).collect::<Vec<u8>>(), peer::pattern(8, 1 << 20)].concat();
    let head = b"HTTP/1.1 200 OK\r\nX-Odd: \x1b]0;t\x07\xff\r\n\r\n";
    let finished = client(answers([head.as_slice(), &body].concat()), &["-v"]).finish();
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(0), "{said}");
    assert!(finished.stdout == body, "{} of {} bytes", finished.stdout.len(), body.len());
    assert!(said.contains(r"X-Odd: \u{1b}]0;t\u{7}\xff"), "{said}");
    let stages: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
    let stages: Vec<&str> = stages.into_iter().filter(|stage| !stage.is_empty()).collect();
    let all = ["resolve", "socket", "connect", "send", "receive", "parse", "receive"];
    assert_eq!(stages, all, "{said}");
    Ok(())
}

fn a_server_that_does_not_close_is_not_waited_for() -> Result<(), Skip> {
    let address = server(|mut stream| {
        take_request(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let finished = client(address, &["--timeout", "none"]).finish();
    assert_eq!((finished.code(), finished.stdout.as_slice()), (Some(0), b"abc".as_slice()));
    Ok(())
}

fn interim_replies_are_passed_over() -> Result<(), Skip> {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    let interim = "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100\n\n";
    let finished = client(answers(format!("{interim}{last}")), &["-v"]).finish();
    let said = finished.stderr_text();
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(0), "abc"), "{said}");
    assert!(said.contains("  103 Early Hints\n") && said.contains("  200 OK\n"), "{said}");
    // A piece of the next one comes with the one before, or later.
    let address = server(move |mut stream| {
        take_request(&stream);
        for byte in format!("{interim}{last}").bytes() {
            stream.write_all(&[byte]).unwrap();
        }
    });
    assert_eq!(client(address, &[]).finish().stdout_text(), "abc");
    // A server that only announces is not followed for long.
    let address = server(|mut stream| {
        take_request(&stream);
        while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {}
    });
    fails(&client(address, &["--timeout", "none"]).finish(), 65, "parse", "more than 8 interim");
    fails(&client(answers(interim), &[]).finish(), 65, "receive", "after 0 bytes of it");
    Ok(())
}
