//! The result of one check on one program.

use scenarios::exercise::{Fault, Wrong};
use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The statement is true.
    Pass,
    /// The statement is false.
    Fail,
    /// The check was not over in time.
    Timeout,
    /// The program was ended by a signal that nobody sent, or by a panic.
    Crash,
    /// This machine lacks what the check needs.
    Skipped,
    /// The check itself did not work: nothing is known about the program.
    InfraError,
}

/// The result of one check on one program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The name of the check.
    pub check: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What should have been.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What was; the reason of a skip or of a failure of the check itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub got: String,
    /// How that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// Commands that show it by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<String>,
    /// The program did not even start to serve, or to connect: the other checks would say the same.
    #[serde(default)]
    pub not_ready: bool,
}

impl Report {
    /// One that has nothing but a verdict and what was seen.
    pub fn new(check: &str, verdict: Verdict, got: impl Into<String>) -> Report {
        let (check, got) = (check.to_owned(), got.into());
        let [expected, evidence] = [String::new(), String::new()];
        Report { check, verdict, expected, got, evidence, again: Vec::new(), not_ready: false }
    }

    /// That of a check that has come to its end.
    pub fn from_outcome(check: &str, outcome: Result<String, Fault>) -> Report {
        match outcome {
            Ok(evidence) => Report { evidence, ..Report::new(check, Verdict::Pass, "") },
            Err(Fault::Skipped(skip)) => Report::new(check, Verdict::Skipped, skip.reason),
            Err(Fault::Broken(why)) => Report::new(check, Verdict::InfraError, why),
            Err(Fault::Wrong(wrong)) => {
                let Wrong { expected, got, evidence, again, crashed, not_ready } = *wrong;
                let verdict = if crashed { Verdict::Crash } else { Verdict::Fail };
                Report { expected, evidence, again, not_ready, ..Report::new(check, verdict, got) }
            }
        }
    }

    /// Whether it says something about the program, and that is not good.
    pub fn is_failure(&self) -> bool {
        matches!(self.verdict, Verdict::Fail | Verdict::Timeout | Verdict::Crash)
    }
}
