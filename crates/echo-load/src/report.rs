//! What is printed about a run.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;

use netcore::text::{Json, counted};
use netcore::time::millis;

use crate::args::{Args, Mode};
use crate::tally::Tally;

/// All connections are open, and the first message of each has come back.
pub(crate) fn opened(peer: SocketAddr, args: &Args) -> String {
    let connections = args.connections;
    if args.json {
        return Json::new("open").address(peer).number("connections", connections).to_string();
    }
    format!("{} open", counted(connections, "connection"))
}

/// The figures as an object. It is complete when neither an error nor a signal ended it early.
pub(crate) fn json(
    tally: &Tally,
    args: &Args,
    mode: Mode,
    peer: SocketAddr,
    complete: bool,
) -> String {
    let json = Json::new("load").text("mode", mode.name()).address(peer);
    let json = json.number("connections", args.connections).number("size", args.size);
    let mut json = json
        .nanos("duration_ns", tally.elapsed)
        .number("opened", tally.opened)
        .number("round_trips", tally.round_trips)
        .number("per_second", rate(tally.round_trips, tally.elapsed))
        .number("bytes", tally.bytes)
        .number("bytes_per_second", rate(tally.bytes, tally.elapsed))
        .number("errors", u8::from(tally.failed))
        .flag("complete", complete)
        .nanos("cpu_ns", tally.cpu);
    if mode == Mode::Udp {
        json = json.number("lost", tally.lost).number("late", tally.late);
    }
    if let Some(rate) = args.rate {
        json = json.number("rate", rate).number("unsent", tally.unsent);
    }
    json = percentiles(json, "", &tally.from_due);
    if let Some(from_sent) = &tally.from_sent {
        json = percentiles(json, "sent_", from_sent);
    }
    json.to_string()
}

/// `p99_ns` and so on; no keys where nothing was timed.
fn percentiles(mut json: Json, prefix: &str, times: &Histogram<u64>) -> Json {
    if times.is_empty() {
        return json;
    }
    let figures = [
        ("min", times.min()),
        ("p50", times.value_at_quantile(0.5)),
        ("p90", times.value_at_quantile(0.9)),
        ("p99", times.value_at_quantile(0.99)),
        ("p999", times.value_at_quantile(0.999)),
        ("max", times.max()),
    ];
    for (name, nanos) in figures {
        json = json.number(&format!("{prefix}{name}_ns"), nanos);
    }
    json
}

/// The same for a person.
pub(crate) fn text(tally: &Tally, args: &Args, mode: Mode) -> String {
    let (seconds, took) = (tally.elapsed.as_secs_f64(), millis(tally.elapsed));
    let (connections, size) = (counted(args.connections, "connection"), counted(args.size, "byte"));
    let per_second = rate(tally.round_trips, tally.elapsed);
    let round_trips = counted(tally.round_trips, "round trip");
    let mut text = match mode {
        Mode::PingPong => {
            format!("{connections}, {size}: {round_trips} in {took}, {per_second} a second")
        }
        Mode::Churn => format!(
            "{} in flight, {size}: {} in {took}, {per_second} a second",
            args.connections,
            counted(tally.round_trips, "connection")
        ),
        Mode::Bulk => format!(
            "{connections}: {:.1} MB there and back in {took}, {:.1} MB a second",
            tally.bytes as f64 / 1e6,
            tally.bytes as f64 / 1e6 / seconds.max(1e-9),
        ),
        Mode::Udp => format!(
            "{} under way, {size}: {round_trips} in {took}, {per_second} a second, {} lost, {} late",
            counted(args.connections, "datagram"),
            tally.lost,
            tally.late
        ),
        Mode::Idle => format!("{connections} silent for {took}"),
    };
    if let Some(from_sent) = &tally.from_sent {
        text += &format!(", {} due and not sent", tally.unsent);
        text += &format!("\nfrom due: {}", line(&tally.from_due));
        text += &format!("\nfrom sent: {}", line(from_sent));
    } else if !tally.from_due.is_empty() {
        text += &format!("\n{}", line(&tally.from_due));
    }
    if mode != Mode::Idle {
        let share = 100.0 * tally.cpu.as_secs_f64() / seconds.max(1e-9);
        text += &format!("\nthe client itself took {share:.0} % of a CPU");
    }
    text
}

fn line(times: &Histogram<u64>) -> String {
    let at = |quantile| shown(times.value_at_quantile(quantile));
    let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(at);
    let most = shown(times.max());
    format!("median {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, maximum {most}")
}

/// In milliseconds, with the microseconds that a round trip on one machine takes.
fn shown(nanos: u64) -> String {
    match Duration::from_nanos(nanos) {
        short if short < Duration::from_millis(10) => format!("{:.3} ms", nanos as f64 / 1e6),
        long => millis(long),
    }
}

/// How many a second, to the nearest whole number.
fn rate(number: u64, elapsed: Duration) -> i128 {
    let nanos = elapsed.as_nanos().max(1);
    i128::try_from((u128::from(number) * 1_000_000_000 + nanos / 2) / nanos).unwrap_or(i128::MAX)
}
