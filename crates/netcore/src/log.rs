//! What a server says: the readiness line, and a line for each connection.

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Instant;

use crate::error::Error;
use crate::listener::Listener;
use crate::output::Output;
use crate::text::{Json, shown};
use crate::time::millis;

/// The connection log. Each event is one line and one write(2), so that the lines of several
/// processes do not mix, and nothing is buffered that a fork would double. It goes to standard
/// error; with `--json` to standard output, as JSON Lines. A log that can't be written is no
/// reason to stop serving.
#[derive(Clone, Copy)]
pub struct Log {
    /// What a line begins with.
    pub name: &'static str,
    /// `-q`: nothing at all.
    pub quiet: bool,
    /// `-v`: each chunk too, escaped.
    pub verbose: bool,
    /// `--json`.
    pub json: bool,
}

/// What went over one connection.
pub struct Tally {
    /// Bytes from the peer.
    pub received: u64,
    /// Bytes to the peer.
    pub sent: u64,
    /// When it began.
    pub since: Instant,
}

impl Tally {
    /// A connection that begins now.
    #[must_use]
    pub fn begin() -> Tally {
        Tally { received: 0, sent: 0, since: Instant::now() }
    }
}

impl Log {
    /// A connection was accepted.
    pub fn opened(&self, peer: SocketAddr) {
        self.event(|| Json::new("opened").address(peer), || format!("{peer} opened"));
    }

    /// Bytes came from a peer (`-v` only).
    pub fn received(&self, peer: SocketAddr, bytes: &[u8]) {
        if self.verbose {
            self.event(
                || {
                    let json = Json::new("received").address(peer).text("payload", &shown(bytes));
                    json.number("bytes", i128::try_from(bytes.len()).unwrap_or(i128::MAX))
                },
                || format!("{peer} sent {} bytes: {}", bytes.len(), shown(bytes)),
            );
        }
    }

    /// A connection ended, and why.
    pub fn closed(&self, peer: SocketAddr, tally: &Tally, why: &str) {
        let took = tally.since.elapsed();
        self.event(
            || {
                let json = Json::new("closed").address(peer).number("received", tally.received);
                json.number("sent", tally.sent).nanos("duration_ns", took).text("why", why)
            },
            || {
                let Tally { received, sent, .. } = tally;
                format!("{peer} closed: {received} bytes in, {sent} out, {}, {why}", millis(took))
            },
        );
    }

    /// Something that the one who runs the server should know.
    pub fn note(&self, what: impl Display) {
        self.event(|| Json::new("note").text("text", &what.to_string()), || what.to_string());
    }

    /// One event, built in one of the two forms, unless `-q` wants none.
    pub fn event(&self, json: impl FnOnce() -> Json, line: impl FnOnce() -> String) {
        if self.quiet {
            return;
        }
        let _ = if self.json {
            Output::new().line(json())
        } else {
            let line = format!("{}: {}\n", self.name, line());
            std::io::stderr().write_all(line.as_bytes()).map_err(Error::Output)
        };
    }
}

/// Says on standard output that the server can be connected to: `listening on 127.0.0.1:40123`.
/// It is printed after listen(2) and before the first accept(2): whoever reads the line may
/// connect, and learns the port that the kernel picked for `--port 0`.
///
/// # Errors
/// The error of getsockname(2) or of the write.
pub fn ready(listener: &Listener, json: bool, more: &str, out: &mut Output) -> Result<(), Error> {
    let local = listener.local()?;
    if json {
        out.line(Json::new("listening").address(local).number("pid", std::process::id()))
    } else {
        out.line(format_args!("listening on {local}{more}"))
    }
}
