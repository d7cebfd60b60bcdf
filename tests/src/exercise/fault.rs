//! Why a check did not pass.

use netcheck::Skip;

/// Why a check did not pass. There is no conversion from `io::Error`: whether an error is the program's
/// fault or ours is for each call to say.
#[derive(Debug)]
pub enum Fault {
    /// The statement is false.
    Wrong(Box<Wrong>),
    /// This machine lacks what the check needs.
    Skipped(Skip),
    /// The check itself did not work.
    Broken(String),
}

/// What was wrong, for the one who has to repair it.
#[derive(Clone, Debug, Default)]
pub struct Wrong {
    /// What should have been.
    pub expected: String,
    /// What was.
    pub got: String,
    /// How that is known.
    pub evidence: String,
    /// Commands that show it by hand.
    pub again: Vec<String>,
    /// The program was ended by a signal that nobody sent, or by a panic.
    pub crashed: bool,
    /// A server did not even listen: every other check would say so too.
    pub not_ready: bool,
}

impl Fault {
    /// The statement is false.
    pub fn wrong(expected: &str, got: impl Into<String>, evidence: impl Into<String>) -> Fault {
        let [expected, got, evidence] = [expected.to_owned(), got.into(), evidence.into()];
        Fault::Wrong(Box::new(Wrong { expected, got, evidence, ..Wrong::default() }))
    }

    /// The same, with commands that show it by hand.
    #[must_use]
    pub fn again(mut self, commands: &[&str]) -> Fault {
        if let Fault::Wrong(wrong) = &mut self {
            wrong.again = commands.iter().map(|&command| command.to_owned()).collect();
        }
        self
    }
}

impl From<Skip> for Fault {
    fn from(skip: Skip) -> Fault {
        Fault::Skipped(skip)
    }
}

/// Bytes, escaped, in quotation marks; the first 48 of many.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 48;
    match bytes.split_at_checked(MOST) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("\"{}\" and {} bytes more", first.escape_ascii(), rest.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}
