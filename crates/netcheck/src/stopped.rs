//! Why a scenario stopped before its end.

use std::fmt;
use std::io;

use crate::tool::Skip;

/// Why a scenario stopped before its end.
#[derive(Clone, Debug)]
pub enum Stopped {
    /// A statement was false.
    CheckFailed(Box<CheckFailed>),
    /// Something was absent, and nothing may be skipped.
    Missing(Skip),
    /// The person who steps through it has ended it ([`crate::Scenario::step_through`]).
    Quit,
    /// The scenario itself could not continue: a server that did not start, a peer that got no answer.
    Broken(String),
}

/// A statement that was false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFailed {
    /// The statement.
    pub statement: String,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub got: String,
    /// How that is known.
    pub evidence: String,
    /// The commands that show it again.
    pub again: Vec<String>,
}

impl CheckFailed {
    /// What a reader needs to see it again.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("      expected  {}", self.expected),
            format!("      got       {}", self.got),
        ];
        for (number, command) in self.again.iter().enumerate() {
            let label = if number == 0 { "again" } else { "" };
            lines.push(format!("      {label:8}  {command}"));
        }
        lines
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckFailed(it) => {
                writeln!(f, "{}: {}", it.statement, it.evidence)?;
                f.write_str(&it.lines().join("\n"))
            }
            Self::Missing(skip) => write!(f, "{skip}, and REQUIRE_ALL allows no skip"),
            Self::Quit => f.write_str("ended with q"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Stopped {}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}
