//! The datagrams in flight: when each is sent, sent again and given up, and what its reply counts as.
//!
//! Nothing here does I/O or reads a clock: each event comes with its instant.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netcore::error::Error;
use netcore::text::counted;
use netcore::time::{Span, Timeout};

use crate::args::Args;
use crate::plan::{Changed, Plan, Sending};

/// How many finished datagrams are kept, to recognise a duplicated reply.
const MAX_DONE: usize = 10_000;

/// The number of datagrams without any reply after which the client gives up.
const MAX_UNANSWERED: u64 = 10;

/// How long to wait for a duplicate of the last reply: as long as the slowest round trip, within these
/// bounds.
const LINGER: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A datagram without a reply.
struct Waiting {
    /// When each attempt was sent.
    sent: Vec<Instant>,
    retry: Option<Instant>,
    deadline: Option<Instant>,
}

/// A datagram that was echoed.
pub(crate) struct Echo {
    pub(crate) number: u32,
    /// How often it was sent until then.
    pub(crate) sent: usize,
    pub(crate) time: Duration,
}

/// How often each event occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) echoed: u64,
    /// No reply before the deadline.
    pub(crate) lost: u64,
    pub(crate) changed: u64,
    /// A second reply to the same attempt.
    pub(crate) duplicated: u64,
    /// A reply after that to a later datagram (RFC 4737 §3), unless to a retry.
    pub(crate) reordered: u64,
    /// A reply after the deadline, or after the reply to another attempt.
    pub(crate) late: u64,
    pub(crate) resent: u64,
}

pub(crate) struct Flight<'a> {
    plan: &'a Plan,
    window: usize,
    interval: Span,
    first: Option<Duration>,
    timeout: Timeout,
    backoff: Option<Duration>,
    retries: usize,
    /// Whether there is another address to try.
    others: bool,
    next: u32,
    /// The next repetition does not begin before this instant.
    pause: Option<Instant>,
    waiting: BTreeMap<u32, Waiting>,
    /// The finished datagrams, and which of their attempts had a reply.
    done: BTreeMap<u32, Vec<u32>>,
    /// The highest number that was echoed.
    highest: u32,
    /// What was wrong with the first changed reply.
    fault: Option<String>,
    last_reply: Option<Instant>,
    pub(crate) counts: Counts,
    pub(crate) times: Vec<Duration>,
}

impl<'a> Flight<'a> {
    /// `first` is the longest wait for the first reply.
    pub(crate) fn new(
        args: &Args,
        plan: &'a Plan,
        others: bool,
        first: Option<Duration>,
    ) -> Flight<'a> {
        Flight {
            plan,
            window: args.window.into(),
            interval: args.interval,
            first: first.map(whole_millis),
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

    /// The highest number that was sent.
    pub(crate) fn newest(&self) -> u32 {
        self.next - 1
    }

    /// Whether there is another datagram to send, and room in the window.
    fn has_next(&self) -> bool {
        self.next <= self.plan.total && self.waiting.len() < self.window
    }

    /// The next datagram to send now: retries first.
    pub(crate) fn due(&self, now: Instant) -> Option<Sending> {
        let is_due = |instant: Option<Instant>| instant.is_some_and(|instant| instant <= now);
        let retry = self.waiting.iter().find(|(_, waiting)| is_due(waiting.retry));
        let retry = retry.map(|(number, waiting)| (*number, waiting.sent.len()));
        let new =
            (self.has_next() && self.pause.is_none_or(|end| end <= now)).then_some((self.next, 0));
        let (number, attempt) = retry.or(new)?;
        Some(Sending { number, attempt: u32::try_from(attempt).ok()? })
    }

    /// A datagram was sent. The first retry is due after the backoff, each further one after twice the
    /// time.
    pub(crate) fn sent(&mut self, Sending { number, attempt }: Sending, now: Instant) {
        if attempt == 0 {
            self.next = number + 1;
            let ends_repetition = self.plan.ends_repetition(number);
            self.pause = if ends_repetition { now.checked_add(self.interval.0) } else { None };
        } else {
            self.counts.resent += 1;
        }
        let timeout = if self.is_unanswered() { self.first } else { self.timeout.duration() };
        let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
        let new = || Waiting { sent: Vec::new(), retry: None, deadline };
        let waiting = self.waiting.entry(number).or_insert_with(new);
        waiting.sent.push(now);
        let wait = self.backoff.and_then(|first| first.checked_mul(1_u32.checked_shl(attempt)?));
        let retry = wait.and_then(|wait| now.checked_add(wait));
        waiting.retry = retry.filter(|_| waiting.sent.len() <= self.retries);
    }

    /// A datagram was received: the echo that was waited for, or an event to count.
    pub(crate) fn received(
        &mut self,
        reply: Result<Sending, Changed>,
        now: Instant,
    ) -> Option<Echo> {
        self.last_reply = Some(now);
        let Sending { number, attempt } = match reply {
            Ok(sending) => sending,
            Err(Changed { number, fault }) => {
                self.counts.changed += 1;
                self.fault.get_or_insert(fault);
                let number = number.filter(|number| self.waiting.remove(number).is_some());
                number.into_iter().for_each(|number| self.finish(number, Vec::new()));
                return None;
            }
        };
        let Some(waiting) = self.waiting.remove(&number) else {
            match self.done.get_mut(&number) {
                Some(answered) if answered.contains(&attempt) => self.counts.duplicated += 1,
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
        self.finish(number, vec![attempt]);
        let sent = waiting.sent.get(attempt as usize).copied().unwrap_or(now);
        let time = now.saturating_duration_since(sent);
        self.times.push(time);
        Some(Echo { number, sent: waiting.sent.len(), time })
    }

    fn finish(&mut self, number: u32, answered: Vec<u32>) {
        self.done.insert(number, answered);
        if self.done.len() > MAX_DONE {
            self.done.pop_first();
        }
    }

    /// Gives up the datagrams whose deadline has passed, and returns whether there was one.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let is_lost = |waiting: &Waiting| waiting.deadline.is_some_and(|end| end <= now);
        let waiting = self.waiting.iter();
        let lost: Vec<u32> =
            waiting.filter(|(_, waiting)| is_lost(waiting)).map(|(number, _)| *number).collect();
        for number in &lost {
            self.waiting.remove(number);
            self.counts.lost += 1;
            self.finish(*number, Vec::new());
        }
        !lost.is_empty()
    }

    /// Gives up all datagrams that were sent.
    pub(crate) fn give_up(&mut self) {
        self.counts.lost += self.waiting.len() as u64;
        self.waiting.clear();
    }

    /// Whether a server that refuses is one that has replied: it may be starting again.
    pub(crate) fn may_resume(&self) -> bool {
        self.plan.numbered && !self.is_unanswered()
    }

    /// Whether no reply has arrived at all.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.last_reply.is_none()
    }

    /// How many datagrams were sent, with retries.
    fn sent_count(&self) -> u64 {
        u64::from(self.newest()) + self.counts.resent
    }

    /// Whether all datagrams are finished, or the server seems to be down.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        if self.is_unanswered() && self.counts.lost > 0 {
            let most = if self.others { 1 } else { MAX_UNANSWERED };
            return self.sent_count() >= most || self.newest() == self.plan.total;
        }
        let all_sent = self.next > self.plan.total && self.waiting.is_empty();
        all_sent && self.linger().is_none_or(|end| end <= now)
    }

    /// Until when a duplicate of the last reply is waited for.
    fn linger(&self) -> Option<Instant> {
        let longest = self.times.iter().max().copied().unwrap_or_default();
        let linger = longest.clamp(LINGER.0, LINGER.1);
        self.last_reply.filter(|_| self.plan.numbered)?.checked_add(linger)
    }

    /// The next instant at which a datagram is due to be sent or to be given up.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.values().flat_map(|one| [one.retry, one.deadline]).flatten();
        let all_sent = self.next > self.plan.total && self.waiting.is_empty();
        let pause = self.pause.filter(|_| self.has_next());
        let linger = if all_sent { self.linger() } else { None };
        waiting.chain(pause).chain(linger).min()
    }

    /// The error that the program ends with, if any.
    pub(crate) fn result(&self, peer: SocketAddr) -> Result<(), Error> {
        let (Counts { lost, .. }, sent) = (self.counts, self.newest());
        if let Some(fault) = &self.fault {
            let fault = fault.clone();
            return Err(Error::Protocol { peer: peer.to_string(), fault });
        }
        if lost == 0 {
            return Ok(());
        }
        if self.is_unanswered() {
            let times = match self.sent_count() {
                1 => String::new(),
                times => format!(" ({times} datagrams sent)"),
            };
            let after = self.first.unwrap_or_default();
            return Err(Error::Timeout { attempt: format!("echo from {peer}{times}"), after });
        }
        let why = format!("{lost} of {} not echoed", counted(sent, "datagram"));
        Err(Error::Later { peer: peer.to_string(), why })
    }
}

/// Rounded up, as it is printed.
fn whole_millis(duration: Duration) -> Duration {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
