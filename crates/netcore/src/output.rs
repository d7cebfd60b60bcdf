//! Standard output whose errors are reported: `println!` panics when the pipe is closed or the disk is
//! full.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use crate::error::Error;
use crate::text::Json;

/// Standard output. Each call reaches the kernel before it returns, so nothing is lost when a
/// program is killed, and nothing that one process wrote is written again by a forked child.
pub struct Output {
    name: &'static str,
    /// Whether a failure is an object on standard output too (`--json`).
    json: bool,
    worst: u8,
}

impl Output {
    /// The standard output of the program `name`.
    pub(crate) fn new(name: &'static str, json: bool) -> Output {
        Output { name, json, worst: 0 }
    }

    /// Writes an error on standard error, and with `--json` as an object on standard output. The
    /// program continues with the rest of what it was asked; it then ends with the worst (highest)
    /// exit code of all.
    pub fn report(&mut self, error: &Error) {
        self.report_with(error, |json| json);
    }

    /// The same with more keys in the object: there is one object for each error.
    pub fn report_with(&mut self, error: &Error, more: impl FnOnce(Json) -> Json) {
        self.worst = self.worst.max(error.exit_code());
        if self.json && !matches!(error, Error::Output(_)) {
            let (attempt, reason) = error.parts();
            // The hint of a usage error is for a person.
            let reason = reason.split("\nhint: ").next().unwrap_or_default();
            let json = Json::new("error").number("code", error.exit_code());
            let json = more(json.text("attempt", &attempt).text("reason", reason));
            // Where it cannot be written, there still is the line on standard error.
            let _ = self.line(json);
        }
        let hint = error.hint().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        self.note(format_args!("{error}{hint}"));
    }

    /// Writes a line on standard error that is not an error. If standard error is closed, only the
    /// exit code is left.
    pub fn note(&self, what: impl Display) {
        let line = format!("{}: {what}\n", self.name);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// Lets the program end with this exit code, unless there is a worse one, and says nothing: a
    /// monitoring plug-in reports its state by it, and by the line that it printed.
    pub fn state(&mut self, code: u8) {
        self.worst = self.worst.max(code);
    }

    /// The worst exit code of what was reported so far.
    #[must_use]
    pub fn worst(&self) -> u8 {
        self.worst
    }

    /// Writes one line.
    ///
    /// # Errors
    /// [`Error::Output`]: EPIPE when the reader has closed the pipe, ENOSPC on a full disk.
    pub fn line(&mut self, line: impl Display) -> Result<(), Error> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    /// Writes bytes as they are, however often the kernel takes only a part of them.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Error::Output)
    }

    /// Whether a person looks at it: a terminal never gets a peer's bytes unescaped.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        std::io::stdout().is_terminal()
    }
}
