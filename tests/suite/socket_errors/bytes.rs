//! Bytes: none goes out that was not meant, and what comes in is shown escaped.

use std::ffi::OsString;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use libtest_mimic::Trial;
use netcheck::{Finished, Run, Skip};

use super::{SOON, answers, client, fails, take_request};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "socket_errors",
        tests![
            no_byte_of_a_path_but_visible_ascii_goes_out,
            no_byte_of_a_host_but_visible_ascii_goes_out,
            no_byte_of_a_port_but_a_digit_goes_out,
            tls_is_named,
            what_is_no_http_is_65_and_escaped,
        ],
    )
}

/// A server that answers every request, and tells what each connection brought.
fn listener() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if sender.send(take_request(&stream)).is_err() {
                return;
            }
            let _ = stream.write_all(b"HTTP/1.0 204 No Content\r\n\r\n");
        }
    });
    (address, receiver)
}

/// That nobody has connected: a connection of our own is the next that the listener tells of.
fn assert_silent(address: SocketAddr, receiver: &Receiver<Vec<u8>>, what: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"mark\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let first = receiver.recv_timeout(SOON).expect("the listener tells");
    assert!(first == b"mark\r\n\r\n", "{what} got {:?} out", String::from_utf8_lossy(&first));
}

/// What an option may hold: every byte but NUL, which no command line can, between two texts.
fn with_each_byte(before: &str, after: &str) -> Vec<(u8, OsString)> {
    let text = |byte| [before.as_bytes(), &[byte], after.as_bytes()].concat();
    (1..=255).map(|byte| (byte, OsString::from_vec(text(byte)))).collect()
}

fn run(host: &OsString, port: &OsString, path: &OsString) -> Finished {
    let run = Run::new("socket-errors").arg("--host").arg(host).arg("--port").arg(port);
    run.arg("--file").arg(path).finish()
}

fn refused(finished: &Finished, option: &str) {
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(2), "{said}");
    assert!(said.starts_with("socket-errors: ") && said.contains(option), "{said}");
    assert!(!said.replace('\n', "").contains(char::is_control), "{said:?}");
}

/// Bytes that would end a path or a line, act on a terminal, or mean something else elsewhere.
fn is_visible(byte: u8) -> bool {
    byte > 0x20 && byte < 0x7f
}

fn no_byte_of_a_path_but_visible_ascii_goes_out() -> Result<(), Skip> {
    let (address, receiver) = listener();
    let (host, port) = ("127.0.0.1".into(), address.port().to_string().into());
    for (byte, path) in with_each_byte("/a", "b") {
        let finished = run(&host, &port, &path);
        if is_visible(byte) {
            assert_eq!(finished.code(), Some(0), "{byte:#04x}: {finished:?}");
            let request = receiver.recv_timeout(SOON).expect("a request");
            let line = [b"GET /a".as_slice(), &[byte], b"b HTTP/1.0\r\n"].concat();
            assert!(request.starts_with(&line), "{byte:#04x}: {request:?}");
        } else {
            // What is no UTF-8 is refused before it is looked at as a path.
            refused(&finished, if byte < 0x80 { "--file" } else { "not UTF-8" });
        }
    }
    for path in ["", "a", "/a HTTP/1.0\r\nX: y\r\n\r\n", "/caf\u{e9}", "/\u{202e}"] {
        refused(&run(&host, &port, &path.into()), "--file");
    }
    assert_silent(address, &receiver, "a path");
    Ok(())
}

fn no_byte_of_a_host_but_visible_ascii_goes_out() -> Result<(), Skip> {
    let (address, receiver) = listener();
    let (port, path) = (address.port().to_string().into(), "/".into());
    for (before, after) in [("", "127.0.0.1"), ("127.0.0.1", ""), ("local", "host")] {
        let bad = with_each_byte(before, after).into_iter().filter(|(byte, _)| !is_visible(*byte));
        for (byte, host) in bad {
            refused(&run(&host, &port, &path), if byte < 0x80 { "--host" } else { "not UTF-8" });
        }
    }
    assert_silent(address, &receiver, "a host");
    Ok(())
}

fn no_byte_of_a_port_but_a_digit_goes_out() -> Result<(), Skip> {
    let (address, receiver) = listener();
    let (host, path) = ("127.0.0.1".into(), "/".into());
    let own = address.port().to_string();
    for (before, after) in [("", own.as_str()), (own.as_str(), "")] {
        for (byte, port) in with_each_byte(before, after) {
            // A digit makes another port of it, if it is one at all.
            if !byte.is_ascii_digit() {
                refused(
                    &run(&host, &port, &path),
                    if byte < 0x80 { "--port" } else { "not UTF-8" },
                );
            }
        }
    }
    assert_silent(address, &receiver, "a port");
    Ok(())
}

fn tls_is_named() -> Result<(), Skip> {
    let alert = client(answers(*b"\x15\x03\x01\x00\x02\x02\x46"), &[]).finish();
    fails(&alert, 65, "parse", "the reply is TLS, an alert with code 70: this port expects https");
    let handshake = client(answers(*b"\x16\x03\x03\x00\x7a\x02"), &[]).finish();
    fails(&handshake, 65, "parse", "the reply is TLS: this port expects https");
    assert!(handshake.stderr_text().contains("hint: this program has no TLS"), "{handshake:?}");
    Ok(())
}

fn what_is_no_http_is_65_and_escaped() -> Result<(), Skip> {
    for (reply, shown) in [
        (&b"SSH-2.0-OpenSSH_9.6\r\n"[..], r#""SSH-2.0-OpenSSH_9.6""#),
        (b"\x1b[31m\xff\0\n", r#""\u{1b}[31m\xff\u{0}""#),
        (b"http/1.0 200 OK\r\n\r\n", r#""http/1.0 200 OK""#),
    ] {
        let finished = client(answers(reply), &[]).finish();
        fails(&finished, 65, "parse", &format!("not HTTP: the reply begins with {shown}"));
        assert!(finished.stdout.is_empty(), "{finished:?}");
        assert!(finished.stderr_text().contains("hint: is it a web server? "), "{finished:?}");
    }
    for (reply, why) in [
        ("HTTP/2 200\r\n\r\n", r#"not a status line: "HTTP/2 200""#),
        ("HTTP/1.0 200 OK\r\nno colon\r\n\r\n", r#"not a header line: "no colon""#),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
    ] {
        let finished = client(answers(reply), &[]).finish();
        fails(&finished, 65, "parse", why);
        // It is a web server.
        assert!(!finished.stderr_text().contains("web server"), "{finished:?}");
    }
    Ok(())
}
