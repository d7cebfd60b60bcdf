//! What is left of a scenario that has ended.

use std::time::Duration;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the scenario began.
    pub at: Duration,
    /// `started`, `connected`, `sent`, `ended`, …
    pub kind: String,
    /// `forking-echo, pid 5120`.
    pub detail: String,
}

/// The result of a scenario in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many statements held.
    pub checks: usize,
    /// The reason for each that was skipped.
    pub skipped: Vec<String>,
    /// What there was less of, for a picture ([`crate::ScenarioRun::many`]).
    pub fewer: Vec<String>,
    /// From its beginning to its end.
    pub elapsed: Duration,
    /// What happened when.
    pub events: Vec<Event>,
    /// The commands of its steps.
    pub commands: Vec<String>,
    /// Its statements in their order, and whether they held.
    pub statements: Vec<(String, bool)>,
}
