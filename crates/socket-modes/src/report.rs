//! The rows, as lines for a person or for a program, and where the kernel differs from its manual.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::{Json, counted};
use netcore::time::millis;

/// How a call is made.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// It waits, until the named option ends the wait.
    Blocking(&'static str),
    /// With a flag of this one call.
    DontWait,
    /// With a flag of the socket.
    NonBlocking,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Blocking(_) => "blocking",
            Mode::DontWait => "MSG_DONTWAIT",
            Mode::NonBlocking => "O_NONBLOCK",
        }
    }
}

/// A call in a mode.
pub(crate) struct Row {
    pub(crate) call: &'static str,
    pub(crate) mode: Mode,
    /// The errno by its man page.
    pub(crate) documented: &'static str,
    /// How it ended, or why it was not made.
    pub(crate) ended: Result<Ended, &'static str>,
}

/// How a call ended.
pub(crate) struct Ended {
    pub(crate) errno: String,
    pub(crate) after: Duration,
    /// How many bytes the calls before it had sent.
    pub(crate) bytes: Option<u64>,
}

/// A second name of a socket, or a second socket, and whether it has the flag of the first.
pub(crate) struct Case {
    pub(crate) by: &'static str,
    /// Where O_NONBLOCK was set, and where it was looked for.
    pub(crate) set_on: String,
    pub(crate) seen_on: &'static str,
    pub(crate) is_set: bool,
    pub(crate) documented: bool,
}

/// `EAGAIN`: Rust's name for it, WouldBlock, stands in no man page.
pub(crate) fn errno(why: &io::Error) -> String {
    format!("{:?}", Errno::from_raw(why.raw_os_error().unwrap_or_default()))
}

/// Prints each line as soon as there is one.
pub(crate) struct Report<'a> {
    pub(crate) out: &'a mut Output,
    pub(crate) json: bool,
}

impl Report<'_> {
    pub(crate) fn heading(&mut self) -> Result<(), Error> {
        self.text("call           mode          errno        time")
    }

    /// A line for a person only.
    pub(crate) fn text(&mut self, line: &str) -> Result<(), Error> {
        if self.json { Ok(()) } else { self.out.line(line) }
    }

    pub(crate) fn rows(&mut self, rows: [Row; 3]) -> Result<(), Error> {
        for row in rows {
            self.out.line(if self.json { row.json() } else { row.text() })?;
            self.differs(row.difference());
        }
        Ok(())
    }

    pub(crate) fn case(&mut self, case: &Case) -> Result<(), Error> {
        self.out.line(if self.json { case.json() } else { case.text() })?;
        self.differs(case.difference());
        Ok(())
    }

    fn differs(&mut self, difference: Option<String>) {
        if let Some(difference) = difference {
            self.out.report(&Error::No(difference));
        }
    }
}

impl Row {
    fn text(&self) -> String {
        let begin = format!("{:<15}{:<14}", self.call, self.mode.name());
        let ended = match &self.ended {
            Err(why) => return begin + why,
            Ok(ended) => ended,
        };
        let mut text = format!("{begin}{:<13}{}", ended.errno, time(ended.after));
        if let Mode::Blocking(option) = self.mode {
            text += &format!(", ended by {option}");
        }
        if let Some(bytes) = ended.bytes {
            text += &format!(", after {}", counted(bytes, "byte"));
        }
        text
    }

    fn json(&self) -> String {
        let mut json = Json::new("call").text("call", self.call).text("mode", self.mode.name());
        if let Mode::Blocking(option) = self.mode {
            json = json.text("ended_by", option);
        }
        match &self.ended {
            Err(why) => json = json.text("not_made", why),
            Ok(ended) => {
                json = json.text("errno", &ended.errno).nanos("measured_ns", ended.after);
                if let Some(bytes) = ended.bytes {
                    json = json.number("bytes", bytes);
                }
            }
        }
        json.to_string()
    }

    fn difference(&self) -> Option<String> {
        let ended = self.ended.as_ref().ok()?;
        let (call, mode, errno) = (self.call, self.mode.name(), &ended.errno);
        let differs = ended.errno != self.documented;
        differs.then(|| format!("{call}, {mode}: ended with {errno}, not with {}", self.documented))
    }
}

impl Case {
    fn text(&self) -> String {
        let Case { by, set_on, seen_on, is_set, .. } = self;
        let has = if *is_set { "has it" } else { "does not have it" };
        format!("{by:<14}set on {set_on}: {seen_on} {has}")
    }

    fn json(&self) -> String {
        let json = Json::new("flag").text("by", self.by).text("set_on", &self.set_on);
        json.text("seen_on", self.seen_on).flag("is_set", self.is_set).to_string()
    }

    fn difference(&self) -> Option<String> {
        let Case { by, seen_on, is_set, documented, .. } = self;
        let differs = is_set != documented;
        differs.then(|| format!("{by}: O_NONBLOCK of {seen_on} is {is_set}, not {documented}"))
    }
}

/// A call that does not wait is so short that two decimals would show 0.
fn time(duration: Duration) -> String {
    if duration < Duration::from_micros(100) {
        return format!("{:.4} ms", duration.as_secs_f64() * 1e3);
    }
    millis(duration)
}
