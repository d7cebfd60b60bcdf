//! What a server prints: the readiness line, and a line for each connection.

use std::cell::Cell;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};

use crate::error::{Error, errno};
use crate::log_file::LogFile;
use crate::output::Output;
use crate::text::{Json, counted, shown};
use crate::time::millis;

/// The connection log. Each event is one line and one write(2), so that the lines of several
/// processes do not mix, and nothing is buffered that a fork would double. It goes to standard
/// error; with `--json` to standard output, as JSON Lines. A log that cannot be written stops no
/// server: a line for which there is no room is lost, and the next one that is written says how many
/// were.
#[derive(Clone, Copy)]
pub struct Log {
    name: &'static str,
    /// `None` with `-q`.
    file: Option<&'static LogFile>,
    verbose: bool,
    json: bool,
}

/// A call that fails, and may do so for long: it costs a line a second, and the server does not spin.
pub struct Failures {
    log: Log,
    logged: Cell<Option<Instant>>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
pub enum Peer {
    /// An address.
    Inet(SocketAddr),
    /// A process of this machine, which has no address: its user, and its number when it connected
    /// (SO_PEERCRED, unix(7)).
    Process {
        /// The user.
        uid: u32,
        /// 0 for a process that cannot be seen from here.
        pid: i32,
    },
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        Peer::Inet(address)
    }
}

impl Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) => address.fmt(f),
            Peer::Process { uid, pid } => write!(f, "uid {uid}, pid {pid}"),
        }
    }
}

impl Peer {
    fn json(self, kind: &str) -> Json {
        let json = Json::new(kind);
        match self {
            Peer::Inet(address) => json.address(address),
            Peer::Process { uid, pid } => json.number("uid", uid).number("pid", pid),
        }
    }
}

/// What went over one connection, from its first line in the log to its last.
pub struct Record<'a> {
    log: &'a Log,
    peer: Peer,
    received: u64,
    sent: u64,
    since: Instant,
}

impl Log {
    /// A log whose lines begin with the program's name. `quiet` (`-q`) logs nothing,
    /// `verbose` (`-v`) also what each peer sends, `json` makes it JSON Lines.
    #[must_use]
    pub fn new(name: &'static str, quiet: bool, verbose: bool, json: bool) -> Log {
        // Once for each program, so it is never closed.
        let open = |stream| LogFile::of(stream).map(|file| &*Box::leak(Box::new(file)));
        let file = match (quiet, json) {
            (true, _) => None,
            (false, true) => open(std::io::stdout().as_fd()),
            (false, false) => open(std::io::stderr().as_fd()),
        };
        Log { name, file, verbose, json }
    }

    /// A connection was accepted: its line, and the record of what goes over it.
    #[must_use]
    pub fn open(&self, peer: impl Into<Peer>) -> Record<'_> {
        let peer = peer.into();
        self.event(|| peer.json("opened"), || format!("{peer} opened"));
        Record { log: self, peer, received: 0, sent: 0, since: Instant::now() }
    }

    /// A line for the administrator of the server.
    pub fn note(&self, what: impl Display) {
        self.event(|| Json::new("note").text("text", &what.to_string()), || what.to_string());
    }

    /// One event, built in one of the two forms, unless `-q` wants none.
    pub fn event(&self, json: impl FnOnce() -> Json, line: impl FnOnce() -> String) {
        if let Some(file) = self.file {
            self.write(file, if self.json { json().to_string() } else { line() });
        }
    }

    fn write(&self, file: &LogFile, event: String) {
        let line = |text: String| match self.json {
            true => format!("{text}\n"),
            false => format!("{}: {text}\n", self.name),
        };
        let lost = |lines: u64| match self.json {
            true => line(Json::new("lost").number("lines", lines).to_string()),
            false => line(format!("{} of this log lost: it had no room", counted(lines, "line"))),
        };
        file.line(&line(event), lost);
    }
}

impl Failures {
    const LOG_EVERY: Duration = Duration::from_secs(1);

    /// Between two tries.
    const PAUSE: Duration = Duration::from_millis(50);

    /// None so far.
    #[must_use]
    pub fn new(log: &Log) -> Failures {
        Failures { log: *log, logged: Cell::new(None) }
    }

    /// Logs the error of a call, unless it did so within the last second, and pauses.
    pub fn pause(&self, call: &str, why: Errno) {
        if self.logged.get().is_none_or(|last| last.elapsed() >= Self::LOG_EVERY) {
            self.log.note(format_args!("{call}: {}", errno(why)));
            self.logged.set(Some(Instant::now()));
        }
        // Not poll(2), which may be what fails.
        let pause = TimeSpec::from_duration(Self::PAUSE);
        let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::empty(), &pause);
    }
}

impl Record<'_> {
    /// Bytes arrived from the peer; with `-v` they are shown.
    pub fn received(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        if self.log.verbose {
            let (peer, count) = (self.peer, bytes.len() as u64);
            self.log.event(
                || {
                    let json = peer.json("received").number("bytes", count);
                    json.text("payload", &shown(bytes))
                },
                || format!("{peer} sent {}: {}", counted(count, "byte"), shown(bytes)),
            );
        }
    }

    /// The kernel took so many bytes for the peer.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// The connection ended: at the end of the stream, or for the reason in the error.
    pub fn close(&self, end: Result<(), String>) {
        let Record { log, peer, received, sent, since } = *self;
        // Only a log that is written looks at the clock.
        let why = || end.as_ref().err().map_or("end of stream", String::as_str);
        log.event(
            || {
                let json = peer.json("closed").number("received", received);
                json.number("sent", sent).nanos("duration_ns", since.elapsed()).text("why", why())
            },
            || {
                let took = millis(since.elapsed());
                let received = counted(received, "byte");
                format!("{peer} closed: {received} in, {sent} out, {took}, {}", why())
            },
        );
    }
}

/// Prints on standard output that the server can be connected to: `listening on 127.0.0.1:40123`.
/// It is printed after listen(2) and before the first accept(2): a program that reads the line may
/// connect, and learns the port that the kernel picked for `--port 0`.
///
/// # Errors
/// That of the write.
pub fn ready(local: SocketAddr, json: bool, more: &str, out: &mut Output) -> Result<(), Error> {
    if json {
        out.line(Json::new("listening").address(local).number("pid", std::process::id()))
    } else {
        out.line(format_args!("listening on {local}{more}"))
    }
}
