//! Peers that others wrote: socat, ncat, Python's sockets and asyncio, curl.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Server, Skip, evidence, need, peer};

use crate::{stream_servers, tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "peers",
        tests![
            socat_gets_16_mib_back_through_small_buffers,
            ncat_gets_its_bytes_back,
            python_sockets_get_their_bytes_back,
            python_asyncio_gets_its_bytes_back,
            curl_speaks_telnet_to_it,
            our_client_checks_socat,
            our_client_checks_python,
            others_ask_our_server_of_datagrams,
            our_client_of_datagrams_asks_others,
        ],
    )
}

const MINUTE: Duration = Duration::from_secs(60);

/// Runs a client against every server: what it reads on standard input it must print.
fn echoes(program: &str, bytes: &[u8], args: impl Fn(&str) -> Vec<String>) {
    for name in stream_servers::names() {
        let server = Server::start(&name, ["--port", "0"]);
        let args = args(&server.address().port().to_string());
        let finished = Run::program(program).args(&args).stdin(bytes).deadline(MINUTE).finish();
        came_back(&finished, bytes, &format!("{name}, {program} {args:?}"));
    }
}

fn came_back(finished: &Finished, bytes: &[u8], what: &str) {
    assert!(finished.status.success(), "{what}: {}", finished.stderr_text());
    let got = &finished.stdout;
    assert!(got == bytes, "{what}: {} of {} bytes", got.len(), bytes.len());
}

fn socat_gets_16_mib_back_through_small_buffers() -> Result<(), Skip> {
    need(Need::Socat)?;
    echoes("socat", &peer::pattern(4, 16 * 1024 * 1024), |port| {
        // -t: how long it waits for the rest after its own end of input.
        ["-t", "30", "-", &format!("TCP:127.0.0.1:{port},sndbuf=4096,rcvbuf=4096")]
            .map(str::to_owned)
            .into()
    });
    Ok(())
}

fn ncat_gets_its_bytes_back() -> Result<(), Skip> {
    need(Need::Ncat)?;
    echoes("ncat", &peer::pattern(5, 1024 * 1024), |port| {
        ["127.0.0.1", port].map(str::to_owned).into()
    });
    Ok(())
}

const PYTHON_SOCKETS: &str = r"
import socket, sys, threading
data = sys.stdin.buffer.read()
with socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=30) as s:
    def send():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    threading.Thread(target=send).start()
    while piece := s.recv(65536):
        sys.stdout.buffer.write(piece)
";

fn python_sockets_get_their_bytes_back() -> Result<(), Skip> {
    need(Need::Python3)?;
    echoes("python3", &peer::pattern(6, 4 * 1024 * 1024), |port| {
        ["-c", PYTHON_SOCKETS, port].map(str::to_owned).into()
    });
    Ok(())
}

const PYTHON_ASYNCIO: &str = r"
import asyncio, sys
data = sys.stdin.buffer.read()
async def main():
    reader, writer = await asyncio.open_connection('127.0.0.1', int(sys.argv[1]))
    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()
    _, got = await asyncio.gather(send(), reader.read())
    sys.stdout.buffer.write(got)
asyncio.run(main())
";

fn python_asyncio_gets_its_bytes_back() -> Result<(), Skip> {
    need(Need::Python3)?;
    echoes("python3", &peer::pattern(7, 4 * 1024 * 1024), |port| {
        ["-c", PYTHON_ASYNCIO, port].map(str::to_owned).into()
    });
    Ok(())
}

fn curl_speaks_telnet_to_it() -> Result<(), Skip> {
    need(Need::Curl)?;
    for name in stream_servers::names() {
        let server = Server::start(&name, ["--port", "0"]);
        // curl leaves at the end of its input, whatever is still on its way: keep the input open.
        let script = r#"{ echo hello; exec sleep 60; } | curl -sN "telnet://127.0.0.1:$1""#;
        let port = server.address().port().to_string();
        let mut curl = Run::script(script).arg(&port).start();
        assert_eq!(curl.next_line(Duration::from_secs(10)).as_deref(), Some("hello"), "{name}");
    }
    Ok(())
}

/// Our client against a server of another kind, whose port is the last argument of its command.
fn checks(program: &str, args: impl Fn(&str) -> Vec<String>) {
    let port = peer::refused_port();
    let address = port.address();
    let number = address.port().to_string();
    drop(port);
    let _server = Run::program(program).args(args(&number)).start();
    let listening = || evidence::is_listening(address).then_some(());
    evidence::wait_until(Duration::from_secs(10), listening).expect(program);
    for what in [&["hello"][..], &["--size", "4194304"], &["--count", "100"]] {
        let client =
            Run::new("echo-client").args(["--host", "127.0.0.1", "--port", &number]).args(what);
        let finished = client.finish();
        assert_eq!(finished.code(), Some(0), "{program} {what:?}: {}", finished.stderr_text());
    }
    let clients =
        Run::new("forking-client").args(["--host", "127.0.0.1", "--port", &number]).finish();
    assert_eq!(clients.code(), Some(0), "{program}: {}", clients.stderr_text());
}

fn our_client_checks_socat() -> Result<(), Skip> {
    need(Need::Socat)?;
    checks("socat", |port| {
        let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr");
        // A block larger than PIPE_BUF may not fit into the pipe that only socat itself empties.
        ["-b", "4096", &listen, "PIPE"].map(str::to_owned).into()
    });
    Ok(())
}

const PYTHON_SERVER: &str = r"
import asyncio, sys
async def echo(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, '127.0.0.1', int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
";

fn our_client_checks_python() -> Result<(), Skip> {
    need(Need::Python3)?;
    checks("python3", |port| ["-c", PYTHON_SERVER, port].map(str::to_owned).into());
    Ok(())
}

const PYTHON_DATAGRAMS: &str = r"
import socket, sys
data = sys.stdin.buffer.read()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(30)
    s.sendto(data, ('127.0.0.1', int(sys.argv[1])))
    sys.stdout.buffer.write(s.recv(65536))
";

/// Programs that send their standard input as datagrams and print what comes back.
fn others_ask_our_server_of_datagrams() -> Result<(), Skip> {
    let server = Server::start("udp-echo", ["--port", "0"]);
    let port = server.address().port().to_string();
    let socat =
        ["-t", "2", "-b", "65507", "-", &format!("UDP:127.0.0.1:{port}")].map(str::to_owned);
    // It leaves at the end of its input, before the answer has come: it is given one without an end,
    // and leaves when nothing has come for a second.
    let endless = r#"d=$(mktemp -d); mkfifo "$d/p"; exec 3<> "$d/p"; rm -r "$d"
        cat >&3; exec ncat -u -i 1 127.0.0.1 "$1" <&3"#;
    let python = ["-c", PYTHON_DATAGRAMS, &port].map(str::to_owned);
    for (tool, run, size) in [
        (Need::Socat, Run::program("socat").args(socat), 60_000),
        (Need::Ncat, Run::script(endless).arg(&port), 1_000),
        (Need::Python3, Run::program("python3").args(python), 65_507),
    ] {
        need(tool)?;
        let bytes = peer::pattern(8, size);
        let program = run.command_line();
        let finished = run.stdin(bytes.as_slice()).finish();
        let got = finished.stdout.len();
        assert!(finished.stdout == bytes, "{program}: {got} of {size} bytes: {finished:?}");
    }
    Ok(())
}

const PYTHON_DATAGRAM_SERVER: &str = r"
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(('127.0.0.1', int(sys.argv[1])))
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)
";

fn our_client_of_datagrams_asks_others() -> Result<(), Skip> {
    let free = peer::refused_datagrams();
    let address = free.address();
    let port = address.port().to_string();
    drop(free);
    let socat = ["-b", "65507", &format!("UDP-RECVFROM:{port},bind=127.0.0.1,fork"), "PIPE"];
    for (tool, program, args, size) in [
        // Each datagram goes through a pipe, which an atomic write must fit.
        (Need::Socat, "socat", &socat[..], "4096"),
        (Need::Python3, "python3", &["-c", PYTHON_DATAGRAM_SERVER, &port], "65507"),
    ] {
        need(tool)?;
        let server = Run::program(program).args(args).start();
        let bound = || (!evidence::datagram_sockets(address).is_empty()).then_some(());
        evidence::wait_until(Duration::from_secs(10), bound).expect(program);
        for what in [&["hello"][..], &["--size", size], &["--count", "50"]] {
            let client = ["--host", "127.0.0.1", "--port", &port];
            let finished = Run::new("udp-client").args(client).args(what).finish();
            assert_eq!(finished.code(), Some(0), "{program} {what:?}: {}", finished.stderr_text());
        }
        drop(server);
    }
    Ok(())
}
