//! The peers, against servers of a few lines.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use netcheck::peer::{self, Pace};

/// Gives the first connection to `serve`; what that returns can be received.
fn server<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, Receiver<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("its address");
    let (result, received) = mpsc::channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accept");
        // A test that does not ask need not be told.
        let _ = result.send(serve(stream));
    });
    (address, received)
}

/// Echoes until the end; returns the length of the first read.
fn echo(mut stream: TcpStream) -> io::Result<usize> {
    let mut buffer = vec![0; 64 * 1024];
    let mut first = None;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(first.unwrap_or(0));
        }
        first.get_or_insert(count);
        stream.write_all(buffer.get(..count).expect("as read"))?;
    }
}

#[test]
fn an_exchange_larger_than_every_buffer_is_exact() {
    let bytes = peer::pattern(1, 16 << 20);
    let (address, _) = server(echo);
    assert!(peer::exchange(address, &bytes).unwrap() == bytes);
}

#[test]
fn small_buffers_and_slow_readers_are_exact() {
    let bytes = peer::pattern(2, 100_000);
    let slow = Pace::SlowReader { buffer: 1_000, pause: Duration::from_micros(200) };
    for pace in [Pace::SmallBuffers(4096), slow] {
        let (address, _) = server(echo);
        assert!(peer::exchange_with(address, &bytes, pace).unwrap() == bytes, "{pace:?}");
    }
}

#[test]
fn a_byte_at_a_time_takes_its_time_and_comes_alone() {
    let (address, first_read) = server(echo);
    let started = Instant::now();
    let pace = Pace::ByteEvery(Duration::from_millis(5));
    assert_eq!(peer::exchange_with(address, b"hello", pace).unwrap(), b"hello");
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert!(first_read.recv().unwrap().unwrap() < 5);
}

#[test]
fn a_half_closed_peer_gets_all_that_was_sent() {
    let (address, _) = server(echo);
    assert_eq!(peer::half_close(address, b"hello").unwrap(), b"hello");
}

#[test]
fn a_reset_is_a_reset() {
    // Reads after the reset has come: the byte that was sent is thrown away with it.
    let (address, read) = server(|mut stream| stream.read_to_end(&mut Vec::new()));
    peer::reset(address, b"x").unwrap();
    assert_eq!(read.recv().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn one_that_never_reads_fills_the_buffers() {
    let (address, _) = server(echo);
    let (_stream, sent) = peer::never_reads(address).unwrap();
    assert!((10_000..64 << 20).contains(&sent), "{sent} bytes");
}

#[test]
fn a_server_that_closes_early_is_an_error_and_no_hang() {
    let (address, _) = server(drop);
    let error = peer::exchange(address, &peer::pattern(3, 16 << 20)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

#[test]
fn held_connections_are_all_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = peer::hold(listener.local_addr().unwrap(), 5).unwrap();
    let accepted: Vec<_> = listener.incoming().take(held.len()).map(Result::unwrap).collect();
    assert_eq!(accepted.len(), 5);
}

#[test]
fn a_refused_port_refuses() {
    let port = peer::refused_port();
    let error = peer::connect(port.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_silent_listener_answers_nobody() {
    let silent = peer::SilentListener::start();
    let short = Duration::from_millis(100);
    let error = TcpStream::connect_timeout(&silent.address(), short).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_pattern_is_splitmix64() {
    // The first number of the published generator from the seed 0.
    assert_eq!(peer::pattern(0, 8), 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
    assert_eq!(peer::pattern(7, 11), peer::pattern(7, 20)[..11]);
    assert_ne!(peer::pattern(7, 20), peer::pattern(8, 20));
}
