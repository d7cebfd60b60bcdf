//! who-was-asked: a server of datagrams at all addresses replies from the one that was asked.

use std::net::Ipv4Addr;

use netcheck::{Signal, evidence, tree};

use super::{Check, Exercise, Fault, Service, Subject, shown};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "who-was-asked",
    recipe: "udp-echo",
    args: &["--host", "0.0.0.0", "--port", "{port}", "--buffer", "4096"],
    checks: &[
        Check {
            id: "asked",
            statement: "each reply comes from the address that the request was sent to",
            run: asked,
        },
        Check {
            id: "each-its-own",
            statement: "of three requests that wait together, each client gets its own reply",
            run: each_its_own,
        },
        Check {
            id: "whole",
            statement: "a datagram comes back whole, an empty one too, or not at all",
            run: whole,
        },
        Check {
            id: "send-fails",
            statement: "a reply that cannot be sent is lost, and the others are sent",
            run: send_fails,
        },
    ],
};

/// Every address of 127.0.0.0/8 is one of this machine.
const FIRST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const THIRD: Ipv4Addr = Ipv4Addr::new(127, 3, 2, 1);

/// What shows by hand from where a reply comes, beside the server.
const BY_HAND: &[&str] =
    &["echo hello | ncat -u -i 1 127.0.0.2 7777   # prints nothing: it hears 127.0.0.2 only"];

fn asked(subject: &Subject) -> Result<String, Fault> {
    let service = ready(subject.serve_datagrams()?)?;
    let client = service.datagram_client()?;
    for (number, address) in [SECOND, FIRST, THIRD].into_iter().enumerate() {
        let echo = client.echo(address, &subject.line(number));
        echo.map_err(|fault| fault.again(BY_HAND))?;
    }
    Ok(format!("{SECOND}, {FIRST} and {THIRD} (recvfrom)"))
}

fn each_its_own(subject: &Subject) -> Result<String, Fault> {
    let service = ready(subject.serve_datagrams()?)?;
    let clients =
        [service.datagram_client()?, service.datagram_client()?, service.datagram_client()?];
    let requests: Vec<_> = clients.iter().zip([SECOND, THIRD, FIRST]).zip(1..).collect();
    stop(&service)?;
    for ((client, address), number) in &requests {
        client.send(*address, &subject.line(*number))?;
    }
    tree::send(service.pid(), Signal::SIGCONT);
    for ((client, address), number) in &requests {
        client.receive_from(*address, &subject.line(*number))?;
    }
    Ok(format!("3 clients, which asked {SECOND}, {THIRD} and {FIRST}"))
}

fn whole(subject: &Subject) -> Result<String, Fault> {
    /// More than the server has room for.
    const LONG: usize = 60_000;
    let service = ready(subject.serve_datagrams()?)?;
    let client = service.datagram_client()?;
    for length in [0, 1, 4096] {
        client.echo(SECOND, &subject.bytes(length))?;
    }
    let (long, next) = (subject.bytes(LONG), subject.line(1));
    client.send(SECOND, &long)?;
    client.send(SECOND, &next)?;
    let expected = format!("{} next, and nothing, or all, of {LONG} bytes before it", shown(&next));
    let (mut got, _) = client.receive(&expected)?;
    if got == long {
        (got, _) = client.receive(&expected)?;
    }
    if got != next {
        let got = format!("{} bytes: {}", got.len(), shown(&got));
        return Err(service.wrong(&expected, got, "recvfrom"));
    }
    Ok(format!("0, 1 and 4096 bytes came back, and no part of {LONG}"))
}

fn send_fails(subject: &Subject) -> Result<String, Fault> {
    /// The first is the reply that says that the server is ready.
    const SECOND_REPLY: &str = "inject=sendto,sendmsg,sendmmsg:error=EPERM:when=2";
    let trace = "trace=sendto,sendmsg,sendmmsg";
    let (service, trace) = subject.serve_datagrams_traced(&[trace, SECOND_REPLY])?;
    let service = ready(service)?;
    let client = service.datagram_client()?;
    stop(&service)?;
    for number in 1..=3 {
        client.send(SECOND, &subject.line(number))?;
    }
    tree::send(service.pid(), Signal::SIGCONT);
    let failed = || {
        let calls = trace.calls();
        let failed = calls.iter().find(|call| call.result.contains("(INJECTED)"));
        failed.map(|call| format!("{}: {}", call.name, call.result))
    };
    let evidence = service.until("the server replies to the first request", || {
        failed().ok_or(("it does not".to_owned(), "strace".to_owned()))
    })?;
    for number in [2, 3] {
        client.receive_from(SECOND, &subject.line(number)).map_err(|mut fault| {
            if let Fault::Wrong(wrong) = &mut fault {
                wrong.evidence = format!("{}; of 3 requests, {evidence}", wrong.evidence);
            }
            fault
        })?;
    }
    Ok(format!("{evidence}; the replies to the next two came"))
}

/// A server that has replied once: it has set its options, before its first request or after it.
fn ready(service: Service) -> Result<Service, Fault> {
    let client = service.datagram_client()?;
    client.echo(FIRST, b"ready?")?;
    drop(client);
    Ok(service)
}

/// Stops the server until it gets SIGCONT: what is sent to it waits in the queue of its socket.
fn stop(service: &Service) -> Result<(), Fault> {
    tree::send(service.pid(), Signal::SIGSTOP);
    let stopped = service.until("it obeys SIGSTOP", || match evidence::state(service.pid()) {
        Some('T' | 't') => Ok(String::new()),
        state => Err((format!("state {state:?}"), "/proc/PID/stat".to_owned())),
    });
    stopped.map(drop)
}
