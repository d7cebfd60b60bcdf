//! What the samples say, as tables or as JSON Lines.

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use crate::chart::title;
use crate::measure::{Figure, Measure};
use crate::pins::Pins;
use crate::rivals::{
    self, C_EPOLL, C_FORK, C_PREFORK, C_THREAD, C_UDP, C_UDP_BATCH, Missing, NGINX,
};
use crate::rivals::{PREFORK_ONE, Rival, Service};
use crate::sample::{Failed, Sample, figures, ratio, ratio_by};
use crate::spread::{Spread, Verdict};

/// The claims: a server is at least so many times as fast as another. Against Python and socat only
/// connections are claimed: a round trip or a copy is the kernel's work, and costs all much the
/// same. The static builds are shown, and nothing is claimed of them.
const LIMITS: &[(&str, f64, &str, &[Measure])] = &[
    ("forking-echo", 0.95, C_FORK, &BUT_BULK),
    ("forking-echo", 5.0, "ForkingTCPServer", &Measure::CONNECTIONS),
    ("forking-echo", 2.0, "socat PIPE", &Measure::CONNECTIONS),
    ("forking-echo", 5.0, "socat EXEC:cat", &Measure::CONNECTIONS),
    ("prefork-echo", 0.95, C_PREFORK, &BUT_BULK),
    (PREFORK_ONE, 1.0, "forking-echo", &[Measure::Connections(1)]),
    ("threaded-echo", 0.95, C_THREAD, &BUT_BULK),
    ("epoll-echo", 0.95, C_EPOLL, &BUT_BULK),
    ("epoll-echo", 1.0, "tokio", &FEW),
    ("epoll-echo", 1.0, "Go", &BUT_BULK),
    ("uring-echo", 1.0, "epoll-echo", &[Measure::RoundTrips(1000)]),
    ("forking-echo", 1.0, C_FORK, &BULK),
    ("prefork-echo", 1.0, C_PREFORK, &BULK),
    ("threaded-echo", 1.0, C_THREAD, &BULK),
    ("poll-echo", 1.0, C_EPOLL, &BULK),
    ("epoll-echo", 1.0, C_EPOLL, &BULK),
    ("uring-echo", 1.0, C_EPOLL, &BULK),
    ("forking-echo", 1.3, "Go", &BULK),
    ("prefork-echo", 1.3, "Go", &BULK),
    ("threaded-echo", 1.3, "Go", &BULK),
    ("poll-echo", 1.3, "Go", &BULK),
    ("epoll-echo", 1.3, "Go", &BULK),
    ("uring-echo", 1.3, "Go", &BULK),
    ("forking-echo", 0.9, "Go", &PACED),
    ("epoll-echo", 0.9, "Go", &PACED),
    ("uring-echo", 0.9, "Go", &PACED),
    ("udp-echo", 0.95, C_UDP, &[Measure::Datagrams(1)]),
    ("udp-echo", 0.95, C_UDP_BATCH, &[Measure::Datagrams(32)]),
    ("udp-echo", 1.0, "tokio UDP", &DATAGRAMS),
    ("udp-echo", 1.0, "Go UDP", &DATAGRAMS),
    ("udp-echo", 1.0, "UDPServer", &DATAGRAMS),
    ("udp-echo", 1.0, "socat UDP", &DATAGRAMS),
    ("udp-echo", 1.0, "ncat UDP", &DATAGRAMS),
    ("epoll-web", 1.0, NGINX, &[Measure::SMALL[0]]),
    ("epoll-web", 1.2, NGINX, &[Measure::SMALL[1]]),
    ("epoll-web", 0.9, NGINX, &[Measure::SMALL[2], Measure::SMALL[3]]),
    ("epoll-web", 1.0, NGINX, &Measure::LARGE),
    ("epoll-web", 1.0, "lighttpd", &Measure::SMALL),
    ("epoll-web", 1.0, "lighttpd", &Measure::LARGE),
    ("epoll-web", 1.0, "busybox httpd", &Measure::SMALL),
    ("epoll-web", 1.0, "busybox httpd", &Measure::LARGE),
    ("epoll-web", 1.0, "http.server", &Measure::SMALL),
    ("epoll-web", 1.0, "http.server", &Measure::LARGE),
];

const BULK: [Measure; 1] = [Measure::Bulk];
const PACED: [Measure; 1] = [Measure::PacedBulk];
const DATAGRAMS: [Measure; 2] = [Measure::Datagrams(1), Measure::Datagrams(32)];

/// From this share of its CPU on, the load limits what is seen.
const ALL_OF_IT: f64 = 0.95;

/// What a connection or a message costs.
const BUT_BULK: [Measure; 5] = [
    Measure::Connections(1),
    Measure::Connections(8),
    Measure::Connections(64),
    Measure::RoundTrips(1),
    Measure::RoundTrips(1000),
];

/// The same without 64 connections in flight: there tokio is ahead of all that call epoll, C too.
const FEW: [Measure; 4] = [
    Measure::Connections(1),
    Measure::Connections(8),
    Measure::RoundTrips(1),
    Measure::RoundTrips(1000),
];

/// Where the report goes, and in which of its two forms.
pub(crate) struct Report<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) json: bool,
    /// The congestion control of loopback.
    pub(crate) control: String,
}

impl Report<'_> {
    /// Says how it is measured, and about how long that will take.
    pub(crate) fn opening(
        &mut self,
        rounds: u32,
        window: Duration,
        estimate: f64,
        pins: Option<&Pins>,
    ) -> io::Result<()> {
        let kernel = kernel_says("/proc/sys/kernel/osrelease");
        let congestion = self.control.clone();
        let pinned = pins.map_or("not pinned: one CPU", |pins| &pins.text);
        let window = window.as_millis();
        self.line(
            &format!(
                "{rounds} rounds, {window} ms per sample, about {estimate:.0} s\n\
                 Linux {kernel}; {pinned}; TCP congestion control {congestion}"
            ),
            &format!(
                r#""type":"bench","rounds":{rounds},"window_ms":{window},"estimate_s":{estimate:.0},"kernel":{},"pinned":{},"congestion_control":{}"#,
                string(&kernel),
                string(pinned),
                string(&congestion)
            ),
        )
    }

    /// Says which rivals are skipped, and why.
    pub(crate) fn missing(&mut self, missing: &[Missing]) -> io::Result<()> {
        for (name, reason) in missing {
            let object = format!(r#""type":"skip","server":"{name}","reason":{}"#, string(reason));
            self.line(&format!("  --  {name} skipped: {reason}"), &object)?;
        }
        self.out.flush()
    }

    /// Says which measures a rival does not stand, and why.
    pub(crate) fn failed(&mut self, failed: &[Failed]) -> io::Result<()> {
        for Failed { measure, server, reason } in failed {
            let measure = measure.title();
            let object = format!(
                r#""type":"failed","measure":"{measure}","server":"{server}","reason":{}"#,
                string(reason)
            );
            self.line(&format!("  --  {server}, {measure}: {reason}"), &object)?;
        }
        Ok(())
    }

    /// Writes the rates, and what became of the claims; whether none of them fails. With defaults the claim is
    /// that no client has found a queue full, where that was `counted`.
    pub(crate) fn result(
        &mut self,
        samples: &[Sample],
        rivals: &[Rival],
        defaults: bool,
        counted: bool,
    ) -> io::Result<bool> {
        if self.json {
            self.samples(samples)?;
        }
        for measure in Measure::all() {
            self.table(measure, samples, rivals, defaults)?;
        }
        self.text("")?;
        let mut none_fails = true;
        if defaults {
            let ours = rivals.iter().filter(|rival| rivals::is_ours(rival.name));
            for rival in ours.filter(|rival| counted && rival.service == Service::Echo) {
                none_fails &= self.queue(rival.name, samples)?;
            }
            return Ok(none_fails);
        }
        for &(server, at_least, rival, measures) in LIMITS {
            for &measure in measures {
                if let Some(ratio) = ratio(samples, measure, server, rival) {
                    let verdict = Verdict::from_ratio(&ratio, at_least);
                    none_fails &= verdict != Verdict::Fails;
                    let statement = format!("{server} >= {at_least} {rival}: {}", measure.title());
                    self.check(&statement, verdict, &ratio)?;
                }
            }
        }
        // From connect to the reply, at most half of forking-echo's time: that divided by its own.
        let first = Measure::Connections(1);
        let sooner = ratio_by(samples, first, PREFORK_ONE, "forking-echo", |it| 1.0 / it.median_us);
        if let Some(ratio) = sooner {
            let verdict = Verdict::from_ratio(&ratio, 2.0);
            none_fails &= verdict != Verdict::Fails;
            let statement = format!("{PREFORK_ONE} echoes 2 times as soon as forking-echo");
            self.check(&statement, verdict, &ratio)?;
        }
        self.builds(samples, rivals)?;
        Ok(none_fails)
    }

    fn samples(&mut self, samples: &[Sample]) -> io::Result<()> {
        for Sample { measure, server, round, figure } in samples {
            let Figure { value, cpu_us, median_us, longest_us, load, overflows } = figure;
            let measure = measure.title();
            self.line(
                "",
                &format!(
                    r#""type":"sample","measure":"{measure}","server":"{server}","round":{round},"value":{value:.1},"cpu_us":{cpu_us:.2},"median_us":{median_us:.1},"longest_us":{longest_us:.1},"load":{load:.2},"overflows":{overflows}"#
                ),
            )?;
        }
        Ok(())
    }

    /// Whether no client of that server has found its queue full.
    fn queue(&mut self, server: &str, samples: &[Sample]) -> io::Result<bool> {
        let own = samples.iter().filter(|sample| sample.server == server);
        let full: u64 = own.map(|sample| sample.figure.overflows).sum();
        let word = if full == 0 { Verdict::Holds } else { Verdict::Fails }.word();
        let statement = format!("{server}: no client finds the queue full");
        self.line(
            &format!("  {word:<6}{statement:<74}{full:>5}"),
            &format!(
                r#""type":"check","statement":"{statement}","verdict":"{word}","overflows":{full}"#
            ),
        )?;
        Ok(full == 0)
    }

    /// How ours compare with another build of the same servers. No claim: a change that is meant has its
    /// price, and that is for a person to judge.
    fn builds(&mut self, samples: &[Sample], rivals: &[Rival]) -> io::Result<()> {
        let builds = rivals.iter().filter_map(|rival| Some((rival.build_of?, rival.name)));
        for (ours, other) in builds {
            for measure in Measure::all() {
                // Nothing is a multiple of no memory at all.
                let ratio = ratio(samples, measure, ours, other).filter(|it| it.max.is_finite());
                let Some(ratio) = ratio else { continue };
                let measure = measure.title();
                let text = format!("  {:<6}{:<74}", "", format!("{ours} / {other}: {measure}"));
                let object = format!(
                    r#""type":"beside","measure":"{measure}","server":"{ours}","of":"{other}""#
                );
                self.ratio(text, object, &ratio)?;
            }
        }
        Ok(())
    }

    fn table(
        &mut self,
        measure: Measure,
        samples: &[Sample],
        rivals: &[Rival],
        defaults: bool,
    ) -> io::Result<()> {
        if samples.iter().all(|sample| sample.measure != measure) {
            return Ok(());
        }
        let title = title(measure, &self.control);
        let of = if measure.service() == Service::Web { "of nginx" } else { "of C" };
        let rest = if defaults { format!("{:>13}{:>8}", "longest ms", "full") } else { "".into() };
        self.text(&format!(
            "\n{title:<36}{:>9}{:>16}{of:>10}{:>13}{:>9}{:>9}{rest}",
            "median", "min..max", "min..max", "CPU us", "p50 us"
        ))?;
        for rival in rivals {
            self.row(measure, samples, rival, defaults)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        measure: Measure,
        samples: &[Sample],
        rival: &Rival,
        defaults: bool,
    ) -> io::Result<()> {
        let Rival { name, baseline, .. } = rival;
        let values = Spread::from_figures(figures(samples, measure, name));
        let Some(Spread { min, median, max, .. }) = values else { return Ok(()) };
        let range = format!("{min:.0}..{max:.0}");
        let own = || samples.iter().filter(|one| one.measure == measure && one.server == *name);
        let median_of = |seen: fn(&Figure) -> f64| {
            let seen = own().map(|sample| seen(&sample.figure)).collect();
            Spread::from_figures(seen).map_or(0.0, |spread| spread.median)
        };
        let mark = if median_of(|figure| figure.load) >= ALL_OF_IT { "*" } else { " " };
        let mut text = format!("  {name:<34}{median:>9.0}{mark}{range:>15}");
        let mut object = format!(
            r#""type":"result","measure":"{}","server":"{name}","median":{median:.1},"min":{min:.1},"max":{max:.1}"#,
            measure.title()
        );
        // Nothing is a multiple of no memory at all.
        let of_base = ratio(samples, measure, name, baseline)
            .filter(|ratio| name != baseline && ratio.max.is_finite());
        if let Some(Spread { min, median, max, .. }) = of_base {
            let range = format!("{}..{}", short(min), short(max));
            text += &format!("{:>10}{range:>13}", short(median));
            object += &format!(
                r#","of":"{baseline}","ratio":{median:.3},"ratio_min":{min:.3},"ratio_max":{max:.3}"#
            );
        } else {
            text += &" ".repeat(23);
        }
        let (cpu, time) = (median_of(|figure| figure.cpu_us), median_of(|figure| figure.median_us));
        for (key, value) in [("cpu_us", cpu), ("median_us", time)] {
            text += &if value > 0.0 { format!("{value:>9.1}") } else { " ".repeat(9) };
            object += &format!(r#","{key}":{value:.2}"#);
        }
        if defaults {
            let longest = own().map(|sample| sample.figure.longest_us).fold(0.0, f64::max) / 1e3;
            let full: u64 = own().map(|sample| sample.figure.overflows).sum();
            text += &format!("{longest:>13.1}{full:>8}");
            object += &format!(r#","longest_ms":{longest:.1},"overflows":{full}"#);
        }
        self.line(text.trim_end(), &object)
    }

    /// A claim, what became of it, the median ratio and its interval.
    fn check(&mut self, statement: &str, verdict: Verdict, ratio: &Spread) -> io::Result<()> {
        let word = verdict.word();
        let text = format!("  {word:<6}{statement:<74}");
        let object = format!(r#""type":"check","statement":"{statement}","verdict":"{word}""#);
        self.ratio(text, object, ratio)
    }

    /// A line that ends with a median ratio and its interval.
    fn ratio(&mut self, mut text: String, mut object: String, ratio: &Spread) -> io::Result<()> {
        let median = ratio.median;
        text += &format!("{median:>5.2}");
        object += &format!(r#","ratio":{median:.3}"#);
        if let Some((low, high)) = ratio.interval {
            text += &format!("  {low:.2}..{high:.2}");
            object += &format!(r#","low":{low:.3},"high":{high:.3}"#);
        }
        self.line(&text, &object)
    }

    /// The last line.
    pub(crate) fn closing(
        &mut self,
        holds: bool,
        skipped: usize,
        took: Duration,
    ) -> io::Result<()> {
        let took = took.as_secs();
        let word = if holds { "no claim fails (open: needs more rounds)" } else { "a claim FAILS" };
        self.line(
            &format!("\nbench: {word}, servers skipped: {skipped}, {took} s"),
            &format!(r#""type":"summary","holds":{holds},"skipped":{skipped},"elapsed_s":{took}"#),
        )
    }

    /// One line of the tables, or the members of one JSON object.
    fn line(&mut self, text: &str, members: &str) -> io::Result<()> {
        if self.json { writeln!(self.out, "{{{members}}}") } else { writeln!(self.out, "{text}") }
    }

    /// A line that only the tables have.
    fn text(&mut self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(self.out, "{text}") }
    }
}

/// Three digits or more.
fn short(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

fn kernel_says(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// The text as a JSON string (RFC 8259). The names of servers and measures need none of it.
fn string(text: &str) -> String {
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{}\"", printable.replace('\\', r"\\").replace('"', r#"\""#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_build_is_compared_with_its_interval_and_without_a_claim() {
        let (ours, other, measure) = ("epoll-echo", "epoll-echo (before)", Measure::Bulk);
        let rival = Rival {
            name: other,
            baseline: C_EPOLL,
            build_of: Some(ours),
            service: Service::Echo,
            clients: 1,
            program: "epoll-echo".into(),
            args: Vec::new(),
            config: None,
            log_to_null: false,
        };
        let sample = |server, round, value| {
            let figure = Figure { value, ..Figure::default() };
            Sample { measure, server, round, figure }
        };
        let rounds = (0..6).zip([1.0, 1.25, 1.5, 1.5, 1.75, 2.0]);
        let pairs =
            rounds.map(|(round, value)| [sample(ours, round, value), sample(other, round, 1.0)]);
        let samples: Vec<Sample> = pairs.flatten().collect();
        let mut out = Vec::new();
        Report { out: &mut out, json: true, control: "cubic".into() }
            .builds(&samples, &[rival])
            .unwrap();
        let expected = r#"{"type":"beside","measure":"bulk echo, MB/s","server":"epoll-echo","of":"epoll-echo (before)","ratio":1.500,"low":1.000,"high":2.000}"#;
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), expected);
    }

    #[test]
    fn a_reason_cannot_break_the_json() {
        assert_eq!(string("cc: \"a\\b\"\n"), r#""cc: \"a\\b\" ""#);
    }
}
