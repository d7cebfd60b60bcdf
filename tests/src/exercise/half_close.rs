//! half-close: a client sends and receives at the same time, ends what it sends, and still receives.

use std::fs;
use std::time::Duration;

use netcheck::Run;

use super::{Caller, Check, Exercise, Fault, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "half-close",
    recipe: "echo-client",
    args: &["--host", "{host}", "--port", "{port}", "--stdin"],
    checks: &[
        Check {
            id: "at-once",
            statement: "each reply is printed at once, while the input is still open",
            run: at_once,
        },
        Check {
            id: "large",
            statement: "a message larger than all buffers comes back whole",
            run: large,
        },
        Check { id: "fin", statement: "when its input has ended, it sends FIN", run: fin },
        Check {
            id: "waits",
            statement: "it ends when the server has ended, with 0, and not before",
            run: waits,
        },
    ],
};

fn at_once(subject: &Subject) -> Result<String, Fault> {
    let mut caller = subject.call(Run::hold_stdin)?;
    let mut lines = Vec::new();
    for line in (1..=3).map(|number| subject.line(number)) {
        lines.extend_from_slice(&line);
        let typed = caller.process().write_stdin(&line);
        typed.map_err(|why| caller.wrong("it reads its standard input", why.to_string(), ""))?;
        caller.receive(&line)?;
        caller.send(&line)?;
        caller.prints(&lines)?;
    }
    Ok("3 lines, each printed before the next was typed".to_owned())
}

fn large(subject: &Subject) -> Result<String, Fault> {
    let message = subject.bytes(larger_than_buffers());
    let mut caller = subject.call(|run| run.stdin(message.clone()))?;
    caller.echo(message.len())?;
    caller.prints(&message)?;
    Ok(format!("{} bytes; net.ipv4.tcp_wmem allows a socket {}", message.len(), send_buffer()))
}

fn fin(subject: &Subject) -> Result<String, Fault> {
    let mut caller = echoed(subject)?;
    caller.fin()?;
    Ok("recv returns 0".to_owned())
}

fn waits(subject: &Subject) -> Result<String, Fault> {
    /// It has nothing to do but to wait: a client that ends by itself does so at once.
    const MOMENT: Duration = Duration::from_millis(200);
    let mut caller = echoed(subject)?;
    if let Some(status) = caller.process().wait(MOMENT) {
        let expected = "it runs until the server has closed the connection";
        return Err(caller.wrong(expected, format!("it has ended: {status}"), ""));
    }
    caller.close()?;
    Ok(format!("it still ran {} ms after all had come back", MOMENT.as_millis()))
}

/// A client whose short input has ended and has come back.
fn echoed(subject: &Subject) -> Result<Caller, Fault> {
    let message = subject.line(1);
    let mut caller = subject.call(|run| run.stdin(message.clone()))?;
    caller.receive(&message)?;
    caller.send(&message)?;
    caller.prints(&message)?;
    Ok(caller)
}

/// What the kernel lets one socket keep unsent, in bytes.
fn send_buffer() -> usize {
    let limits = fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").unwrap_or_default();
    limits.split_whitespace().last().and_then(|most| most.parse().ok()).unwrap_or(4 << 20)
}

/// The client's own buffers, and as much again for what is on its way.
fn larger_than_buffers() -> usize {
    (2 * send_buffer()).clamp(8 << 20, 32 << 20)
}
