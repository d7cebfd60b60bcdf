//! Peers that misbehave.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::peer::{self, Pace};
use netcheck::{Need, Run, Skip, evidence, need};

use super::{BIG, PAGE, SECOND, Web, body_of, page_of, status};
use crate::stream_servers::{at_rest, cpu_share};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "epoll_web::peers",
        tests![
            the_end_of_the_stream_inside_a_head_closes_and_costs_nothing,
            a_head_that_drips_is_told_408,
            a_body_that_drips_ends_too,
            silence_between_requests_is_closed_without_a_word,
            who_reads_slowly_gets_every_byte_and_holds_up_nobody,
            who_sends_on_after_the_last_answer_is_closed,
            who_does_not_close_after_the_last_answer_is_closed_after_2_s,
            who_sends_all_before_it_reads_gets_the_answer,
            resets_in_the_middle_of_a_file_leave_nothing,
            without_a_descriptor_for_the_file_it_says_503,
            a_file_that_becomes_shorter_ends_the_connection,
        ],
    )
}

const GET_BIG: &[u8] = b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n";

/// All that still comes.
fn rest_of(client: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    rest
}

fn the_end_of_the_stream_inside_a_head_closes_and_costs_nothing() -> Result<(), Skip> {
    let web = Web::start(&[]);
    for begun in ["G", "GET /page.html HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = web.served();
        client.write_all(begun.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest_of(&mut client), b"", "{begun:?}");
        let share = cpu_share(&web.server, Duration::from_millis(500));
        assert!(share < 0.05, "{:.0} % of a core", share * 100.0);
    }
    web.logs("end of stream inside a request");
    Ok(())
}

/// A client that sends a byte now and then, until it is closed.
fn drip(client: &TcpStream) {
    let bytes = std::iter::repeat(b'x');
    let failed = |byte: u8| (&mut &*client).write_all(&[byte]).is_err();
    let mut bytes = bytes.take(1000);
    let pause = || evidence::wait_until(Duration::from_millis(20), || None::<()>);
    while bytes.next().is_some_and(|byte| !failed(byte)) {
        pause();
    }
}

fn a_head_that_drips_is_told_408() -> Result<(), Skip> {
    let web = Web::start(&["--idle-timeout", "400ms"]);
    let mut client = web.served();
    // Before its first byte: the server's time may have begun by when the write returns.
    let begun = Instant::now();
    client.write_all(b"GET /page.html HTTP/1.1\r\nA: ").unwrap();
    let answer = std::thread::scope(|scope| {
        let dripping = client.try_clone().unwrap();
        scope.spawn(move || drip(&dripping));
        let answer = String::from_utf8(rest_of(&mut client)).unwrap();
        client.shutdown(Shutdown::Both).unwrap();
        answer
    });
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    assert_eq!(status(&answer), "408");
    web.logs(" no request: 408, ");
    Ok(())
}

fn a_body_that_drips_ends_too() -> Result<(), Skip> {
    let web = Web::start(&["--idle-timeout", "400ms"]);
    let mut client = peer::connect(web.server.address()).unwrap();
    client
        .write_all(b"GET /page.html HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n")
        .unwrap();
    assert_eq!(body_of(&mut client), PAGE);
    std::thread::scope(|scope| {
        let dripping = client.try_clone().unwrap();
        scope.spawn(move || drip(&dripping));
        match client.read(&mut [0; 1]) {
            Ok(count) => assert_eq!(count, 0, "it closed"),
            // A byte of the body lay unread.
            Err(why) => assert_eq!(why.kind(), ErrorKind::ConnectionReset),
        }
        client.shutdown(Shutdown::Both).unwrap_or_default();
    });
    Ok(())
}

fn silence_between_requests_is_closed_without_a_word() -> Result<(), Skip> {
    let web = Web::start(&["--idle-timeout", "200ms"]);
    let begun = Instant::now();
    let mut clients = [web.served(), peer::connect(web.server.address()).unwrap()];
    for client in &mut clients {
        assert_eq!(rest_of(client), b"");
    }
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    let both = |log: &str| log.matches("timed out after 200ms").count() == 2;
    assert!(web.server.wait_stderr(both, 10 * SECOND), "{}", web.server.stderr());
    Ok(())
}

fn who_reads_slowly_gets_every_byte_and_holds_up_nobody() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let mut slow = peer::connect(web.server.address()).unwrap();
    slow.write_all(GET_BIG).unwrap();
    let mut first = [0; 1];
    slow.read_exact(&mut first).unwrap();
    // It is being served, and does not read.
    let mut good = web.served();
    for _ in 0..100 {
        assert_eq!(page_of(&mut good), PAGE);
    }
    let share = cpu_share(&web.server, Duration::from_millis(500));
    assert!(share < 0.05, "{:.0} % of a core", share * 100.0);
    slow.shutdown(Shutdown::Write).unwrap();
    let rest = rest_of(&mut slow);
    assert!(rest.ends_with(&peer::pattern(1, BIG)), "{} bytes", rest.len());
    // Another one takes it in small pieces, from the smallest of buffers.
    let pace = Pace::SlowReader { buffer: 16_384, pause: Duration::from_millis(1) };
    let answer = peer::exchange_with(web.server.address(), GET_BIG, pace).unwrap();
    assert!(answer.ends_with(&peer::pattern(1, BIG)), "{} bytes", answer.len());
    Ok(())
}

fn who_sends_on_after_the_last_answer_is_closed() -> Result<(), Skip> {
    let web = Web::start(&["--idle-timeout", "200ms"]);
    let mut client = peer::connect(web.server.address()).unwrap();
    client.write_all(b"GET /page.html HTTP/1.0\r\n\r\n").unwrap();
    let answer = String::from_utf8(rest_of(&mut client)).unwrap();
    assert!(answer.ends_with(PAGE));
    // It neither closes nor falls silent: there is an end to what is taken.
    let block = vec![b'x'; 65_536];
    let sent = (0..4000).take_while(|_| client.write_all(&block).is_ok()).count();
    assert!(sent < 4000, "{sent} blocks");
    Ok(())
}

fn who_does_not_close_after_the_last_answer_is_closed_after_2_s() -> Result<(), Skip> {
    const LINGER: Duration = Duration::from_secs(2);
    // The idle timeout is another clock.
    for timeout in ["none", "1m", "1s"] {
        let web = Web::start(&["--idle-timeout", timeout, "--max-clients", "1"]);
        let begun = Instant::now();
        let mut silent = peer::connect(web.server.address()).unwrap();
        silent.write_all(b"GET /page.html HTTP/1.0\r\n\r\n").unwrap();
        assert!(String::from_utf8(rest_of(&mut silent)).unwrap().ends_with(PAGE));
        // Its place is the only one.
        assert!(web.get("/page.html").ends_with(PAGE), "{timeout}");
        let took = begun.elapsed();
        assert!(took >= LINGER && took < LINGER * 3 / 2, "{timeout}: {took:?}");
        web.logs(" closed: 27 bytes in, ");
        at_rest(&web.server);
    }
    Ok(())
}

fn who_sends_all_before_it_reads_gets_the_answer() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let mut client = peer::connect(web.server.address()).unwrap();
    let head = format!("GET /page.html HTTP/1.1\r\nHost: a\r\nContent-Length: {BIG}\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    // The answer comes before the body has gone; to close then would reset what is on its way.
    client.write_all(&vec![b'x'; BIG]).unwrap();
    assert_eq!(status(&String::from_utf8(rest_of(&mut client)).unwrap()), "413");
    Ok(())
}

fn resets_in_the_middle_of_a_file_leave_nothing() -> Result<(), Skip> {
    let web = Web::start(&[]);
    drop(web.served());
    let first = at_rest(&web.server);
    for _ in 0..50 {
        // sendfile waits for room: EPIPE or ECONNRESET.
        let mut client = peer::connect(web.server.address()).unwrap();
        client.write_all(GET_BIG).unwrap();
        client.read_exact(&mut [0; 1000]).unwrap();
        let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
    }
    assert_eq!(page_of(&mut peer::connect(web.server.address()).unwrap()), PAGE);
    assert_eq!(at_rest(&web.server), first, "the descriptors of the start");
    Ok(())
}

fn without_a_descriptor_for_the_file_it_says_503() -> Result<(), Skip> {
    need(Need::Prlimit)?;
    let web = Web::start(&[]);
    let mut client = web.served();
    let pid = web.server.pid().to_string();
    let limit = |descriptors: i32| {
        let nofile = format!("--nofile={descriptors}:");
        assert!(Run::program("prlimit").args(["--pid", &pid, &nofile]).finish().status.success());
    };
    // The answer is here before its file is closed there.
    let settled = || {
        let open = evidence::descriptors(web.server.pid());
        (!open.values().any(|link| link.ends_with("page.html"))).then_some(open)
    };
    let open = evidence::wait_until(5 * SECOND, settled).expect("the file is closed");
    limit((0..).find(|fd| !open.contains_key(fd)).unwrap());
    client.write_all(b"GET /page.html HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let answer = String::from_utf8(rest_of(&mut client)).unwrap();
    assert_eq!(status(&answer), "503");
    limit(1_000);
    assert!(web.get("/page.html").ends_with(PAGE), "full service again");
    Ok(())
}

fn a_file_that_becomes_shorter_ends_the_connection() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let file = File::create(web.folder.path().join("site/sparse")).unwrap();
    file.set_len(256 << 20).unwrap();
    let mut client = peer::connect(web.server.address()).unwrap();
    client.write_all(b"GET /sparse HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    file.set_len(1000).unwrap();
    let rest = rest_of(&mut client);
    assert!(rest.len() < 256 << 20, "{} bytes", rest.len());
    web.logs("the file became shorter");
    web.logs(" GET /sparse: 200, ");
    Ok(())
}
