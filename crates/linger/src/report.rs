//! The ways to close a connection, what is documented of each, and how it is printed.

use std::fs;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use netcore::error::{Attempt, Error, to_errno};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::text::{Json, counted};
use netcore::time::millis;

/// How long the case `linger-1s` lets `close` wait.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// A way to close.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    title: &'static str,
    pub(crate) closing: Closing,
    documented: Seen,
}

#[derive(Clone, Copy)]
pub(crate) enum Closing {
    /// `close` with a full queue, and SO_LINGER set to this.
    Full(Option<Duration>),
    /// `close` with bytes of the peer that were not received.
    Unread,
    /// `shutdown`, then `recv` until the peer has closed, then `close`.
    Drain,
}

/// What both sides see.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// What ends the stream: the peer hears the end after a FIN, an error after an RST.
    segment: &'static str,
    /// Whether the peer receives everything.
    all: bool,
    /// Whether `close` waits as long as SO_LINGER says.
    waits: bool,
    /// The state of this side after `close`, and when the peer has closed too.
    states: (State, State),
}

const RESET: Seen =
    Seen { segment: "RST", all: true, waits: false, states: (State::Closed, State::Closed) };
const FIN: Seen =
    Seen { segment: "FIN", all: true, waits: false, states: (State::FinWait1, State::TimeWait) };

pub(crate) const CASES: [Case; 5] = [
    Case { name: "close", title: "close", closing: Closing::Full(None), documented: FIN },
    Case {
        name: "unread",
        title: "close, bytes unread",
        closing: Closing::Unread,
        documented: RESET,
    },
    Case {
        name: "linger-0",
        title: "linger 0, queue full",
        closing: Closing::Full(Some(Duration::ZERO)),
        documented: Seen { all: false, ..RESET },
    },
    Case {
        name: "linger-1s",
        title: "linger 1 s, peer idle",
        closing: Closing::Full(Some(LINGER)),
        documented: Seen { waits: true, ..FIN },
    },
    Case {
        name: "drain",
        title: "shutdown, drain, close",
        closing: Closing::Drain,
        documented: Seen { states: (State::TimeWait, State::TimeWait), ..FIN },
    },
];

/// What became of a connection.
pub(crate) struct Outcome {
    pub(crate) sent: usize,
    pub(crate) received: usize,
    /// The error of the peer's last `recv`; `None` if it returned 0.
    pub(crate) error: Option<Errno>,
    /// What `close` returned, and how long it took.
    pub(crate) closed: (Result<(), Errno>, Duration),
    pub(crate) states: (State, State),
}

impl Outcome {
    fn seen(&self) -> Seen {
        Seen {
            segment: if self.error.is_none() { "FIN" } else { "RST" },
            all: self.received == self.sent,
            waits: self.closed.1 >= LINGER,
            states: self.states,
        }
    }
}

impl Case {
    pub(crate) fn print(
        &self,
        outcome: &Outcome,
        json: bool,
        out: &mut Output,
    ) -> Result<(), Error> {
        let seen = outcome.seen();
        let holds = seen == self.documented && outcome.closed.0.is_ok();
        if json {
            out.line(self.json(outcome).flag("as_documented", holds))?;
        } else {
            out.line(self.text(outcome, holds))?;
        }
        if !holds {
            out.report(&Error::No(format!("{}: not as documented on this machine", self.name)));
        }
        Ok(())
    }

    /// Four lines of at most 80 columns: a table that can be shown on a wall.
    fn text(&self, outcome: &Outcome, holds: bool) -> String {
        let Outcome { sent, received, closed: (result, took), states, .. } = outcome;
        let verdict = if holds { "as documented" } else { "different" };
        let head = format!("{:<23} {}, {verdict}", self.title, outcome.seen().segment);
        let result = result.err().map_or("0".to_owned(), |why| format!("{why:?}"));
        let closed = format!("returned {result} after {}", millis(*took));
        let here = match *states {
            (after, last) if after == last => after.name().to_owned(),
            (after, last) => format!("{}, then {}", after.name(), last.name()),
        };
        let received = format!("received {} of {sent} sent", counted(*received, "byte"));
        let end = outcome.end();
        format!("{head}\n  close  {closed}\n  here   {here}\n  peer   {received}, then {end}")
    }

    fn json(&self, outcome: &Outcome) -> Json {
        let Outcome { sent, received, closed: (result, took), states, .. } = outcome;
        let result = result.err().map_or("0".to_owned(), |why| format!("{why:?}"));
        let json = Json::new("closed").text("case", self.name).text("close", &result);
        let json = json.nanos("duration_ns", *took).text("segment", outcome.seen().segment);
        let json = json.number("sent", *sent as u64).number("received", *received as u64);
        let json = json.text("end", &outcome.end());
        json.text("state", states.0.name()).text("last_state", states.1.name())
    }
}

impl Outcome {
    fn end(&self) -> String {
        self.error.map_or("the end".to_owned(), |why| format!("{why:?}"))
    }
}

/// The state of one end of a connection (include/net/tcp_states.h of the kernel).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    FinWait1,
    TimeWait,
    /// No state at all: the kernel has forgotten the connection.
    Closed,
    Other,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::FinWait1 => "FIN_WAIT1",
            State::TimeWait => "TIME_WAIT",
            State::Closed => "CLOSED",
            State::Other => "another state",
        }
    }
}

/// The addresses of a connection: those of the end that closes first, and of its peer.
pub(crate) struct Ends(pub(crate) SocketAddrV4, pub(crate) SocketAddrV4);

impl Ends {
    /// The state of the end that closes first.
    pub(crate) fn state(&self) -> Result<State, Error> {
        let path = "/proc/self/net/tcp";
        let table = fs::read_to_string(path).map_err(to_errno);
        let table = table.map_err(|source| Error::File { path: path.to_owned(), source })?;
        Ok(state_in(&table, self))
    }

    /// The state that it keeps. The kernel changes it a moment after the peer has closed.
    pub(crate) fn last_state(&self) -> Result<State, Error> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let state = self.state()?;
            let is_last = matches!(state, State::TimeWait | State::Closed);
            if is_last || Instant::now() >= deadline {
                return Ok(state);
            }
            poll(&mut [], Some(Instant::now() + Duration::from_millis(1))).attempt("poll")?;
        }
    }
}

/// The same in the text of /proc/net/tcp (proc_net(5)).
fn state_in(table: &str, Ends(local, peer): &Ends) -> State {
    // An address is printed as a number of this machine's byte order, although its bytes are in the
    // network's.
    let hex = |address: &SocketAddrV4| {
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    };
    let ends = format!(" {} {} ", hex(local), hex(peer));
    match table.lines().find_map(|line| line.split_once(&ends)?.1.get(..2)) {
        Some("04") => State::FinWait1,
        Some("06") => State::TimeWait,
        Some(_) => State::Other,
        None => State::Closed,
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
