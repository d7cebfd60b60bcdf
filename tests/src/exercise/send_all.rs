//! send-all: a server sends every byte to a client that reads slowly, and waits meanwhile.

use super::client::stuck;
use super::{Check, Exercise, Fault, Subject, idle};

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
    service.until(idle::EXPECTED, || idle::look(service.pid()))
}

fn gone(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (client, _) = stuck(&service, subject)?;
    client.reset()?;
    service.connect()?.echo(&subject.line(1))?;
    Ok("the next client was served".to_owned())
}
