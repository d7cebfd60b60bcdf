//! What came and was not believed, counted by its reasons.

use std::collections::BTreeMap;
use std::fmt;

use super::validate::Refusal;

/// How often each reason was found.
#[derive(Clone, Debug, Default)]
pub struct Refused(BTreeMap<&'static str, (u64, Refusal)>);

impl Refused {
    /// Counts a datagram.
    pub fn add(&mut self, reason: Refusal) {
        self.0.entry(reason.name()).or_insert((0, reason)).0 += 1;
    }

    /// Whether everything that came was believed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each reason by its name, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, (count, _))| (*name, *count))
    }
}

/// `2 datagrams refused: it does not answer our request`, or by their names where there are several
/// reasons.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.counts().map(|(_, count)| count).sum();
        let noun = if all == 1 { "datagram" } else { "datagrams" };
        write!(f, "{all} {noun} refused: ")?;
        match self.0.values().next() {
            Some((_, reason)) if self.0.len() == 1 => reason.fmt(f),
            _ => {
                let names = self.counts().map(|(name, count)| format!("{name} x{count}"));
                f.write_str(&names.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_told_in_words_and_several_by_their_names() {
        let mut refused = Refused::default();
        assert!(refused.is_empty());
        refused.add(Refusal::Mode);
        let one = "1 datagram refused: its mode is not that of a server's answer";
        assert_eq!(refused.to_string(), one);
        refused.add(Refusal::Mode);
        refused.add(Refusal::Short);
        assert_eq!(refused.to_string(), "3 datagrams refused: mode x2, short x1");
        assert_eq!(refused.counts().collect::<Vec<_>>(), [("mode", 2), ("short", 1)]);
    }
}
