//! Rejected datagrams, counted by reason.

use std::collections::BTreeMap;
use std::fmt;

use super::validate::Rejection;

/// How often each reason occurred.
#[derive(Clone, Debug, Default)]
pub struct Rejected(BTreeMap<&'static str, (u64, Rejection)>);

impl Rejected {
    /// Counts a datagram.
    pub fn add(&mut self, reason: Rejection) {
        self.0.entry(reason.name()).or_insert((0, reason)).0 += 1;
    }

    /// Whether no datagram was rejected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of each reason, and its count.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, (count, _))| (*name, *count))
    }
}

/// `2 datagrams rejected: its mode is not 4 (server)`, or the names where there are several reasons.
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.counts().map(|(_, count)| count).sum();
        let noun = if all == 1 { "datagram" } else { "datagrams" };
        write!(f, "{all} {noun} rejected: ")?;
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
    fn one_reason_is_a_text_and_several_are_names() {
        let mut rejected = Rejected::default();
        assert!(rejected.is_empty());
        rejected.add(Rejection::Mode);
        let one = "1 datagram rejected: its mode is not 4 (server)";
        assert_eq!(rejected.to_string(), one);
        rejected.add(Rejection::Mode);
        rejected.add(Rejection::Short);
        assert_eq!(rejected.to_string(), "3 datagrams rejected: mode x2, short x1");
        assert_eq!(rejected.counts().collect::<Vec<_>>(), [("mode", 2), ("short", 1)]);
    }
}
