//! How a program ends: a test for each exit code that can be brought about from outside.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use netcheck::peer::{SilentListener, refused_datagrams, refused_port};
use netcheck::{Finished, Run, Server, Signal, Skip, evidence};

use super::{Kind, Tool, Topic, ended, topics};

pub(super) const TOPICS: &[(&str, Kind, Topic)] = topics![
    Server:
        a_server_that_is_asked_to_stop_ends_with_0,
        a_port_that_is_taken_is_71,
        a_port_without_the_right_to_it_is_77;
    Client:
        an_answer_that_the_protocol_does_not_allow_is_65,
        a_server_that_is_not_there_is_69,
        an_input_that_cannot_be_read_is_74,
        a_server_that_does_not_answer_is_75,
        a_client_ended_by_a_signal_says_so;
];

const SOON: Duration = Duration::from_secs(10);

fn a_server_that_is_asked_to_stop_ends_with_0(tool: &Tool) -> Result<(), Skip> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = Server::start_run(tool.run(tool.needed("0")));
        server.signal(signal);
        let status = server.wait(SOON).expect("it ends");
        assert_eq!(status.code(), Some(0), "{signal}: {}", server.stderr());
    }
    Ok(())
}

fn a_port_that_is_taken_is_71(tool: &Tool) -> Result<(), Skip> {
    let server = Server::start_run(tool.run(tool.needed("0")));
    let finished = tool.run(tool.needed(&server.address().port().to_string())).finish();
    let error = format!("bind {}: Address already in use (EADDRINUSE)", server.address());
    ended(&finished, &[71], &format!("{}: {error}\nhint: ", tool.name));
    Ok(())
}

fn a_port_without_the_right_to_it_is_77(tool: &Tool) -> Result<(), Skip> {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim() == "0" || first.trim() == "1") {
        return Err(Skip { reason: "needs ports that take a right".to_owned() });
    }
    let run = tool.run(tool.needed("1")).unprivileged()?;
    let error = "bind 127.0.0.1:1: Permission denied (EACCES)";
    ended(&run.finish(), &[77], &format!("{}: {error}\nhint: ", tool.name));
    Ok(())
}

/// It, asking a port of 127.0.0.1.
fn client(tool: &Tool, port: u16) -> Run {
    tool.run(tool.needed(&port.to_string())).args(["--host", "127.0.0.1"])
}

fn a_server_that_is_not_there_is_69(tool: &Tool) -> Result<(), Skip> {
    let (stream, datagram) = (refused_port(), refused_datagrams());
    let nobody = if tool.datagrams { datagram.address() } else { stream.address() };
    let finished = client(tool, nobody.port()).finish();
    let error = format!("{} {nobody}: Connection refused (ECONNREFUSED)", tool.attempt());
    ended(&finished, &[69], &format!("{}: {error}\nhint: ", tool.name));
    Ok(())
}

fn a_server_that_does_not_answer_is_75(tool: &Tool) -> Result<(), Skip> {
    let silent = Silent::start(tool);
    let finished = client(tool, silent.address().port()).args(["--timeout", "200ms"]).finish();
    let error = format!("{} {}: timed out after 200ms\n", tool.attempt(), silent.address());
    ended(&finished, &[75], &format!("{}: {error}", tool.name));
    assert!(finished.elapsed >= Duration::from_millis(200), "{:?}", finished.elapsed);
    Ok(())
}

/// A server that is there, and says nothing.
enum Silent {
    Stream(SilentListener),
    Datagrams(UdpSocket),
}

impl Silent {
    fn start(tool: &Tool) -> Self {
        if tool.datagrams {
            Self::Datagrams(UdpSocket::bind("127.0.0.1:0").unwrap())
        } else {
            Self::Stream(SilentListener::start())
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Stream(listener) => listener.address(),
            Self::Datagrams(socket) => socket.local_addr().unwrap(),
        }
    }
}

fn an_answer_that_the_protocol_does_not_allow_is_65(tool: &Tool) -> Result<(), Skip> {
    if !tool.codes().contains(&65) {
        return Ok(());
    }
    let (address, finished) =
        if tool.datagrams { ask_nonsense_of_datagrams(tool) } else { ask_nonsense(tool) };
    ended(&finished, &[65], &format!("{}: {address}: ", tool.name));
    // What the peer sent is shown escaped: no raw byte of it gets through.
    let said = String::from_utf8(finished.stderr).expect("UTF-8");
    assert!(!said.trim_end().contains(char::is_control), "{said:?}");
    Ok(())
}

/// Bytes that are no answer to anything, nor fit to be shown.
const NONSENSE: &[u8] = b"\x1b[31m\xff\0\n";

/// Asks a server that answers one datagram with nonsense.
fn ask_nonsense_of_datagrams(tool: &Tool) -> (SocketAddr, Finished) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let address = socket.local_addr().unwrap();
    let finished = thread::scope(|scope| {
        scope.spawn(|| {
            let (_, peer) = socket.recv_from(&mut [0; 4096]).expect("it asks");
            socket.send_to(NONSENSE, peer).unwrap();
        });
        client(tool, address.port()).finish()
    });
    (address, finished)
}

/// Asks a server that answers every connection with nonsense.
fn ask_nonsense(tool: &Tool) -> (SocketAddr, Finished) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let over = AtomicBool::new(false);
    let finished = thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // The client may leave at any moment, and well it may.
                let _ = answer_nonsense(stream);
            }
        });
        let finished = client(tool, address.port()).finish();
        over.store(true, Ordering::Relaxed);
        // The accept that waits has to return.
        drop(TcpStream::connect(address));
        finished
    });
    (address, finished)
}

/// Takes a request, answers with bytes that are no answer to anything, and takes the rest, so that no
/// reset overtakes the answer.
fn answer_nonsense(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    let mut buffer = [0; 4096];
    if stream.read(&mut buffer)? > 0 {
        stream.write_all(&NONSENSE.repeat(8))?;
    }
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn an_input_that_cannot_be_read_is_74(tool: &Tool) -> Result<(), Skip> {
    if tool.has("--stdin") {
        let partner = tool.partner();
        let mut args = tool.needed(&partner.address().port().to_string());
        args.push("--stdin".to_owned());
        let finished = tool.redirected("< /", args).finish();
        let error = "read from standard input: Is a directory (EISDIR)";
        ended(&finished, &[74], &format!("{}: {error}\n", tool.name));
    }
    Ok(())
}

fn a_client_ended_by_a_signal_says_so(tool: &Tool) -> Result<(), Skip> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let silent = Silent::start(tool);
        let client = client(tool, silent.address().port()).args(["--timeout", "none"]).start();
        let has_socket = || {
            let open = evidence::descriptors(client.pid());
            open.values().any(|target| target.starts_with("socket:")).then_some(())
        };
        evidence::wait_until(SOON, has_socket).expect("it connects");
        client.signal(signal);
        let status = client.wait(SOON).expect("it ends");
        // What the shell shows as 128 and the signal's number.
        assert_eq!(status.signal(), Some(signal as i32), "{}", client.stderr());
    }
    Ok(())
}
