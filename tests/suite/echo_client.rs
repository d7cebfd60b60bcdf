//! echo-client with servers that misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Run, Server, Skip, peer};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "echo_client",
        tests![
            a_changed_byte_is_named_with_its_offset,
            a_server_that_closes_early_is_a_protocol_error,
            too_many_bytes_are_a_protocol_error,
            more_after_the_end_is_a_protocol_error,
            a_server_that_closes_between_two_messages_has_gone,
            a_reset_is_cut_off,
            a_silent_server_is_a_timeout,
            a_server_that_never_accepts_is_a_timeout,
            sixty_four_mebibytes_do_not_deadlock,
            standard_input_comes_back_on_standard_output,
            a_server_that_echoes_slowly_is_waited_for,
            every_address_of_a_name_is_tried,
            the_statistics_count_every_round_trip,
            empty_input_is_no_error,
            the_order_of_nc_gets_a_hint,
            one_is_no_plural,
        ],
    )
}

/// A server for one connection that does what it is told to.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    address
}

fn client(address: SocketAddr, args: &[&str]) -> Finished {
    let port = address.port().to_string();
    Run::new("echo-client").args(["--host", "127.0.0.1", "--port", &port]).args(args).finish()
}

/// The client fails with the code, and says why in one line that has the words.
fn fails(finished: &Finished, code: i32, words: &str) {
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(code), "{said}");
    assert!(said.starts_with("echo-client: ") && said.contains(words), "{said}");
    assert_eq!(said.lines().filter(|line| !line.starts_with("hint: ")).count(), 1, "{said}");
}

fn a_changed_byte_is_named_with_its_offset() -> Result<(), Skip> {
    let address = server(|mut stream| {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(b"heLlo").unwrap();
        let _ = stream.read(&mut bytes);
    });
    let words = "byte 2 was sent as 0x6c and came back as 0x4c";
    fails(&client(address, &["hello"]), 65, words);
    Ok(())
}

fn a_server_that_closes_early_is_a_protocol_error() -> Result<(), Skip> {
    let address = server(|mut stream| {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(b"hel").unwrap();
    });
    fails(&client(address, &["hello"]), 65, "closed after 3 bytes, 2 missing");
    Ok(())
}

fn too_many_bytes_are_a_protocol_error() -> Result<(), Skip> {
    let address = server(|mut stream| {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(b"hello!!").unwrap();
        let _ = stream.read(&mut bytes);
    });
    fails(&client(address, &["hello"]), 65, "2 bytes more than were sent");
    Ok(())
}

fn more_after_the_end_is_a_protocol_error() -> Result<(), Skip> {
    let address = server(|mut stream| {
        let mut bytes = Vec::new();
        let mut reply = [0; 5];
        stream.read_exact(&mut reply).unwrap();
        stream.write_all(&reply).unwrap();
        // The FIN of the client ends this.
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(b"PS").unwrap();
    });
    fails(&client(address, &["hello"]), 65, "at least 2 bytes more than were sent");
    Ok(())
}

fn a_server_that_closes_between_two_messages_has_gone() -> Result<(), Skip> {
    // It takes the second message too, or its close would be a reset.
    for (echoed, words) in
        [(0, "closed after 0 bytes, 5 missing"), (5, "closed after 5 bytes, 5 missing")]
    {
        let address = server(move |mut stream| {
            let mut bytes = [0; 5];
            for _ in 0..echoed / 5 {
                stream.read_exact(&mut bytes).unwrap();
                stream.write_all(&bytes).unwrap();
            }
            stream.read_exact(&mut bytes).unwrap();
        });
        fails(&client(address, &["--count", "2", "hello"]), 69, words);
    }
    Ok(())
}

fn a_reset_is_cut_off() -> Result<(), Skip> {
    let address = server(|stream| {
        // Closed with bytes unread: RST.
        stream.peek(&mut [0; 1]).unwrap();
    });
    fails(&client(address, &["hello"]), 69, "ECONNRESET");
    Ok(())
}

fn a_silent_server_is_a_timeout() -> Result<(), Skip> {
    let address = server(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let words = "(5 bytes still to come): timed out after 200ms";
    fails(&client(address, &["--timeout", "200ms", "hello"]), 75, words);
    Ok(())
}

fn a_server_that_never_accepts_is_a_timeout() -> Result<(), Skip> {
    let silent = peer::SilentListener::start();
    let finished = client(silent.address(), &["--timeout", "300ms"]);
    fails(&finished, 75, "connect to 127.0.0.1:");
    assert!(finished.elapsed >= Duration::from_millis(300));
    Ok(())
}

fn sixty_four_mebibytes_do_not_deadlock() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0"]);
    let finished = client(server.address(), &["--size", "64M", "--timeout", "60s"]);
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.stdout_text().contains("echoed 67108864 bytes"), "{}", finished.stdout_text());
    Ok(())
}

fn standard_input_comes_back_on_standard_output() -> Result<(), Skip> {
    let bytes = peer::pattern(9, 8 * 1024 * 1024);
    let server = Server::start("forking-echo", ["--port", "0"]);
    let port = server.address().port().to_string();
    let run = Run::new("echo-client").args(["--port", &port, "--stdin"]).stdin(bytes.clone());
    let finished = run.finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.stdout == bytes, "{} of {} bytes", finished.stdout.len(), bytes.len());
    Ok(())
}

fn a_server_that_echoes_slowly_is_waited_for() -> Result<(), Skip> {
    // Each byte arrives well within the idle timeout, all of them together do not.
    let address = server(|mut stream| {
        let mut byte = [0; 1];
        while stream.read(&mut byte).is_ok_and(|read| read == 1) {
            thread::park_timeout(Duration::from_millis(30));
            stream.write_all(&byte).unwrap();
        }
    });
    let finished = client(address, &["--idle-timeout", "300ms", "twenty bytes, slowly"]);
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.elapsed >= Duration::from_millis(300));
    Ok(())
}

fn every_address_of_a_name_is_tried() -> Result<(), Skip> {
    // localhost is ::1 and 127.0.0.1, or 127.0.0.1 alone: the server has the last of them.
    let server = Server::start("echo-server", ["--port", "0", "--host", "127.0.0.1"]);
    let port = server.address().port().to_string();
    let finished = Run::new("echo-client").args(["--host", "localhost", "--port", &port]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    Ok(())
}

fn the_statistics_count_every_round_trip() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0"]);
    let finished = client(server.address(), &["--count", "250", "--json", "a", "bb"]);
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let summary: serde_json::Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["count"], 500);
    let ns = |key: &str| summary[key].as_u64().unwrap();
    assert!(0 < ns("minimum_ns") && ns("minimum_ns") <= ns("median_ns"));
    assert!(ns("median_ns") <= ns("p99_ns"));
    Ok(())
}

fn empty_input_is_no_error() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0"]);
    for args in [&["--stdin"][..], &["--size", "0"], &[""]] {
        let finished = client(server.address(), args);
        assert_eq!(finished.code(), Some(0), "{args:?}: {}", finished.stderr_text());
    }
    Ok(())
}

fn the_order_of_nc_gets_a_hint() -> Result<(), Skip> {
    for name in ["echo-client", "udp-client"] {
        let finished = Run::new(name).args(["localhost", "7777", "hello"]).finish();
        let hint = format!("hint: {name} --host localhost --port 7777\n");
        let said = format!("{name}: --port: required\n{hint}Try '{name} --help'.\n");
        assert_eq!((finished.code(), finished.stderr_text()), (Some(2), said));
    }
    Ok(())
}

fn one_is_no_plural() -> Result<(), Skip> {
    let server = Server::start("echo-server", ["--port", "0", "-v"]);
    let said = client(server.address(), &["x"]).stdout_text();
    assert!(said.contains(" echoed 1 byte: \"x\" "), "{said}");
    let closed = |log: &str| log.contains(" closed: 1 byte in, 1 out, ");
    assert!(server.wait_stderr(closed, Duration::from_secs(10)), "{}", server.stderr());
    assert!(server.stderr().contains(" sent 1 byte: \"x\"\n"), "{}", server.stderr());
    let port = server.address().port().to_string();
    let alone = Run::new("forking-client").args(["--port", &port, "--clients", "1"]).finish();
    assert!(alone.stdout_text().ends_with("\n1 client, each its own bytes\n"), "{alone:?}");
    Ok(())
}
