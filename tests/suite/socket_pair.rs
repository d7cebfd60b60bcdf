//! `socket-pair`: what each type does at the end, and the traps that its header names.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Run, Skip};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::try_it::shell;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "socket_pair",
        tests![
            each_type_has_its_boundaries_and_its_end,
            a_copy_that_is_kept_prevents_the_end,
            shutdown_ends_although_a_copy_is_kept,
            an_empty_message_is_an_end_of_seqpacket_only,
            a_full_queue_is_reported_with_the_errno_of_the_child,
            a_child_that_nobody_may_wait_for_is_no_error,
            what_a_message_holds_is_escaped,
            output_that_cannot_be_written_is_reported_once,
            the_traps_of_the_header_are_the_kernels,
        ],
    )
}

const EAGAIN: i32 = 11;
const EMSGSIZE: i32 = 90;
const EOPNOTSUPP: i32 = 95;
const ECONNRESET: i32 = 104;
/// MSG_DONTWAIT of recv(2).
const DONTWAIT: i32 = 0x40;

/// What it says of each type with these arguments.
fn pairs(args: &[&str]) -> Vec<Value> {
    let finished = Run::new("socket-pair").args(args).arg("--json").finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    finished.stdout_text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn each_type_has_its_boundaries_and_its_end() -> Result<(), Skip> {
    for messages in [&["one", "two"][..], &[]] {
        let pair = |socket: &str, received: &[&str], end, errno: &str| {
            json!({"type": "pair", "socket": socket, "messages": received, "end": end,
                   "errno": errno})
        };
        let expected = [
            pair("stream", &["onetwo"], true, "EPIPE"),
            pair("seqpacket", &["one", "two"], true, "EPIPE"),
            pair("datagram", &["one", "two"], false, "ECONNREFUSED"),
        ];
        assert_eq!(pairs(messages), expected);
    }
    Ok(())
}

fn a_copy_that_is_kept_prevents_the_end() -> Result<(), Skip> {
    for pair in pairs(&["--keep"]) {
        // What is sent then is taken, and nobody receives it.
        assert_eq!((&pair["end"], &pair["sent"]), (&json!(false), &json!(3)), "{pair}");
    }
    // Without a limit it waits until it is ended.
    let run = Run::new("socket-pair").args(["--keep", "--timeout", "none", "--type", "stream"]);
    let process = run.start();
    assert_eq!(process.wait(Duration::from_millis(500)), None, "{}", process.stdout());
    Ok(())
}

fn shutdown_ends_although_a_copy_is_kept() -> Result<(), Skip> {
    let ends: Vec<Value> =
        pairs(&["--keep", "--shutdown"]).iter().map(|pair| pair["end"].clone()).collect();
    assert_eq!(ends, [true, true, false]);
    Ok(())
}

fn an_empty_message_is_an_end_of_seqpacket_only() -> Result<(), Skip> {
    let messages: Vec<Value> =
        pairs(&["one", "", "two"]).iter().map(|pair| pair["messages"].clone()).collect();
    assert_eq!(messages, [json!(["onetwo"]), json!(["one"]), json!(["one", "", "two"])]);
    Ok(())
}

fn a_full_queue_is_reported_with_the_errno_of_the_child() -> Result<(), Skip> {
    // More than any default of SO_SNDBUF, in messages that each fit.
    let messages = vec!["x".repeat(100_000); 12];
    for socket_type in ["stream", "seqpacket", "datagram"] {
        let run = Run::new("socket-pair").args(["--type", socket_type]).args(&messages);
        let finished = run.finish();
        let said = "socket-pair: send in the child: Try again (EAGAIN)\n";
        assert_eq!((finished.code(), finished.stderr_text().as_str()), (Some(71), said));
    }
    Ok(())
}

fn a_child_that_nobody_may_wait_for_is_no_error() -> Result<(), Skip> {
    let run = Run::new("socket-pair").before_exec_ignore_sigchld();
    let finished = run.finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert_eq!(finished.stdout_text().lines().count(), 3, "{finished:?}");
    Ok(())
}

fn what_a_message_holds_is_escaped() -> Result<(), Skip> {
    let finished = Run::new("socket-pair").arg("\u{1b}[31m\n").finish();
    assert_eq!(finished.stdout_text().matches(r#""\u{1b}[31m\n""#).count(), 3, "{finished:?}");
    Ok(())
}

fn output_that_cannot_be_written_is_reported_once() -> Result<(), Skip> {
    let ended = |line: &str| -> Finished { shell(line).finish() };
    let full = ended("socket-pair > /dev/full");
    assert_eq!((full.code(), full.stderr_text().lines().count()), (Some(74), 1), "{full:?}");
    let gone = ended("socket-pair 2>&1 | head -n 0");
    assert!(gone.code() == Some(0) && gone.stderr.is_empty(), "{gone:?}");
    Ok(())
}

fn raw<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|why| why.raw_os_error())
}

fn the_traps_of_the_header_are_the_kernels() -> Result<(), Skip> {
    assert_eq!(raw(Socket::pair(Domain::IPV4, Type::STREAM, None)), Some(EOPNOTSUPP));
    let mut byte = [MaybeUninit::uninit(); 1];
    for kind in [Type::STREAM, Type::SEQPACKET] {
        // Closed with bytes unread: an error, and then the end.
        let (one, other) = Socket::pair(Domain::UNIX, kind, None).unwrap();
        one.send(b"unread").unwrap();
        drop(other);
        assert_eq!(raw(one.recv(&mut byte)), Some(ECONNRESET));
        assert_eq!(one.recv(&mut byte).unwrap(), 0);
    }
    for kind in [Type::SEQPACKET, Type::DGRAM] {
        let (one, other) = Socket::pair(Domain::UNIX, kind, None).unwrap();
        one.send(b"long").unwrap();
        let mut buffers = [socket2::MaybeUninitSlice::new(&mut byte)];
        let (count, flags) = other.recv_vectored(&mut buffers).unwrap();
        assert_eq!((count, flags.is_truncated()), (1, true), "MSG_TRUNC");
        // What was cut off is gone.
        assert_eq!(raw(other.recv_with_flags(&mut byte, DONTWAIT)), Some(EAGAIN));

        let room = one.send_buffer_size().unwrap();
        assert_eq!(raw(one.send(&vec![0; room + 1])), Some(EMSGSIZE));
        one.set_nonblocking(true).unwrap();
        let full = |message: &[u8]| (0..).find(|_| one.send(message).is_err());
        let count = full(&[0; 1000]).unwrap();
        assert!(count * 1000 < room, "{count} messages of 1,000 bytes in {room}");
        let why = one.send(&[0; 1000]).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::WouldBlock);
    }
    Ok(())
}
