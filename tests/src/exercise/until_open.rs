//! until-open: a client waits until a service accepts, without hurry and without mistake.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use netcheck::{Process, evidence};
use socket2::{Domain, Socket, Type};

use super::service::with_end;
use super::{Check, Exercise, Fault, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "until-open",
    recipe: "wait-port",
    args: &["{host}:{port}", "--interval", "20ms", "--stay", "100ms"],
    checks: &[
        Check {
            id: "open",
            statement: "when the service is there already, it ends with 0",
            run: open,
        },
        Check {
            id: "later",
            statement: "a port that is bound is no service; when somebody listens there, it ends with 0",
            run: later,
        },
        Check {
            id: "closes",
            statement: "a connection that is closed or reset at once is no service",
            run: closes,
        },
        Check {
            id: "pauses",
            statement: "while it waits, it tries again and again, and takes little processor time",
            run: pauses,
        },
        Check {
            id: "descriptors",
            statement: "a try that has failed leaves no descriptor open",
            run: descriptors,
        },
    ],
};

/// How long it may take to notice a service.
const NOTICED: Duration = Duration::from_millis(1500);

/// How long it is left without one: ten tries or so.
const WITHOUT: Duration = Duration::from_millis(300);

/// The port that it waits for, and the program.
struct Waiting {
    socket: Socket,
    process: Process,
}

impl Waiting {
    /// The port is bound, and nobody listens.
    fn start(subject: &Subject) -> Result<Waiting, Fault> {
        let socket = bound()?;
        let process = subject.start(address(&socket)?)?;
        Ok(Waiting { socket, process })
    }

    /// Somebody listens from now on.
    fn listen(&self) -> Result<(), Fault> {
        self.socket.listen(8).map_err(broken("listen"))
    }

    /// It has not ended by itself.
    fn still_waits(&self, why: &str) -> Result<(), Fault> {
        match self.process.wait(WITHOUT) {
            None => Ok(()),
            Some(status) => {
                Err(self.wrong(&format!("it waits: {why}"), &format!("it has ended: {status}"), ""))
            }
        }
    }

    /// It ends with 0 now.
    fn ends(&self) -> Result<String, Fault> {
        let expected = format!("it ends with 0 within {} ms", NOTICED.as_millis());
        let got = match self.process.wait(NOTICED) {
            Some(status) if status.success() => return Ok(format!("{status}, soon after")),
            Some(status) => format!("it has ended: {status}"),
            None => "it still waits".to_owned(),
        };
        Err(self.wrong(&expected, &got, "a connection to the port is made, and stays"))
    }

    /// Accepts the next connection: `it connects`, or that it does so again.
    fn accept(&self, expected: &str) -> Result<Socket, Fault> {
        let accepted = evidence::wait_until(NOTICED, || match self.socket.accept() {
            Ok((stream, _)) => Some(Ok(stream)),
            Err(why) if why.kind() == ErrorKind::WouldBlock => None,
            Err(why) => Some(Err(why)),
        });
        let Some(stream) = accepted else {
            let expected = format!("{expected} within {} ms", NOTICED.as_millis());
            return Err(self.wrong(&expected, "no connection", "accept"));
        };
        stream.map_err(broken("accept"))
    }

    /// The program and what it has started.
    fn tree(&self) -> Vec<i32> {
        let pid = self.process.pid();
        std::iter::once(pid).chain(evidence::descendants(pid)).collect()
    }

    fn processor_time(&self) -> Duration {
        self.tree().into_iter().filter_map(evidence::cpu_time).sum()
    }

    /// The fewest descriptors that some looks find: one of a try that is made just now does not count.
    fn descriptors(&self) -> usize {
        let open = |_| self.tree().into_iter().map(|pid| evidence::descriptors(pid).len()).sum();
        (0..20).map(open).min().unwrap_or_default()
    }

    fn wrong(&self, expected: &str, got: &str, evidence: &str) -> Fault {
        with_end(&self.process, Fault::wrong(expected, got, evidence))
    }
}

fn bound() -> Result<Socket, Fault> {
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    bind().map_err(broken("bind"))
}

fn address(socket: &Socket) -> Result<SocketAddr, Fault> {
    let address = socket.local_addr().map_err(broken("getsockname"))?;
    address.as_socket().ok_or_else(|| Fault::Broken("getsockname: no address".to_owned()))
}

fn broken(what: &'static str) -> impl Fn(io::Error) -> Fault {
    move |why| Fault::Broken(format!("{what}: {why}"))
}

fn open(subject: &Subject) -> Result<String, Fault> {
    let socket = bound()?;
    socket.listen(8).map_err(broken("listen"))?;
    let process = subject.start(address(&socket)?)?;
    let waiting = Waiting { socket, process };
    let _stream = waiting.accept("it connects")?;
    waiting.ends()
}

fn later(subject: &Subject) -> Result<String, Fault> {
    let waiting = Waiting::start(subject)?;
    waiting.still_waits("the port is bound, and refuses connections")?;
    waiting.listen()?;
    let _stream = waiting.accept("it connects")?;
    waiting.ends()
}

fn closes(subject: &Subject) -> Result<String, Fault> {
    let waiting = Waiting::start(subject)?;
    waiting.listen()?;
    let mut expected = "it connects".to_owned();
    for ends_with in ["FIN", "RST", "FIN"] {
        let stream = waiting.accept(&expected)?;
        expected = format!("it connects again after {ends_with}");
        if ends_with == "RST" {
            stream.set_linger(Some(Duration::ZERO)).map_err(broken("setsockopt SO_LINGER"))?;
        }
        drop(stream);
    }
    let _stays = waiting.accept(&expected)?;
    waiting.ends()
}

fn pauses(subject: &Subject) -> Result<String, Fault> {
    /// A loop without a pause takes all that it gets of a processor, which is little on a busy machine.
    const SHARE: u32 = 30;
    /// At first it has to start, which takes time too.
    const WINDOWS: u32 = 5;
    let waiting = Waiting::start(subject)?;
    let mut windows = 0;
    let got = loop {
        windows += 1;
        let (began, before) = (Instant::now(), waiting.processor_time());
        for _ in 0..2 {
            waiting.still_waits("the port is bound, and refuses connections")?;
        }
        let used = waiting.processor_time().saturating_sub(before);
        let got = format!("{} of {} ms", used.as_millis(), began.elapsed().as_millis());
        if used * SHARE <= began.elapsed() {
            break got;
        }
        if windows == WINDOWS {
            let expected =
                format!("while nobody listens it takes at most 1/{SHARE} of a processor");
            return Err(waiting.wrong(&expected, &got, "its processor time, clock_gettime(2)"));
        }
    };
    waiting.listen()?;
    let _stream = waiting.accept("it connects")?;
    waiting.ends()?;
    Ok(format!("{got} of processor time, and then it connected"))
}

fn descriptors(subject: &Subject) -> Result<String, Fault> {
    let waiting = Waiting::start(subject)?;
    waiting.still_waits("the port is bound, and refuses connections")?;
    let before = waiting.descriptors();
    waiting.still_waits("the port is bound, and refuses connections")?;
    let after = waiting.descriptors();
    if after > before + 1 {
        let expected = format!("after some more tries as many descriptors as before: {before}");
        return Err(waiting.wrong(&expected, &after.to_string(), "/proc/*/fd"));
    }
    waiting.listen()?;
    let _stream = waiting.accept("it connects")?;
    waiting.ends()?;
    Ok(format!("{before} descriptors, then {after} (/proc/*/fd)"))
}
