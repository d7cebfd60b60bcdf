//! `cargo xtask bench`: every server of the ladder and its rivals, measured in one interleaved run.
//!
//! A machine's speed drifts by more than the differences that matter here. So a round takes one
//! sample of every server for each measure, one right after the other and in another order each
//! time; a server is compared with another by their ratio within a round, and the result is the
//! median of these ratios. The same C server a second time shows how much of a ratio is noise; a
//! claim holds or fails where the whole 95 % interval of its median lies on one side of the limit,
//! and stays open otherwise, until there are more rounds. Each round starts every server anew: what
//! one process has by chance, such as the place of its pages, would last through the whole run
//! otherwise. It is warmed up, since the first fork after exec costs more.
//!
//! On two CPUs, connections and messages are limited by the load as often as by the server, and to
//! wake a server that sleeps costs the load more than to wake one that is busy: a server that needs
//! less is not always the one that is seen to do more. On one (`--one-cpu`) the pace is what a message
//! costs both ends together, and no process is woken on another CPU. The tables say what an operation
//! costs the server in CPU, and where the load takes all of its own (`*`).
//!
//! It runs in a network of its own, under one congestion control ([`network`]).

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use argh::FromArgs;
use nix::sched::CpuSet;
use xtask::Failure;

use crate::beside::Beside;
use crate::measure::{Load, Measure};
use crate::pins::Pins;
use crate::report::Report;
use crate::rivals::{Field, Rival, Service};
use crate::sample::{Failed, Sample};
use crate::started::Started;
use crate::{chart, network, rivals};

/// How long a new server is loaded before its first sample.
const WARM_UP: Duration = Duration::from_millis(50);

/// For the estimate: what a sample costs beside its window, on average (it is Python's reaping), and
/// what a round costs for the starts.
const A_SAMPLE: Duration = Duration::from_millis(120);
const STARTS: Duration = Duration::from_millis(2_000);

/// Measure every echo server against C, tokio, Go, Python and socat, and the web server against nginx.
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub(crate) struct Args {
    /// rounds, each with one sample of every server and measure (default: 10)
    #[argh(option)]
    rounds: Option<u32>,
    /// two rounds of short samples: too few for a claim
    #[argh(switch)]
    quick: bool,
    /// start every server with its own defaults, ours with nothing but --port, and see whether clients wait
    /// because a queue is full
    #[argh(switch)]
    defaults: bool,
    /// run server and load on the same CPU: shows what a message costs both together
    #[argh(switch)]
    one_cpu: bool,
    /// only servers whose names contain one of these words, separated by commas, and the servers that
    /// they are compared with
    #[argh(option)]
    only: Option<String>,
    /// measure another build of our servers in the same rounds: NAME=PATH, its name in the report and
    /// the folder of its programs
    #[argh(option, arg_name = "name=path")]
    beside: Option<Beside>,
    /// write a chart of each measure to this folder (SVG)
    #[argh(option)]
    charts: Option<PathBuf>,
    /// write JSON Lines instead of tables
    #[argh(switch)]
    json: bool,
    /// it has a network of its own already
    #[argh(switch, hidden_help)]
    inside: bool,
}

/// Runs the comparison and writes its report; whether no limit fails.
///
/// # Errors
/// A command line that cannot be obeyed; or what was attempted and why it failed: a build of one of
/// ours, the start of a server, an echo that is wrong, the writing of the report.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<bool, Failure> {
    if args.rounds == Some(0) {
        return Err(Failure::Usage("--rounds 0: at least one is needed".to_owned()));
    }
    let chosen = rivals::chosen(args.only.as_deref()).map_err(Failure::Usage)?;
    compare(args, &chosen, out)
}

fn compare(args: &Args, chosen: &BTreeSet<&str>, out: &mut dyn Write) -> Result<bool, Failure> {
    let find = || rivals::find(chosen, args.beside.as_ref(), args.defaults);
    let field = find().map_err(Failure::Broken)?;
    if args.beside.is_some() && field.rivals.iter().all(|rival| rival.build_of.is_none()) {
        let why = "--beside: the folder has none of the chosen servers";
        return Err(Failure::Usage(why.to_owned()));
    }
    if !args.inside {
        // What has to be built is built: there is no way to a registry from inside.
        network::enter()?;
    }
    let (rounds, millis) = if args.quick { (2, 60) } else { (10, 200) };
    let (rounds, window) = (args.rounds.unwrap_or(rounds), Duration::from_millis(millis));
    let measures: &[Measure] =
        if args.defaults { &Measure::WITH_DEFAULTS } else { &Measure::RATES };
    let pins = Pins::new(args.one_cpu);
    let mut report = Report { out, json: args.json, control: network::control() };
    let estimate = f64::from(rounds) * (a_round(measures, &field, window) + STARTS).as_secs_f64();
    report.opening(rounds, window, estimate, pins.as_ref()).map_err(Failure::Output)?;
    report.missing(&field.missing).map_err(Failure::Output)?;

    let start = Instant::now();
    if let Some(pins) = &pins {
        pins.pin_this_process()
            .map_err(|why| Failure::Missing(format!("sched_setaffinity: {why}")))?;
    }
    let load = Load { program: field.echo_load.clone(), cpu: pins.as_ref().map(|pins| pins.load) };
    let cpu = pins.as_ref().map(|pins| pins.servers);
    let mut bench = Bench { load, window, measures, samples: Vec::new(), failed: Vec::new() };
    bench.note_limits(&field.rivals);
    for round in 0..rounds {
        bench.play(round, &field, cpu, args.inside).map_err(Failure::Broken)?;
    }
    for measure in Measure::ONCE.into_iter().filter(|_| !args.defaults) {
        for rival in field.rivals.iter().filter(|rival| measure.is_for(rival)) {
            let server = rival.start(cpu, &field).map_err(Failure::Broken)?;
            bench.sample(measure, rival, &server, 0).map_err(Failure::Broken)?;
        }
    }
    let Bench { samples, failed, .. } = bench;
    report.failed(&failed).map_err(Failure::Output)?;
    let counted = args.defaults && args.inside;
    let holds = report.result(&samples, &field.rivals, args.defaults, counted);
    let holds = holds.map_err(Failure::Output)?;
    report.closing(holds, field.missing.len(), start.elapsed()).map_err(Failure::Output)?;
    if let Some(folder) = &args.charts {
        chart::write(folder, &samples, &field.rivals, &report.control)
            .map_err(Failure::file(format_args!("write the charts to {}", folder.display())))?;
    }
    Ok(holds)
}

/// How long the samples of a round take, about.
fn a_round(measures: &[Measure], field: &Field, window: Duration) -> Duration {
    let all = measures.iter().flat_map(|measure| field.rivals.iter().map(move |it| (measure, it)));
    let samples = all.filter(|(measure, rival)| measure.is_for(rival));
    // wrk measures whole seconds.
    let second = Duration::from_secs(1);
    let takes = |service| if service == Service::Web { second } else { window };
    samples.map(|(measure, _)| takes(measure.service()) + A_SAMPLE).sum()
}

/// How it is measured, and the samples so far.
struct Bench {
    load: Load,
    window: Duration,
    measures: &'static [Measure],
    samples: Vec<Sample>,
    failed: Vec<Failed>,
}

impl Bench {
    /// A server that cannot hold so many clients at once is not asked to, which is said.
    fn note_limits(&mut self, rivals: &[Rival]) {
        for rival in rivals {
            let of_kind = self.measures.iter().filter(|it| it.service() == rival.service);
            for &measure in of_kind.filter(|measure| !measure.is_for(rival)) {
                let reason = format!("not asked: {} at once", counted(rival.clients));
                self.failed.push(Failed { measure, server: rival.name, reason });
            }
        }
    }

    /// One round: every server is started, and sampled in every measure.
    fn play(
        &mut self,
        round: u32,
        field: &Field,
        cpu: Option<CpuSet>,
        own_network: bool,
    ) -> Result<(), String> {
        let mut servers = Vec::new();
        for rival in &field.rivals {
            servers.push((rival, rival.start(cpu, field)?));
        }
        // Each round begins with another server, and every other one goes backwards: neither a
        // drift within the round nor a neighbour is always the same one's.
        let first = usize::try_from(round).unwrap_or(0) % servers.len().max(1);
        servers.rotate_left(first);
        if round % 2 == 1 {
            servers.reverse();
        }
        for (rival, server) in &servers {
            let warm_up = match rival.service {
                Service::Echo => Measure::Connections(8),
                Service::Datagrams => Measure::Datagrams(1),
                Service::Web => continue,
            };
            // What it fails to do here it fails to do as a sample too.
            let _ = self.load.sample(warm_up, server, WARM_UP);
            server.settle();
        }
        for &measure in self.measures {
            let is_paced = measure == Measure::PacedBulk;
            if is_paced && !(own_network && network::set_control(network::PACED)) {
                continue;
            }
            for (rival, server) in servers.iter().filter(|(rival, _)| measure.is_for(rival)) {
                self.sample(measure, rival, server, round)?;
            }
            if is_paced {
                network::set_control(network::USUAL);
            }
        }
        Ok(())
    }

    /// Takes one sample. Ours must give it; any other server is asked no more where it fails.
    fn sample(
        &mut self,
        measure: Measure,
        rival: &Rival,
        server: &Started,
        round: u32,
    ) -> Result<(), String> {
        let name = rival.name;
        if self.failed.iter().any(|failed| failed.server == name && failed.measure == measure) {
            return Ok(());
        }
        let figure = self.load.sample(measure, server, self.window);
        server.settle();
        match figure {
            Ok(figure) => self.samples.push(Sample { measure, server: name, round, figure }),
            Err(why) if rival.build_of.is_none() && rivals::is_ours(name) => {
                return Err(format!("{name}, {}: {why}", measure.title()));
            }
            Err(reason) => self.failed.push(Failed { measure, server: name, reason }),
        }
        Ok(())
    }
}

/// `1 client`, `40 clients`.
fn counted(clients: u16) -> String {
    if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_obeyed_is_refused_before_anything_is_built() {
        let args = |only: Option<&str>, rounds| {
            let only = only.map(str::to_owned);
            Args {
                rounds,
                quick: true,
                one_cpu: false,
                defaults: false,
                inside: true,
                only,
                beside: None,
                charts: None,
                json: false,
            }
        };
        for wrong in [args(Some("nosuch"), None), args(None, Some(0))] {
            let mut said = Vec::new();
            assert!(matches!(run(&wrong, &mut said), Err(Failure::Usage(_))));
            assert!(said.is_empty());
        }
    }
}
