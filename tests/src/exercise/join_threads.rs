//! join-threads: a server with a thread for each client joins those that have ended, and waits for the others.

use std::fs;
use std::time::Duration;

use netcheck::{Signal, evidence, tree};

use super::{Check, Client, Exercise, Fault, Service, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "join-threads",
    recipe: "threaded-echo",
    args: &["--port", "{port}", "--max-clients", "40", "--grace", "2s"],
    checks: &[
        Check {
            id: "one-after-another",
            statement: "45 clients, one after another, are served, and leave no thread",
            run: one_after_another,
        },
        Check {
            id: "at-once",
            statement: "three times 20 clients at once are served, each to its end",
            run: at_once,
        },
        Check {
            id: "stacks",
            statement: "the stack of a thread that has ended is given back",
            run: stacks,
        },
        Check {
            id: "busy-finish",
            statement: "after SIGTERM a connected client is served to its end, then the server ends with 0",
            run: busy_finish,
        },
        Check {
            id: "stubborn",
            statement: "a client that stays keeps the server for 6 s at most, and it ends with 0",
            run: stubborn,
        },
    ],
};

/// More than the server serves at once: those that have gone must not count.
const MANY: usize = 45;

/// How many come together: a few times that is more than the server serves at once.
const TOGETHER: usize = 20;

/// How long the server may need to react to a signal, before it is looked at.
const REACTION: Duration = Duration::from_millis(300);

fn one_after_another(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let before = threads(&service);
    serve(&service, subject, MANY)?;
    no_more_threads(&service, before)
}

/// Clients that come when the one before has gone, and its thread with it.
fn serve(service: &Service, subject: &Subject, count: usize) -> Result<(), Fault> {
    let before = threads(service);
    (0..count).try_for_each(|number| {
        let mut client = service.connect()?;
        client.echo(&subject.line(number))?;
        client.finish()?;
        no_more_threads(service, before).map(drop)
    })
}

fn at_once(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let before = threads(&service);
    for _ in 0..3 {
        let mut clients = Vec::new();
        for number in 0..TOGETHER {
            clients.push(service.connect()?);
            clients.iter_mut().try_for_each(|client| client.echo(&subject.line(number)))?;
        }
        // Those of the round before have ended now, and have taken no connection of this one with them.
        no_more_threads(&service, before + TOGETHER)?;
        clients.iter_mut().try_for_each(|client| client.echo(&subject.line(TOGETHER)))?;
        clients.into_iter().try_for_each(Client::finish)?;
    }
    Ok(format!("{} clients", 3 * TOGETHER))
}

fn stacks(subject: &Subject) -> Result<String, Fault> {
    /// The first ones also bring what is kept once: memory of the allocator.
    const FIRST: usize = 5;
    const MORE: usize = 30;
    let service = subject.serve()?;
    serve(&service, subject, FIRST)?;
    let before = mappings(&service);
    serve(&service, subject, MORE)?;
    let after = mappings(&service);
    let evidence = format!("lines of /proc/{}/maps", service.pid());
    let grown = after.saturating_sub(before);
    if grown < MORE {
        return Ok(format!("{before} {evidence}, and {after} after {MORE} more clients"));
    }
    let expected = format!("after {MORE} more clients about as many mappings as before: {before}");
    Err(service.wrong(&expected, after.to_string(), evidence))
}

fn busy_finish(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let client = stopping(&service, subject)?;
    client.finish()?;
    ended(&service, Duration::from_secs(1), "after its last client")
}

fn stubborn(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let _client = stopping(&service, subject)?;
    ended(&service, Duration::from_secs(7), "although a client stays")
}

/// A client of a server that has got SIGTERM meanwhile: it is served all the same.
fn stopping<'a>(service: &'a Service, subject: &Subject) -> Result<Client<'a>, Fault> {
    let mut client = service.connect()?;
    client.echo(&subject.line(1))?;
    tree::send(service.pid(), Signal::SIGTERM);
    // A server that ends at once has ended then.
    let waits = || matches!(evidence::state(service.pid()), None | Some('S' | 'Z'));
    let listens = || evidence::is_listening(service.address());
    evidence::wait_until(REACTION, || (!listens() && waits()).then_some(()));
    client.echo(&subject.line(2)).map_err(|mut fault| {
        if let Fault::Wrong(wrong) = &mut fault {
            wrong.expected = format!("for a connected client, after SIGTERM: {}", wrong.expected);
        }
        fault
    })?;
    Ok(client)
}

fn ended(service: &Service, timeout: Duration, when: &str) -> Result<String, Fault> {
    let expected = format!("{when} it ends within {} ms, with code 0", timeout.as_millis());
    match service.process().wait(timeout) {
        Some(status) if status.success() => Ok(status.to_string()),
        Some(status) => Err(service.wrong(&expected, status.to_string(), "")),
        None => Err(service.wrong(&expected, "it still runs", "")),
    }
}

fn threads(service: &Service) -> usize {
    evidence::threads(service.pid()).len()
}

fn no_more_threads(service: &Service, most: usize) -> Result<String, Fault> {
    let evidence = format!("/proc/{}/task", service.pid());
    service.until(&format!("at most {most} threads"), || match threads(service) {
        count if count <= most => Ok(format!("{count} threads ({evidence})")),
        count => Err((format!("{count} threads"), evidence.clone())),
    })
}

/// How many pieces of memory are mapped; each stack is one, and the page below it another one.
fn mappings(service: &Service) -> usize {
    let maps = fs::read_to_string(format!("/proc/{}/maps", service.pid()));
    maps.unwrap_or_default().lines().count()
}
