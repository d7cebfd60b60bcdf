//! first-echo: a server accepts clients, one after another, and sends back what each sends.

use super::{Check, Exercise, Fault, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "first-echo",
    recipe: "echo-server",
    args: &["--port", "{port}"],
    checks: &[
        Check { id: "line", statement: "a line comes back", run: line },
        Check {
            id: "conversation",
            statement: "one client sends three lines, one after another, and each comes back",
            run: conversation,
        },
        Check {
            id: "all-bytes",
            statement: "bytes of all values come back as they were sent",
            run: all_bytes,
        },
        Check {
            id: "fin",
            statement: "after the client's FIN the server closes the connection",
            run: fin,
        },
        Check {
            id: "next-client",
            statement: "a client that connects while another is served gets its reply after it",
            run: next_client,
        },
        Check {
            id: "reset",
            statement: "a client that resets its connection does not end the server",
            run: reset,
        },
    ],
};

/// What shows by hand how a server treats two lines, the first of which is empty.
const BY_HAND: &[&str] = &[r"printf '\nhello\n' | ncat 127.0.0.1 7777"];

fn line(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let line = subject.line(1);
    service.connect()?.echo(&line)?;
    Ok(format!("{} bytes were sent and received", line.len()))
}

fn conversation(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut client = service.connect()?;
    // Each is sent when the one before has come back, so that no two are received at once.
    for line in [subject.line(1), b"\n".to_vec(), subject.line(3)] {
        client.echo(&line).map_err(|fault| fault.again(BY_HAND))?;
    }
    Ok("3 of 3 lines, the second of them empty".to_owned())
}

fn all_bytes(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    // Less than any buffer, so that one `recv` can have all of it.
    let every: Vec<u8> = (0..=u8::MAX).chain(subject.bytes(500)).collect();
    service.connect()?.echo(&every)?;
    Ok(format!("{} bytes, each value at least once", every.len()))
}

fn fin(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut client = service.connect()?;
    client.echo(&subject.line(1))?;
    client.finish()?;
    Ok("recv returns 0".to_owned())
}

fn next_client(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut first = service.connect()?;
    first.echo(&subject.line(1))?;
    let mut waiting = service.connect()?;
    waiting.send(&subject.line(2))?;
    drop(first);
    waiting.receive(&subject.line(2))?;
    drop(waiting);
    service.connect()?.echo(&subject.line(3))?;
    Ok("3 clients, of which the second had to wait".to_owned())
}

fn reset(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut first = service.connect()?;
    first.echo(&subject.line(1))?;
    first.reset()?;
    service.connect()?.echo(&subject.line(2))?;
    Ok("the next client was served".to_owned())
}
