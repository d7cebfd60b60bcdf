//! Faults in a server that serves: it is traced once it is ready, and serves before, during and after.

use std::io::{self, Error, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use netcheck::{Attached, Run, Server, Signal, evidence};
use tempfile::TempDir;

use super::errnos::{DEATHS, Fault, faults};
use super::{Observed, Outcome, aborts, is_injected};
use crate::{Probe, make_site};

/// How long a fault lasts, if it does.
const LASTS: Duration = Duration::from_secs(1);

/// Between two clients during that time: not their number may be what fails a hundred times a second.
const BETWEEN: Duration = Duration::from_millis(100);

/// How long a client of that time waits.
const SHORT: Duration = Duration::from_millis(250);

/// How long a client of a fault that happens once waits; a datagram may be lost.
const LONG: Duration = Duration::from_secs(5);
const LOST: Duration = Duration::from_secs(1);

/// How long it may take until all is as before.
const SOON: Duration = Duration::from_secs(10);

/// So many failing calls a second, without a line in the log, are a loop.
const SILENT: usize = 100;

/// A server in which faults are injected.
#[derive(Debug)]
pub struct Subject {
    /// Its program.
    pub program: &'static str,
    /// Its options, but for the port.
    options: &'static [&'static str],
    peer: Peer,
    /// Whether it serves a client while another is connected.
    several: bool,
}

/// How it is talked to.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Stream(Probe),
    /// An echo on a path.
    Unix,
    /// A datagram that is an NTP request, and for an echo any datagram.
    Datagram,
}

/// The servers.
pub(super) const SERVERS: &[Subject] = &[
    stream("echo-server", &[], Probe::Echo, false),
    stream("forking-echo", &[], Probe::Echo, true),
    stream("prefork-echo", &["--workers", "3"], Probe::Echo, true),
    // The kernel gives a client to a worker that serves another.
    stream("prefork-echo", &["--reuse-port", "--workers", "3"], Probe::Echo, false),
    stream("threaded-echo", &[], Probe::Echo, true),
    stream("poll-echo", &[], Probe::Echo, true),
    stream("epoll-echo", &[], Probe::Echo, true),
    stream("epoll-echo", &["--edge"], Probe::Echo, true),
    stream("uring-echo", &[], Probe::Echo, true),
    stream("activated-echo", &[], Probe::Echo, false),
    stream("chat-server", &[], Probe::Chat, true),
    stream("epoll-web", &[], Probe::Web, true),
    Subject { program: "unix-echo", options: &[], peer: Peer::Unix, several: false },
    datagram("udp-echo", &["-v"]),
    datagram("ntp-responder", &[]),
];

const fn stream(
    program: &'static str,
    options: &'static [&'static str],
    probe: Probe,
    several: bool,
) -> Subject {
    Subject { program, options, peer: Peer::Stream(probe), several }
}

const fn datagram(program: &'static str, options: &'static [&'static str]) -> Subject {
    Subject { program, options, peer: Peer::Datagram, several: false }
}

impl Subject {
    /// `epoll-echo --edge`.
    pub(super) fn name(&self) -> String {
        let variants =
            self.options.iter().filter(|option| ["--edge", "--reuse-port"].contains(option));
        variants.fold(self.program.to_owned(), |name, variant| format!("{name} {variant}"))
    }
}

fn exchange_over_unix(path: &Path, timeout: Duration) -> io::Result<()> {
    let mut client = UnixStream::connect(path)?;
    client.set_read_timeout(Some(timeout))?;
    client.write_all(b"hello")?;
    client.shutdown(Shutdown::Write)?;
    let mut reply = Vec::new();
    client.read_to_end(&mut reply)?;
    if reply == b"hello" { Ok(()) } else { Err(Error::other(format!("{reply:?}"))) }
}

fn exchange_datagrams(address: SocketAddr, timeout: Duration) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(timeout))?;
    socket.connect(address)?;
    let mut request = [0; 48];
    request[0] = 0x23;
    request[40..].fill(7);
    socket.send(&request)?;
    let mut buffer = [0; 100];
    let length = socket.recv(&mut buffer)?;
    let reply = buffer.get(..length).unwrap_or_default();
    // An echo; or a reply, whose origin is the request's last timestamp.
    let is_right = reply == request || (length == 48 && reply.get(24..32) == request.get(40..));
    if is_right { Ok(()) } else { Err(Error::other(format!("{reply:?}"))) }
}

/// Injects those faults of a server that `choose` leaves of all, one after the other.
pub(super) fn run(
    subject: &Subject,
    choose: impl FnOnce(Vec<Fault>) -> Vec<Fault>,
) -> Vec<Observed> {
    let site = tempfile::tempdir().expect("a folder");
    make_site(site.path()).expect("a site");
    let mut server = Some(Running::start(subject, &site));
    let calls = server.as_ref().map(Running::calls).unwrap_or_default();
    let faults = choose(faults(&calls).unwrap_or_else(|why| panic!("{}: {why}", subject.name())));
    let inject = |fault| {
        let running = server.take().unwrap_or_else(|| Running::start(subject, &site));
        let (observed, running) = running.inject(fault);
        server = running;
        observed
    };
    faults.into_iter().map(inject).collect()
}

/// What each process of a server has open, without the numbers: a worker that ended has another one now,
/// and a reserve that was spent another descriptor.
type Open = Vec<Vec<String>>;

/// A server that has served a client.
struct Running<'a> {
    subject: &'a Subject,
    server: Server,
    /// For a server on a path.
    path: PathBuf,
    at_rest: Open,
}

/// What its clients of a fault got.
#[derive(Default)]
struct Clients {
    served: usize,
    refused: usize,
    waited: usize,
}

impl Clients {
    fn add(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.served += 1,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => self.waited += 1,
            Err(_) => self.refused += 1,
        }
    }

    fn outcome(&self, logged: bool) -> Outcome {
        match () {
            () if self.refused > 0 => Outcome::Refused,
            () if self.waited > 0 => Outcome::Waited,
            () if logged => Outcome::Logged,
            () => Outcome::Served,
        }
    }
}

impl<'a> Running<'a> {
    fn start(subject: &'a Subject, site: &TempDir) -> Self {
        let (folder, path) = (site.path().to_string_lossy(), site.path().join("echo.sock"));
        let run = Run::new(subject.program).args(subject.options);
        let run = match subject.peer {
            Peer::Stream(probe) => run.args(["--port", "0"]).args(probe.options(&folder)),
            Peer::Datagram => run.args(["--port", "0"]),
            Peer::Unix => run.arg(&path),
        };
        let server = Server::start_run(run);
        let running = Self { subject, server, path, at_rest: Open::new() };
        // All workers, and a client: from then on they have what they ever have.
        let workers = subject.options.iter().position(|option| *option == "--workers");
        let workers = workers.and_then(|at| subject.options.get(at + 1)?.parse().ok());
        let pid = running.server.pid();
        let all = || (evidence::children(pid).len() >= workers.unwrap_or(0)).then_some(());
        evidence::wait_until(SOON, all).expect("all workers");
        running.exchange(SOON).expect("it serves");
        let at_rest = evidence::wait_until(SOON, || running.rest()).expect("it comes to rest");
        Self { at_rest, ..running }
    }

    fn long(&self) -> Duration {
        if matches!(self.subject.peer, Peer::Datagram) { LOST } else { LONG }
    }

    fn exchange(&self, timeout: Duration) -> io::Result<()> {
        match self.subject.peer {
            Peer::Stream(probe) => probe.exchange_within(self.server.address(), timeout),
            Peer::Datagram => exchange_datagrams(self.server.address(), timeout),
            Peer::Unix => exchange_over_unix(&self.path, timeout),
        }
    }

    /// What its processes have open, once none has ended that was not reaped.
    fn open(&self) -> Option<Open> {
        let links = |pid| {
            let mut links: Vec<String> = evidence::descriptors(pid).into_values().collect();
            links.sort();
            links
        };
        let mut open: Open = self.family().into_iter().map(links).collect();
        open.sort();
        // A child that is about to end has closed all that it had, and is still there.
        let is_whole = open.iter().all(|open| !open.is_empty());
        (is_whole && evidence::zombies(self.server.pid()).is_empty()).then_some(open)
    }

    /// The same without a connection.
    fn rest(&self) -> Option<Open> {
        let owners = match self.subject.peer {
            Peer::Stream(_) => evidence::listener_owners(self.server.address()),
            _ => Vec::new(),
        };
        let is_quiet = self.family().into_iter().all(|pid| {
            let open = evidence::descriptors(pid);
            let mut sockets = open.iter().filter(|(_, link)| link.starts_with("socket:"));
            match self.subject.peer {
                Peer::Stream(_) => sockets.all(|(fd, _)| owners.contains(&(pid, *fd))),
                Peer::Unix | Peer::Datagram => sockets.count() == 1,
            }
        });
        self.open().filter(|_| is_quiet)
    }

    fn family(&self) -> Vec<i32> {
        let mut family = evidence::descendants(self.server.pid());
        family.insert(0, self.server.pid());
        family
    }

    /// Attaches to the processes that will serve the next client. A child that serves another one is none.
    fn attach(&self, expressions: &[&str]) -> Attached {
        let forks = self.subject.program == "forking-echo";
        let pids = if forks { vec![self.server.pid()] } else { self.family() };
        Attached::to(&pids, expressions)
    }

    /// The names of the calls that it makes while it serves, and at SIGUSR1.
    fn calls(&self) -> Vec<String> {
        let attached = self.attach(&["trace=all"]);
        for _ in 0..2 {
            self.exchange(SOON).expect("it serves");
        }
        self.ask_for_counts();
        self.exchange(SOON).expect("it serves");
        evidence::wait_until(SOON, || self.rest()).expect("it comes to rest");
        let mut names: Vec<String> = attached.detach().into_iter().map(|call| call.name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// SIGUSR1, for whom has it: those that do not would end.
    fn ask_for_counts(&self) {
        if !["ntp-responder", "unix-echo", "activated-echo"].contains(&self.subject.program) {
            self.server.signal(Signal::SIGUSR1);
        }
    }

    fn inject(self, fault: Fault) -> (Observed, Option<Self>) {
        let said_before = self.server.stderr().len();
        self.exchange(SOON).expect("it serves before");
        let witness = self.witness();
        let Fault { call, errno, lasts } = fault;
        let when = if lasts { "" } else { ":when=1" };
        let inject = format!("inject={call}:error={errno}{when}");
        let attached = self.attach(&[&format!("trace={call}"), &inject]);
        let begun = Instant::now();
        let mut clients = if lasts { self.for_a_second() } else { self.once(&attached) };
        let took = begun.elapsed();
        let failed = attached.detach().iter().filter(|call| is_injected(call)).count();

        let mut wrong = Vec::new();
        let served = || {
            let ended = !self.server.still_running();
            (ended || self.exchange(self.long()).is_ok()).then_some(())
        };
        if evidence::wait_until(SOON, served).is_none() {
            wrong.push("it does not serve after it".to_owned());
        }
        let is_running = self.server.still_running();
        if is_running {
            if let Some((probe, mut witness)) = witness {
                clients.add(probe.ask(&mut witness));
            }
            let lost = clients.refused + clients.waited;
            if !lasts && lost > failed {
                wrong.push(format!("{lost} clients lost by {failed} failing calls"));
            }
            self.look_for_leaks(&mut wrong);
        }
        // What one that has ended said last is complete after a wait for it.
        let status = if is_running { None } else { self.server.wait(SOON) };
        let said = self.server.stderr();
        let said = said.get(said_before..).unwrap_or_default();
        let logged = said.contains(errno);
        let per_second = failed as f64 / took.as_secs_f64().max(1.0);
        if per_second > SILENT as f64 && !logged {
            wrong.push(format!("a silent loop: {per_second:.0} failing calls a second"));
        }
        wrong.extend(aborts(said));
        let outcome = match () {
            () if !is_running => self.ended(fault, status, said, &mut wrong),
            () if failed == 0 => Outcome::NotMade,
            () => clients.outcome(logged),
        };
        if !wrong.is_empty() {
            wrong.push(format!("it said: {said}"));
        }
        let is_good = is_running && wrong.is_empty();
        (Observed { fault, outcome, failed, wrong }, is_good.then_some(self))
    }

    /// A client that is being served, and that no fault is about.
    fn witness(&self) -> Option<(Probe, TcpStream)> {
        let Peer::Stream(probe) = self.subject.peer else { return None };
        self.subject.several.then(|| (probe, probe.served(self.server.address()).expect("served")))
    }

    /// Clients, until the call has failed.
    fn once(&self, attached: &Attached) -> Clients {
        let mut clients = Clients::default();
        for _ in 0..3 {
            self.ask_for_counts();
            clients.add(self.exchange(self.long()));
            let failed = || attached.calls().iter().any(is_injected).then_some(());
            if evidence::wait_until(BETWEEN, failed).is_some() || !self.server.still_running() {
                break;
            }
        }
        clients
    }

    fn for_a_second(&self) -> Clients {
        let mut clients = Clients::default();
        let begun = Instant::now();
        while begun.elapsed() < LASTS && self.server.still_running() {
            let next = Instant::now() + BETWEEN;
            self.ask_for_counts();
            clients.add(self.exchange(SHORT));
            evidence::wait_until(next.saturating_duration_since(Instant::now()), || None::<()>);
        }
        clients
    }

    fn look_for_leaks(&self, wrong: &mut Vec<String>) {
        let as_before = || (self.open()? == self.at_rest).then_some(());
        if evidence::wait_until(SOON, as_before).is_some() {
            return;
        }
        let zombies = evidence::zombies(self.server.pid());
        if !zombies.is_empty() {
            wrong.push(format!("{} zombies", zombies.len()));
        }
        wrong.push(format!("open: {:?}, before it {:?}", self.open(), self.at_rest));
    }

    /// The server ended: only for an error of the list, with its code and one line that says why.
    fn ended(
        &self,
        fault: Fault,
        status: Option<ExitStatus>,
        said: &str,
        wrong: &mut Vec<String>,
    ) -> Outcome {
        let code = status.and_then(|status| status.code());
        let Some(code) = code else {
            wrong.push("abort: a signal ended it".to_owned());
            return Outcome::Ended(-1);
        };
        let listed =
            |(call, errno, _): &(&str, &str, &str)| (*call, *errno) == (fault.call, fault.errno);
        if !DEATHS.iter().any(listed) {
            wrong.push(format!("it ended with {code}"));
        }
        // Children may say something after it.
        let is_clear = |line: &str| {
            line.starts_with(&format!("{}: ", self.subject.program))
                && line.ends_with(&format!(" ({})", fault.errno))
        };
        if code != 71 || !said.lines().any(is_clear) {
            wrong.push(format!("it ended with {code}, and without a line that says why"));
        }
        Outcome::Ended(code)
    }
}
