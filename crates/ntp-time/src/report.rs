//! The answer, or the time of each server.

use netcore::error::Error;
use netcore::local_time;
use netcore::ntp::show::{signed, unsigned};
use netcore::ntp::time::Utc;
use netcore::output::Output;
use netcore::sys::local_time;
use netcore::text::{Json, counted, escape};

use crate::args::Format;
use crate::format::formatted;
use crate::peer::Peer;
use crate::vote::{Answer, Claim, Vote};

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

pub(crate) fn report(
    vote: &Vote<'_>,
    peers: usize,
    format: &Format,
    out: &mut Output,
) -> Result<(), Error> {
    match format {
        Format::Compare => out.bytes(table(vote).as_bytes())?,
        Format::Json => out.bytes(servers(vote).as_bytes())?,
        _ => {}
    }
    let Some(answer) = vote.answer() else { return undecided(vote, format, out) };
    for (_, failure) in &vote.failures {
        // A note and not an error: the others have decided.
        out.note(failure);
    }
    out.line(match format {
        Format::Strftime(format) => {
            formatted(answer.time, format).unwrap_or_else(|| answer.time.to_string())
        }
        Format::Raw => raw(&answer),
        Format::Json => json(vote, &answer).to_string(),
        _ => text(vote, &answer, peers),
    })
}

/// No server has replied, or there is no majority.
fn undecided(vote: &Vote<'_>, format: &Format, out: &mut Output) -> Result<(), Error> {
    if vote.claims.is_empty() {
        vote.failures.iter().for_each(|(_, failure)| out.report(failure));
        return Ok(());
    }
    vote.failures.iter().for_each(|(_, failure)| out.note(failure));
    if !matches!(format, Format::Compare | Format::Json) {
        for claim in &vote.claims {
            out.note(format_args!(
                "{} says {}, {}",
                claim.peer.name,
                vote.time_of(claim),
                offset_and_bound(claim)
            ));
        }
    }
    let peer = counted(vote.claims.len(), "server");
    Err(Error::Protocol { peer, fault: vote.disagreement() })
}

/// `+1.500021 +/- 0.001065`
fn offset_and_bound(claim: &Claim<'_>) -> String {
    let (offset, bound) = (claim.filtered.best.offset(), claim.filtered.bound);
    format!("{} +/- {}", signed(offset), unsigned(bound))
}

fn text(vote: &Vote<'_>, answer: &Answer<'_>, peers: usize) -> String {
    let (time, offset, bound) = (answer.time, signed(answer.offset), unsigned(answer.bound));
    let (name, packet) = (&answer.source.peer.name, &answer.source.filtered.best.packet);
    let (ip, stratum, leap) = (ip(answer.source), packet.stratum, packet.leap());
    let mut text = format!("{time} {offset} +/- {bound} {name} {ip} s{stratum} leap={leap}\n");
    text += &format!("    Time={}", local_time::date(time));
    if peers > 1 {
        let (agree, answered) = (vote.agree(), vote.claims.len());
        text += &format!("\n    Servers={peers} answered={answered} agree={agree}");
    }
    for claim in vote.falsetickers() {
        text += &format!("\n    Falseticker={} {}", claim.peer.name, offset_and_bound(claim));
    }
    text
}

fn ip(claim: &Claim<'_>) -> String {
    claim.peer.address().map_or_else(String::new, |address| address.ip().to_string())
}

/// What the Python original prints, and how far that is behind the time now.
fn raw(answer: &Answer<'_>) -> String {
    let source = answer.source;
    // The original drops the fraction of the second.
    let seconds = source.filtered.best.t3.nanos().div_euclid(SECOND);
    let seen = i64::try_from(seconds).ok();
    let seen = seen.and_then(|seconds| local_time(seconds, c"%a %b %e %H:%M:%S %Y"));
    let seen = seen.unwrap_or_else(|| Utc::from_nanos(seconds * SECOND).to_string());
    let late = signed(answer.time.since(Utc::from_nanos(seconds * SECOND)));
    let (bound, name) = (unsigned(answer.bound), &source.peer.name);
    format!("{}\n    Behind={late} +/- {bound} {name}", escape(seen.as_bytes()))
}

/// A table with a line for each server.
fn table(vote: &Vote<'_>) -> String {
    let widest = vote.claims.iter().map(|claim| claim.peer.name.len()).max().unwrap_or(0).max(6);
    let heads = ["OFFSET", "BOUND", "DELAY", "JITTER"];
    let mut table = format!("{:widest$} ST", "SERVER");
    for head in heads {
        table += &format!(" {head:>12}");
    }
    table += "  N VOTE\n";
    for claim in &vote.claims {
        let Claim { peer, filtered, .. } = claim;
        let (best, name) = (&filtered.best, &peer.name);
        table +=
            &format!("{name:widest$} {:>2} {:>12}", best.packet.stratum, signed(best.offset()));
        for nanos in [filtered.bound, best.delay().max(0), filtered.jitter] {
            table += &format!(" {:>12}", unsigned(nanos));
        }
        table += &format!(" {:>2} {}\n", peer.samples.len(), verdict(vote, claim));
    }
    table
}

/// The result for a server, in the terms of the RFC.
fn verdict(vote: &Vote<'_>, claim: &Claim<'_>) -> &'static str {
    match (vote.answer().is_some(), vote.is_true(claim)) {
        (false, _) => "undecided",
        (true, true) => "truechimer",
        (true, false) => "falseticker",
    }
}

/// An object for each server, with the keys of sntp-client.
fn servers(vote: &Vote<'_>) -> String {
    let mut lines = String::new();
    for claim in &vote.claims {
        let Claim { peer, filtered, .. } = claim;
        let json = begin(peer).text("time", &vote.time_of(claim).to_string());
        let json = json.number("offset_ns", filtered.best.offset());
        let json = json.number("delay_ns", filtered.best.delay());
        let json = filtered.best.describe(json.number("bound_ns", filtered.bound));
        let json = json.number("jitter_ns", filtered.jitter).text("vote", verdict(vote, claim));
        lines += &format!("{json}\n");
    }
    for (peer, failure) in &vote.failures {
        let json = begin(peer).text("error", &failure.to_string()).text("vote", "none");
        lines += &format!("{json}\n");
    }
    lines
}

fn begin(peer: &Peer) -> Json {
    let json = Json::new("server").text("server", &peer.name);
    let json = match peer.address() {
        Some(address) => json.address(address),
        None => json,
    };
    let json = json.number("samples", peer.samples.len() as u64);
    let json = json.number("tries", peer.nonces.len() as u64);
    json.counts("rejected", peer.rejected.counts())
}

fn json(vote: &Vote<'_>, answer: &Answer<'_>) -> Json {
    let json = Json::new("answer").text("time", &answer.time.to_string());
    let json = json.number("time_ns", answer.time.nanos()).number("offset_ns", answer.offset);
    let json = json.number("bound_ns", answer.bound).text("source", &answer.source.peer.name);
    let json = json.number("answered", vote.claims.len() as u64);
    let json = json.number("agree", vote.agree() as u64);
    let names: Vec<String> = vote.falsetickers().map(|claim| claim.peer.name.clone()).collect();
    json.texts("falsetickers", &names)
}
