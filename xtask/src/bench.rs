//! `cargo xtask bench`: forking-echo and its rivals, measured in one interleaved run.
//!
//! A machine's speed drifts by more than the differences that matter here. So each round takes one
//! sample of every server for each measure, one right after the other and in another order each
//! time; a server is compared with the C server by their ratio within a round, and the figure is
//! the median of these ratios. A second copy of the same C server shows how much of a difference
//! is noise. Each round starts every server anew: the luck of one process, its address-space
//! layout say, would otherwise last for the whole run.

mod load;
mod rivals;

use argh::FromArgs;
use load::Measure;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rivals::{C, Missing, Rival, Server};
use std::fs;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// measure forking-echo against C, Python and socat
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub(crate) struct Bench {
    /// rounds, each with one sample of every server and measure (default: 10)
    #[argh(option)]
    rounds: Option<usize>,
    /// three rounds of short samples: a look, not a result
    #[argh(switch)]
    quick: bool,
    /// one JSON object a line instead of the tables
    #[argh(switch)]
    json: bool,
}

/// What a rate of `server` has to be at least, as a multiple of `rival`'s.
struct Limit {
    server: &'static str,
    rival: &'static str,
    connections_only: bool,
    at_least: f64,
}

const fn limit(
    server: &'static str,
    rival: &'static str,
    connections_only: bool,
    at_least: f64,
) -> Limit {
    Limit { server, rival, connections_only, at_least }
}

/// The claims that a run confirms or refutes. Only `fork` and what surrounds it is claimed to be
/// faster than an interpreter or a second program; a copy through them costs everyone alike.
const LIMITS: [Limit; 6] = [
    limit("forking-echo", C, false, 0.95),
    limit("forking-echo", "Python ForkingTCPServer", true, 5.0),
    limit("forking-echo", "socat PIPE", true, 2.0),
    limit("forking-echo", "socat EXEC:cat", true, 5.0),
    limit("forking-echo, static", "C, static", false, 0.95),
    limit("forking-echo, musl", "C, static", false, 0.95),
];

/// One figure.
struct Sample {
    measure: Measure,
    server: &'static str,
    round: usize,
    rate: f64,
}

/// Smallest, middle and largest of some figures.
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

/// Runs the comparison and writes the report; whether all [`LIMITS`] hold.
///
/// # Errors
/// What was attempted and why it failed: a build of forking-echo, a server that does not start, an
/// echo that is wrong, a report that cannot be written.
pub(crate) fn run(args: &Bench, out: &mut dyn Write) -> Result<bool, String> {
    let (rounds, window) = if args.quick {
        (args.rounds.unwrap_or(3), Duration::from_millis(100))
    } else {
        (args.rounds.unwrap_or(10), Duration::from_millis(300))
    };
    let (rivals, missing) = rivals::find()?;
    let pins = Pins::of_this_process();
    let written = |written: io::Result<()>| written.map_err(|e| format!("write the report: {e}"));

    let mut report = Report { out, json: args.json };
    // Beside its window a sample costs 50 ms to settle, a round 400 ms to start the servers.
    let per_round = (window + Duration::from_millis(50))
        .saturating_mul(u32::try_from(Measure::ALL.len() * rivals.len()).unwrap_or(u32::MAX))
        + Duration::from_millis(400);
    let estimate = per_round.as_secs_f64() * rounds as f64;
    written(report.opening(rounds, window, estimate, &pins, &missing))?;

    if let Some(pins) = &pins {
        sched_setaffinity(Pid::from_raw(0), &pins.load)
            .map_err(|e| format!("pin the load: {e}"))?;
    }
    let start = Instant::now();
    let mut samples = Vec::new();
    for round in 0..rounds {
        let servers = rivals
            .iter()
            .map(|rival| Ok((rival, rival.start(pins.as_ref().map(|pins| &pins.servers))?)))
            .collect::<Result<Vec<(&Rival, Server)>, String>>()?;
        for measure in Measure::ALL {
            for (rival, server) in in_turn(&servers, round) {
                let rate = measure
                    .take(&mut server.client(), window)
                    .map_err(|e| format!("{}, {}: {e}", rival.name, measure.title()))?;
                server.settle();
                samples.push(Sample { measure, server: rival.name, round, rate });
            }
        }
    }
    written(report.tables(&samples, &rivals))?;
    let false_checks = report.checks(&samples).map_err(|e| format!("write the report: {e}"))?;
    written(report.closing(false_checks, missing.len(), start.elapsed()))?;
    Ok(false_checks == 0)
}

/// Every other round goes backwards, and each starts one further: neither a drift nor a neighbour
/// meets the same server each time.
fn in_turn<T>(servers: &[T], round: usize) -> Vec<&T> {
    let mut order: Vec<&T> = servers.iter().collect();
    order.rotate_left(round % servers.len().max(1));
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Where the servers with their children and where the load runs, when there are two CPUs.
struct Pins {
    servers: CpuSet,
    load: CpuSet,
    text: String,
}

impl Pins {
    fn of_this_process() -> Option<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
        let (first, second) = (cpus.next()?, cpus.next()?);
        let only = |cpu| {
            let mut set = CpuSet::new();
            set.set(cpu).ok().map(|()| set)
        };
        let text = format!("servers on CPU {first}, load on CPU {second}");
        Some(Self { servers: only(first)?, load: only(second)?, text })
    }
}

/// The rates of one server in one measure, in the order of the rounds.
fn rates(samples: &[Sample], measure: Measure, server: &str) -> Vec<f64> {
    let of_server = |sample: &&Sample| sample.measure == measure && sample.server == server;
    let mut chosen: Vec<&Sample> = samples.iter().filter(of_server).collect();
    chosen.sort_by_key(|sample| sample.round);
    chosen.iter().map(|sample| sample.rate).collect()
}

/// How many times faster `server` is than `rival`, round by round; `None` when one was skipped.
fn ratio(samples: &[Sample], measure: Measure, server: &str, rival: &str) -> Option<Spread> {
    let (ours, theirs) = (rates(samples, measure, server), rates(samples, measure, rival));
    spread(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}

fn spread(mut figures: Vec<f64>) -> Option<Spread> {
    figures.sort_by(f64::total_cmp);
    let (min, max) = (*figures.first()?, *figures.last()?);
    let upper = figures.get(figures.len() / 2)?;
    let lower = figures.get((figures.len() - 1) / 2)?;
    Some(Spread { min, median: (lower + upper) / 2.0, max })
}

/// The report, as tables or as JSON Lines.
struct Report<'a> {
    out: &'a mut dyn Write,
    json: bool,
}

impl Report<'_> {
    fn opening(
        &mut self,
        rounds: usize,
        window: Duration,
        estimate: f64,
        pins: &Option<Pins>,
        missing: &[Missing],
    ) -> io::Result<()> {
        let kernel = kernel_says("/proc/sys/kernel/osrelease");
        let congestion = kernel_says("/proc/sys/net/ipv4/tcp_congestion_control");
        let pins = pins.as_ref().map_or("not pinned: only one CPU", |pins| &pins.text);
        let window = window.as_millis();
        if self.json {
            writeln!(
                self.out,
                r#"{{"type":"bench","rounds":{rounds},"window_ms":{window},"kernel":{},"pinned":{},"congestion_control":{},"estimate_s":{estimate:.0}}}"#,
                json(&kernel),
                json(pins),
                json(&congestion)
            )?;
        } else {
            writeln!(self.out, "{rounds} rounds, {window} ms a sample, about {estimate:.0} s")?;
            writeln!(self.out, "Linux {kernel}; {pins}; TCP congestion control {congestion}")?;
        }
        for Missing { name, reason } in missing {
            if self.json {
                let (name, reason) = (json(name), json(reason));
                writeln!(self.out, r#"{{"type":"skipped","server":{name},"reason":{reason}}}"#)?;
            } else {
                writeln!(self.out, "--  {name} skipped: {reason}")?;
            }
        }
        self.out.flush()
    }

    fn tables(&mut self, samples: &[Sample], rivals: &[Rival]) -> io::Result<()> {
        if self.json {
            for Sample { measure, server, round, rate } in samples {
                let (measure, server) = (json(&measure.title()), json(server));
                writeln!(
                    self.out,
                    r#"{{"type":"sample","measure":{measure},"server":{server},"round":{round},"rate":{rate:.1}}}"#
                )?;
            }
        }
        for measure in Measure::ALL {
            let title = measure.title();
            if !self.json {
                let heads = ("median", "min..max", "of C", "min..max");
                let (median, range, of_c, ratios) = heads;
                writeln!(self.out, "\n{title:<28}{median:>9}{range:>18}{of_c:>8}{ratios:>14}")?;
            }
            for Rival { name, baseline, .. } in rivals {
                let Some(rate) = spread(rates(samples, measure, name)) else { continue };
                let ratio = ratio(samples, measure, name, baseline);
                self.row(&title, name, &rate, ratio.filter(|_| name != baseline))?;
            }
        }
        Ok(())
    }

    fn row(
        &mut self,
        measure: &str,
        server: &str,
        rate: &Spread,
        ratio: Option<Spread>,
    ) -> io::Result<()> {
        let Spread { min, median, max } = rate;
        if self.json {
            let (measure, server) = (json(measure), json(server));
            write!(
                self.out,
                r#"{{"type":"result","measure":{measure},"server":{server},"median":{median:.1},"min":{min:.1},"max":{max:.1}"#
            )?;
            if let Some(Spread { min, median, max }) = ratio {
                write!(self.out, r#","of_c":{median:.3},"of_c_min":{min:.3},"of_c_max":{max:.3}"#)?;
            }
            return writeln!(self.out, "}}");
        }
        let range = format!("{min:.0}..{max:.0}");
        write!(self.out, "  {server:<26}{median:>9.0}{range:>18}")?;
        if let Some(Spread { min, median, max }) = ratio {
            let range = format!("{min:.2}..{max:.2}");
            write!(self.out, "{median:>8.2}{range:>14}")?;
        }
        writeln!(self.out)
    }

    /// Writes what became of each limit; how many are false.
    fn checks(&mut self, samples: &[Sample]) -> io::Result<usize> {
        let mut false_checks = 0;
        if !self.json {
            writeln!(self.out)?;
        }
        for Limit { server, rival, connections_only, at_least } in LIMITS {
            for measure in Measure::ALL {
                if connections_only && !matches!(measure, Measure::Connections(_)) {
                    continue;
                }
                let Some(Spread { min, median, max }) = ratio(samples, measure, server, rival)
                else {
                    continue;
                };
                let holds = median >= at_least;
                false_checks += usize::from(!holds);
                let statement =
                    format!("{server} is at least {at_least} of {rival}: {}", measure.title());
                if self.json {
                    let statement = json(&statement);
                    writeln!(
                        self.out,
                        r#"{{"type":"check","statement":{statement},"holds":{holds},"ratio":{median:.3}}}"#
                    )?;
                } else {
                    let word = if holds { "ok" } else { "FALSE" };
                    writeln!(
                        self.out,
                        "  {word:<6}{statement:<84}{median:>5.2}  {min:.2}..{max:.2}"
                    )?;
                }
            }
        }
        Ok(false_checks)
    }

    fn closing(&mut self, false_checks: usize, missing: usize, took: Duration) -> io::Result<()> {
        let took = took.as_secs_f64();
        if self.json {
            writeln!(
                self.out,
                r#"{{"type":"summary","false":{false_checks},"skipped":{missing},"elapsed_s":{took:.1}}}"#
            )?;
        } else {
            writeln!(
                self.out,
                "\nbench: {false_checks} checks are false, {missing} servers skipped, {took:.0} s"
            )?;
        }
        self.out.flush()
    }
}

fn kernel_says(path: &str) -> String {
    fs::read_to_string(path).map_or("unknown".to_owned(), |text| text.trim().to_owned())
}

/// The text as a JSON string.
fn json(text: &str) -> String {
    let mut escaped = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c < ' ' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped.push('"');
    escaped
}
