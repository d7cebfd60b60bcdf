//! every-address: a client tries all addresses of a name, and waits for none of them as long as it can.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{fs, io};

use netcheck::{Process, evidence, workspace};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::service::with_end;
use super::{Caller, Check, Exercise, Fault, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "every-address",
    recipe: "echo-client",
    args: &["--host", "{host}", "--port", "{port}", "--timeout", "1s", "--stdin"],
    checks: &[
        Check {
            id: "refused",
            statement: "where one of three addresses accepts, and the others refuse, it connects",
            run: refused,
        },
        Check {
            id: "silent",
            statement: "where two do not answer, it connects to the third in its second, and gives up the others",
            run: silent,
        },
        Check {
            id: "total",
            statement: "where no address answers, it ends after its second, and not with 0",
            run: total,
        },
        Check {
            id: "why",
            statement: "where all refuse, it ends at once, not with 0, and names each address",
            run: why,
        },
    ],
};

/// A name of the hosts file that each check writes.
const NAME: &str = "several.test";

/// Its addresses. The first of loopback is not among them: resolvers may prefer it.
const ADDRESSES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];

/// When it has to be connected, or to have ended: its time is one second.
const LATEST: Duration = Duration::from_millis(1600);

/// What an address of the name does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accepts,
    Refuses,
    /// The queue of its listener is full.
    Silent,
}
use Answer::{Accepts, Refuses, Silent};

fn refused(subject: &Subject) -> Result<String, Fault> {
    for answers in [[Accepts, Refuses, Refuses], [Refuses, Refuses, Accepts]] {
        let peers = Peers::start(answers)?;
        let mut caller = peers.accept(peers.call(subject)?, subject.ready_timeout())?;
        session(&mut caller, subject)?;
    }
    Ok(BOTH_ENDS.to_owned())
}

fn silent(subject: &Subject) -> Result<String, Fault> {
    for answers in [[Accepts, Silent, Silent], [Silent, Silent, Accepts]] {
        let peers = Peers::start(answers)?;
        let mut caller = peers.accept(peers.begun(subject)?, LATEST)?;
        let given_up = || peers.asked().is_empty().then_some(());
        if evidence::wait_until(LATEST, given_up).is_none() {
            let expected = "no attempt goes on when one has succeeded";
            let got = format!("SYNs are sent to {}", listed(&peers.asked()));
            return Err(caller.wrong(expected, got, "SYN_SENT in /proc/net/tcp"));
        }
        session(&mut caller, subject)?;
    }
    Ok(BOTH_ENDS.to_owned())
}

/// In whichever order the resolver gives them, the one that accepts is once not the first.
const BOTH_ENDS: &str = "twice, with the one that accepts at either end of the list";

fn total(subject: &Subject) -> Result<String, Fault> {
    let peers = Peers::start([Silent, Silent, Silent])?;
    ends(&peers.begun(subject)?, "no address has answered")
}

fn why(subject: &Subject) -> Result<String, Fault> {
    let peers = Peers::start([Refuses, Refuses, Refuses])?;
    let process = peers.call(subject)?;
    // An interpreter starts first.
    evidence::wait_until(subject.ready_timeout(), || (!process.still_running()).then_some(()));
    let ended = ends(&process, "each address has refused")?;
    let said = process.stderr();
    let is_named = |address: &&Ipv4Addr| said.contains(&address.to_string());
    match ADDRESSES.iter().filter(is_named).count() {
        3 => Ok(format!("{ended}, and its standard error has all three")),
        _ => {
            let expected = format!("its standard error names {}", listed(&ADDRESSES));
            let said = said.lines().next().unwrap_or("nothing").to_owned();
            Err(Fault::wrong(&expected, said, "its standard error"))
        }
    }
}

/// The addresses of the name, each with the same port, and what each of them does.
struct Peers {
    port: u16,
    /// The folder with the hosts file.
    etc: TempDir,
    accepting: Vec<TcpListener>,
    silent: Vec<Ipv4Addr>,
    /// What makes the others refuse, or not answer.
    _kept: (Vec<Socket>, Vec<TcpStream>),
}

impl Peers {
    fn start(answers: [Answer; 3]) -> Result<Peers, Fault> {
        /// A port that the kernel gives for one address may be taken at another.
        const TRIES: usize = 20;
        let mut tries = (0..TRIES).map(|_| Peers::try_start(answers));
        let found = tries
            .find(|tried| !matches!(tried, Err(why) if why.kind() == io::ErrorKind::AddrInUse));
        let found = found.unwrap_or_else(|| Err(io::ErrorKind::AddrInUse.into()));
        found.map_err(|why| Fault::Broken(format!("listen for the program: {why}")))
    }

    fn try_start(answers: [Answer; 3]) -> io::Result<Peers> {
        let mut port = 0;
        let mut bound = Vec::new();
        for address in ADDRESSES {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((address, port)).into())?;
            let local = socket.local_addr()?.as_socket();
            port = local.map_or(0, |local| local.port());
            bound.push(socket);
        }
        let (mut accepting, mut silent, mut kept) =
            (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
        for ((socket, address), answer) in bound.into_iter().zip(ADDRESSES).zip(answers) {
            match answer {
                Accepts => {
                    socket.listen(5)?;
                    socket.set_nonblocking(true)?;
                    accepting.push(socket.into());
                }
                Refuses => kept.0.push(socket),
                Silent => {
                    socket.listen(0)?;
                    kept.1.extend(filled((address, port).into()));
                    kept.0.push(socket);
                    silent.push(address);
                }
            }
        }
        Ok(Peers { port, etc: etc()?, accepting, silent, _kept: kept })
    }

    /// Starts the program as a client of the name.
    fn call(&self, subject: &Subject) -> Result<Process, Fault> {
        subject.start_with_name(NAME, self.port, self.etc.path())
    }

    /// The same, and waits until it has tried one of the addresses: its time runs.
    fn begun(&self, subject: &Subject) -> Result<Process, Fault> {
        let process = self.call(subject)?;
        let begun = || {
            let has_come = self.accepting.iter().any(|listener| {
                listener.local_addr().is_ok_and(|local| evidence::accept_queue(local) > 0)
            });
            (has_come || !self.asked().is_empty()).then_some(())
        };
        match evidence::wait_until(subject.ready_timeout(), begun) {
            Some(()) => Ok(process),
            None => {
                let expected = format!("it tries to connect to {}", listed(&ADDRESSES));
                Err(with_end(&process, Fault::wrong(&expected, "no SYN", "/proc/net/tcp")))
            }
        }
    }

    /// Those that are asked at the moment, and do not answer.
    fn asked(&self) -> Vec<Ipv4Addr> {
        let is_asked = |address: &&Ipv4Addr| evidence::syn_sent((**address, self.port).into());
        self.silent.iter().filter(is_asked).copied().collect()
    }

    /// Waits until it has connected to the address that accepts.
    fn accept(&self, process: Process, timeout: Duration) -> Result<Caller, Fault> {
        let [listener] = self.accepting.as_slice() else {
            return Err(Fault::Broken("one address is to accept".to_owned()));
        };
        Caller::accept(listener, process, timeout).map_err(|mut fault| {
            if let Fault::Wrong(wrong) = &mut fault {
                wrong.not_ready = false; // the other checks are about other answers
                let accepts =
                    listener.local_addr().map_or_else(|why| why.to_string(), |at| at.to_string());
                wrong.expected =
                    format!("it connects to {accepts} within {} ms", timeout.as_millis());
                wrong.evidence += &format!("; the name has {}", listed(&ADDRESSES));
            }
            fault
        })
    }
}

/// Connections that fill the queue of a listener: the first one that is not answered is the last.
fn filled(address: SocketAddr) -> Vec<TcpStream> {
    let short = Duration::from_millis(50);
    std::iter::from_fn(|| TcpStream::connect_timeout(&address, short).ok()).collect()
}

/// A folder with the files that give the name its addresses.
fn etc() -> io::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let mut hosts = String::from("127.0.0.1 localhost\n");
    for address in ADDRESSES {
        let _ = writeln!(hosts, "{address} {NAME}");
    }
    fs::write(folder.path().join("hosts"), hosts)?;
    let switch = workspace().join("tests/etc/nsswitch.conf");
    fs::copy(switch, folder.path().join("nsswitch.conf"))?;
    Ok(folder)
}

/// Bytes go both ways over the connection.
fn session(caller: &mut Caller, subject: &Subject) -> Result<(), Fault> {
    let line = subject.line(1);
    let typed = caller.process().write_stdin(&line);
    typed.map_err(|why| caller.wrong("it reads its standard input", why.to_string(), ""))?;
    caller.receive(&line)?;
    caller.send(&line)?;
    caller.prints(&line)
}

/// It ends in time, and says with its code that there is no connection.
fn ends(process: &Process, when: &str) -> Result<String, Fault> {
    let expected = format!("{when}: it ends within {} ms, and not with 0", LATEST.as_millis());
    match process.wait(LATEST) {
        Some(status) if status.success() => {
            Err(with_end(process, Fault::wrong(&expected, status.to_string(), "")))
        }
        Some(status) => Ok(status.to_string()),
        None => Err(with_end(process, Fault::wrong(&expected, "it still runs", ""))),
    }
}

fn listed(addresses: &[Ipv4Addr]) -> String {
    addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ")
}
