//! What is printed about the datagrams.

use std::net::SocketAddr;

use netcore::error::Error;
use netcore::text::{Json, counted, shown};
use netcore::time::{millis, percentile};

use crate::args::Args;
use crate::flight::{Counts, Echo, Flight};
use crate::plan::{Plan, Sending};

/// The line of a datagram that was echoed.
pub(crate) fn echoed(peer: SocketAddr, plan: &Plan, echo: &Echo, args: &Args) -> String {
    let Echo { number, sent, time } = *echo;
    let bytes = plan.bytes(Sending { number, attempt: 0 }).len();
    let message = shown(plan.message(number));
    if args.json {
        let json = Json::new("echo").address(peer).number("number", number);
        let json = json.number("bytes", bytes as u64).text("message", &message);
        return json.number("sent", sent as u64).nanos("round_trip_ns", time).to_string();
    }
    let number = if plan.numbered { format!(" number {number}") } else { String::new() };
    let message = if args.size.is_some() { String::new() } else { format!(": {message}") };
    let times = if sent > 1 { format!("   sent {sent} times") } else { String::new() };
    let bytes = counted(bytes as u64, "byte");
    format!("{peer} echoed{number} {bytes}{message}   {}{times}", millis(time))
}

/// The counts, and the round-trip times.
pub(crate) fn summary(peer: SocketAddr, flight: &mut Flight, args: &Args) -> String {
    flight.times.sort_unstable();
    let Counts { echoed, lost, changed, duplicated, reordered, late, resent } = flight.counts;
    let (total, count) = (flight.newest(), flight.times.len());
    let [minimum, median, p99] = [0, 50, 99].map(|percent| percentile(&flight.times, percent));
    if args.json {
        let json = Json::new("summary").address(peer).number("count", total);
        let json = json.number("echoed", echoed).number("lost", lost).number("changed", changed);
        let json = json.number("doubled", duplicated).number("reordered", reordered);
        let json = json.number("late", late).number("resent", resent);
        let json = json.nanos("minimum_ns", minimum).nanos("median_ns", median);
        return format!("{}\n", json.nanos("p99_ns", p99));
    }
    let mut text = format!(
        "{echoed} of {} echoed: {lost} lost, {changed} changed; {duplicated} duplicated, \
         {reordered} reordered, {late} late, {resent} sent again\n",
        counted(total, "datagram")
    );
    if count > 0 {
        let [minimum, median, p99] = [minimum, median, p99].map(millis);
        let count = counted(count as u64, "round trip");
        text += &format!("{count}: minimum {minimum}, median {median}, p99 {p99}\n");
    }
    text
}

/// One error for all addresses that did not reply: that of the last, with the others in its text.
pub(crate) fn all_failed(failures: Vec<Error>) -> Error {
    let mut failures = failures.into_iter().rev();
    let Some(mut last) = failures.next() else {
        return Error::Usage("no address".to_owned());
    };
    for before in failures {
        if let Error::Os { attempt, .. } | Error::Timeout { attempt, .. } = &mut last {
            *attempt = format!("{before}; {attempt}");
        }
    }
    last
}
