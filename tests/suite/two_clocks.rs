//! The clients against a peer that is silent, deaf, or sends a byte now and then: `--timeout` ends a
//! request as a whole, `--idle-timeout` a silence, each when it was asked to and not much later.

mod cable;
mod fates;

use std::io::{Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::peer::SilentListener;
use netcheck::{Finished, Run, Skip, bin};
use scenarios::framed;

use crate::{in_time, tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let own = topic(
        "two_clocks",
        tests![
            a_server_that_answers_no_syn_ends_at_the_timeout,
            a_server_that_never_replies_ends_at_the_timeout,
            a_server_that_never_reads_ends_at_the_timeout,
            a_server_that_drips_ends_at_the_timeout,
            a_server_that_never_ends_its_stream_ends_at_the_timeout,
            each_message_of_a_client_has_a_timeout_of_its_own,
            a_session_outlives_the_timeout,
            a_silence_ends_at_the_idle_timeout,
            a_silence_of_a_load_ends_at_the_idle_timeout,
            a_silence_of_a_chat_ends_at_the_idle_timeout,
        ],
    );
    own.into_iter().chain(cable::trials()).chain(fates::trials()).collect()
}

const MS: Duration = Duration::from_millis(1);

/// Every client of TCP, with what it needs beside a host and a port.
const CLIENTS: [&[&str]; 5] = [
    &["echo-client"],
    &["forking-client"],
    &["chat-client", "--name", "bob"],
    &["echo-load"],
    &["socket-errors"],
];

/// What echo-load can do; all begin with a message there and back on each connection.
const LOADS: [&[&str]; 6] = [
    &["-c5"],
    &["--rate", "100"],
    &["--churn"],
    &["--bulk"],
    &["--idle"],
    &["--json", "-d", "100ms", "--rate", "5"],
];

/// A server with a thread for each connection.
fn server(serve: fn(TcpStream)) -> SocketAddr {
    serve_on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
}

fn serve_on(listener: TcpListener, serve: fn(TcpStream)) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads all, and says nothing.
fn silent(mut stream: TcpStream) {
    while let Ok(1..) = stream.read(&mut [0; 65_536]) {}
}

/// Neither reads nor says anything.
fn deaf(stream: TcpStream) {
    hold(&stream);
}

/// The connection stays open until the suite ends.
fn hold(stream: &TcpStream) {
    mem::forget(stream.try_clone());
}

/// Echoes a byte every 100 ms.
fn dripping(mut stream: TcpStream) {
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        thread::park_timeout(100 * MS);
        if stream.write_all(&byte).is_err() {
            return;
        }
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

fn client(words: &[&str], address: SocketAddr, args: &[&str]) -> Run {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let run = Run::new(words[0]).args(&words[1..]);
    run.args(["--host", &host, "--port", &port]).args(args)
}

/// It ends for this reason, after the two seconds that it is given.
fn ends(what: &str, run: impl Fn() -> Run) {
    in_time(|| {
        let finished = run().finish();
        ended(&finished, what, finished.elapsed)
    });
}

/// It has ended for this reason, and not too early. Whether it was in time.
fn ended(finished: &Finished, what: &str, took: Duration) -> bool {
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(75), "{finished:?}");
    assert!(said.contains(&format!(": {what}\n")), "{what}? {said}");
    assert!(took >= 2000 * MS, "{took:?}: {said}");
    took < 3000 * MS
}

const TIMED_OUT: &str = "timed out after 2s";
const SILENT: &str = "timed out after 2s of silence";

/// Tries them all at once: they wait most of the time.
fn at_once<T: Sync>(all: &[T], one: impl Fn(&T) + Sync) {
    let one = &one;
    thread::scope(|scope| {
        for each in all {
            scope.spawn(move || one(each));
        }
    });
}

/// `--timeout` has ended it.
fn timed_out(words: &[&str], address: SocketAddr, args: &[&str]) {
    ends(TIMED_OUT, || client(words, address, args).args(["--timeout", "2s"]));
}

fn a_server_that_answers_no_syn_ends_at_the_timeout() -> Result<(), Skip> {
    let silent = SilentListener::start();
    at_once(&CLIENTS, |words| timed_out(words, silent.address(), &[]));
    Ok(())
}

fn a_server_that_never_replies_ends_at_the_timeout() -> Result<(), Skip> {
    let address = server(silent);
    at_once(&CLIENTS, |words| timed_out(words, address, &[]));
    at_once(&LOADS, |args| timed_out(&["echo-load"], address, args));
    Ok(())
}

fn a_server_that_never_reads_ends_at_the_timeout() -> Result<(), Skip> {
    let address = server(deaf);
    at_once(&CLIENTS, |words| {
        // More than the buffers of both ends hold.
        let much: &[&str] = if words[0].starts_with("echo-") { &["--size", "4M"] } else { &[] };
        timed_out(words, address, much);
    });
    Ok(())
}

fn a_server_that_drips_ends_at_the_timeout() -> Result<(), Skip> {
    let address = server(dripping);
    for words in [&["echo-client", "--size", "1K"][..], &["echo-load", "--size", "1K"]] {
        timed_out(words, address, &[]);
    }
    // Bytes that may be the beginning of a reply: a pid has few digits.
    let digits = server(|mut stream| {
        while stream.write_all(b"1").is_ok() {
            thread::park_timeout(300 * MS);
        }
    });
    timed_out(&["forking-client"], digits, &[]);
    let frames = server(|mut stream| {
        let frame = framed(&format!("said\talice\t{}", "x".repeat(1000)));
        for byte in frame {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::park_timeout(100 * MS);
        }
    });
    timed_out(&["chat-client", "--name", "bob"], frames, &[]);
    let head = server(|mut stream| {
        while stream.write_all(b"HTTP/1.0 200 OK\r\n").is_ok() {
            thread::park_timeout(100 * MS);
        }
    });
    timed_out(&["socket-errors"], head, &[]);
    Ok(())
}

fn a_server_that_never_ends_its_stream_ends_at_the_timeout() -> Result<(), Skip> {
    // It echoes, late, and does not close.
    let address = server(|mut stream| {
        hold(&stream);
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            thread::park_timeout(1500 * MS);
            let _ = stream.write_all(&buffer[..count]);
        }
    });
    timed_out(&["echo-client"], address, &[]);
    timed_out(&["forking-client"], address, &[]);
    Ok(())
}

fn each_message_of_a_client_has_a_timeout_of_its_own() -> Result<(), Skip> {
    let address = server(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            thread::park_timeout(400 * MS);
            let _ = stream.write_all(&buffer[..count]);
        }
    });
    for args in [&["--count", "4", "hello"][..], &["four", "messages", "to", "echo"]] {
        let run = client(&["echo-client"], address, &["--timeout", "1s"]).args(args);
        let finished = run.finish();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        assert!(finished.elapsed >= 1600 * MS, "{finished:?}");
    }
    Ok(())
}

fn a_session_outlives_the_timeout() -> Result<(), Skip> {
    let address = server(dripping);
    let run = client(&["echo-client"], address, &["--timeout", "1s", "--stdin"]);
    let finished = run.stdin("twenty bytes, slowly").finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert!(finished.elapsed >= 2000 * MS, "{finished:?}");
    let slow = client(&["echo-load"], server(echo), &["--timeout", "1s", "--duration", "1500ms"]);
    assert_eq!(slow.finish().code(), Some(0));
    Ok(())
}

const IDLE: [&str; 4] = ["--timeout", "none", "--idle-timeout", "2s"];

fn a_silence_ends_at_the_idle_timeout() -> Result<(), Skip> {
    for serve in [silent, deaf] {
        let address = server(serve);
        for args in [&["--size", "4M"][..], &["--stdin"]] {
            ends(SILENT, || client(&["echo-client"], address, &IDLE).args(args).stdin("hello"));
        }
    }
    // With something to say now and then it is not silent.
    let run = client(&["echo-client", "--size", "20"], server(dripping), &IDLE);
    let finished = run.finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    Ok(())
}

fn a_silence_of_a_load_ends_at_the_idle_timeout() -> Result<(), Skip> {
    // The first message of each connection comes back, and nothing more.
    let address = server(|mut stream| {
        let mut first = [0; 64];
        hold(&stream);
        if stream.read_exact(&mut first).is_ok() && stream.write_all(&first).is_ok() {
            silent(stream);
        }
    });
    let loads = [&["-c5"][..], &["--rate", "1000"], &["--bulk"], &["--idle", "-d1ms"]];
    at_once(&loads, |args| {
        let idle = ["--timeout", "30s", "--idle-timeout", "2s"];
        ends(SILENT, || client(&["echo-load"], address, &idle).args(*args));
    });
    Ok(())
}

/// Lets bob into a chat.
fn welcome(mut stream: TcpStream) -> TcpStream {
    stream.read_exact(&mut [0; 7]).unwrap();
    stream.write_all(&framed("joined\tbob")).unwrap();
    stream
}

fn a_silence_of_a_chat_ends_at_the_idle_timeout() -> Result<(), Skip> {
    let bob = ["chat-client", "--name", "bob"];
    let no_goodbye = server(|stream| {
        hold(&stream);
        silent(welcome(stream));
    });
    ends(&format!("goodbye from {no_goodbye}: {SILENT}"), || {
        client(&bob, no_goodbye, &IDLE).stdin("hello\n")
    });
    let takes_nothing = server(|stream| deaf(welcome(stream)));
    let lines = format!("{}\n", "x".repeat(4000)).repeat(4000);
    ends(SILENT, || client(&bob, takes_nothing, &IDLE).stdin(&*lines));
    // Nobody has to say anything.
    let quiet = server(|stream| {
        let mut stream = welcome(stream);
        thread::park_timeout(3000 * MS);
        let _ = stream.write_all(&framed("closed\tgood night"));
        silent(stream);
    });
    let run = Run::script(r#"sleep 4 | "$@""#).arg(bin("chat-client")).args(&bob[1..]);
    let port = quiet.port().to_string();
    let run = run.args(["--host", "127.0.0.1", "--port", &port]).args(IDLE);
    let finished = run.finish();
    assert!(finished.stderr_text().ends_with(": good night\n"), "{finished:?}");
    assert!(finished.code() == Some(69) && finished.elapsed >= 3000 * MS, "{finished:?}");
    Ok(())
}
