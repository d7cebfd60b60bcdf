//! What is known of a server, and the lines that are printed about it.

use std::net::SocketAddr;

use netcore::error::Error;
use netcore::local_time;
use netcore::ntp::Sample;
use netcore::ntp::filter::jitter;
use netcore::ntp::rejected::Rejected;
use netcore::ntp::show::{signed, unsigned};
use netcore::ntp::time::{Timestamp, Utc};
use netcore::ntp::validate::Kiss;
use netcore::text::{Json, times};
use netcore::time::Timeout;

use crate::args::{Args, Clock};

/// The result of one exchange, in nanoseconds.
pub(crate) struct Measurement {
    pub(crate) sample: Sample,
    pub(crate) offset: i128,
    pub(crate) delay: i128,
    /// The time at which this program received the reply, and the offset with that as T4.
    pub(crate) user_t4: Utc,
    pub(crate) user_offset: i128,
    /// Whether the kernel noted the time too.
    pub(crate) has_kernel_t4: bool,
}

/// Why an exchange has no result.
pub(crate) enum Failure {
    /// No valid reply before the deadline.
    Timeout,
    Kiss(Kiss),
    /// A system call failed.
    Os(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Os(error)
    }
}

/// One address of a server, and the exchanges with it.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Those of all requests.
    nonces: Vec<Timestamp>,
    /// The datagrams that were not a valid reply.
    pub(crate) rejected: Rejected,
    pub(crate) measurements: Vec<Measurement>,
    /// After it no further request is sent to this address.
    pub(crate) failure: Option<Failure>,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr) -> Peer {
        let (rejected, measurements) = (Rejected::default(), Vec::new());
        Peer { address, nonces: Vec::new(), rejected, measurements, failure: None }
    }

    /// Adds the nonce of a new request, and returns the nonces of the earlier ones.
    pub(crate) fn add_request(&mut self, nonce: Timestamp) -> Vec<Timestamp> {
        let earlier = self.nonces.clone();
        self.nonces.push(nonce);
        earlier
    }

    fn requests(&self) -> u32 {
        u32::try_from(self.nonces.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_kissed(&self) -> bool {
        matches!(self.failure, Some(Failure::Kiss(_)))
    }

    /// Why it has no sample, or no more of them; `None` for one that was not queried.
    pub(crate) fn error(&mut self, timeout: Timeout) -> Option<Error> {
        let peer = self.address.to_string();
        match self.failure.take() {
            Some(Failure::Os(error)) => Some(error),
            Some(Failure::Kiss(kiss)) => Some(kiss.error(peer)),
            _ if !self.measurements.is_empty() || self.nonces.is_empty() => None,
            _ if self.rejected.is_empty() => {
                let attempt = format!("query {peer}, {}", times(self.requests()));
                Some(Error::Timeout { attempt, after: timeout.duration().unwrap_or_default() })
            }
            _ => {
                Some(Error::Protocol { peer, fault: format!("no valid reply; {}", self.rejected) })
            }
        }
    }
}

/// What is printed about one address.
pub(crate) struct Summary<'a> {
    /// The server as it was typed.
    name: &'a str,
    peer: &'a Peer,
    args: &'a Args,
    /// The measurement with the least delay, and so with the smallest error.
    best: &'a Measurement,
}

impl<'a> Summary<'a> {
    /// `None` without a measurement.
    pub(crate) fn new(name: &'a str, peer: &'a Peer, args: &'a Args) -> Option<Summary<'a>> {
        let best = peer.measurements.iter().min_by_key(|measurement| measurement.delay)?;
        Some(Summary { name, peer, args, best })
    }

    /// Applies `--max-offset` and `--max-bound`.
    pub(crate) fn check_limits(&self) -> Result<(), Error> {
        let peer = self.peer.address.to_string();
        let (offset, bound) = (self.best.offset, self.best.sample.bound());
        if self.args.max_offset.is_exceeded_by(offset.abs()) {
            let fault = format!("offset {} s exceeds --max-offset", signed(offset));
            return Err(Error::Protocol { peer, fault });
        }
        if self.args.max_bound.is_exceeded_by(bound) {
            let why = format!("error bound {} s exceeds --max-bound", unsigned(bound));
            return Err(Error::Later { peer, why });
        }
        Ok(())
    }

    /// The server's time at T4.
    fn time(&self) -> Utc {
        self.best.sample.t4.plus(self.best.offset)
    }

    pub(crate) fn text(&self) -> String {
        if self.args.json {
            return format!("{}\n", self.json());
        }
        let Measurement { sample, offset, delay, user_t4, user_offset, .. } = self.best;
        let (name, ip, time) = (self.name, self.peer.address.ip(), self.time());
        let (offset, bound) = (signed(*offset), unsigned(sample.bound()));
        let (stratum, leap) = (sample.packet.stratum, sample.packet.leap());
        let mut text = format!("{time} {offset} +/- {bound} {name} {ip} s{stratum} leap={leap}\n");
        if self.peer.measurements.len() > 1 {
            let (count, delay) = (self.peer.measurements.len(), unsigned((*delay).max(0)));
            let (median, jitter) = (signed(self.median()), unsigned(self.jitter()));
            text += &format!("    Samples={count} median={median} jitter={jitter} delay={delay}\n");
        }
        if self.args.clock == Clock::Both {
            let late = unsigned(user_t4.since(sample.t4));
            text += &format!("    User={} read {late} later\n", signed(*user_offset));
        }
        if !self.peer.rejected.is_empty() {
            text += &format!("    {}\n", self.peer.rejected);
        }
        if self.args.verbose {
            text += &format!("Response received from {}\n", self.peer.address);
            text += &format!("    Time={}\n", local_time::date(time));
        }
        text
    }

    fn json(&self) -> Json {
        let Measurement { sample, offset, delay, .. } = self.best;
        let json = Json::new("answer").text("server", self.name).address(self.peer.address);
        let json = json.text("time", &self.time().to_string());
        let json = json.number("offset_ns", *offset).number("delay_ns", *delay);
        let json = sample.describe(json.number("bound_ns", sample.bound()));
        let by_kernel = self.best.has_kernel_t4 && self.args.clock != Clock::User;
        let mut json = json.text("clock", if by_kernel { "receive" } else { "user" });
        if self.args.clock == Clock::Both {
            json = json.number("user_t4_ns", self.best.user_t4.nanos());
            json = json.number("user_offset_ns", self.best.user_offset);
        }
        let json = json.number("samples", self.peer.measurements.len() as u64);
        let json = json.number("tries", self.peer.requests());
        let json =
            json.number("median_offset_ns", self.median()).number("jitter_ns", self.jitter());
        json.counts("rejected", self.peer.rejected.counts())
    }

    fn offsets(&self) -> impl Iterator<Item = i128> {
        self.peer.measurements.iter().map(|measurement| measurement.offset)
    }

    /// The offset in the middle, of an even number the mean of both.
    fn median(&self) -> i128 {
        let mut offsets: Vec<i128> = self.offsets().collect();
        offsets.sort_unstable();
        let at = |index: usize| offsets.get(index).copied().unwrap_or_default();
        let (low, high) = (offsets.len().saturating_sub(1) / 2, offsets.len() / 2);
        (at(low) + at(high)).div_euclid(2)
    }

    fn jitter(&self) -> i128 {
        jitter(self.best.offset, self.offsets())
    }
}
