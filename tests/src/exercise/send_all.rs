//! send-all: a server sends every byte to a client that reads slowly, and waits meanwhile.

use std::time::Duration;

use netcheck::evidence;

use super::{Check, Client, Exercise, Fault, Service, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "send-all",
    recipe: "echo-server",
    args: &["--port", "{port}"],
    checks: &[
        Check {
            id: "slow-reader",
            statement: "a client that reads only after it has sent megabytes gets every byte",
            run: slow_reader,
        },
        Check {
            id: "asleep",
            statement: "while its client does not read, the server waits without processor time",
            run: asleep,
        },
        Check {
            id: "gone",
            statement: "when such a client resets its connection, the next one is served",
            run: gone,
        },
    ],
};

fn slow_reader(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (mut client, sent) = stuck(&service, subject)?;
    client.receive(&sent)?;
    client.finish()?;
    Ok(format!("{} bytes were on their way when the client began to read", sent.len()))
}

fn asleep(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (_client, _) = stuck(&service, subject)?;
    let expected = format!("of {LOOKS} looks, 2 ms apart, at most {FEW} find a thread running");
    service.until(&expected, || {
        let before = evidence::context_switches(service.pid());
        let running = looks_that_find_it_running(service.pid());
        let after = evidence::context_switches(service.pid());
        let woken = after.zip(before).map_or(u64::MAX, |(after, before)| after - before);
        let got = format!("{running} of {LOOKS}, and it has woken up {woken} times");
        let evidence = format!("/proc/{}/task/*/stat and status", service.pid());
        match running <= FEW && woken <= FEW {
            true => Ok(format!("{got} ({evidence})")),
            false => Err((got, evidence)),
        }
    })
}

/// How often it is looked at.
const LOOKS: u64 = 50;

/// What an interpreter may do by itself meanwhile.
const FEW: u64 = LOOKS / 10;

fn looks_that_find_it_running(pid: i32) -> u64 {
    let (mut looks, mut running) = (0, 0);
    evidence::wait_until(Duration::from_secs(10), || {
        let runs = |&thread: &i32| evidence::state(thread) == Some('R');
        running += u64::from(evidence::threads(pid).iter().any(runs));
        looks += 1;
        (looks == LOOKS).then_some(())
    });
    running
}

fn gone(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (client, _) = stuck(&service, subject)?;
    client.reset()?;
    service.connect()?.echo(&subject.line(1))?;
    Ok("the next client was served".to_owned())
}

/// A client that has sent without reading until the server takes no more, and what it has sent.
fn stuck<'a>(service: &'a Service, subject: &Subject) -> Result<(Client<'a>, Vec<u8>), Fault> {
    let mut client = service.connect_narrow()?;
    let sent = client.fill(&subject.bytes(64 * 1024))?;
    Ok((client, sent))
}
