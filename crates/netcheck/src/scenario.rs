//! What a scenario is, and how it can end.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::story::Story;
use crate::tell;
use crate::tool::Skip;

/// A story that can be told, by its name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is asked for by: `forking`.
    pub name: &'static str,
    /// What it shows, in one line.
    pub summary: &'static str,
    /// The story itself.
    pub run: fn(&mut Story) -> Result<(), Halt>,
}

impl Scenario {
    /// Plays it from start to end; `keep` leaves its servers running. A panic, as of a server that did not
    /// start, is a failure of the scenario and ends no other.
    pub fn play(&self, voice: Voice, keep: bool) -> (Result<(), Halt>, Summary) {
        let mut story = Story::new(self.name, self.summary, voice);
        story.keep = keep;
        self.play_in(story)
    }

    pub(crate) fn play_in(&self, mut story: Story) -> (Result<(), Halt>, Summary) {
        let played = catch_unwind(AssertUnwindSafe(|| (self.run)(&mut story)));
        let result = played.unwrap_or_else(|panic| Err(Halt::Broken(message_of(&*panic))));
        if let Err(halt) = &result {
            story.halt(halt);
        }
        (result, story.finish())
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".into())
}

/// To whom the story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// To a reader, on standard output.
    Tell,
    /// To a program, one JSON object a line on standard output.
    Json,
    /// To nobody: the result is all.
    Quiet,
}

/// Why a scenario ended early.
#[derive(Clone, Debug)]
pub enum Halt {
    /// A statement was false.
    False(Box<Falsehood>),
    /// Something was absent, and nothing may be skipped.
    Missing(Skip),
    /// The scenario itself could not go on: a server that did not start, a peer that was not answered.
    Broken(String),
}

/// A statement that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Falsehood {
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

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::False(it) => {
                writeln!(f, "{}: {}", it.statement, it.evidence)?;
                f.write_str(&tell::falsehood(it).join("\n"))
            }
            Self::Missing(skip) => write!(f, "{skip}, and nothing may be skipped"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Halt {}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the story began.
    pub at: Duration,
    /// `started`, `connected`, `sent`, `ended`, …
    pub kind: String,
    /// `forking-echo, pid 5120`.
    pub detail: String,
}

/// What a story came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many statements held.
    pub checks: usize,
    /// How many were not looked at.
    pub skipped: usize,
    /// From its beginning to its end.
    pub elapsed: Duration,
    /// What happened when.
    pub events: Vec<Event>,
}
