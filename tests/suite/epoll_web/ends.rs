//! How it ends, and what it logs.

use std::io::{Read, Write};

use libtest_mimic::Trial;
use netcheck::{Need, Signal, Skip, evidence, need, peer};

use super::{BIG, PAGE, SECOND, Web, page_of, status};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "epoll_web::ends",
        tests![
            at_sigterm_who_is_being_served_gets_the_rest_and_who_waits_goes,
            at_sigterm_a_request_that_has_begun_is_still_answered,
            who_does_not_finish_is_cut_off_when_the_grace_is_over,
            a_second_signal_ends_it_at_once,
            who_finds_no_place_on_the_list_is_closed,
            each_request_has_a_line,
            a_long_request_has_a_short_line,
            json_has_an_object_for_each_request,
        ],
    )
}

fn stops_listening(web: &Web) {
    let closed = || (!evidence::is_listening(web.server.address())).then_some(());
    evidence::wait_until(5 * SECOND, closed).expect("the listener is closed");
}

fn ends_with_0(web: &Web) {
    let status = web.server.wait(10 * SECOND).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", web.server.stderr());
}

fn at_sigterm_who_is_being_served_gets_the_rest_and_who_waits_goes() -> Result<(), Skip> {
    let web = Web::start(&["--grace", "1h"]);
    let mut waiting = web.served();
    let mut served = peer::connect(web.server.address()).unwrap();
    served.write_all(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    served.read_exact(&mut [0; 1]).unwrap();
    web.server.signal(Signal::SIGTERM);
    assert_eq!(waiting.read(&mut [0; 1]).unwrap(), 0, "it is closed");
    stops_listening(&web);
    assert!(web.server.still_running(), "it drains");
    let mut rest = Vec::new();
    served.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(&peer::pattern(1, BIG)), "{} bytes", rest.len());
    drop(served);
    ends_with_0(&web);
    Ok(())
}

fn at_sigterm_a_request_that_has_begun_is_still_answered() -> Result<(), Skip> {
    let web = Web::start(&["--grace", "1h", "-v"]);
    let mut client = web.served();
    client.write_all(b"GET /page.html HTTP/1.1\r\n").unwrap();
    web.logs("sent 25 bytes");
    web.server.signal(Signal::SIGTERM);
    stops_listening(&web);
    client.write_all(b"Host: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with(PAGE), "{answer}");
    drop(client);
    ends_with_0(&web);
    Ok(())
}

fn who_does_not_finish_is_cut_off_when_the_grace_is_over() -> Result<(), Skip> {
    let web = Web::start(&["--grace", "100ms", "-v"]);
    let mut client = web.served();
    client.write_all(b"GET").unwrap();
    web.logs("sent 3 bytes");
    web.server.signal(Signal::SIGTERM);
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0, "it is closed");
    ends_with_0(&web);
    web.logs("grace period expired");
    Ok(())
}

fn a_second_signal_ends_it_at_once() -> Result<(), Skip> {
    let web = Web::start(&["--grace", "1h", "-v"]);
    let mut client = web.served();
    client.write_all(b"GET").unwrap();
    web.logs("sent 3 bytes");
    web.server.signal(Signal::SIGINT);
    stops_listening(&web);
    assert!(web.server.still_running(), "it drains");
    web.server.signal(Signal::SIGINT);
    ends_with_0(&web);
    Ok(())
}

fn who_finds_no_place_on_the_list_is_closed() -> Result<(), Skip> {
    need(Need::Strace)?;
    // The signals and the listener are the first two.
    let inject = ["trace=epoll_ctl", "inject=epoll_ctl:error=ENOSPC:when=3"];
    let mut trace = None;
    let web = Web::start_run(&["--max-clients", "1"], |run| {
        let (run, file) = run.traced(&inject);
        trace = Some(file);
        run
    });
    let mut closed = peer::connect(web.server.address()).unwrap();
    assert_eq!(closed.read(&mut [0; 1]).unwrap(), 0);
    web.logs("epoll_ctl: No space left on device (ENOSPC)");
    assert_eq!(page_of(&mut peer::connect(web.server.address()).unwrap()), PAGE);
    Ok(())
}

fn each_request_has_a_line() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let mut client = web.served();
    assert_eq!(page_of(&mut client), PAGE);
    let peer = client.local_addr().unwrap();
    drop(client);
    web.logs(" closed: 72 bytes in, ");
    let log = web.server.stderr();
    let line = format!("epoll-web: {peer} GET /page.html: 200, {} bytes, ", PAGE.len());
    assert_eq!(log.matches(&line).count(), 2, "{log}");
    assert_eq!(log.lines().count(), 4, "{log}");
    Ok(())
}

fn a_long_request_has_a_short_line() -> Result<(), Skip> {
    let long = format!("/{}", "\u{202e}".repeat(2_000));
    for option in ["--json", "--grace=5s"] {
        let web = Web::start(&[option]);
        assert_eq!(status(&web.get(&long)), "404");
        web.server.signal(Signal::SIGTERM);
        ends_with_0(&web);
        let log = web.server.stdout() + &web.server.stderr();
        // 512 characters, the first of them the slash.
        assert_eq!(log.matches("u{202e}").count(), 511, "{log}");
        assert!(log.contains(" and 4467 more bytes"), "{log}");
    }
    Ok(())
}

fn json_has_an_object_for_each_request() -> Result<(), Skip> {
    let web = Web::start(&["--json"]);
    web.get("/none\u{202e}\"");
    web.request("nonsense\r\n\r\n");
    web.server.signal(Signal::SIGTERM);
    ends_with_0(&web);
    let parsed = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect(line);
    let events: Vec<serde_json::Value> = web.server.stdout().lines().map(parsed).collect();
    let of = |kind: &str| events.iter().filter(move |event| event["type"] == kind).count();
    assert_eq!([of("listening"), of("opened"), of("request"), of("closed")], [1, 2, 2, 2]);
    let request = events.iter().find(|event| event["type"] == "request").unwrap();
    assert_eq!((&request["method"], &request["status"]), (&"GET".into(), &404.into()));
    assert_eq!(request["target"], "/none\\u{202e}\"");
    assert!(request["duration_ns"].is_u64() && request["bytes"] == 0, "{request}");
    Ok(())
}
