//! A program under test that serves.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use netcheck::sys::pidfd_getfd;
use netcheck::{Need, Process, Signal, evidence, need, peer, tree};
use socket2::{Domain, Socket, Type};

use super::{Client, DatagramClient, Fault};

/// How long the effect of something may take: hundreds of times as long as it takes a correct program.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Connections,
    Datagrams,
}

impl Takes {
    /// The processes and descriptors of the socket that is bound to that address.
    fn owners(self, address: SocketAddr) -> Vec<(i32, i32)> {
        match self {
            Takes::Connections => evidence::listener_owners(address),
            Takes::Datagrams => evidence::datagram_owners(address),
        }
    }

    fn is_bound(self, address: SocketAddr) -> bool {
        match self {
            Takes::Connections => evidence::is_listening(address),
            Takes::Datagrams => !evidence::datagram_sockets(address).is_empty(),
        }
    }

    /// Where the kernel lists such sockets.
    fn table(self) -> &'static str {
        match self {
            Takes::Connections => "/proc/net/tcp",
            Takes::Datagrams => "/proc/net/udp",
        }
    }
}

/// A server under test that listens. Dropped, it is killed with all that it has started.
#[derive(Debug)]
pub struct Service {
    process: Process,
    /// The process that owns the listener: the program may be started by a shell.
    pid: i32,
    address: SocketAddr,
}

impl Service {
    /// Waits until a process of its own tree listens. `None`: another program has taken the port in
    /// between.
    pub(super) fn wait(
        takes: Takes,
        process: Process,
        address: SocketAddr,
        ready_timeout: Duration,
    ) -> Result<Option<Service>, Fault> {
        let listens = || match listener_in_tree(takes, &process, address) {
            Some(pid) => Some(Some(pid)),
            None => (!process.still_running()).then_some(None),
        };
        match evidence::wait_until(ready_timeout, listens).flatten() {
            Some(pid) => Ok(Some(Service { process, pid, address })),
            None if takes.is_bound(address) => Ok(None),
            None => Err(not_ready(takes, &process, address, ready_timeout)),
        }
    }

    /// The process that listens: of several the one that started the others.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The started process: its output, its end, its signals.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A copy of its listening socket, to ask the kernel for its options.
    ///
    /// # Errors
    /// Skipped where ptrace is refused.
    pub fn listener(&self) -> Result<Socket, Fault> {
        need(Need::PidfdGetfd)?;
        let owners = evidence::listener_owners(self.address).into_iter();
        let own = owners.filter(|(pid, _)| *pid == self.pid).min();
        let (pid, fd) =
            own.ok_or_else(|| self.wrong("it still listens", "it does not", "/proc"))?;
        let copy = pidfd_getfd(pid, fd);
        copy.map(Socket::from).map_err(|why| Fault::Broken(format!("pidfd_getfd: {why}")))
    }

    /// A new client of it.
    ///
    /// # Errors
    /// It does not get a connection.
    pub fn connect(&self) -> Result<Client<'_>, Fault> {
        match peer::connect(self.address) {
            Ok(stream) => Client::new(self, stream),
            Err(why) => Err(self.wrong("a connection", format!("connect: {why}"), "")),
        }
    }

    /// A new client with small segments and the smallest window: the kernel keeps little for it, and the
    /// server's kernel takes little at once, so that `send` takes a part of what it is given.
    ///
    /// # Errors
    /// It does not get a connection.
    pub fn connect_narrow(&self) -> Result<Client<'_>, Fault> {
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_tcp_mss(1000)?;
            socket.set_recv_buffer_size(1)?; // the kernel makes it the smallest that it has
            socket.connect(&self.address.into())?;
            Ok::<_, io::Error>(socket)
        };
        match connect() {
            Ok(socket) => Client::new(self, socket.into()),
            Err(why) => Err(self.wrong("a connection", format!("connect: {why}"), "")),
        }
    }

    /// A new client of it that sends datagrams.
    ///
    /// # Errors
    /// [`Fault::Broken`]: there is no socket.
    pub fn datagram_client(&self) -> Result<DatagramClient<'_>, Fault> {
        DatagramClient::new(self)
    }

    /// Looks until it finds what is expected: `Ok` with the evidence. `Err` is what it got so far, with
    /// its evidence, and is the fault when the time is over.
    ///
    /// # Errors
    /// The last `Err` of `look`.
    pub fn until(
        &self,
        expected: &str,
        mut look: impl FnMut() -> Result<String, (String, String)>,
    ) -> Result<String, Fault> {
        let mut last = (String::new(), String::new());
        evidence::wait_until(PATIENCE, || look().map_err(|got| last = got).ok()).ok_or_else(|| {
            let evidence = format!("{}, for {} ms", last.1, PATIENCE.as_millis());
            self.wrong(expected, last.0, evidence)
        })
    }

    /// Does something of which the server is told only afterwards, and of all of it at once.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn while_it_stands_still<T>(
        &self,
        act: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        tree::send(self.pid, Signal::SIGSTOP);
        let stopped =
            self.until("it stands still after SIGSTOP", || match evidence::state(self.pid) {
                Some('T') => Ok(String::new()),
                state => Err((format!("state {state:?}"), "/proc/*/stat".to_owned())),
            });
        let result = stopped.and_then(|_| act());
        tree::send(self.pid, Signal::SIGCONT);
        result
    }

    /// The statement is false. If the program has ended, the fault says how.
    pub fn wrong(
        &self,
        expected: &str,
        got: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Fault {
        with_end(&self.process, Fault::wrong(expected, got, evidence))
    }
}

/// The process of the tree that owns the listener; the topmost where a child has a copy.
fn listener_in_tree(takes: Takes, process: &Process, address: SocketAddr) -> Option<i32> {
    let owners = takes.owners(address);
    if owners.is_empty() {
        return None;
    }
    let below = evidence::descendants(process.pid()).into_iter();
    let mut tree = std::iter::once(process.pid()).chain(below);
    tree.find(|pid| owners.iter().any(|(owner, _)| owner == pid))
}

fn not_ready(takes: Takes, process: &Process, address: SocketAddr, timeout: Duration) -> Fault {
    let (any, any_v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    let elsewhere = [Ipv4Addr::LOCALHOST.into(), any, any_v6];
    let elsewhere = elsewhere.map(|ip| SocketAddr::new(ip, address.port())).into_iter();
    let expected = format!("within {} s it listens on {address}", timeout.as_secs());
    let got = match elsewhere.into_iter().find(|&other| takes.is_bound(other)) {
        Some(other) => format!("it listens on {other}"),
        None if process.still_running() => "it runs, and listens nowhere on that port".to_owned(),
        None => "it has ended".to_owned(),
    };
    let tree = evidence::descendants(process.pid()).into_iter().chain([process.pid()]);
    let cpu: Duration = tree.filter_map(evidence::cpu_time).sum();
    let how = format!("{}, and {} ms of processor time", takes.table(), cpu.as_millis());
    let mut fault = Fault::wrong(&expected, got, how);
    if let Fault::Wrong(wrong) = &mut fault {
        wrong.not_ready = true;
    }
    with_end(process, fault)
}

/// Adds how the program has ended, if it has, and what it said last.
pub(super) fn with_end(process: &Process, mut fault: Fault) -> Fault {
    /// What Rust exits with after a panic.
    const PANIC: i32 = 101;
    let Fault::Wrong(wrong) = &mut fault else { return fault };
    let ended = process.wait(Duration::ZERO);
    if let Some(status) = ended {
        wrong.crashed = status.signal().is_some() || status.code() == Some(PANIC);
        wrong.evidence += &format!("; the program has ended: {status}");
    }
    if process.wrote_too_much() {
        wrong.evidence += "; it has written more than 64 MiB";
    } else if (ended.is_some() || wrong.not_ready)
        && let Some(said) = process.stderr().lines().rfind(|line| !line.is_empty())
    {
        let said = said.chars().take(200).collect::<String>();
        wrong.evidence += &format!("; its last line on stderr: {said}");
    }
    wrong.evidence = wrong.evidence.trim_start_matches("; ").to_owned();
    fault
}
