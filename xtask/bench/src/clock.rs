//! `cargo xtask bench-clock`: how far off the answers of sntp-client are, and how long one takes.
//!
//! They are asked of a chronyd that serves this machine's own clock: whatever an answer says is its
//! error. A round asks each client, as a process of its own, twice, and the second time counts: the
//! first one finds what its neighbour has left in the caches, and a neighbour may be Python. Each has
//! each neighbour equally often.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Instant;

use argh::FromArgs;
use netcheck::{Need, Process, Run, Skip, need};
use scenarios::chronyd::{self, Chronyd};

use crate::order::order;
use crate::rivals::{Missing, build, cargo, folder, source};
use crate::spread::{Spread, Verdict};
use xtask::Failure;

const OURS: &str = "sntp-client";
const USER: &str = "sntp-client --clock user";
const RSNTP: &str = "rsntp";
const NTPLIB: &str = "ntplib";
const CHRONYD: &str = "chronyd -Q";

/// chronyd -Q measures for four seconds: so it is asked in the first rounds only.
const CHRONYD_ROUNDS: u32 = 3;

/// Of fewer answers the p99 is the largest, and says nothing.
const TO_SAY_P99: usize = 100;

/// Measure how far off sntp-client is, and how long it takes, beside rsntp and ntplib.
#[derive(FromArgs)]
#[argh(subcommand, name = "bench-clock")]
pub(crate) struct Args {
    /// rounds, each with one query of every client (default: 150)
    #[argh(option, default = "150")]
    rounds: u32,
    /// keep every processor busy with a loop
    #[argh(switch)]
    busy: bool,
}

/// A client, and what it has answered.
struct Client {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    answers: Vec<Answer>,
}

/// The result of one process, in microseconds.
struct Answer {
    /// The absolute value of the offset that it printed.
    off: f64,
    /// From the start of the process to its end.
    took: f64,
}

/// Asks them all and writes what they said; whether no claim fails.
///
/// # Errors
/// A command line that cannot be obeyed, a chronyd that does not serve, a client that gives no answer.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<bool, Failure> {
    if args.rounds == 0 {
        return Err(Failure::Usage("--rounds 0: at least one is needed".to_owned()));
    }
    need(Need::Chronyd).map_err(|Skip { reason, .. }| Failure::Missing(reason))?;
    let server = chronyd::serve().map_err(Failure::Broken)?;
    let (mut clients, missing) = find(&server).map_err(Failure::Broken)?;
    let processors = available_parallelism().map_or(1, usize::from);
    let busy = if args.busy { processors } else { 0 };
    // Killed when they are dropped.
    let _busy: Vec<Process> = (0..busy).map(|_| busy_loop()).collect();
    say(
        out,
        format_args!(
            "{} rounds, chronyd on {}, the true offset is 0; processors: {processors}, busy loops: {busy}",
            args.rounds, server.address
        ),
    )?;
    for (name, reason) in missing {
        say(out, format_args!("  --  {name} skipped: {reason}"))?;
    }
    for round in 0..args.rounds {
        for index in order(round, clients.len()) {
            let Some(client) = clients.get_mut(index) else { continue };
            if client.name != CHRONYD {
                client.query(server.folder.path()).map_err(Failure::Broken)?;
            }
            if client.name != CHRONYD || round < CHRONYD_ROUNDS {
                let answer = client.query(server.folder.path()).map_err(Failure::Broken)?;
                client.answers.push(answer);
            }
        }
    }
    table(&clients, out)?;
    claims(&clients, args.busy, out)
}

/// Builds ours, and finds those of the others that this machine has.
fn find(server: &Chronyd) -> Result<(Vec<Client>, Vec<Missing>), String> {
    let address = server.address.to_string();
    let client = |name, program, args| Client { name, program, args, answers: Vec::new() };
    let asking =
        |args: &[&str]| args.iter().chain([&address.as_str()]).map(|&arg| arg.to_owned()).collect();
    let ours = build(OURS, &[], "")?;
    let target_dir = format!("--target-dir={}", folder(&ours)?.display());
    let rsntp = cargo(&source("rsntp_client/Cargo.toml"), &[&target_dir], "");
    let ntplib = source("ntplib_client.py").display().to_string();
    let measured = format!("server 127.0.0.1 port {} iburst", server.address.port());
    let files = server.folder.path();
    let mut clients = vec![
        client(OURS, ours.clone(), asking(&["--json"])),
        client(USER, ours, asking(&["--json", "--clock", "user"])),
    ];
    let mut missing = Vec::new();
    let others = [
        rsntp.map(|program| client(RSNTP, program, asking(&[]))).map_err(|why| (RSNTP, why)),
        Ok(client(NTPLIB, "python3".into(), asking(&[&ntplib]))),
        Ok(client(
            CHRONYD,
            "chronyd".into(),
            chronyd::args("-Q", "pid-of-the-client", &[&measured]),
        )),
    ];
    for other in others {
        // A client that gives no answer now gives none later.
        match other.and_then(|client| match client.query(files) {
            Ok(_) => Ok(client),
            Err(why) => Err((client.name, why)),
        }) {
            Ok(client) => clients.push(client),
            Err(absent) => missing.push(absent),
        }
    }
    Ok((clients, missing))
}

impl Client {
    /// Sends one query; chronyd has its file in the folder.
    fn query(&self, folder: &Path) -> Result<Answer, String> {
        let begun = Instant::now();
        let output = Command::new(&self.program).args(&self.args).current_dir(folder).output();
        let took = begun.elapsed().as_secs_f64() * 1e6;
        let output = output.map_err(|why| format!("{}: {why}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        match offset(if self.name == CHRONYD { &complaint } else { &said })
            .filter(|_| output.status.success())
        {
            Some(offset) => Ok(Answer { off: offset.abs() * 1e6, took }),
            None => {
                let last = complaint.lines().last().unwrap_or("no offset in its output");
                Err(format!("{}: {last}", self.name))
            }
        }
    }
}

/// The offset in seconds, in each of the forms that the clients print.
fn offset(said: &str) -> Option<f64> {
    if let Some((_, rest)) = said.split_once(r#""offset_ns":"#) {
        let nanoseconds: f64 = rest.split(',').next()?.parse().ok()?;
        return Some(nanoseconds / 1e9);
    }
    let rest = said.split_once("System clock wrong by ").map_or(said, |(_, rest)| rest);
    rest.split_whitespace().next()?.parse().ok()
}

/// A line for each of them.
fn table(clients: &[Client], out: &mut dyn Write) -> Result<(), Failure> {
    say(
        out,
        format_args!(
            "\n{:<30}{:>8}{:>9}{:>9}{:>12}{:>10}{:>15}",
            "|offset| in us", "median", "p90", "p99", "process us", "of rsntp", "95 %"
        ),
    )?;
    let rsntp = named(clients, RSNTP);
    for client in clients {
        let [median, p90, p99] = [50, 90, 99].map(|percent| percentile(client, percent));
        let took = Spread::from_figures(client.answers.iter().map(|answer| answer.took).collect());
        let took = took.map_or(f64::NAN, |took| took.median);
        let mut line =
            format!("  {:<28}{median:>8.1}{p90:>9.1}{p99:>9.1}{took:>12.0}", client.name);
        let ratio = rsntp.filter(|rsntp| rsntp.name != client.name);
        if let Some(ratio) = ratio.and_then(|rsntp| pace(client, rsntp)) {
            line += &format!("{:>10.3}", ratio.median);
            if let Some((low, high)) = ratio.interval {
                line += &format!("{:>15}", format!("{low:.3}..{high:.3}"));
            }
        }
        say(out, line)?;
    }
    say(out, "")
}

/// What became of the claims that these clients allow; whether none fails.
fn claims(clients: &[Client], busy: bool, out: &mut dyn Write) -> Result<bool, Failure> {
    let mut none_fails = true;
    let mut claim = |verdict: Verdict, statement: String| {
        none_fails &= verdict != Verdict::Fails;
        say(out, format_args!("  {:<6}{statement}", verdict.word()))
    };
    let pair = |rival| Some((named(clients, OURS)?, named(clients, rival)?));
    for (rival, at_most) in [(RSNTP, 1.0), (NTPLIB, 0.1)] {
        if let Some((ours, other)) = pair(rival)
            && let Some(ratio) = pace(other, ours)
        {
            let verdict = Verdict::from_ratio(&ratio, 1.0 / at_most);
            let median = 1.0 / ratio.median;
            claim(
                verdict,
                format!(
                    "a process takes at most {at_most} times as long as that of {rival}: {median:.3}"
                ),
            )?;
        }
    }
    // With every processor busy, a client that reads the clock in user space waits for its turn.
    let at_least = match busy {
        true => &[(USER, 99, 20.0)][..],
        false => &[(RSNTP, 50, 1.0), (RSNTP, 99, 3.0), (NTPLIB, 99, 3.0)],
    };
    for &(rival, percent, times) in at_least {
        let Some((ours, other)) = pair(rival) else { continue };
        let ratio = percentile(other, percent) / percentile(ours, percent);
        let verdict = match ratio >= times {
            _ if ours.answers.len() < TO_SAY_P99 => Verdict::Open,
            true => Verdict::Holds,
            false => Verdict::Fails,
        };
        claim(
            verdict,
            format!("p{percent} of {rival} is at least {times} times ours: {ratio:.1}"),
        )?;
    }
    Ok(none_fails)
}

fn named<'a>(clients: &'a [Client], name: &str) -> Option<&'a Client> {
    clients.iter().find(|client| client.name == name)
}

/// How many times as long as the other one's its processes took, each round by itself.
fn pace(client: &Client, other: &Client) -> Option<Spread> {
    let pairs = client.answers.iter().zip(&other.answers);
    Spread::from_figures(pairs.map(|(own, other)| own.took / other.took).collect())
}

/// So many of a hundred offsets are at most this.
fn percentile(client: &Client, percent: usize) -> f64 {
    let mut offsets: Vec<f64> = client.answers.iter().map(|answer| answer.off).collect();
    offsets.sort_by(f64::total_cmp);
    let rank = (offsets.len() * percent).div_ceil(100);
    offsets.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// A process that does nothing but that.
fn busy_loop() -> Process {
    Run::program("sh").args(["-c", "while :; do :; done"]).start()
}

fn say(out: &mut dyn Write, line: impl Display) -> Result<(), Failure> {
    writeln!(out, "{line}").map_err(Failure::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_as_each_of_them_tells_it() {
        let ours = r#"{"type":"answer","offset_ns":-1500,"delay_ns":7}"#;
        assert_eq!(offset(ours), Some(-0.000_001_5));
        assert_eq!(offset("-0.0000015\n"), Some(-0.000_001_5));
        let chronyd = "2026-11-25T03:10:02Z System clock wrong by 1.500021 seconds (ignored)\n";
        assert_eq!(offset(chronyd), Some(1.500_021));
        assert_eq!(offset(""), None);
        assert_eq!(offset("Traceback (most recent call last):"), None);
    }

    #[test]
    fn the_percentile_is_the_least_that_is_large_enough() {
        let answers = (1..=150).rev().map(|off| Answer { off: f64::from(off), took: 1.0 });
        let client = Client {
            name: OURS,
            program: PathBuf::new(),
            args: Vec::new(),
            answers: answers.collect(),
        };
        assert_eq!([50, 90, 99, 100].map(|p| percentile(&client, p)), [75.0, 135.0, 149.0, 150.0]);
    }
}
