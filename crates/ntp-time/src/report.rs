//! From the command line to what is printed: the answer, or each server's claim.

use std::ffi::CString;

use netcore::error::Error;
use netcore::local_time;
use netcore::ntp::show::{signed, unsigned};
use netcore::ntp::time::Utc;
use netcore::output::Output;
use netcore::sys::local_time;
use netcore::text::{Json, escape};

use crate::args::{Args, Form};
use crate::peer::Peer;
use crate::vote::{Answer, Claim, Vote};
use crate::{ask, check};

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

pub(crate) fn report(args: &Args, out: &mut Output) -> Result<(), Error> {
    let form = args.form()?;
    let mut peers = Peer::all(args, out)?;
    let asked = ask(&mut peers, args);
    let vote = Vote::of(&peers, Utc::now());
    if let Form::Check(warning, critical) = form {
        let (state, line) = check::check(&vote, asked.err(), warning, critical);
        out.state(state);
        return out.line(line);
    }
    asked?;
    match form {
        Form::Compare => out.bytes(table(&vote).as_bytes())?,
        Form::Json => out.bytes(servers(&vote).as_bytes())?,
        _ => {}
    }
    let Some(answer) = vote.answer() else { return undecided(&vote, &form, out) };
    for (_, failure) in &vote.failures {
        // Those that answered have decided.
        out.note(failure);
    }
    out.line(match form {
        Form::Format(format) => {
            formatted(answer.time, &format).unwrap_or_else(|| answer.time.to_string())
        }
        Form::Raw => raw(&answer),
        Form::Json => json(&vote, &answer).to_string(),
        _ => text(&vote, &answer, peers.len()),
    })
}

/// Nobody has answered, or those that have do not agree.
fn undecided(vote: &Vote<'_>, form: &Form, out: &mut Output) -> Result<(), Error> {
    if vote.claims.is_empty() {
        vote.failures.iter().for_each(|(_, failure)| out.report(failure));
        return Ok(());
    }
    vote.failures.iter().for_each(|(_, failure)| out.note(failure));
    if !matches!(form, Form::Compare | Form::Json) {
        for claim in &vote.claims {
            out.note(format_args!(
                "{} says {}, {}",
                claim.peer.word,
                vote.time_of(claim),
                said(claim)
            ));
        }
    }
    let peer = format!("{} servers", vote.claims.len());
    Err(Error::Protocol { peer, fault: vote.disagreement() })
}

/// `+1.500021 +/- 0.001065`
fn said(claim: &Claim<'_>) -> String {
    let (offset, bound) = (claim.filtered.best.offset(), claim.filtered.bound);
    format!("{} +/- {}", signed(offset), unsigned(bound))
}

fn text(vote: &Vote<'_>, answer: &Answer<'_>, asked: usize) -> String {
    let (time, offset, bound) = (answer.time, signed(answer.offset), unsigned(answer.bound));
    let (word, packet) = (&answer.source.peer.word, &answer.source.filtered.best.packet);
    let (ip, stratum, leap) = (ip(answer.source), packet.stratum, packet.leap());
    let mut text = format!("{time} {offset} +/- {bound} {word} {ip} s{stratum} leap={leap}\n");
    text += &format!("    Time={}", local_time::date(time));
    if asked > 1 {
        let (agree, answered) = (vote.agree(), vote.claims.len());
        text += &format!("\n    Servers={asked} answered={answered} agree={agree}");
    }
    for claim in vote.falsetickers() {
        text += &format!("\n    Falseticker={} {}", claim.peer.word, said(claim));
    }
    text
}

fn ip(claim: &Claim<'_>) -> String {
    claim.peer.address().map_or_else(String::new, |address| address.ip().to_string())
}

/// What the Python original prints, and how much later it is by now.
fn raw(answer: &Answer<'_>) -> String {
    let source = answer.source;
    // It counts whole seconds, and begins with the fraction by being late.
    let seconds = source.filtered.best.t3.nanos().div_euclid(SECOND);
    let seen = i64::try_from(seconds).ok();
    let seen = seen.and_then(|seconds| local_time(seconds, c"%a %b %e %H:%M:%S %Y"));
    let seen = seen.unwrap_or_else(|| Utc::from_nanos(seconds * SECOND).to_string());
    let late = signed(answer.time.since(Utc::from_nanos(seconds * SECOND)));
    let (bound, word) = (unsigned(answer.bound), &source.peer.word);
    format!("{}\n    Behind={late} +/- {bound} {word}", escape(seen.as_bytes()))
}

/// An instant in a form of strftime(3), in local time; like date(1) it knows `%N` too, nanoseconds.
/// `None` when it gets too long.
pub(crate) fn formatted(time: Utc, format: &str) -> Option<String> {
    let (seconds, nanos) = (time.nanos().div_euclid(SECOND), time.nanos().rem_euclid(SECOND));
    let mut expanded = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        let pair = (char, if char == '%' { chars.next() } else { None });
        match pair {
            ('%', Some('N')) => expanded += &format!("{nanos:09}"),
            (char, next) => expanded.extend([Some(char), next].into_iter().flatten()),
        }
    }
    local_time(i64::try_from(seconds).ok()?, &CString::new(expanded).ok()?)
}

/// A line for each server, below a heading.
fn table(vote: &Vote<'_>) -> String {
    let widest = vote.claims.iter().map(|claim| claim.peer.word.len()).max().unwrap_or(0).max(6);
    let heads = ["OFFSET", "BOUND", "DELAY", "JITTER"];
    let mut table = format!("{:widest$} ST", "SERVER");
    for head in heads {
        table += &format!(" {head:>12}");
    }
    table += "  N VOTE\n";
    for claim in &vote.claims {
        let Claim { peer, filtered, .. } = claim;
        let (best, word) = (&filtered.best, &peer.word);
        table +=
            &format!("{word:widest$} {:>2} {:>12}", best.packet.stratum, signed(best.offset()));
        for nanos in [filtered.bound, best.delay().max(0), filtered.jitter] {
            table += &format!(" {:>12}", unsigned(nanos));
        }
        table += &format!(" {:>2} {}\n", peer.samples.len(), verdict(vote, claim));
    }
    table
}

/// What the vote says of a server, by the RFC's words.
fn verdict(vote: &Vote<'_>, claim: &Claim<'_>) -> &'static str {
    match (vote.answer().is_some(), vote.is_true(claim)) {
        (false, _) => "undecided",
        (true, true) => "truechimer",
        (true, false) => "falseticker",
    }
}

/// An object for each server, in the keys of sntp-client.
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
    let json = Json::new("server").text("server", &peer.word);
    let json = match peer.address() {
        Some(address) => json.address(address),
        None => json,
    };
    let json = json.number("samples", peer.samples.len() as u64);
    let json = json.number("tries", peer.nonces.len() as u64);
    json.counts("rejected", peer.refused.counts())
}

fn json(vote: &Vote<'_>, answer: &Answer<'_>) -> Json {
    let json = Json::new("answer").text("time", &answer.time.to_string());
    let json = json.number("time_ns", answer.time.nanos()).number("offset_ns", answer.offset);
    let json = json.number("bound_ns", answer.bound).text("source", &answer.source.peer.word);
    let json = json.number("answered", vote.claims.len() as u64);
    let json = json.number("agree", vote.agree() as u64);
    let names: Vec<String> = vote.falsetickers().map(|claim| claim.peer.word.clone()).collect();
    json.texts("falsetickers", &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_have_nanoseconds_and_a_percent_sign() {
        let time = Utc::from_nanos(1_000_000_007);
        assert_eq!(formatted(time, "%S.%N").as_deref(), Some("01.000000007"));
        assert_eq!(formatted(time, "%%N %").as_deref(), Some("%N %"));
        assert_eq!(formatted(Utc::from_nanos(-1), "%N").as_deref(), Some("999999999"));
        assert_eq!(formatted(time, "").as_deref(), Some(""));
        assert_eq!(formatted(time, "a\0b"), None);
    }
}
