//! restart: a server that is started again at once gets its port, and nobody else has it then.

use std::net::SocketAddr;
use std::time::Duration;

use netcheck::{Signal, evidence, tree};

use super::{Check, Exercise, Fault, Service, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "restart",
    recipe: "echo-server",
    args: &["--port", "{port}"],
    checks: &[
        Check {
            id: "restart",
            statement: "a server that was killed while a client was connected starts again at once",
            run: restart,
        },
        Check {
            id: "alone",
            statement: "a second server does not get a port that the first one listens on",
            run: alone,
        },
        Check {
            id: "orderly",
            statement: "when the server ends, its client receives the end of the stream",
            run: orderly,
        },
    ],
};

/// What shows by hand what the port is still taken for, beside the server.
const BY_HAND: &[&str] = &[
    "cat < /dev/tcp/127.0.0.1/7777 &",
    "kill -KILL %1; sleep 1; ss -tan 'sport = :7777'   # TIME-WAIT: then start the server again",
];

/// How long a connection may take until it is in TIME_WAIT: FIN goes both ways.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

fn restart(subject: &Subject) -> Result<String, Fault> {
    let first = subject.serve()?;
    let mut client = first.connect()?;
    client.echo(&subject.line(1))?;
    let address = end(&first)?;
    drop(client);
    let port = address.port();
    let waiting = || (evidence::in_time_wait(port) > 0).then_some(());
    let waits = evidence::wait_until(CLOSE_TIMEOUT, waiting).is_some();
    let again = subject.serve_at(address).map_err(|fault| fault.again(BY_HAND))?;
    let again = again.ok_or_else(|| Fault::Broken("another program has the port".to_owned()))?;
    again.connect()?.echo(&subject.line(2))?;
    let left = if waits { "in TIME_WAIT" } else { "reset" };
    Ok(format!("the connection of before is {left} (/proc/net/tcp)"))
}

fn alone(subject: &Subject) -> Result<String, Fault> {
    let first = subject.serve()?;
    reuses_address(&first)?;
    if let Some(second) = subject.serve_at(first.address())? {
        let got = format!("pid {} listens there, and pid {} too", first.pid(), second.pid());
        let expected = "the second server ends: bind or listen fails with EADDRINUSE";
        return Err(second.wrong(expected, got, "/proc/net/tcp has two listeners of the port"));
    }
    first.connect()?.echo(&subject.line(1))?;
    Ok(format!("{} has one listener (/proc/net/tcp)", first.address()))
}

fn orderly(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    reuses_address(&service)?;
    let mut client = service.connect()?;
    client.echo(&subject.line(1))?;
    end(&service)?;
    client.receive_end("the end of the stream (FIN)")?;
    Ok("recv returns 0".to_owned())
}

/// What makes the restart possible, and has to be there when its side effects are looked for.
fn reuses_address(service: &Service) -> Result<(), Fault> {
    let asked = service.listener()?.reuse_address();
    let is_set = asked.map_err(|why| Fault::Broken(format!("getsockopt: {why}")))?;
    let expected = "SO_REUSEADDR of the listener is 1";
    is_set.then_some(()).ok_or_else(|| service.wrong(expected, "0", "getsockopt"))
}

/// Kills the server, and waits until it listens no longer.
fn end(service: &Service) -> Result<SocketAddr, Fault> {
    let address = service.address();
    tree::send(service.pid(), Signal::SIGKILL);
    let listens = || format!("{address} is listened on");
    service.until("the server has ended", || match evidence::is_listening(address) {
        true => Err((listens(), "/proc/net/tcp".to_owned())),
        false => Ok(String::new()),
    })?;
    Ok(address)
}
