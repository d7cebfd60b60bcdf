//! graceful-stop: after SIGTERM a server takes no new client, serves those that it has, and ends.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use netcheck::{Signal, evidence, peer, tree};

use super::{Check, Client, Exercise, Fault, Service, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "graceful-stop",
    recipe: "forking-echo",
    args: &["--port", "{port}", "--grace", "2s"],
    checks: &[
        Check {
            id: "busy-finish",
            statement: "after SIGTERM two connected clients are served to their end",
            run: busy_finish,
        },
        Check {
            id: "no-new",
            statement: "after SIGTERM a new client is refused, while a connected one is served",
            run: no_new,
        },
        Check {
            id: "ends",
            statement: "after SIGTERM the server ends with 0 as soon as its last client has gone",
            run: ends,
        },
        Check {
            id: "stubborn",
            statement: "a client that stays keeps the server for 6 s at most, and it ends with 0",
            run: stubborn,
        },
        Check {
            id: "second-signal",
            statement: "a second SIGTERM ends the server at once",
            run: second_signal,
        },
    ],
};

/// How long the server may need to react to a signal, before it is looked at.
const REACTION: Duration = Duration::from_millis(300);

/// How long it may take to end, when nothing keeps it.
const SOON: Duration = Duration::from_secs(1);

/// The longest grace period that the task allows, and a little for the end itself.
const LONGEST: Duration = Duration::from_secs(7);

/// What shows by hand what becomes of a client.
const BY_HAND: &[&str] = &[
    "ncat 127.0.0.1 7777   # type a line; then in another terminal:",
    "kill %1; ncat 127.0.0.1 7777; ss -tanp 'sport = :7777'",
];

fn busy_finish(subject: &Subject) -> Result<String, Fault> {
    /// How long the other one is served after that, in which its end would have come.
    const AFTERWARDS: Duration = Duration::from_millis(100);
    let service = subject.serve()?;
    let mut first = service.connect()?;
    first.echo(&subject.line(1))?;
    let mut second = stopping(&service, subject)?;
    first.finish().map_err(after_sigterm)?;
    let (left, mut lines) = (Instant::now(), 0);
    while lines < 3 || left.elapsed() < AFTERWARDS {
        lines += 1;
        second.echo(&subject.line(lines)).map_err(after_sigterm)?;
    }
    second.finish().map_err(after_sigterm)?;
    Ok(format!("{lines} lines of one client came back after the other had left"))
}

fn no_new(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut client = stopping(&service, subject)?;
    let look = || match peer::connect(service.address()) {
        Err(why) if why.kind() == ErrorKind::ConnectionRefused => Ok(format!("connect: {why}")),
        Err(why) => Err((format!("connect: {why}"), String::new())),
        Ok(_) => Err(("a connection".to_owned(), "connect".to_owned())),
    };
    let expected = "after SIGTERM connect fails with ECONNREFUSED";
    let evidence = service.until(expected, look).map_err(|fault| fault.again(BY_HAND))?;
    client.echo(&subject.line(3)).map_err(after_sigterm)?;
    Ok(evidence)
}

fn ends(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let client = stopping(&service, subject)?;
    client.finish().map_err(after_sigterm)?;
    ended(&service, SOON, "after its last client it ends")
}

fn stubborn(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let _client = stopping(&service, subject)?;
    ended(&service, LONGEST, "although a client stays it ends")
}

fn second_signal(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let _client = stopping(&service, subject)?;
    tree::send(service.pid(), Signal::SIGTERM);
    ended(&service, SOON, "after the second SIGTERM it ends")
}

/// A client of a server that has got SIGTERM meanwhile: it is served all the same.
fn stopping<'a>(service: &'a Service, subject: &Subject) -> Result<Client<'a>, Fault> {
    let mut client = service.connect()?;
    client.echo(&subject.line(1))?;
    tree::send(service.pid(), Signal::SIGTERM);
    // Those that end at once have ended then, and the others wait. A server that goes on listening is
    // for `no-new`.
    let waits = || matches!(evidence::state(service.pid()), None | Some('S' | 'Z'));
    let listens = || evidence::is_listening(service.address());
    evidence::wait_until(REACTION, || (!listens() && waits()).then_some(()));
    client.echo(&subject.line(2)).map_err(after_sigterm)?;
    Ok(client)
}

fn after_sigterm(mut fault: Fault) -> Fault {
    if let Fault::Wrong(wrong) = &mut fault {
        wrong.expected = format!("for a connected client, after SIGTERM: {}", wrong.expected);
    }
    fault.again(BY_HAND)
}

/// The server ends with 0 in time, and none of its processes is left.
fn ended(service: &Service, timeout: Duration, what: &str) -> Result<String, Fault> {
    let below = evidence::descendants(service.process().pid());
    let (began, within) = (Instant::now(), timeout.as_millis());
    let expected = format!("{what} within {within} ms, with code 0");
    let Some(status) = service.process().wait(timeout) else {
        return Err(service.wrong(&expected, "it still runs", "").again(BY_HAND));
    };
    let took = began.elapsed().as_millis();
    if !status.success() {
        return Err(service.wrong(&expected, status.to_string(), "").again(BY_HAND));
    }
    let is_left = |pid: &i32| evidence::state(*pid).is_some_and(|state| state != 'Z');
    service.until("none of its processes is left", || {
        let left: Vec<i32> = below.iter().copied().filter(is_left).collect();
        match left.as_slice() {
            [] => Ok(format!("{status} after {took} ms, and no process is left")),
            left => Err((format!("pids {left:?}"), "/proc/*/stat".to_owned())),
        }
    })
}
