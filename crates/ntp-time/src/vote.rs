//! The offsets of the servers, and what the majority agrees on.

use netcore::error::Error;
use netcore::ntp::filter::{Filtered, filter};
use netcore::ntp::select::{Interval, Selection, select};
use netcore::ntp::time::Utc;

use crate::peer::{Peer, State};

/// The offset of a server that replied.
pub(crate) struct Claim<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) filtered: Filtered,
    /// The offsets that are within its bound.
    pub(crate) interval: Interval,
}

/// The offsets of all servers at one instant.
pub(crate) struct Vote<'a> {
    /// The time of our clock then.
    now: Utc,
    pub(crate) claims: Vec<Claim<'a>>,
    /// Why the other servers have no offset.
    pub(crate) failures: Vec<(&'a Peer, &'a Error)>,
    /// What most of them have in common; `None` if no server replied.
    selection: Option<Selection>,
}

/// What the majority agrees on.
pub(crate) struct Answer<'a> {
    /// The time at the instant of the vote.
    pub(crate) time: Utc,
    pub(crate) offset: i128,
    pub(crate) bound: i128,
    /// The server with the smallest bound of those that agree.
    pub(crate) source: &'a Claim<'a>,
}

impl<'a> Vote<'a> {
    pub(crate) fn new(peers: &'a [Peer], now: Utc) -> Vote<'a> {
        let claim = |peer: &'a Peer| {
            let filtered = filter(&peer.samples, now)?;
            let interval = Interval::around(filtered.best.offset(), filtered.bound);
            Some(Claim { peer, filtered, interval })
        };
        let claims: Vec<Claim<'a>> = peers.iter().filter_map(claim).collect();
        let failure = |peer: &'a Peer| match &peer.state {
            State::Done(Some(error)) => Some((peer, error)),
            _ => None,
        };
        let failures = peers.iter().filter_map(failure).collect();
        let intervals: Vec<Interval> = claims.iter().map(|claim| claim.interval).collect();
        Vote { now, claims, failures, selection: select(&intervals) }
    }

    /// What more than half of the servers that replied agree on.
    pub(crate) fn answer(&self) -> Option<Answer<'_>> {
        let found = self.selection.filter(|found| found.is_majority_of(self.claims.len()))?;
        let truechimers = self.claims.iter().filter(|claim| self.is_true(claim));
        let source = truechimers.min_by_key(|claim| claim.filtered.bound)?;
        let (offset, bound) = (found.common.offset(), found.common.bound());
        Some(Answer { time: self.now.plus(offset), offset, bound, source })
    }

    /// The largest number of servers that agree.
    pub(crate) fn agree(&self) -> usize {
        self.selection.map_or(0, |found| found.agree)
    }

    /// Why there is no answer.
    pub(crate) fn disagreement(&self) -> String {
        match self.agree() {
            0 | 1 => "no majority: no two servers agree".to_owned(),
            most => format!("no majority: at most {most} servers agree"),
        }
    }

    /// Whether it agrees with the majority.
    pub(crate) fn is_true(&self, claim: &Claim<'_>) -> bool {
        self.selection.is_some_and(|found| claim.interval.overlaps(&found.common))
    }

    pub(crate) fn falsetickers(&self) -> impl Iterator<Item = &Claim<'a>> {
        self.claims.iter().filter(|claim| !self.is_true(claim))
    }

    /// The time of this server.
    pub(crate) fn time_of(&self, claim: &Claim<'_>) -> Utc {
        self.now.plus(claim.filtered.best.offset())
    }
}
