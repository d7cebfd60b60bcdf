//! The program under test, and how it is started.

use std::cell::RefCell;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{
    Arrival, Attached, Call, Finished, Need, Process, Run, Signal, TraceFile, bin, evidence, need,
    peer, tree,
};

use super::service::Takes;
use super::{Caller, DatagramCaller, Exercise, Fault, Service, caller};

/// How long a program may take until it listens or connects; an interpreter has to start first.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// How the program under test is started.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// What runs the command, a sandbox: it is given the command after these words. Often empty.
    pub wrapper: Vec<String>,
    /// The program and its arguments; `{port}` and `{host}` stand for the address.
    pub command: Vec<String>,
    /// The folder it is started in; by default that of the harness.
    pub folder: Option<PathBuf>,
}

/// The program under test, as a check knows it.
#[derive(Clone, Debug)]
pub struct Subject {
    launch: Launch,
    seed: u64,
    ready_timeout: Duration,
    /// What else stands for something in the command: `{dir}` for a folder.
    places: Vec<(&'static str, String)>,
}

impl Subject {
    /// A program that is started so; from `seed` follow the bytes that it is sent.
    pub fn new(launch: Launch, seed: u64) -> Subject {
        Subject { launch, seed, ready_timeout: READY_TIMEOUT, places: Vec::new() }
    }

    /// The same, with `value` for a word like `{dir}` in the command.
    #[must_use]
    pub fn with(&self, word: &'static str, value: impl Into<String>) -> Subject {
        let mut changed = self.clone();
        changed.places.push((word, value.into()));
        changed
    }

    /// The same with another time until it has to listen, or to connect.
    #[must_use]
    pub fn ready_within(self, ready_timeout: Duration) -> Subject {
        Subject { ready_timeout, ..self }
    }

    /// The recipe that solves the exercise.
    pub fn recipe(exercise: &Exercise, seed: u64) -> Subject {
        let program = bin(exercise.recipe).to_string_lossy().into_owned();
        let args = exercise.args.iter().map(|&arg| arg.to_owned());
        let command = std::iter::once(program).chain(args).collect();
        Subject::new(Launch { command, ..Launch::default() }, seed)
    }

    /// Bytes of all values to send, others in each run.
    pub fn bytes(&self, count: usize) -> Vec<u8> {
        peer::pattern(self.seed, count)
    }

    /// A line to send, another one in each run; `number` tells those of one run apart.
    pub fn line(&self, number: usize) -> Vec<u8> {
        format!("line {number} of run {}\n", self.seed).into_bytes()
    }

    /// Starts the program as a server on a free port, and waits until it listens.
    ///
    /// # Errors
    /// The program does not listen in time.
    pub fn serve(&self) -> Result<Service, Fault> {
        self.serve_as(|run| run)
    }

    /// The same with a change of how it is started: under strace, with a limit.
    ///
    /// # Errors
    /// As [`Subject::serve`].
    pub fn serve_as(&self, change: impl Fn(Run) -> Run) -> Result<Service, Fault> {
        self.serving(Takes::Connections, |run| Ok(self.begin(change(run))))
    }

    /// Starts the program as a server of datagrams on a free port of all addresses, 0.0.0.0, and waits until it
    /// listens.
    ///
    /// # Errors
    /// As [`Subject::serve`].
    pub fn serve_datagrams(&self) -> Result<Service, Fault> {
        self.serving(Takes::Datagrams, |run| Ok(self.begin(run)))
    }

    fn serving(
        &self,
        takes: Takes,
        begin: impl Fn(Run) -> Result<Process, Fault>,
    ) -> Result<Service, Fault> {
        let ip = match takes {
            Takes::Connections => Ipv4Addr::LOCALHOST,
            Takes::Datagrams => Ipv4Addr::UNSPECIFIED,
        };
        for _ in 0..3 {
            let address = SocketAddr::from((ip, free_port(takes)));
            let process = begin(self.run(address)?)?;
            if let Some(service) = Service::wait(takes, process, address, self.ready_timeout)? {
                return Ok(service);
            }
        }
        Err(Fault::Broken("three times another program took the port that was free".to_owned()))
    }

    /// The same on an address that it has had before. `None`: it does not listen, since another one does.
    ///
    /// # Errors
    /// The program does not listen in time, and nobody else does.
    pub fn serve_at(&self, address: SocketAddr) -> Result<Option<Service>, Fault> {
        let process = self.start(address)?;
        let service = Service::wait(Takes::Connections, process, address, self.ready_timeout);
        service.map_err(|mut fault| {
            if let Fault::Wrong(wrong) = &mut fault {
                wrong.not_ready = false; // other checks start it on an address that is new
            }
            fault
        })
    }

    /// The same under strace; `expressions` as in [`Run::traced`].
    ///
    /// # Errors
    /// As [`Subject::serve`]; skipped without strace.
    pub fn serve_traced(&self, expressions: &[&str]) -> Result<(Service, Trace), Fault> {
        self.traced(Takes::Connections, expressions)
    }

    /// The same for a server of datagrams.
    ///
    /// # Errors
    /// As [`Subject::serve_traced`].
    pub fn serve_datagrams_traced(&self, expressions: &[&str]) -> Result<(Service, Trace), Fault> {
        self.traced(Takes::Datagrams, expressions)
    }

    fn traced(&self, takes: Takes, expressions: &[&str]) -> Result<(Service, Trace), Fault> {
        need(Need::Strace)?;
        let trace = RefCell::new(None);
        let service = self.serving(takes, |run| {
            let (process, its) = self.begin_traced(run, expressions)?;
            trace.replace(Some(its));
            Ok(process)
        })?;
        let trace = trace.take().ok_or_else(|| Fault::Broken("no trace".to_owned()))?;
        Ok((service, trace))
    }

    /// Starts the program as a client of a server of ours, and waits until it has connected. `change` says
    /// what it reads from its standard input.
    ///
    /// # Errors
    /// The program does not connect in time.
    pub fn call(&self, change: impl Fn(Run) -> Run) -> Result<Caller, Fault> {
        let listener = caller::listen()
            .map_err(|why| Fault::Broken(format!("listen for the program: {why}")))?;
        let address =
            listener.local_addr().map_err(|why| Fault::Broken(format!("getsockname: {why}")))?;
        self.accept(&listener, self.begin(change(self.run(address)?)))
    }

    /// Waits until the program that was started has connected.
    ///
    /// # Errors
    /// It does not connect in time.
    pub fn accept(&self, listener: &TcpListener, process: Process) -> Result<Caller, Fault> {
        Caller::accept(listener, process, self.ready_timeout)
    }

    /// How long it may take until it does the first thing that it has to do.
    pub fn ready_timeout(&self) -> Duration {
        self.ready_timeout
    }

    /// Starts the program with the port and host of that address, and waits for nothing.
    ///
    /// # Errors
    /// There is no command.
    pub fn start(&self, address: SocketAddr) -> Result<Process, Fault> {
        Ok(self.begin(self.run(address)?))
    }

    /// Starts the program under strace, with no address, and waits for nothing.
    ///
    /// # Errors
    /// There is no command; skipped without strace.
    pub fn start_traced(&self, expressions: &[&str]) -> Result<(Process, Trace), Fault> {
        need(Need::Strace)?;
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.begin_traced(self.run(nowhere)?, expressions)
    }

    /// Starts the program as a client of a name, with its standard input held open. The files of the folder
    /// `etc` take the place of those of /etc, as far as there are such.
    ///
    /// # Errors
    /// There is no command; skipped without user namespaces.
    pub fn start_with_name(&self, name: &str, port: u16, etc: &Path) -> Result<Process, Fault> {
        /// $0 is `etc`.
        const OWN_ETC: &str = r#"
            for file in "$0"/*; do
                place=/etc/${file##*/}
                [ ! -e "$place" ] || mount --bind "$file" "$place" || exit
            done
            exec "$@""#;
        need(Need::OwnNames)?;
        if !self.launch.wrapper.is_empty() {
            // It would take the files of /etc from what is wrapped around it.
            return Err(Fault::Broken(
                "a name of its own takes a program without a wrapper".into(),
            ));
        }
        let words = self.words(name, port)?;
        let shell = Run::program("sh").args(["-c", OWN_ETC]).arg(etc).args(words);
        Ok(self.bounded(shell.unshared(&["--mount"]).hold_stdin()).start())
    }

    /// Runs the program to its end, which does not need a peer.
    ///
    /// # Errors
    /// It does not end.
    pub fn finish(&self) -> Result<Finished, Fault> {
        /// It only computes; an interpreter has to start before.
        const TIMEOUT: Duration = Duration::from_secs(3);
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let finished = self.run(nowhere)?.under(&self.launch.wrapper);
        let finished = finished.deadline(TIMEOUT).finish();
        if finished.timed_out {
            let got = format!("it still runs after {} s", TIMEOUT.as_secs());
            return Err(Fault::wrong("it ends", got, ""));
        }
        Ok(finished)
    }

    /// Starts the program as a client of a server of ours, and waits for its first datagram.
    ///
    /// # Errors
    /// The program does not send in time.
    pub fn call_datagrams(&self) -> Result<(DatagramCaller, Arrival), Fault> {
        DatagramCaller::start(self.ready_timeout, |server| self.start(server))
    }

    /// Starts it, with what is wrapped around it.
    fn begin(&self, run: Run) -> Process {
        run.under(&self.launch.wrapper).start()
    }

    fn begin_traced(&self, run: Run, expressions: &[&str]) -> Result<(Process, Trace), Fault> {
        if self.launch.wrapper.is_empty() {
            let (run, file) = run.traced(expressions);
            return Ok((run.start(), Trace::Whole(file)));
        }
        // The calls of what is wrapped around it are not its own, and what sees its own is outside.
        let process = self.begin(run.stopped_first());
        let stopped = || {
            let mut below = evidence::descendants(process.pid()).into_iter();
            below.find(|&pid| evidence::state(pid) == Some('T'))
        };
        let pid = evidence::wait_until(self.ready_timeout, stopped)
            .ok_or_else(|| Fault::Broken(format!("it does not stop: {}", process.stderr())))?;
        let attached = Attached::to(&[pid], expressions);
        tree::send(pid, Signal::SIGCONT);
        Ok((process, Trace::Attached(attached)))
    }

    /// The program with the port and host of that address, not yet started, and without the wrapper.
    ///
    /// # Errors
    /// There is no command.
    fn run(&self, server: SocketAddr) -> Result<Run, Fault> {
        let mut words = self.words(&server.ip().to_string(), server.port())?.into_iter();
        let program = words.next().unwrap_or_default();
        Ok(self.bounded(Run::program(program).args(words)))
    }

    /// The command, with what its words stand for.
    fn words(&self, host: &str, port: u16) -> Result<Vec<String>, Fault> {
        let command = &self.launch.command;
        let port = port.to_string();
        let own = self.places.iter().map(|(word, value)| (*word, value.as_str()));
        let places: Vec<_> =
            [("{port}", port.as_str()), ("{host}", host)].into_iter().chain(own).collect();
        let replaced = |word: &String| {
            places.iter().fold(word.clone(), |word, (place, value)| word.replace(place, value))
        };
        let words: Vec<String> = command.iter().map(replaced).collect();
        match words.is_empty() {
            true => Err(Fault::Broken("no command".to_owned())),
            false => Ok(words),
        }
    }

    fn bounded(&self, run: Run) -> Run {
        match &self.launch.folder {
            Some(folder) => run.bounded().folder(folder),
            None => run.bounded(),
        }
    }
}

/// The system calls of a program under test.
#[derive(Debug)]
pub enum Trace {
    /// From its start.
    Whole(TraceFile),
    /// Of a program with a wrapper around it: from when that starts it.
    Attached(Attached),
}

impl Trace {
    /// The calls so far, a moment late.
    pub fn calls(&self) -> Vec<Call> {
        match self {
            Trace::Whole(file) => file.calls(),
            Trace::Attached(attached) => attached.calls(),
        }
    }
}

/// A port that no socket has, of those that the kernel gives to nobody by itself.
fn free_port(takes: Takes) -> u16 {
    const LOWEST: u16 = 10_000;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ephemeral = range.split_whitespace().next().and_then(|low| low.parse().ok());
    let ports = ephemeral.unwrap_or(32_768_u16).saturating_sub(LOWEST).max(1_000);
    let random = || RandomState::new().hash_one(0) % u64::from(ports);
    let port = || u16::try_from(random()).map_or(LOWEST, |port| LOWEST + port);
    let is_free = |&port: &u16| match takes {
        Takes::Connections => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok(),
        Takes::Datagrams => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok(),
    };
    std::iter::repeat_with(port).take(1_000).find(is_free).unwrap_or(LOWEST)
}
