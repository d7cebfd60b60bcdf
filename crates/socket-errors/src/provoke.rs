//! The twelve errors as a table: what was done, what the errno means, what a program should do.

use std::str::FromStr;
use std::time::Instant;

use nix::errno::Errno;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::Json;

use crate::cases::{self, Seen};

/// What `--provoke` asks for.
pub(crate) enum Provoke {
    List,
    All,
    One(&'static Case),
}

impl FromStr for Provoke {
    type Err = String;

    fn from_str(text: &str) -> Result<Provoke, String> {
        match text {
            "list" => Ok(Provoke::List),
            "all" => Ok(Provoke::All),
            name => CASES
                .iter()
                .find(|case| case.name == name)
                .map(Provoke::One)
                .ok_or_else(|| "write all, or one of the names of --provoke list".to_owned()),
        }
    }
}

/// An error that can be made.
pub(crate) struct Case {
    name: &'static str,
    call: &'static str,
    errno: Errno,
    means: &'static str,
    program: &'static str,
    run: fn() -> Result<Seen, Error>,
}

/// In the order in which a connection meets them: before it, at its start, while it lasts.
const CASES: [Case; 12] = [
    Case {
        name: "too-many-files",
        call: "socket",
        errno: Errno::EMFILE,
        means: "this process has as many descriptors as RLIMIT_NOFILE lets it",
        program: "close some, go on; a server keeps one in reserve, to accept and close",
        run: cases::too_many_files,
    },
    Case {
        name: "address-in-use",
        call: "bind",
        errno: Errno::EADDRINUSE,
        means: "another socket has that address and port, perhaps in TIME_WAIT",
        program: "servers: SO_REUSEADDR before bind; if it is still in use, say so, end",
        run: cases::address_in_use,
    },
    Case {
        name: "address-not-available",
        call: "bind",
        errno: Errno::EADDRNOTAVAIL,
        means: "no interface of this machine has that address",
        program: "check the address; 0.0.0.0 and :: are all that this machine has",
        run: cases::address_not_available,
    },
    Case {
        name: "permission",
        call: "connect",
        errno: Errno::EACCES,
        means: "a broadcast takes SO_BROADCAST, a low port CAP_NET_BIND_SERVICE",
        program: "do not try again: ask for the right, or do without",
        run: cases::permission,
    },
    Case {
        name: "refused",
        call: "connect",
        errno: Errno::ECONNREFUSED,
        means: "nobody listens on that port: a reset answered the SYN",
        program: "try the next address of the name, then say so, or try again later",
        run: cases::refused,
    },
    Case {
        name: "timeout",
        call: "connect",
        errno: Errno::ETIMEDOUT,
        means: "the SYN went out and nobody answered, not even with a no",
        program: "have a deadline of your own: the kernel's is longer than people wait",
        run: cases::timeout,
    },
    Case {
        name: "already-connected",
        call: "connect",
        errno: Errno::EISCONN,
        means: "a stream socket has one peer, once",
        program: "a bug: make a new socket for each connection",
        run: cases::already_connected,
    },
    Case {
        name: "not-connected",
        call: "recv",
        errno: Errno::ENOTCONN,
        means: "there is no peer: connect was not called, or it failed",
        program: "a bug, but on a socket from accept: there the peer has gone, close it",
        run: cases::not_connected,
    },
    Case {
        name: "would-block",
        call: "recv",
        errno: Errno::EAGAIN,
        means: "there is nothing yet, and this socket may not wait",
        program: "no error: poll until it is readable, then call again",
        run: cases::would_block,
    },
    Case {
        name: "message-too-long",
        call: "send",
        errno: Errno::EMSGSIZE,
        means: "a datagram goes as a whole or not at all, and this is too much",
        program: "send less at a time, or use TCP; a smaller part is never sent",
        run: cases::message_too_long,
    },
    Case {
        name: "broken-pipe",
        call: "send",
        errno: Errno::EPIPE,
        means: "the peer has closed, and nobody is left to read it",
        program: "MSG_NOSIGNAL, or SIGPIPE ends you; receive what it said, then close",
        run: cases::broken_pipe,
    },
    Case {
        name: "reset",
        call: "recv",
        errno: Errno::ECONNRESET,
        means: "the peer closed with bytes unread, or died: some may be lost",
        program: "close; ask again only where asking twice does no harm",
        run: cases::reset,
    },
];

/// Makes the errors that are asked for, and says what each was.
pub(crate) fn show(wanted: &Provoke, json: bool, out: &mut Output) -> Result<(), Error> {
    let cases = match wanted {
        Provoke::One(case) => std::slice::from_ref(*case),
        _ => CASES.as_slice(),
    };
    for case in cases {
        if let Provoke::List = wanted {
            out.line(case.listed(json))?;
            continue;
        }
        let begun = Instant::now();
        match (case.run)() {
            Ok(seen) => {
                let took = begun.elapsed();
                let text = if json {
                    case.json(&seen).nanos("duration_ns", took).to_string()
                } else {
                    case.text(&seen)
                };
                out.line(text)?;
                if seen.errno != case.errno {
                    let (name, got) = (case.name, seen.errno);
                    out.report(&Error::No(format!("{name}: {got:?}, not {:?}", case.errno)));
                }
            }
            // One that can't be made here does not hide the others.
            Err(error) => out.report(&error),
        }
    }
    Ok(())
}

impl Case {
    fn listed(&self, json: bool) -> String {
        let errno = format!("{:?}", self.errno);
        if json {
            let line = Json::new("case").text("case", self.name).text("call", self.call);
            return line.text("errno", &errno).to_string();
        }
        format!("{:<21}  {errno:<13}  {}", self.name, self.call)
    }

    /// Four lines of at most 80 columns: a table that can be shown on a wall.
    fn text(&self, seen: &Seen) -> String {
        let Case { name, means, program, .. } = self;
        let (Seen { here, errno }, symbol) = (seen, format!("{:?}", seen.errno));
        let head = format!("{name:<21}  {symbol:<13}  {}", errno.desc());
        format!("{head}\n  call   {here}\n  means  {means}\n  do     {program}")
    }

    fn json(&self, seen: &Seen) -> Json {
        let Seen { here, errno } = seen;
        let line = Json::new("provoked").text("case", self.name).text("call", self.call);
        let line = line.text("errno", &format!("{errno:?}")).number("number", *errno as i32);
        let line = line.text("text", errno.desc()).text("here", here);
        line.text("means", self.means).text("do", self.program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_makes_its_error_in_lines_that_fit_a_screen() {
        for case in &CASES {
            let seen = (case.run)().unwrap_or_else(|error| panic!("{}: {error}", case.name));
            assert_eq!(seen.errno, case.errno, "{}", case.name);
            for line in case.text(&seen).lines() {
                assert!(line.chars().count() <= 80, "{} columns: {line}", line.len());
            }
            assert!(seen.here.starts_with(case.call), "{}: {}", case.call, seen.here);
        }
    }

    #[test]
    fn names_and_errors_are_all_different() {
        let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
        let errors: BTreeSet<i32> = CASES.iter().map(|case| case.errno as i32).collect();
        assert_eq!((names.len(), errors.len()), (12, 12));
        assert!("refused".parse::<Provoke>().is_ok() && "Refused".parse::<Provoke>().is_err());
    }
}
