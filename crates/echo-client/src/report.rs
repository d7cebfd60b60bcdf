//! What is said about the round trips.

use std::net::SocketAddr;
use std::time::Duration;

use netcore::text::{Json, shown};
use netcore::time::{millis, percentile};

use crate::Args;

/// One message that came back as it was sent.
pub(crate) fn echoed(peer: SocketAddr, message: &[u8], time: Duration, args: &Args) -> String {
    let bytes = message.len();
    if args.json {
        let json = Json::new("echo").address(peer).number("bytes", bytes as u64);
        json.text("message", &shown(message)).nanos("round_trip_ns", time).to_string()
    } else if args.size.is_some() {
        format!("{peer} echoed {bytes} bytes   {}", millis(time))
    } else {
        format!("{peer} echoed {bytes} bytes: {}   {}", shown(message), millis(time))
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
        format!("{count} round trips: minimum {minimum}, median {median}, p99 {p99}")
    }
}
