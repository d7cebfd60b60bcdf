//! echo-load with servers that do not echo.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Server, Skip, peer};

use super::{MS, echo, figures, load, number, server};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "echo_load",
        tests![
            a_changed_byte_is_found_wherever_it_is,
            a_changed_byte_of_any_connection_is_found,
            a_piece_that_is_lost_or_doubled_is_found,
            the_reply_to_another_connection_is_found,
            an_old_reply_is_found,
            a_byte_more_than_was_sent_is_found,
            a_byte_after_the_end_is_found,
            a_server_that_closes_within_a_message_is_65_and_between_two_69,
            a_reset_is_69,
            a_server_that_falls_silent_is_75,
            a_server_that_never_ends_its_stream_is_75,
            a_server_of_one_connection_at_a_time_is_75,
        ],
    )
}

/// It ends with the code, and says why in one line that has the words.
fn fails(address: SocketAddr, args: &[&str], code: i32, words: &str) -> Finished {
    let finished = load(address, &[&["--duration", "2s"], args].concat()).finish();
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(code), "{args:?}: {said}");
    assert!(said.starts_with("echo-load: ") && said.contains(words), "{words}?\n{said}");
    assert_eq!(said.lines().filter(|line| !line.starts_with("hint: ")).count(), 1, "{said}");
    finished
}

/// A server that gives `change` each piece and the number of bytes before it, and sends what that
/// makes of it. It takes the rest when the client has gone, so that no reset overtakes the reply.
fn changing(change: impl Fn(u64, usize, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    server(move |number, mut stream| {
        let (mut buffer, mut before) = ([0; 4096], 0);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let reply = change(number, before, buffer[..count].to_vec());
            before += count;
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
    })
}

/// The piece with one byte changed, if it holds the byte at `at`.
fn changed(at: usize, before: usize, mut piece: Vec<u8>) -> Vec<u8> {
    if let Some(byte) = at.checked_sub(before).and_then(|at| piece.get_mut(at)) {
        *byte ^= 1;
    }
    piece
}

fn a_changed_byte_is_found_wherever_it_is() -> Result<(), Skip> {
    for (at, args) in [
        (0, &[][..]),
        (63, &[]),
        (64, &[]),
        (64_000, &[]),
        (17, &["--churn"]),
        (3_000_000, &["--bulk"]),
        (70_001, &["--bulk", "--connections", "2"]),
        (65_536, &["--size", "100000"]),
        (640, &["--rate", "500"]),
    ] {
        let address = changing(move |_, before, piece| changed(at, before, piece));
        fails(address, args, 65, &format!("byte {at} was sent as 0x"));
    }
    Ok(())
}

fn a_changed_byte_of_any_connection_is_found() -> Result<(), Skip> {
    for args in [&["--connections", "9"][..], &["--churn", "--connections", "3"]] {
        let address = changing(|number, before, piece| match number {
            7 => changed(1, before, piece),
            _ => piece,
        });
        fails(address, args, 65, ": byte 1 was sent as 0x");
    }
    Ok(())
}

fn a_piece_that_is_lost_or_doubled_is_found() -> Result<(), Skip> {
    // The 4096 bytes of the pieces are a power of two, which no period of the pattern may be.
    let wrong = |before: usize| before > 1_000_000;
    let lost = changing(move |_, before, piece| if wrong(before) { Vec::new() } else { piece });
    let doubled =
        changing(move |_, before, piece| if wrong(before) { piece.repeat(2) } else { piece });
    let finished = fails(doubled, &["--bulk"], 65, "byte ");
    // What it counts, it has verified: all but what came in one go with the fault.
    let bytes = number(&figures(&finished), "bytes");
    assert!((700_000..1_100_000).contains(&bytes), "{bytes}");
    let once = std::sync::atomic::AtomicBool::new(false);
    let once = changing(move |_, before, piece| {
        let first = wrong(before) && !once.swap(true, std::sync::atomic::Ordering::SeqCst);
        if first { Vec::new() } else { piece }
    });
    fails(once, &["--bulk"], 65, "byte ");
    // All the rest lost: nothing comes any more.
    let args = ["--bulk", "--idle-timeout", "300ms"];
    fails(lost, &args, 75, "timed out after 300ms of silence");
    Ok(())
}

fn the_reply_to_another_connection_is_found() -> Result<(), Skip> {
    let last = std::sync::Mutex::new(Vec::new());
    let address = changing(move |number, _, piece| match number {
        1 => {
            *last.lock().unwrap() = piece.clone();
            piece
        }
        _ => last.lock().unwrap().clone(),
    });
    fails(address, &["--connections", "2"], 65, "connection 2: byte 0 was sent as 0x");
    Ok(())
}

fn an_old_reply_is_found() -> Result<(), Skip> {
    let first = std::sync::OnceLock::new();
    let address = changing(move |_, _, piece| first.get_or_init(|| piece).clone());
    fails(address, &[], 65, "connection 1: byte 64 was sent as 0x");
    Ok(())
}

fn a_byte_more_than_was_sent_is_found() -> Result<(), Skip> {
    let more = |_, before, mut piece: Vec<u8>| {
        if before >= 640 {
            piece.push(7);
        }
        piece
    };
    fails(changing(more), &[], 65, "connection 1: 1 byte more than were sent");
    fails(changing(|_, _, piece| [piece, vec![7]].concat()), &["--churn"], 65, "1 byte more");
    Ok(())
}

fn a_byte_after_the_end_is_found() -> Result<(), Skip> {
    let address = server(|_, mut stream| {
        echo(stream.try_clone().unwrap(), |_| ());
        let _ = stream.write_all(b"PS");
    });
    let finished = load(address, &["--duration", "100ms"]).finish();
    assert_eq!(finished.code(), Some(65), "{}", finished.stderr_text());
    assert!(finished.stderr_text().contains("2 bytes more than were sent"), "{finished:?}");
    Ok(())
}

/// Echoes so many bytes of each connection; what is then done is up to `end`.
fn some(bytes: usize, end: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    server(move |_, mut stream| {
        let (mut buffer, mut echoed) = ([0; 64], 0);
        while echoed < bytes
            && let Ok(count @ 1..) = stream.read(&mut buffer)
        {
            let count = count.min(bytes - echoed);
            let _ = stream.write_all(&buffer[..count]);
            echoed += count;
        }
        end(stream);
    })
}

fn a_server_that_closes_within_a_message_is_65_and_between_two_69() -> Result<(), Skip> {
    let close = |mut stream: TcpStream| {
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    };
    for args in [&[][..], &["--rate", "100"], &["--bulk"], &["--connections", "3"]] {
        let between = if args == ["--bulk"] { 65 } else { 69 };
        for (bytes, code) in [(1000, 65), (1024, between)] {
            let words = format!("closed after {bytes} bytes, ");
            fails(some(bytes, close), args, code, &words);
        }
    }
    fails(some(0, close), &["--churn"], 69, "connection 1: closed after 0 bytes, 64 missing");
    fails(some(64, close), &["--idle"], 69, "connection 1: closed after 64 bytes, 0 missing");
    fails(some(20, close), &["--churn"], 65, "closed after 20 bytes, 44 missing");
    Ok(())
}

fn a_reset_is_69() -> Result<(), Skip> {
    let reset = |stream: TcpStream| {
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    };
    for args in [&[][..], &["--bulk"], &["--connections", "3"]] {
        let finished = fails(some(1000, reset), args, 69, "(ECONNRESET)");
        let figures = figures(&finished);
        assert_eq!((&figures["complete"], &figures["errors"]), (&false.into(), &1.into()));
    }
    Ok(())
}

fn a_server_that_falls_silent_is_75() -> Result<(), Skip> {
    let hang = |mut stream: TcpStream| {
        let _ = stream.read_to_end(&mut Vec::new());
    };
    for args in [&[][..], &["--bulk"], &["--rate", "100"], &["--connections", "3"]] {
        let args = [args, &["--idle-timeout", "300ms"]].concat();
        let words = "echo from 127.0.0.1:";
        let finished = fails(some(1000, hang), &args, 75, words);
        assert!(finished.stderr_text().ends_with(": timed out after 300ms of silence\n"));
        assert!(finished.elapsed >= 300 * MS, "{finished:?}");
        assert!(number(&figures(&finished), "bytes") < 3000, "{finished:?}");
    }
    Ok(())
}

fn a_server_that_never_ends_its_stream_is_75() -> Result<(), Skip> {
    let address = server(|_, stream| {
        echo(stream.try_clone().unwrap(), |_| ());
        // Open for longer than the client waits.
        super::pause(2000 * MS);
        drop(stream);
    });
    let args = ["--duration", "100ms", "--idle-timeout", "300ms"];
    let finished = load(address, &args).finish();
    assert_eq!(finished.code(), Some(75), "{}", finished.stderr_text());
    let words = "end of the stream from 127.0.0.1:";
    assert!(finished.stderr_text().contains(words), "{}", finished.stderr_text());
    assert!(number(&figures(&finished), "round_trips") > 0, "{finished:?}");
    Ok(())
}

fn a_server_of_one_connection_at_a_time_is_75() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0"]);
    let args = ["--connections", "2", "--timeout", "300ms"];
    let finished = fails(server.address(), &args, 75, ", connection 2: timed out after 300ms");
    assert!(!finished.stdout_text().contains("load"), "nothing was measured: {finished:?}");
    // And it is not that one's fault.
    assert_eq!(peer::exchange(server.address(), b"hello").unwrap(), b"hello");
    Ok(())
}
