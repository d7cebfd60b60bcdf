//! hand-over: a front accepts connections, and gives each to a worker, another process, which serves it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use netcheck::{evidence, sys};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Check, Client, Exercise, Fault, Service, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "hand-over",
    recipe: "fd-pass",
    args: &["{name}", "--port", "{port}"],
    checks: &[
        Check {
            id: "handed-over",
            statement: "the worker is given the connection of each of three clients, and serves it",
            run: handed_over,
        },
        Check {
            id: "end",
            statement: "when the worker closes a connection, its client receives the end",
            run: end,
        },
        Check {
            id: "untouched",
            statement: "what a client has sent before is received by the worker, every byte",
            run: untouched,
        },
        Check {
            id: "no-worker",
            statement: "without a worker a client receives the end, and the front goes on",
            run: no_worker,
        },
        Check {
            id: "descriptors",
            statement: "30 connections leave no descriptor open in the front",
            run: descriptors,
        },
    ],
};

/// How long the front has for anything.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// A front, and the name that it looks for its worker at.
struct Front {
    service: Service,
    name: String,
}

impl Front {
    fn start(subject: &Subject) -> Result<Front, Fault> {
        // Abstract, and another one for each: no other program has it.
        let folder = tempfile::tempdir();
        let folder = folder.map_err(|why| Fault::Broken(format!("make a folder: {why}")))?;
        let name = format!("@hand-over{}", folder.path().to_string_lossy().replace('/', "-"));
        let service = subject.with("{name}", &name).serve()?;
        Ok(Front { service, name })
    }

    /// The worker that we play.
    fn worker(&self) -> Result<Worker<'_>, Fault> {
        let listen = || {
            let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
            socket.bind(&SockAddr::unix(self.name.replacen('@', "\0", 1))?)?;
            socket.listen(64)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let listener = listen().map_err(broken("listen as a worker"))?;
        Ok(Worker { front: self, listener })
    }
}

/// What a worker is: a listener at the name.
struct Worker<'a> {
    front: &'a Front,
    listener: Socket,
}

impl Worker<'_> {
    /// The next connection that the front hands over.
    fn take_over(&self) -> Result<TcpStream, Fault> {
        let service = &self.front.service;
        let accepted = evidence::wait_until(TIMEOUT, || match self.listener.accept() {
            Ok((front, _)) => Some(Ok(front)),
            Err(why) if why.kind() == ErrorKind::WouldBlock => None,
            Err(why) => Some(Err(why)),
        });
        let expected = "the front connects to the worker, a SOCK_SEQPACKET socket";
        let Some(front) = accepted else {
            let got = format!("no connection within {} ms", TIMEOUT.as_millis());
            return Err(service.wrong(expected, got, "accept of the worker"));
        };
        let front = front.map_err(broken("accept as a worker"))?;
        set_timeouts(&front)?;
        let stream = sys::receive_descriptor(front.as_fd()).map_err(|why| {
            let expected = "a message of at least one byte with one descriptor (SCM_RIGHTS)";
            service.wrong(expected, format!("recvmsg: {why}"), "recvmsg of the worker")
        })?;
        let stream = Socket::from(stream);
        set_timeouts(&stream)?;
        Ok(stream.into())
    }

    /// Takes the connection of this client over, and no other.
    fn take_over_from(&self, client: SocketAddr) -> Result<TcpStream, Fault> {
        let stream = self.take_over()?;
        match stream.peer_addr() {
            Ok(peer) if peer == client => Ok(stream),
            other => {
                let expected = format!("the connection of the client at {client}");
                let got = match other {
                    Ok(peer) => format!("that of {peer}"),
                    Err(why) => format!("getpeername: {why}"),
                };
                Err(self.front.service.wrong(&expected, got, "getpeername of the worker"))
            }
        }
    }
}

fn set_timeouts(socket: &Socket) -> Result<(), Fault> {
    let set = socket
        .set_nonblocking(false)
        .and_then(|()| socket.set_read_timeout(Some(TIMEOUT)))
        .and_then(|()| socket.set_write_timeout(Some(TIMEOUT)));
    set.map_err(broken("options of a connection"))
}

fn broken(what: &str) -> impl Fn(std::io::Error) -> Fault {
    move |why| Fault::Broken(format!("{what}: {why}"))
}

fn handed_over(subject: &Subject) -> Result<String, Fault> {
    const CLIENTS: usize = 3;
    let front = Front::start(subject)?;
    let worker = front.worker()?;
    let mut served = Vec::new();
    for number in 0..CLIENTS {
        let mut client = front.service.connect()?;
        let stream = worker.take_over_from(client.address()?)?;
        echo(&worker, &mut client, &stream, &subject.line(number))?;
        served.push((client, stream));
    }
    // All of them at once, and in both directions.
    for (number, (client, stream)) in served.iter_mut().enumerate() {
        echo(&worker, client, stream, &subject.line(CLIENTS + number))?;
    }
    Ok(format!("{CLIENTS} connections, getpeername names the clients"))
}

/// A line goes from the client to the worker and back.
fn echo(
    worker: &Worker,
    client: &mut Client,
    mut stream: &TcpStream,
    line: &[u8],
) -> Result<(), Fault> {
    client.send(line)?;
    receives(worker, stream, line)?;
    let sent = stream.write_all(line);
    sent.map_err(|why| {
        let expected = "the worker can send to the client";
        worker.front.service.wrong(expected, why.to_string(), "send of the worker")
    })?;
    client.receive(line)
}

/// The worker receives exactly these bytes.
fn receives(worker: &Worker, mut stream: &TcpStream, bytes: &[u8]) -> Result<(), Fault> {
    let mut received = vec![0; bytes.len()];
    let got = match stream.read_exact(&mut received) {
        Ok(()) if received == bytes => return Ok(()),
        Ok(()) => super::shown(&received),
        Err(why) if why.kind() == ErrorKind::WouldBlock => "fewer bytes".to_owned(),
        Err(why) => why.to_string(),
    };
    let expected = format!("the worker receives {}", super::shown(bytes));
    Err(worker.front.service.wrong(&expected, got, "recv of the worker"))
}

fn end(subject: &Subject) -> Result<String, Fault> {
    let front = Front::start(subject)?;
    let worker = front.worker()?;
    let mut client = front.service.connect()?;
    let stream = worker.take_over_from(client.address()?)?;
    echo(&worker, &mut client, &stream, &subject.line(1))?;
    drop(stream);
    let again = ["fd-pass @worker --idle-timeout 1s &   # the recipe as a worker", "ss -tnp"];
    let expected = "the end, since nobody but the worker has the connection open";
    client.receive_end(expected).map_err(|fault| fault.again(&again))?;
    Ok("recv of the client returns 0".to_owned())
}

fn untouched(subject: &Subject) -> Result<String, Fault> {
    const BYTES: usize = 10_000;
    let front = Front::start(subject)?;
    let worker = front.worker()?;
    let bytes = subject.bytes(BYTES);
    // All of it is there before the front accepts.
    let client = front.service.while_it_stands_still(|| {
        let mut client = front.service.connect()?;
        client.send(&bytes)?;
        client.fin();
        Ok(client)
    })?;
    let mut stream = worker.take_over_from(client.address()?)?;
    receives(&worker, &stream, &bytes)?;
    match stream.read(&mut [0]) {
        Ok(0) => Ok(format!("{BYTES} bytes, and the end")),
        other => {
            let expected = "the worker receives the client's FIN behind its bytes";
            Err(front.service.wrong(expected, format!("{other:?}"), "recv of the worker"))
        }
    }
}

fn no_worker(subject: &Subject) -> Result<String, Fault> {
    let front = Front::start(subject)?;
    for _ in 0..3 {
        front.service.connect()?.receive_end("the end: there is nobody to serve the client")?;
    }
    let worker = front.worker()?;
    let mut client = front.service.connect()?;
    let stream = worker.take_over_from(client.address()?)?;
    echo(&worker, &mut client, &stream, &subject.line(1))?;
    Ok("3 clients received the end, and the next one was handed over".to_owned())
}

fn descriptors(subject: &Subject) -> Result<String, Fault> {
    const TIMES: usize = 30;
    let front = Front::start(subject)?;
    let service = &front.service;
    let worker = front.worker()?;
    let open = || evidence::descriptors(service.pid()).len();
    let hand_over = || {
        let client = service.connect()?;
        worker.take_over_from(client.address()?)
    };
    hand_over()?;
    let before = open();
    let mut streams = Vec::new();
    for _ in 0..TIMES {
        streams.push(hand_over()?);
    }
    let evidence = format!("/proc/{}/fd", service.pid());
    let expected = format!("about as many descriptors as before: {before}");
    service.until(&expected, || match open() {
        count if count <= before => {
            Ok(format!("{count} descriptors, {before} before ({evidence})"))
        }
        count => Err((format!("{count} descriptors after {TIMES} clients"), evidence.clone())),
    })
}
