//! Calls that fail: each error that the man page of a call lists, once and for a second, in every server
//! and client. `cargo xtask faults` injects them all, the suite a sample.

mod clients;
mod errnos;
mod servers;

use std::fmt;

use netcheck::Call;

use clients::Client;
pub use errnos::{DEATHS, Fault, ROWS, Row};
use servers::Subject;

/// A program in which faults are injected.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// It serves before, during and after.
    Server(&'static Subject),
    /// It ends, in time and with a reason.
    Client(&'static Client),
}

/// What a fault came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All clients were served, and the log says nothing of it. A client: it ended with 0.
    Served,
    /// All clients were served, and a line of the log names the error.
    Logged,
    /// A client was not: its connection was closed, or its datagram was lost.
    Refused,
    /// A client got no reply while it waited for one.
    Waited,
    /// The program ended with this code; -1 is a signal.
    Ended(i32),
    /// The program did not make the call.
    NotMade,
}

/// A fault that was injected.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which.
    pub fault: Fault,
    /// What it came to.
    pub outcome: Outcome,
    /// How many calls failed.
    pub failed: usize,
    /// What a program must not do, and this one did.
    pub wrong: Vec<String>,
}

/// All of them, the servers first.
pub fn programs() -> impl Iterator<Item = Program> {
    let clients = clients::CLIENTS.iter().map(Program::Client);
    servers::SERVERS.iter().map(Program::Server).chain(clients)
}

impl Program {
    /// `epoll-echo --edge`.
    pub fn name(self) -> String {
        match self {
            Self::Server(subject) => subject.name(),
            Self::Client(client) => client.name(),
        }
    }

    /// Injects those of its faults that `choose` leaves of all, one after the other.
    ///
    /// # Panics
    /// When it cannot be started or traced, or a server makes a call that errnos.rs does not know.
    pub fn run(self, choose: impl FnOnce(Vec<Fault>) -> Vec<Fault>) -> Vec<Observed> {
        match self {
            Self::Server(subject) => servers::run(subject, choose),
            Self::Client(client) => clients::run(client, choose),
        }
    }
}

/// A sample: so many faults that happen once and so many that last. The next seed gives the next ones, so that
/// in time all are injected.
pub fn sample(all: Vec<Fault>, seed: usize, once: usize, lasting: usize) -> Vec<Fault> {
    let (last, happen_once): (Vec<Fault>, Vec<Fault>) =
        all.into_iter().partition(|fault| fault.lasts);
    let next = |faults: Vec<Fault>, count: usize| {
        let first = seed.wrapping_mul(count) % faults.len().max(1);
        faults.iter().copied().cycle().skip(first).take(count.min(faults.len())).collect::<Vec<_>>()
    };
    [next(happen_once, once), next(last, lasting)].concat()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, errno, lasts } = self;
        write!(f, "{call} {errno} {}", if *lasts { "for a second" } else { "once" })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served => f.write_str("served"),
            Self::Logged => f.write_str("logged"),
            Self::Refused => f.write_str("refused"),
            Self::Waited => f.write_str("waited"),
            Self::Ended(code) => write!(f, "ended {code}"),
            Self::NotMade => f.write_str("not made"),
        }
    }
}

fn is_injected(call: &Call) -> bool {
    call.result.ends_with("(INJECTED)")
}

/// What a program says when it ends by a panic, or without memory.
fn aborts(said: &str) -> impl Iterator<Item = String> {
    let signs = ["panicked", "SIGABRT", "fatal runtime error", "memory allocation of"];
    signs.into_iter().filter(|sign| said.contains(sign)).map(|sign| format!("abort: {sign}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_together_give_all_faults() {
        let all: Vec<Fault> = errnos::faults_of(&["accept4", "write"]);
        let mut seen: Vec<Fault> =
            (0..40).flat_map(|seed| sample(all.clone(), seed, 3, 1)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all.len());
        assert_eq!(sample(all.clone(), 7, 3, 1), sample(all, 7, 3, 1));
    }

    #[test]
    fn each_death_is_an_error_of_its_call() {
        for (call, errno, _) in DEATHS {
            let row = ROWS.iter().find(|row| row.call == call).unwrap();
            assert!(row.errnos().any(|known| known == errno), "{call} {errno}");
        }
    }
}
