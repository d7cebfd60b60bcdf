//! What is to be done, from what was typed.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use netcore::error::{Attempt, Error};
use netcore::time::Timeout;

use crate::Args;

/// Descriptors beside the connections: standard streams, epoll, signals, timer, and some to spare.
const OTHER_DESCRIPTORS: u64 = 16;

/// The highest --rate: what lies between two messages is then what one of them takes to send.
const MOST: u32 = 1_000_000;

/// What the connections do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message there and back, then the next one.
    PingPong,
    /// The same, with a connection for each message.
    Churn,
    /// Bytes without pause in both directions.
    Bulk,
    /// Nothing.
    Idle,
}

impl Kind {
    /// The word for it in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::PingPong => "ping-pong",
            Kind::Churn => "churn",
            Kind::Bulk => "bulk",
            Kind::Idle => "idle",
        }
    }
}

/// The load that is asked for.
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) connections: u32,
    pub(crate) size: u32,
    pub(crate) duration: Timeout,
    pub(crate) rate: Option<u32>,
    pub(crate) timeout: Timeout,
    pub(crate) seed: u64,
}

impl Plan {
    /// The plan of a command line, if its options go together.
    pub(crate) fn of(args: &Args) -> Result<Plan, Error> {
        let kind = match (args.churn, args.bulk, args.idle) {
            (false, false, false) => Kind::PingPong,
            (true, false, false) => Kind::Churn,
            (false, true, false) => Kind::Bulk,
            (false, false, true) => Kind::Idle,
            _ => return Err(Error::Usage("--churn, --bulk, --idle: one of them".to_owned())),
        };
        if let Some(rate) = args.rate {
            if matches!(kind, Kind::Bulk | Kind::Idle) {
                let name = kind.name();
                return Err(Error::Usage(format!("--rate {rate}: --{name} sends no messages")));
            }
            if rate > MOST {
                let what = format!("--rate {rate}: write a whole number from 1 to {MOST}");
                return Err(Error::Usage(what));
            }
        }
        let Args { connections, size, duration, rate, timeout, seed, .. } = *args;
        Ok(Plan { kind, connections, size, duration, rate, timeout, seed })
    }
}

/// Raises RLIMIT_NOFILE as far as this process may, if so many connections need it: the limit that a
/// shell hands on is often 1,024, for programs that still use select(2), and the hard one far higher.
pub(crate) fn allow_descriptors(connections: u32) -> Result<(), Error> {
    let needed = u64::from(connections) + OTHER_DESCRIPTORS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).attempt("getrlimit RLIMIT_NOFILE")?;
    if needed > hard {
        let attempt = format!("open {connections} connections with {hard} descriptors");
        return Err(Errno::EMFILE).attempt(attempt);
    }
    if needed > soft {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).attempt("setrlimit RLIMIT_NOFILE")?;
    }
    Ok(())
}
