//! connect-later: a client waits until a server accepts connections, and never in `connect` itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use netcheck::peer::SilentListener;
use netcheck::{Process, evidence};
use socket2::{Domain, Socket, Type};

use super::service::with_end;
use super::{Caller, Check, Exercise, Fault, Subject, caller};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "connect-later",
    recipe: "wait-port",
    args: &["{host}:{port}", "--timeout", "1s"],
    checks: &[
        Check {
            id: "open",
            statement: "where a server listens, it connects and ends with 0",
            run: open,
        },
        Check {
            id: "refused",
            statement: "while nothing listens it tries again, and ends with 0 once a server does",
            run: refused,
        },
        Check {
            id: "silent",
            statement: "a peer that does not answer keeps it no longer than its second",
            run: silent,
        },
        Check {
            id: "asleep",
            statement: "while it waits for an answer, it takes no processor time",
            run: asleep,
        },
    ],
};

/// How long it may take to end, once it can.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long it may run where nobody answers: its time is one second.
const LATEST: Duration = Duration::from_millis(2000);

fn open(subject: &Subject) -> Result<String, Fault> {
    let (listener, address) = caller::listen().and_then(with_address).map_err(broken)?;
    let mut caller = subject.accept(&listener, subject.start(address)?)?;
    reported(&mut caller)
}

fn refused(subject: &Subject) -> Result<String, Fault> {
    /// It makes some tries meanwhile.
    const WHILE: Duration = Duration::from_millis(300);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(broken)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).map_err(broken)?;
    let (listener, address) = with_address(socket.into()).map_err(broken)?;
    let process = subject.start(address)?;
    if let Some(status) = process.wait(WHILE) {
        let (expected, evidence) =
            ("while nothing listens it tries again", "connect fails with ECONNREFUSED");
        return Err(with_end(
            &process,
            Fault::wrong(expected, format!("it ends: {status}"), evidence),
        ));
    }
    let socket = Socket::from(listener);
    socket.listen(5).and_then(|()| socket.set_nonblocking(true)).map_err(broken)?;
    let mut caller = subject.accept(&socket.into(), process).map_err(|mut fault| {
        if let Fault::Wrong(wrong) = &mut fault {
            wrong.expected = "once a server listens, it connects".to_owned();
            wrong.not_ready = false; // at once it may connect all the same
        }
        fault
    })?;
    reported(&mut caller)
}

fn silent(subject: &Subject) -> Result<String, Fault> {
    open(subject)?;
    let (_silent, process) = unanswered(subject)?;
    let ended = process.wait(LATEST);
    let wrong = |got: String| {
        let expected = format!("it ends within {} ms, and not with 0", LATEST.as_millis());
        let evidence = "its SYN was not answered: the queue of the listener is full";
        Err(with_end(&process, Fault::wrong(&expected, got, evidence)))
    };
    match ended {
        Some(status) if status.success() => wrong(format!("it ends: {status}")),
        Some(status) => Ok(format!("{status}, and no SYN was answered")),
        None => wrong("it still runs".to_owned()),
    }
}

fn asleep(subject: &Subject) -> Result<String, Fault> {
    /// On a busy machine its second may be over before it was looked at so often.
    const TRIES: usize = 5;
    const ENOUGH: u64 = 5;
    const MOST: u64 = 50;
    open(subject)?;
    for _ in 0..TRIES {
        let (_silent, process) = unanswered(subject)?;
        // It may have been started by a shell.
        let pid = evidence::descendants(process.pid()).pop().unwrap_or(process.pid());
        let (mut looks, mut running) = (0, 0);
        let is_over = || {
            let runs = |&thread: &i32| evidence::state(thread) == Some('R');
            running += u64::from(evidence::threads(pid).iter().any(runs));
            looks += 1;
            (looks == MOST || !process.still_running()).then_some(())
        };
        evidence::wait_until(LATEST, is_over);
        if looks < ENOUGH {
            continue;
        }
        let got = format!("{running} of {looks}");
        let evidence = format!("/proc/{pid}/task/*/stat");
        if running <= looks / 2 {
            return Ok(format!("{got} looks find it running ({evidence})"));
        }
        let expected = format!("of {looks} looks, 2 ms apart, less than half find it running");
        return Err(with_end(&process, Fault::wrong(&expected, got, evidence)));
    }
    Err(Fault::Broken(format!("{TRIES} times it had ended before it was looked at {ENOUGH} times")))
}

/// The program, after it has sent a SYN to a listener that does not answer, or has ended.
fn unanswered(subject: &Subject) -> Result<(SilentListener, Process), Fault> {
    let silent = SilentListener::start();
    let process = subject.start(silent.address())?;
    let begun = || evidence::syn_sent(silent.address()) || !process.still_running();
    match evidence::wait_until(subject.ready_timeout(), || begun().then_some(())) {
        Some(()) => Ok((silent, process)),
        None => {
            let expected = format!("it connects to {}", silent.address());
            Err(with_end(&process, Fault::wrong(&expected, "it has sent no SYN", "/proc/net/tcp")))
        }
    }
}

/// A client that is connected ends with 0.
fn reported(caller: &mut Caller) -> Result<String, Fault> {
    let expected = "it is connected, and ends with 0";
    match caller.process().wait(PATIENCE) {
        Some(status) if status.success() => Ok(format!("a connection, then {status}")),
        Some(status) => Err(caller.wrong(expected, status.to_string(), "accept")),
        None => Err(caller.wrong(expected, "it still runs", "accept")),
    }
}

fn with_address(listener: TcpListener) -> io::Result<(TcpListener, SocketAddr)> {
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn broken(why: io::Error) -> Fault {
    Fault::Broken(format!("a listener for the program: {why}"))
}
