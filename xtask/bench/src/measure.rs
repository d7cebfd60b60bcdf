//! What is measured: each sample is one run of `echo-load`, which verifies every byte that it counts, or of
//! `wrk`.

use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use netcheck::{Process, Run, evidence, peer};
use nix::sched::CpuSet;

use crate::rivals::{Rival, Service};
use crate::started::Started;
use crate::web;

/// What no single run of echo-load takes longer than, beside its window: poll-echo with 10,000 clients looks
/// at all of them for each that comes, which takes a busy machine a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// Silent clients beside the one that is measured.
const SILENT: u16 = 100;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Connect, send 64 bytes, read 64 back, close; so many of them in flight at every moment.
    Connections(u16),
    /// 64 bytes there and back, on so many connections at once.
    RoundTrips(u16),
    /// One connection, writing and reading at the same time.
    Bulk,
    /// The same where the congestion control paces the bytes.
    PacedBulk,
    /// Connections, 8 in flight, beside a client that sends and never reads.
    BesideDeaf,
    /// Round trips of one client beside a hundred that say nothing.
    BesideSilent,
    /// Datagrams of 64 bytes there and back, so many under way at every moment.
    Datagrams(u16),
    /// A file, on connections that are kept or not, to so many clients at once.
    Requests { size: usize, kept: bool, clients: u16 },
    /// What so many silent clients add to the memory of the server and its children.
    Memory(u16),
}

const fn requests(size: usize, kept: bool, clients: u16) -> Measure {
    Measure::Requests { size, kept, clients }
}

impl Measure {
    /// Everything that has a rate, in the order of the report.
    pub(crate) const RATES: [Self; 15] = [
        Self::Connections(1),
        Self::Connections(8),
        Self::Connections(64),
        Self::RoundTrips(1),
        Self::RoundTrips(1000),
        Self::Bulk,
        Self::PacedBulk,
        Self::Datagrams(1),
        Self::Datagrams(32),
        Self::SMALL[0],
        Self::SMALL[1],
        Self::SMALL[2],
        Self::SMALL[3],
        Self::LARGE[0],
        Self::LARGE[1],
    ];

    /// What is asked of servers with their defaults.
    pub(crate) const WITH_DEFAULTS: [Self; 8] = [
        Self::Connections(1),
        Self::Connections(8),
        Self::Connections(64),
        Self::RoundTrips(1),
        Self::RoundTrips(1000),
        Self::Bulk,
        Self::BesideDeaf,
        Self::BesideSilent,
    ];

    /// Those that one sample is enough for.
    pub(crate) const ONCE: [Self; 2] = [Self::Memory(1_000), Self::Memory(10_000)];

    /// Those in which a server has to fork.
    pub(crate) const CONNECTIONS: [Self; 3] =
        [Self::Connections(1), Self::Connections(8), Self::Connections(64)];

    /// Requests for a small file, and for a large one.
    pub(crate) const SMALL: [Self; 4] = [
        requests(web::SMALL, true, 1),
        requests(web::SMALL, true, 256),
        requests(web::SMALL, false, 1),
        requests(web::SMALL, false, 256),
    ];
    pub(crate) const LARGE: [Self; 2] =
        [requests(web::LARGE, true, 1), requests(web::LARGE, true, 256)];

    /// All of them, in the order of the report.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let beside = [Self::BesideDeaf, Self::BesideSilent];
        Self::RATES.into_iter().chain(beside).chain(Self::ONCE)
    }

    /// The name in the report, with the unit of its figures.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Connections(in_flight) => format!("connections/s, {in_flight} in flight"),
            Self::RoundTrips(1) => "round trips/s".to_owned(),
            Self::RoundTrips(connections) => format!("round trips/s, {connections} clients"),
            Self::Bulk => "bulk echo, MB/s".to_owned(),
            Self::PacedBulk => "paced bulk echo, MB/s".to_owned(),
            Self::BesideDeaf => "connections/s beside a deaf one".to_owned(),
            Self::BesideSilent => format!("round trips/s beside {SILENT} silent"),
            Self::Datagrams(under_way) => format!("datagrams/s, {under_way} under way"),
            Self::Requests { size: web::SMALL, kept, clients } => {
                let connections = if kept { "kept" } else { "new" };
                format!("1 KiB files/s, {connections}, {clients} at once")
            }
            Self::Requests { clients, .. } => format!("1 MiB files, MB/s, {clients} at once"),
            Self::Memory(clients) => format!("KiB for {clients} idle clients"),
        }
    }

    /// The name of its chart.
    pub(crate) fn file(self) -> String {
        match self {
            Self::Connections(in_flight) => format!("connections-{in_flight}"),
            Self::RoundTrips(connections) => format!("round-trips-{connections}"),
            Self::Bulk => "bulk".to_owned(),
            Self::PacedBulk => "bulk-paced".to_owned(),
            Self::BesideDeaf => "beside-deaf".to_owned(),
            Self::BesideSilent => "beside-silent".to_owned(),
            Self::Datagrams(under_way) => format!("datagrams-{under_way}"),
            Self::Requests { size: web::SMALL, kept, clients } => {
                format!("web-small-{}-{clients}", if kept { "kept" } else { "new" })
            }
            Self::Requests { clients, .. } => format!("web-large-{clients}"),
            Self::Memory(clients) => format!("memory-{clients}"),
        }
    }

    /// Whether less is better.
    pub(crate) fn is_cost(self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Which kind of server it is asked of.
    pub(crate) fn service(self) -> Service {
        match self {
            Self::Datagrams(_) => Service::Datagrams,
            Self::Requests { .. } => Service::Web,
            _ => Service::Echo,
        }
    }

    /// How many clients have to be served at the same time.
    fn clients(self) -> u16 {
        match self {
            Self::RoundTrips(clients) | Self::Memory(clients) => clients,
            Self::BesideDeaf => 2,
            Self::BesideSilent => SILENT + 1,
            // Those for whom there is no room wait in the queue.
            _ => 1,
        }
    }

    /// Whether that server can hold so many clients at once.
    pub(crate) fn is_for(self, rival: &Rival) -> bool {
        self.service() == rival.service && self.clients() <= rival.clients
    }

    fn options(self) -> Vec<String> {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        match self {
            Self::Connections(in_flight) => words(&format!("--churn --connections {in_flight}")),
            Self::BesideDeaf => words("--churn --connections 8"),
            Self::RoundTrips(connections) => words(&format!("--connections {connections}")),
            Self::Bulk | Self::PacedBulk => words("--bulk"),
            Self::BesideSilent | Self::Requests { .. } => Vec::new(),
            Self::Datagrams(under_way) => words(&format!("--udp --connections {under_way}")),
            Self::Memory(clients) => words(&format!("--idle --connections {clients}")),
        }
    }
}

/// One figure, and what else was seen.
#[derive(Default)]
pub(crate) struct Figure {
    /// In the unit of [`Measure::title`].
    pub(crate) value: f64,
    /// CPU of the server and its children in microseconds for each message or connection; 0 where
    /// that is not counted.
    pub(crate) cpu_us: f64,
    /// The median time of a message or connection, and the longest, in microseconds; 0 where they are not
    /// measured.
    pub(crate) median_us: f64,
    pub(crate) longest_us: f64,
    /// The share of a CPU that the load took: near 1 it is what limits the figure.
    pub(crate) load: f64,
    /// How often a client found the queue of the listener full.
    pub(crate) overflows: u64,
}

/// The client, and the CPU that it has for itself.
pub(crate) struct Load {
    pub(crate) program: PathBuf,
    pub(crate) cpu: Option<CpuSet>,
}

impl Load {
    /// Loads the server for the length of `window`.
    ///
    /// # Errors
    /// What the client prints: no connection, a wrong byte in the echo, a server that hangs.
    pub(crate) fn sample(
        &self,
        measure: Measure,
        server: &Started,
        window: Duration,
    ) -> Result<Figure, String> {
        if let Measure::Memory(_) = measure {
            return self.memory(measure, server);
        }
        let _others = self.others(measure, server)?;
        let (before, full) = (server.cpu(), overflows(server));
        let (mut figure, count) = match measure {
            Measure::Requests { size, kept, clients } => {
                let requests = web::load(server.address, size, kept, clients, self.cpu)?;
                let unit = if size == web::LARGE { size as f64 / 1e6 } else { 1.0 };
                let value = requests.per_second * unit;
                (Figure { value, ..Figure::default() }, requests.count)
            }
            _ => self.echo(measure, server, window)?,
        };
        let cpu = server.cpu().saturating_sub(before).as_secs_f64() * 1e6;
        figure.cpu_us = if count > 0.0 { cpu / count } else { 0.0 };
        figure.overflows = overflows(server) - full;
        Ok(figure)
    }

    /// What echo-load says, and how many messages it has counted.
    fn echo(
        &self,
        measure: Measure,
        server: &Started,
        window: Duration,
    ) -> Result<(Figure, f64), String> {
        let mut process = self.start(measure.options(), server, window);
        let line = wait_for(&mut process, r#""type":"load""#, window + PATIENCE)?;
        if process.wait(PATIENCE).is_none_or(|status| !status.success()) {
            return Err(process.stderr().trim_end().to_owned());
        }
        let number =
            |key| number(&line, key).ok_or_else(|| format!("echo-load says no {key}: {line}"));
        let is_bulk = matches!(measure, Measure::Bulk | Measure::PacedBulk);
        let (unit, scale) = if is_bulk { ("bytes_per_second", 1e6) } else { ("per_second", 1.0) };
        let count = if is_bulk { 0.0 } else { number("round_trips")? };
        let time = |key| if count > 0.0 { number(key).map(|nanos| nanos / 1e3) } else { Ok(0.0) };
        let figure = Figure {
            value: number(unit)? / scale,
            median_us: time("p50_ns")?,
            longest_us: time("max_ns")?,
            load: number("cpu_ns")? / number("duration_ns")?.max(1.0),
            ..Figure::default()
        };
        Ok((figure, count))
    }

    /// Who else has a connection meanwhile.
    fn others(&self, measure: Measure, server: &Started) -> Result<Others, String> {
        let mut others = Others { _silent: None, _deaf: None };
        match measure {
            Measure::BesideDeaf => {
                let deaf = peer::never_reads(server.address).map_err(|why| why.to_string())?;
                others._deaf = Some(deaf.0);
            }
            Measure::BesideSilent => {
                others._silent = Some(self.idle(SILENT, server)?);
            }
            _ => {}
        }
        Ok(others)
    }

    /// So many clients that have been answered, and say nothing more.
    fn idle(&self, clients: u16, server: &Started) -> Result<Process, String> {
        let options = Measure::Memory(clients).options();
        let mut process = self.start(options, server, Duration::from_secs(600));
        wait_for(&mut process, r#""type":"open""#, PATIENCE)?;
        Ok(process)
    }

    /// How much more memory the server has once all clients have been answered, and say nothing.
    fn memory(&self, measure: Measure, server: &Started) -> Result<Figure, String> {
        let before = server.memory();
        let _clients = self.idle(measure.clients(), server)?;
        let more = server.memory().saturating_sub(before);
        Ok(Figure { value: more as f64 / 1024.0, ..Figure::default() })
    }

    fn start(&self, options: Vec<String>, server: &Started, window: Duration) -> Process {
        let (ip, port) = (server.address.ip().to_string(), server.address.port().to_string());
        let window = format!("{}ms", window.as_millis());
        let run = Run::program(&self.program).args(["--json", "--timeout", "30s"]);
        let run = run.args(["--host", &ip, "--port", &port, "--duration", &window]);
        run.args(options).cpus(self.cpu).start()
    }
}

/// They stay as long as this is held.
struct Others {
    _silent: Option<Process>,
    _deaf: Option<TcpStream>,
}

/// So far, in the network of the server.
fn overflows(server: &Started) -> u64 {
    evidence::tcp_counter(server.pid(), "ListenOverflows").unwrap_or_default()
}

/// The line of its output with this in it; without one, what it complains of.
fn wait_for(process: &mut Process, wanted: &str, time: Duration) -> Result<String, String> {
    loop {
        match process.next_line(time) {
            Some(line) if line.contains(wanted) => return Ok(line),
            Some(_) => {}
            None => {
                let said = process.stderr().trim_end().to_owned();
                let nothing = || format!("echo-load: nothing within {} s", time.as_secs());
                return Err(if said.is_empty() { nothing() } else { said });
            }
        }
    }
}

/// A number of a line of JSON.
fn number(line: &str, key: &str) -> Option<f64> {
    let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
    let end = rest.find([',', '}'])?;
    rest.get(..end)?.parse().ok()
}

impl Started {
    /// The processor time that it and all its children have had, those that have ended too.
    fn cpu(&self) -> Duration {
        self.family().filter_map(evidence::cpu_time_with_children).sum()
    }

    /// The memory of it and its children: what they share is counted once.
    fn memory(&self) -> u64 {
        self.family().filter_map(evidence::pss).sum()
    }

    fn family(&self) -> impl Iterator<Item = i32> {
        let pid = self.pid();
        std::iter::once(pid).chain(evidence::descendants(pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_its_whole_key() {
        let line = r#"{"type":"load","bytes_per_second":6.5e8,"per_second":12.5,"max_ns":7}"#;
        assert_eq!(number(line, "per_second"), Some(12.5));
        assert_eq!(number(line, "bytes_per_second"), Some(6.5e8));
        assert_eq!(number(line, "max_ns"), Some(7.0));
        assert_eq!(number(line, "ns"), None);
    }
}
