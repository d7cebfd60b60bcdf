//! The twelve errors: what each errno means, what a program should do, and how it is printed.

use std::time::Duration;

use nix::errno::Errno;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::Json;

/// An error that can be made.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    call: &'static str,
    pub(crate) errno: Errno,
    means: &'static str,
    action: &'static str,
}

/// In the order in which a connection meets them: before it, at its start, while it lasts.
pub(crate) const CASES: [Case; 12] = [
    Case {
        name: "too-many-files",
        call: "socket",
        errno: Errno::EMFILE,
        means: "this process has as many descriptors as RLIMIT_NOFILE allows",
        action: "close some and go on; a server keeps one in reserve for accept",
    },
    Case {
        name: "address-in-use",
        call: "bind",
        errno: Errno::EADDRINUSE,
        means: "another socket has that address and port, perhaps in TIME_WAIT",
        action: "server: set SO_REUSEADDR before bind; if that fails too, report and end",
    },
    Case {
        name: "address-not-available",
        call: "bind",
        errno: Errno::EADDRNOTAVAIL,
        means: "no interface of this machine has that address",
        action: "check the address; 0.0.0.0 and :: are all addresses of this machine",
    },
    Case {
        name: "permission",
        call: "connect",
        errno: Errno::EACCES,
        means: "a broadcast needs SO_BROADCAST, a low port CAP_NET_BIND_SERVICE",
        action: "do not try again: set the option, or get the capability",
    },
    Case {
        name: "refused",
        call: "connect",
        errno: Errno::ECONNREFUSED,
        means: "no socket listens on that port: the answer to the SYN was a reset",
        action: "try the next address of the name, then report it or try again later",
    },
    Case {
        name: "timeout",
        call: "connect",
        errno: Errno::ETIMEDOUT,
        means: "the SYN was sent again and again, and there was no answer",
        action: "set a deadline of your own: the kernel's is longer than people wait",
    },
    Case {
        name: "already-connected",
        call: "connect",
        errno: Errno::EISCONN,
        means: "a stream socket is connected once, to one peer",
        action: "fix the program: make a new socket for each connection",
    },
    Case {
        name: "not-connected",
        call: "recv",
        errno: Errno::ENOTCONN,
        means: "there is no peer: connect was not called, or it failed",
        action: "fix the program; if accept returned it, the peer has gone: close it",
    },
    Case {
        name: "would-block",
        call: "recv",
        errno: Errno::EAGAIN,
        means: "there is no data yet, and this socket does not block",
        action: "nothing is wrong: poll until it is readable, then call again",
    },
    Case {
        name: "message-too-long",
        call: "send",
        errno: Errno::EMSGSIZE,
        means: "a datagram is sent whole or not at all, and this one is too large",
        action: "send less at a time, or use TCP",
    },
    Case {
        name: "broken-pipe",
        call: "send",
        errno: Errno::EPIPE,
        means: "the peer has closed the connection and will not read this",
        action: "set MSG_NOSIGNAL, or SIGPIPE ends you; receive what is left, then close",
    },
    Case {
        name: "reset",
        call: "recv",
        errno: Errno::ECONNRESET,
        means: "the peer closed with bytes unread, or died: data may be lost",
        action: "close; send a request again only where twice does no harm",
    },
];

/// What was done, and the error of the call that failed.
pub(crate) struct Failed {
    pub(crate) here: String,
    pub(crate) errno: Errno,
}

impl Case {
    /// A line of the list.
    pub(crate) fn list(&self, json: bool, out: &mut Output) -> Result<(), Error> {
        let errno = format!("{:?}", self.errno);
        if json {
            let line = Json::new("case").text("case", self.name).text("call", self.call);
            return out.line(line.text("errno", &errno));
        }
        out.line(format_args!("{:<21}  {errno:<13}  {}", self.name, self.call))
    }

    pub(crate) fn print(
        &self,
        failed: &Failed,
        took: Duration,
        json: bool,
        out: &mut Output,
    ) -> Result<(), Error> {
        if json {
            out.line(self.json(failed).nanos("duration_ns", took))?;
        } else {
            out.line(self.text(failed))?;
        }
        if failed.errno != self.errno {
            let (name, got) = (self.name, failed.errno);
            out.report(&Error::No(format!("{name}: {got:?}, not {:?}", self.errno)));
        }
        Ok(())
    }

    /// Four lines of at most 80 columns: a table that can be shown on a wall.
    fn text(&self, failed: &Failed) -> String {
        let Case { name, means, action, .. } = self;
        let (Failed { here, errno }, symbol) = (failed, format!("{:?}", failed.errno));
        let head = format!("{name:<21}  {symbol:<13}  {}", errno.desc());
        format!("{head}\n  call   {here}\n  means  {means}\n  do     {action}")
    }

    fn json(&self, failed: &Failed) -> Json {
        let Failed { here, errno } = failed;
        let line = Json::new("provoked").text("case", self.name).text("call", self.call);
        let line = line.text("errno", &format!("{errno:?}")).number("number", *errno as i32);
        let line = line.text("text", errno.desc()).text("here", here);
        line.text("means", self.means).text("do", self.action)
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
