//! What is known of a target, and how it is printed.

use std::time::Duration;

use nix::errno::Errno;

use netcore::error::{Error, errno};
use netcore::text::{Json, escape};
use netcore::time::{Span, Timeout, millis};

/// Why a target is not open yet, or not gone yet.
pub(crate) enum Why {
    /// The error of `socket` or `connect`.
    Errno(Errno),
    /// No answer to the SYN.
    Silent,
    /// The socket was connected to itself.
    Itself,
    /// The connection did not last for `--stay`.
    Closed(Option<Errno>),
    /// The resolver's error.
    Name(Error),
    /// It is open, and is to be gone.
    Open,
}

impl Why {
    fn name(&self) -> String {
        match self {
            Why::Errno(errno) | Why::Closed(Some(errno)) => format!("{errno:?}"),
            Why::Silent => "no answer".to_owned(),
            Why::Itself => "a connection to itself".to_owned(),
            Why::Closed(None) => "closed by the peer".to_owned(),
            Why::Name(_) => "no address".to_owned(),
            Why::Open => "open".to_owned(),
        }
    }

    /// Whether nobody listens: no socket has the port, or there is no such path.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Why::Errno(Errno::ECONNREFUSED | Errno::ENOENT))
    }
}

/// A target, and what became of the tries.
pub(crate) struct Progress<'a> {
    pub(crate) typed: &'a str,
    pub(crate) tries: u64,
    pub(crate) why: Option<Why>,
    /// Nothing more is to be waited for: with --gone, that nobody listens.
    pub(crate) is_open: bool,
}

impl Progress<'_> {
    pub(crate) fn new(typed: &str) -> Progress<'_> {
        Progress { typed, tries: 0, why: None, is_open: false }
    }

    pub(crate) fn done(&self, gone: bool, after: Duration, json: bool) -> String {
        let state = if gone { "gone" } else { "open" };
        let (target, before) = (escape(self.typed.as_bytes()), self.why.as_ref().map(Why::name));
        if json {
            let json = Json::new(state).text("target", &target).nanos("duration_ns", after);
            let json = json.number("tries", self.tries);
            return before.map_or(json.to_string(), |why| json.text("before", &why).to_string());
        }
        let before = before.map_or(String::new(), |why| format!(", before that {why}"));
        format!("{target}  {state} after {}{before}", millis(after))
    }

    /// The error of a target that is not open in time.
    pub(crate) fn error(self, timeout: Timeout, stay: Span) -> Error {
        let typed = escape(self.typed.as_bytes());
        let attempt = format!("wait for {typed}");
        let late = Error::Timeout {
            attempt: attempt.clone(),
            after: timeout.duration().unwrap_or_default(),
        };
        match self.why {
            // There is no such file yet, or the queue of its listener is full.
            Some(Why::Errno(why @ Errno::ENOENT)) => Error::Gone { peer: attempt, why: errno(why) },
            Some(Why::Errno(why @ Errno::EAGAIN)) => {
                Error::Later { peer: attempt, why: errno(why) }
            }
            Some(Why::Errno(source)) => Error::Os { attempt, source },
            Some(Why::Itself) => Error::Os { attempt, source: Errno::ECONNREFUSED },
            Some(Why::Closed(error)) => {
                let how = error.map_or("the peer closed the connection".to_owned(), errno);
                let why = format!("{how} in less than {}", millis(stay.0));
                Error::Gone { peer: attempt, why }
            }
            Some(Why::Name(error)) => error,
            Some(Why::Open) => Error::Timeout {
                attempt: format!("wait until {typed} is gone"),
                after: timeout.duration().unwrap_or_default(),
            },
            Some(Why::Silent) | None => late,
        }
    }
}
