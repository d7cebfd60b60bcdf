//! The datagrams under way: when each is sent, sent again and given up, and what its reply counts as.
//!
//! It does no I/O and reads no clock: what happens is told to it with its instant.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netcore::error::Error;
use netcore::time::{Span, Timeout};

use crate::args::Args;
use crate::plan::{Changed, Plan, Sending};

/// How many datagrams that are done with are remembered, to know a second reply.
const REMEMBERED: usize = 10_000;

/// A server from which nothing has come after so many sendings is not asked for more.
const PATIENCE: u64 = 10;

/// After the last reply, the time in which one may still come twice: that of the slowest round trip,
/// within these bounds.
const LINGER: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A datagram whose reply has not come.
struct Waiting {
    /// When it was sent, each time.
    sent: Vec<Instant>,
    retry: Option<Instant>,
    deadline: Option<Instant>,
}

/// A datagram that came back.
pub(crate) struct Echo {
    pub(crate) number: u32,
    /// How often it was sent until then.
    pub(crate) sent: usize,
    pub(crate) time: Duration,
}

/// How often each thing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) echoed: u64,
    /// Given up: no reply until the deadline.
    pub(crate) lost: u64,
    pub(crate) changed: u64,
    /// The reply to one sending came again.
    pub(crate) doubled: u64,
    /// It came after the reply to a later datagram (RFC 4737 §3), other than by being sent again.
    pub(crate) reordered: u64,
    /// It was not waited for any more: given up, or another sending was answered before.
    pub(crate) late: u64,
    pub(crate) resent: u64,
}

pub(crate) struct Flight<'a> {
    plan: &'a Plan,
    window: usize,
    interval: Span,
    timeout: Timeout,
    backoff: Option<Duration>,
    retries: usize,
    /// Whether there is another address to try.
    others: bool,
    next: u32,
    /// The next turn does not begin before this instant.
    pause: Option<Instant>,
    waiting: BTreeMap<u32, Waiting>,
    /// Those that are done with, and which of their sendings were answered.
    done: BTreeMap<u32, Vec<u32>>,
    /// The highest number that came back.
    highest: u32,
    /// The first thing that was wrong.
    fault: Option<String>,
    last_reply: Option<Instant>,
    pub(crate) counts: Counts,
    pub(crate) times: Vec<Duration>,
}

impl<'a> Flight<'a> {
    pub(crate) fn new(args: &Args, plan: &'a Plan, others: bool) -> Flight<'a> {
        Flight {
            plan,
            window: args.window.into(),
            interval: args.interval,
            timeout: args.timeout,
            backoff: args.backoff.duration(),
            retries: args.retries.into(),
            others,
            next: 1,
            pause: None,
            waiting: BTreeMap::new(),
            done: BTreeMap::new(),
            highest: 0,
            fault: None,
            last_reply: None,
            counts: Counts::default(),
            times: Vec::new(),
        }
    }

    /// The number of the datagram that was first sent last.
    pub(crate) fn newest(&self) -> u32 {
        self.next - 1
    }

    /// Whether there is room for a new datagram, and one to send.
    fn has_next(&self) -> bool {
        self.next <= self.plan.total && self.waiting.len() < self.window
    }

    /// What is to be sent now: what has waited too long first.
    pub(crate) fn due(&self, now: Instant) -> Option<Sending> {
        let is_due = |instant: Option<Instant>| instant.is_some_and(|instant| instant <= now);
        let again = self.waiting.iter().find(|(_, waiting)| is_due(waiting.retry));
        let again = again.map(|(number, waiting)| (*number, waiting.sent.len()));
        let new =
            (self.has_next() && self.pause.is_none_or(|end| end <= now)).then_some((self.next, 0));
        let (number, attempt) = again.or(new)?;
        Some(Sending { number, attempt: u32::try_from(attempt).ok()? })
    }

    /// It was sent. The first retry follows after the backoff, each next after twice the time.
    pub(crate) fn sent(&mut self, Sending { number, attempt }: Sending, now: Instant) {
        if attempt == 0 {
            self.next = number + 1;
            let ends_turn = self.plan.ends_turn(number);
            self.pause = if ends_turn { now.checked_add(self.interval.0) } else { None };
        } else {
            self.counts.resent += 1;
        }
        let deadline = self.timeout.duration().and_then(|timeout| now.checked_add(timeout));
        let new = || Waiting { sent: Vec::new(), retry: None, deadline };
        let waiting = self.waiting.entry(number).or_insert_with(new);
        waiting.sent.push(now);
        let wait = self.backoff.and_then(|first| first.checked_mul(1_u32.checked_shl(attempt)?));
        let retry = wait.and_then(|wait| now.checked_add(wait));
        waiting.retry = retry.filter(|_| waiting.sent.len() <= self.retries);
    }

    /// A reply came. It is an echo only if it was waited for; all else is counted.
    pub(crate) fn take(&mut self, reply: Result<Sending, Changed>, now: Instant) -> Option<Echo> {
        self.last_reply = Some(now);
        let Sending { number, attempt } = match reply {
            Ok(sending) => sending,
            Err(Changed { number, fault }) => {
                self.counts.changed += 1;
                self.fault.get_or_insert(fault);
                let number = number.filter(|number| self.waiting.remove(number).is_some());
                number.into_iter().for_each(|number| self.is_done(number, Vec::new()));
                return None;
            }
        };
        let Some(waiting) = self.waiting.remove(&number) else {
            match self.done.get_mut(&number) {
                Some(answered) if answered.contains(&attempt) => self.counts.doubled += 1,
                answered => {
                    self.counts.late += 1;
                    answered.into_iter().for_each(|answered| answered.push(attempt));
                }
            }
            return None;
        };
        self.counts.echoed += 1;
        self.counts.reordered += u64::from(attempt == 0 && number < self.highest);
        self.highest = self.highest.max(number);
        self.is_done(number, vec![attempt]);
        let sent = waiting.sent.get(attempt as usize).copied().unwrap_or(now);
        let time = now.saturating_duration_since(sent);
        self.times.push(time);
        Some(Echo { number, sent: waiting.sent.len(), time })
    }

    fn is_done(&mut self, number: u32, answered: Vec<u32>) {
        self.done.insert(number, answered);
        if self.done.len() > REMEMBERED {
            self.done.pop_first();
        }
    }

    /// Gives up what has waited until its deadline.
    pub(crate) fn expire(&mut self, now: Instant) {
        let is_lost = |waiting: &Waiting| waiting.deadline.is_some_and(|end| end <= now);
        let waiting = self.waiting.iter();
        let lost: Vec<u32> =
            waiting.filter(|(_, waiting)| is_lost(waiting)).map(|(number, _)| *number).collect();
        for number in lost {
            self.waiting.remove(&number);
            self.counts.lost += 1;
            self.is_done(number, Vec::new());
        }
    }

    /// Whether nothing at all has come back.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.last_reply.is_none()
    }

    /// How often something was sent.
    fn sendings(&self) -> u64 {
        u64::from(self.newest()) + self.counts.resent
    }

    /// Whether there is nothing left to do: all is done, or nobody seems to be there.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        if self.is_unanswered() && self.counts.lost > 0 {
            let patience = if self.others { 1 } else { PATIENCE };
            return self.sendings() >= patience || self.newest() == self.plan.total;
        }
        let all_sent = self.next > self.plan.total && self.waiting.is_empty();
        all_sent && self.linger().is_none_or(|end| end <= now)
    }

    /// Until when a last reply may still come twice.
    fn linger(&self) -> Option<Instant> {
        let longest = self.times.iter().max().copied().unwrap_or_default();
        let linger = longest.clamp(LINGER.0, LINGER.1);
        self.last_reply.filter(|_| self.plan.numbered)?.checked_add(linger)
    }

    /// When there is something to do, even if nothing comes.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let waiting = self.waiting.values().flat_map(|one| [one.retry, one.deadline]).flatten();
        let all_sent = self.next > self.plan.total && self.waiting.is_empty();
        let pause = self.pause.filter(|_| self.has_next());
        let linger = if all_sent { self.linger() } else { None };
        waiting.chain(pause).chain(linger).min()
    }

    /// What it all came to.
    pub(crate) fn verdict(&self, peer: SocketAddr) -> Result<(), Error> {
        let (Counts { lost, .. }, sent) = (self.counts, self.newest());
        if let Some(fault) = &self.fault {
            let fault = fault.clone();
            return Err(Error::Protocol { peer: peer.to_string(), fault });
        }
        if lost == 0 {
            return Ok(());
        }
        if self.is_unanswered() {
            let times = match self.sendings() {
                1 => String::new(),
                times => format!(" ({times} datagrams sent)"),
            };
            let after = self.timeout.duration().unwrap_or_default();
            return Err(Error::Timeout { attempt: format!("echo from {peer}{times}"), after });
        }
        let why = format!("{lost} of {sent} datagrams did not come back");
        Err(Error::Later { peer: peer.to_string(), why })
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
