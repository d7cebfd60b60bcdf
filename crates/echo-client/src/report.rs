//! The bytes that have to come back, and what is printed about them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netcore::error::Error;
use netcore::output::Output;
use netcore::pattern::first_difference;
use netcore::text::{Json, counted, escape, shown};
use netcore::time::{millis, percentile};

use crate::args::Args;

/// Bytes from the time they are to be sent until they have come back.
#[derive(Default)]
pub(crate) struct Window {
    /// The first `echoed` of them have come back, the first `sent` were sent.
    bytes: Vec<u8>,
    sent: usize,
    echoed: usize,
    /// How many came back in all.
    total: u64,
    /// When the server last sent a byte, or was first asked for one; `None` while it owes none: a person
    /// at a terminal may take any time.
    pub(crate) silent_since: Option<Instant>,
}

impl Window {
    /// Adds bytes that are to be sent.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.echoed);
        self.sent -= self.echoed;
        self.echoed = 0;
        self.bytes.extend_from_slice(bytes);
        self.silent_since = self.silent_since.or_else(|| self.owed_since());
    }

    /// Those that were not sent yet.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// The kernel has taken so many of them.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count;
    }

    /// Compares what came back with what was sent. The error is the difference.
    pub(crate) fn compare(&mut self, received: &[u8]) -> Result<(), String> {
        let expected = self.bytes.get(self.echoed..self.sent).unwrap_or_default();
        if let Some(difference) = first_difference(expected, received, self.total) {
            return Err(difference);
        }
        match received.len().checked_sub(expected.len()) {
            Some(more @ 1..) => return Err(too_many(more)),
            _ => self.echoed += received.len(),
        }
        self.total += received.len() as u64;
        self.silent_since = self.owed_since();
        Ok(())
    }

    fn owed_since(&self) -> Option<Instant> {
        (self.missing() > 0).then(Instant::now)
    }

    /// How many are still to come back.
    pub(crate) fn missing(&self) -> usize {
        self.bytes.len() - self.echoed
    }

    /// The server has closed the connection too early: within a message it breaks the protocol, between
    /// two it has gone.
    pub(crate) fn closed_early(&self, peer: SocketAddr) -> Error {
        let (peer, missing) = (peer.to_string(), self.missing());
        let why = format!("closed after {}, {missing} missing", counted(self.total, "byte"));
        let is_within = self.echoed > 0 && missing > 0;
        if is_within { Error::Protocol { peer, fault: why } } else { Error::Gone { peer, why } }
    }
}

/// More came back than was sent; there may be more behind it.
pub(crate) fn too_many(more: usize) -> String {
    format!("at least {} more than were sent", counted(more, "byte"))
}

/// What is waited for.
pub(crate) fn awaited(peer: SocketAddr, missing: usize) -> String {
    match missing {
        0 => format!("end of the stream from {peer}"),
        _ => format!("echo from {peer} ({} still to come)", counted(missing, "byte")),
    }
}

/// Writes what came back to standard output. On a terminal it is escaped.
pub(crate) fn copy(bytes: &[u8], out: &mut Output) -> Result<(), Error> {
    if !out.is_terminal() {
        return out.bytes(bytes);
    }
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| match line {
        [text @ .., b'\n'] => escape(text) + "\n",
        text => escape(text),
    });
    out.bytes(lines.collect::<String>().as_bytes())
}

/// One message that came back as it was sent.
pub(crate) fn echoed(peer: SocketAddr, message: &[u8], time: Duration, args: &Args) -> String {
    let bytes = message.len();
    if args.json {
        let json = Json::new("echo").address(peer).number("bytes", bytes as u64);
        json.text("message", &shown(message)).nanos("round_trip_ns", time).to_string()
    } else {
        let text =
            if args.size.is_some() { String::new() } else { format!(": {}", shown(message)) };
        format!("{peer} echoed {}{text}   {}", counted(bytes, "byte"), millis(time))
    }
}

/// The times of many round trips.
pub(crate) fn summary(mut times: Vec<Duration>, args: &Args) -> String {
    times.sort_unstable();
    let percentiles = [0, 50, 99].map(|percent| percentile(&times, percent));
    let (count, [minimum, median, p99]) = (times.len(), percentiles);
    if args.json {
        let json = Json::new("summary").number("count", count as u64);
        let json = json.nanos("minimum_ns", minimum).nanos("median_ns", median);
        json.nanos("p99_ns", p99).to_string()
    } else {
        let [minimum, median, p99] = [minimum, median, p99].map(millis);
        let count = counted(count, "round trip");
        format!("{count}: minimum {minimum}, median {median}, p99 {p99}")
    }
}
