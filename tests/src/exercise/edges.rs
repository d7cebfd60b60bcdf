//! edges: a server that is told of a change once does all that the change has brought, and then waits.

use std::io;

use socket2::{Domain, Socket, Type};

use super::{Check, Client, Exercise, Fault, Service, Subject, idle};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "edges",
    recipe: "epoll-echo",
    args: &["--port", "{port}", "--edge"],
    checks: &[
        Check {
            id: "burst",
            statement: "150,000 bytes that arrive before the server looks come back whole",
            run: burst,
        },
        Check {
            id: "end",
            statement: "five clients whose line and FIN arrive together get their line and the end",
            run: end,
        },
        Check {
            id: "slow-reader",
            statement: "a client that reads only after it has sent megabytes gets every byte",
            run: slow_reader,
        },
        Check {
            id: "asleep",
            statement: "when all has come back, the server waits without processor time",
            run: asleep,
        },
    ],
};

/// More than two buffers of the recipe.
const BURST: usize = 150_000;

/// What shows by hand that the end is not heard.
const BY_HAND: &[&str] = &[
    "kill -STOP %1; (echo hello; sleep 1) | timeout 5 ncat 127.0.0.1 7777 &",
    "sleep 2; kill -CONT %1; ss -tn 'sport = :7777'   # CLOSE-WAIT: FIN came, and no close",
];

fn burst(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let client = come_back_at_once(&service, subject, BURST)?;
    client.finish()?;
    Ok(format!("{BURST} bytes were in the server's receive queue when it ran again"))
}

fn end(subject: &Subject) -> Result<String, Fault> {
    const CLIENTS: usize = 5;
    let service = subject.serve()?;
    // One that the server knows already, and others that it has to accept.
    let mut clients = vec![service.connect()?];
    clients.iter_mut().try_for_each(|client| client.echo(&subject.line(0)))?;
    let clients = service.while_it_stands_still(|| {
        for _ in 1..CLIENTS {
            clients.push(service.connect()?);
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&subject.line(number))?;
            client.fin();
        }
        Ok(clients)
    })?;
    for (number, mut client) in clients.into_iter().enumerate() {
        let from_one = |fault: Fault| fault.again(BY_HAND);
        client.receive(&subject.line(number)).map_err(from_one)?;
        let expected = "the server closes the connection: the client's FIN came with its line";
        client.receive_end(expected).map_err(from_one)?;
    }
    Ok(format!("{CLIENTS} clients: recv returns their line, then 0"))
}

fn slow_reader(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut client = service.connect_narrow()?;
    let sent = client.fill(&subject.bytes(64 * 1024))?;
    client.receive(&sent)?;
    client.finish()?;
    Ok(format!("{} bytes were on their way when the client began to read", sent.len()))
}

fn asleep(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let _stays = come_back_at_once(&service, subject, BURST)?;
    service.until(idle::EXPECTED, || idle::look(service.pid()))
}

/// A client whose bytes arrive while the server stands still, and come back then.
fn come_back_at_once<'a>(
    service: &'a Service,
    subject: &Subject,
    count: usize,
) -> Result<Client<'a>, Fault> {
    // Connections inherit it: the window is then so large that all bytes arrive at once.
    let room = 2 * count;
    let set = service.listener()?.set_recv_buffer_size(room);
    set.map_err(|why| Fault::Broken(format!("setsockopt SO_RCVBUF: {why}")))?;
    let connect = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(room)?;
        socket.connect(&service.address().into())?;
        Ok::<_, io::Error>(socket)
    };
    let mut client = match connect() {
        Ok(socket) => Client::new(service, socket.into())?,
        Err(why) => return Err(service.wrong("a connection", format!("connect: {why}"), "")),
    };
    // The server knows it, and has said how large its window is.
    client.echo(&subject.line(0))?;
    let bytes = subject.bytes(count);
    service.while_it_stands_still(|| client.send(&bytes))?;
    client.receive(&bytes)?;
    Ok(client)
}
