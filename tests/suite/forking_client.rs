//! forking-client with servers that answer wrongly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Finished, Run, Server, Skip, evidence};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "forking_client",
        tests![
            bytes_of_another_client_are_a_protocol_error,
            one_process_for_two_clients_is_a_protocol_error,
            a_prefix_that_is_no_pid_is_a_protocol_error,
            pids_of_any_length_are_read,
            a_reply_that_trickles_ends_at_the_deadline,
            hold_keeps_the_clients_connected,
            a_refused_client_is_reported,
        ],
    )
}

/// A server that answers each of `clients` connections with what `reply` makes of its number and
/// its bytes, once all of them have sent.
fn server(clients: u8, reply: impl Fn(u8, &[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let accept = |_| {
            let mut stream = listener.accept().unwrap().0;
            let mut bytes = [0; 64];
            let read = stream.read(&mut bytes).unwrap();
            (stream, bytes[..read].to_vec())
        };
        let streams: Vec<(TcpStream, Vec<u8>)> = (0..clients).map(accept).collect();
        for ((mut stream, bytes), number) in streams.into_iter().zip(0..) {
            let reply = reply(number, &bytes);
            let _ = stream.write_all(&reply);
            if reply.is_empty() {
                continue;
            }
            let _ = stream.read(&mut [0; 1]);
        }
    });
    address
}

fn client(address: SocketAddr, args: &[&str]) -> Finished {
    let port = address.port().to_string();
    Run::new("forking-client").args(["--host", "127.0.0.1", "--port", &port]).args(args).finish()
}

fn fails(finished: &Finished, code: i32, words: &str) {
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

fn bytes_of_another_client_are_a_protocol_error() -> Result<(), Skip> {
    let address = server(2, |_, _| b"Hello from client 1".to_vec());
    let words = "\"Hello from client 2\" was answered with \"Hello from client 1\"";
    fails(&client(address, &["--clients", "2"]), 65, words);
    Ok(())
}

fn one_process_for_two_clients_is_a_protocol_error() -> Result<(), Skip> {
    let address = server(2, |_, bytes| [b"4711: ", bytes].concat());
    fails(&client(address, &["--clients", "2"]), 65, "pid 4711 served two clients at once");
    Ok(())
}

fn a_prefix_that_is_no_pid_is_a_protocol_error() -> Result<(), Skip> {
    for prefix in ["x: ", ": ", "12", "12 ", "-1: "] {
        let address = server(1, move |_, bytes| [prefix.as_bytes(), bytes].concat());
        fails(&client(address, &["--clients", "1"]), 65, "was answered with");
    }
    Ok(())
}

fn pids_of_any_length_are_read() -> Result<(), Skip> {
    let address = server(3, |number, bytes| {
        let pid = [7, 12_345, 4_194_304][usize::from(number)];
        [format!("{pid}: ").as_bytes(), bytes].concat()
    });
    let finished = client(address, &["--clients", "3"]);
    let said = finished.stdout_text();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    for pid in ["pid 7 ", "pid 12345 ", "pid 4194304 "] {
        assert!(said.contains(pid), "{said}");
    }
    Ok(())
}

fn a_reply_that_trickles_ends_at_the_deadline() -> Result<(), Skip> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        // A byte every 100 ms: a timeout for each recv would never expire.
        while stream.write_all(b"1").is_ok() {
            thread::park_timeout(Duration::from_millis(100));
        }
    });
    let begun = Instant::now();
    fails(&client(address, &["--clients", "1", "--timeout", "500ms"]), 75, "timed out after 500ms");
    assert!(begun.elapsed() < Duration::from_secs(5));
    Ok(())
}

fn hold_keeps_the_clients_connected() -> Result<(), Skip> {
    let server = Server::start("forking-echo", ["--port", "0"]);
    let port = server.address().port().to_string();
    let holding = Run::new("forking-client").args(["--port", &port, "--hold", "1h"]).start();
    let three = || (evidence::children(server.pid()).len() == 3).then_some(());
    evidence::wait_until(Duration::from_secs(5), three).expect("three children at once");
    assert!(holding.still_running());
    drop(holding);
    let none = || evidence::children(server.pid()).is_empty().then_some(());
    evidence::wait_until(Duration::from_secs(5), none).expect("no child is left");
    Ok(())
}

fn a_refused_client_is_reported() -> Result<(), Skip> {
    let args = ["--port", "0", "--max-children", "1", "--when-full", "refuse"];
    let full = Server::start("forking-echo", args);
    let _held = scenarios::served(full.address()).unwrap();
    let finished = client(full.address(), &["--clients", "1"]);
    // The close comes as RST, or as FIN where it came before the client's bytes.
    assert_eq!(finished.code(), Some(69), "{finished:?}");
    // Here it has taken them.
    let address = server(1, |_, _| Vec::new());
    fails(&client(address, &["--clients", "1"]), 69, ": closed without a reply\n");
    Ok(())
}
