//! What is measured: each sample is one run of `echo-load`, which verifies every byte that it counts.

use std::path::PathBuf;
use std::time::Duration;

use netcheck::{Process, Run, evidence};
use nix::sched::CpuSet;

use crate::rivals::Rival;
use crate::started::Started;

/// What no single run of echo-load takes longer than, beside its window.
const PATIENCE: Duration = Duration::from_secs(60);

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Connect, send 64 bytes, read 64 back, close; so many of them in flight at every moment.
    Connections(u16),
    /// 64 bytes there and back, on so many connections at once.
    RoundTrips(u16),
    /// One connection, writing and reading at the same time.
    Bulk,
    /// What so many silent clients add to the memory of the server and its children.
    Memory(u16),
}

impl Measure {
    /// Everything that has a rate, in the order of the report.
    pub(crate) const RATES: [Self; 6] = [
        Self::Connections(1),
        Self::Connections(8),
        Self::Connections(64),
        Self::RoundTrips(1),
        Self::RoundTrips(1000),
        Self::Bulk,
    ];

    /// Those that one sample is enough for.
    pub(crate) const ONCE: [Self; 2] = [Self::Memory(1_000), Self::Memory(10_000)];

    /// Those in which a server has to fork.
    pub(crate) const CONNECTIONS: [Self; 3] =
        [Self::Connections(1), Self::Connections(8), Self::Connections(64)];

    /// The name in the report, with the unit of its figures.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Connections(in_flight) => format!("connections/s, {in_flight} in flight"),
            Self::RoundTrips(1) => "round trips/s".to_owned(),
            Self::RoundTrips(connections) => format!("round trips/s, {connections} clients"),
            Self::Bulk => "bulk echo, MB/s".to_owned(),
            Self::Memory(clients) => format!("KiB for {clients} idle clients"),
        }
    }

    /// The name of its chart.
    pub(crate) fn file(self) -> String {
        match self {
            Self::Connections(in_flight) => format!("connections-{in_flight}"),
            Self::RoundTrips(connections) => format!("round-trips-{connections}"),
            Self::Bulk => "bulk".to_owned(),
            Self::Memory(clients) => format!("memory-{clients}"),
        }
    }

    /// Whether less is better.
    pub(crate) fn is_cost(self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Whether that server can hold so many clients at once.
    pub(crate) fn is_for(self, rival: &Rival) -> bool {
        match self {
            Self::RoundTrips(clients) | Self::Memory(clients) => clients <= rival.clients,
            Self::Connections(_) | Self::Bulk => true,
        }
    }

    fn options(self) -> Vec<String> {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        match self {
            Self::Connections(in_flight) => words(&format!("--churn --connections {in_flight}")),
            Self::RoundTrips(connections) => words(&format!("--connections {connections}")),
            Self::Bulk => words("--bulk"),
            Self::Memory(clients) => words(&format!("--idle --connections {clients}")),
        }
    }
}

/// One figure, and what it cost the server.
pub(crate) struct Figure {
    /// In the unit of [`Measure::title`].
    pub(crate) value: f64,
    /// CPU of the server and its children in microseconds for each message or connection; 0 where
    /// that is not counted.
    pub(crate) cpu_us: f64,
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
    /// What echo-load prints: no connection, a wrong byte in the echo, a server that hangs.
    pub(crate) fn sample(
        &self,
        measure: Measure,
        server: &Started,
        window: Duration,
    ) -> Result<Figure, String> {
        if let Measure::Memory(_) = measure {
            return self.memory(measure, server);
        }
        let before = server.cpu();
        let mut process = self.start(measure, server, window);
        let line = wait_for(&mut process, r#""type":"load""#, window + PATIENCE)?;
        if process.wait(PATIENCE).is_none_or(|status| !status.success()) {
            return Err(process.stderr().trim_end().to_owned());
        }
        let number =
            |key| number(&line, key).ok_or_else(|| format!("echo-load says no {key}: {line}"));
        let (unit, scale) = match measure {
            Measure::Bulk => ("bytes_per_second", 1e6),
            _ => ("per_second", 1.0),
        };
        let cpu = server.cpu().saturating_sub(before).as_secs_f64() * 1e6;
        let count = if measure == Measure::Bulk { 0.0 } else { number("round_trips")? };
        let cpu_us = if count > 0.0 { cpu / count } else { 0.0 };
        Ok(Figure { value: number(unit)? / scale, cpu_us })
    }

    /// How much more memory the server has once all clients have been answered, and say nothing.
    fn memory(&self, measure: Measure, server: &Started) -> Result<Figure, String> {
        let before = server.memory();
        let mut process = self.start(measure, server, Duration::from_secs(600));
        wait_for(&mut process, r#""type":"open""#, PATIENCE)?;
        let more = server.memory().saturating_sub(before);
        Ok(Figure { value: more as f64 / 1024.0, cpu_us: 0.0 })
    }

    fn start(&self, measure: Measure, server: &Started, window: Duration) -> Process {
        let (ip, port) = (server.address.ip().to_string(), server.address.port().to_string());
        let window = format!("{}ms", window.as_millis());
        let run = Run::program(&self.program).args(["--json", "--timeout", "30s"]);
        let run = run.args(["--host", &ip, "--port", &port, "--duration", &window]);
        run.args(measure.options()).cpus(self.cpu).start()
    }
}

/// The line of its output with this in it; without one, what it complains of.
fn wait_for(process: &mut Process, wanted: &str, time: Duration) -> Result<String, String> {
    loop {
        match process.next_line(time) {
            Some(line) if line.contains(wanted) => return Ok(line),
            Some(_) => {}
            None => return Err(process.stderr().trim_end().to_owned()),
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
