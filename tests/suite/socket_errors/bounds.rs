//! How much it takes of what a server sends: the limits that are its own.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, bin, need, peer};

use super::{answers, client, fails, server, take_request};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "socket_errors",
        tests![
            more_than_max_bytes_is_65_and_not_written,
            an_endless_body_stays_under_16_mib,
            an_endless_body_does_not_outlast_the_timeout,
            a_header_of_1_gib_is_bounded,
        ],
    )
}

fn more_than_max_bytes_is_65_and_not_written() -> Result<(), Skip> {
    for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n"] {
        let whole = client(answers(format!("{head}0123456789")), &["--max-bytes", "10"]).finish();
        assert_eq!((whole.code(), whole.stdout.as_slice()), (Some(0), b"0123456789".as_slice()));
        let cut = client(answers(format!("{head}0123456789")), &["--max-bytes", "4"]).finish();
        fails(&cut, 65, "receive", "the body has more than --max-bytes 4");
        assert_eq!(cut.stdout, b"0123");
    }
    // What is said of none is 10 MiB.
    let head = b"HTTP/1.0 200 OK\r\n\r\n".as_slice();
    let whole = client(answers([head, &vec![b'x'; 10 << 20]].concat()), &[]).finish();
    assert_eq!((whole.code(), whole.stdout.len()), (Some(0), 10 << 20));
    let cut = client(answers([head, &vec![b'x'; (10 << 20) + 1]].concat()), &[]).finish();
    fails(&cut, 65, "receive", "the body has more than --max-bytes 10485760");
    assert_eq!(cut.stdout.len(), 10 << 20);
    Ok(())
}

/// A server that sends the block again and again, up to `most` bytes, and tells how many it has sent
/// when that is so many, or when the client has gone.
fn floods(head: &'static [u8], block: &'static [u8], most: usize) -> (SocketAddr, Receiver<usize>) {
    let (sender, receiver) = channel();
    let address = server(move |mut stream| {
        take_request(&stream);
        let mut sent = 0;
        let mut result = stream.write_all(head);
        while result.is_ok() && sent < most {
            result = stream.write_all(block);
            sent += block.len();
        }
        let _ = sender.send(sent);
        // It stays for more.
        while result.is_ok() {
            result = stream.write_all(block);
        }
    });
    (address, receiver)
}

/// Longer than it takes to send a gigabyte.
const PATIENCE: Duration = Duration::from_secs(60);

/// A body without an end, which says when so many bytes of it are sent.
fn endless(told_at: usize) -> (SocketAddr, Receiver<usize>) {
    floods(b"HTTP/1.0 200 OK\r\n\r\n", peer::pattern(1, 1 << 16).leak(), told_at)
}

/// It, with nobody to read the body, which would fill the memory of this test.
fn thrown_away(address: SocketAddr, timeout: &str) -> Run {
    let (port, most) = (address.port().to_string(), u64::MAX.to_string());
    let run = Run::script(r#"exec "$@" > /dev/null"#).arg(bin("socket-errors")).args([
        "--host",
        "127.0.0.1",
        "--port",
        &port,
    ]);
    run.args(["--max-bytes", &most, "--timeout", timeout])
}

fn an_endless_body_does_not_outlast_the_timeout() -> Result<(), Skip> {
    need(Need::Strace)?;
    let (address, _told) = endless(usize::MAX);
    // Slower than the server, it never finds nothing to receive, and so never waits.
    let slow = ["trace=recvfrom", "inject=recvfrom:delay_exit=20000"];
    let (run, _trace) = thrown_away(address, "500ms").traced(&slow);
    let finished = run.finish();
    fails(&finished, 75, "receive", "(the end of the body, ");
    assert!(finished.elapsed >= Duration::from_millis(500));
    Ok(())
}

fn an_endless_body_stays_under_16_mib() -> Result<(), Skip> {
    let (address, receiver) = endless(1 << 28);
    let process = thrown_away(address, "none").start();
    assert!(receiver.recv_timeout(PATIENCE).expect("256 MiB go through it") >= 1 << 28);
    let peak = peak(process.pid()).expect("it runs");
    assert!(peak < 16 << 20, "{peak} bytes");
    assert!(process.still_running(), "{}", process.stderr());
    Ok(())
}

/// The most memory that it ever occupied, in bytes: VmHWM, proc_pid_status(5).
fn peak(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn a_header_of_1_gib_is_bounded() -> Result<(), Skip> {
    for (head, block) in [
        (&b"HTTP/1.0 200 OK\r\nX: "[..], [b'x'; 1 << 16].as_slice()),
        (b"HTTP/1.0 200 OK\r\n", b"X: y\r\n".repeat(1 << 13).leak()),
        (b"HTTP/1.0 200 ", &[b'O'; 1 << 16]),
    ] {
        let (address, receiver) = floods(head, block, 1 << 30);
        let port = address.port().to_string();
        // Address space is more than memory: what has 16 MiB of it occupies no more.
        let limit = r#"ulimit -v 16384; exec "$@""#;
        let run = Run::script(limit).arg(bin("socket-errors"));
        let finished = run.args(["--host", "127.0.0.1", "--port", &port]).finish();
        fails(&finished, 65, "parse", "a header of more than 65536 bytes");
        let sent = receiver.recv_timeout(PATIENCE).expect("the client goes");
        assert!(sent < 1 << 30, "all of it was taken");
    }
    Ok(())
}
