//! What TCP_INFO has, read from its bytes, and how it is printed.

use std::time::{Duration, Instant};

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::Json;

use crate::args::Fields;

/// A number of `struct tcp_info` (include/uapi/linux/tcp.h of the kernel), by its name in ss(8).
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// Where it begins, and how many bytes it has. The kernel adds fields at the end, and moves none.
    offset: usize,
    width: usize,
    unit: Unit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Micros,
    Millis,
}

const fn field(name: &'static str, offset: usize, width: usize, unit: Unit) -> Field {
    Field { name, offset, width, unit }
}

const STATE: Field = field("state", 0, 1, Unit::Count);
const BUSY: Field = field("busy", 168, 8, Unit::Micros);
const RWND_LIMITED: Field = field("rwnd_limited", 176, 8, Unit::Micros);
const SNDBUF_LIMITED: Field = field("sndbuf_limited", 184, 8, Unit::Micros);

/// In the order of the structure.
pub(crate) const FIELDS: [Field; 42] = [
    field("retransmits", 2, 1, Unit::Count),
    field("probes", 3, 1, Unit::Count),
    field("backoff", 4, 1, Unit::Count),
    field("rto", 8, 4, Unit::Micros),
    field("ato", 12, 4, Unit::Micros),
    field("mss", 16, 4, Unit::Count),
    field("rcvmss", 20, 4, Unit::Count),
    field("unacked", 24, 4, Unit::Count),
    field("sacked", 28, 4, Unit::Count),
    field("lost", 32, 4, Unit::Count),
    field("lastsnd", 44, 4, Unit::Millis),
    field("lastrcv", 52, 4, Unit::Millis),
    field("lastack", 56, 4, Unit::Millis),
    field("pmtu", 60, 4, Unit::Count),
    field("rcv_ssthresh", 64, 4, Unit::Count),
    field("rtt", 68, 4, Unit::Micros),
    field("rttvar", 72, 4, Unit::Micros),
    field("ssthresh", 76, 4, Unit::Count),
    field("cwnd", 80, 4, Unit::Count),
    field("advmss", 84, 4, Unit::Count),
    field("reordering", 88, 4, Unit::Count),
    field("rcv_rtt", 92, 4, Unit::Micros),
    field("rcv_space", 96, 4, Unit::Count),
    field("retrans", 100, 4, Unit::Count),
    field("pacing_rate", 104, 8, Unit::Count),
    field("bytes_acked", 120, 8, Unit::Count),
    field("bytes_received", 128, 8, Unit::Count),
    field("segs_out", 136, 4, Unit::Count),
    field("segs_in", 140, 4, Unit::Count),
    field("notsent", 144, 4, Unit::Count),
    field("minrtt", 148, 4, Unit::Micros),
    field("data_segs_in", 152, 4, Unit::Count),
    field("data_segs_out", 156, 4, Unit::Count),
    field("delivery_rate", 160, 8, Unit::Count),
    BUSY,
    RWND_LIMITED,
    SNDBUF_LIMITED,
    field("delivered", 192, 4, Unit::Count),
    field("bytes_sent", 200, 8, Unit::Count),
    field("bytes_retrans", 208, 8, Unit::Count),
    field("snd_wnd", 228, 4, Unit::Count),
    field("rcv_wnd", 232, 4, Unit::Count),
];

/// What the kernel has given. An older kernel gives less than a newer one.
pub(crate) struct Info(pub(crate) Vec<u8>);

impl Info {
    /// The number, where the kernel has given all of its bytes.
    fn number(&self, field: &Field) -> Option<u64> {
        let bytes = self.0.get(field.offset..)?.get(..field.width)?;
        let mut wide = [0; 8];
        let from = if cfg!(target_endian = "big") { wide.len() - field.width } else { 0 };
        wide.get_mut(from..)?.get_mut(..field.width)?.copy_from_slice(bytes);
        Some(u64::from_ne_bytes(wide))
    }

    /// As tcp_states.h of the kernel names it.
    fn state(&self) -> &'static str {
        match self.number(&STATE) {
            Some(1) => "ESTABLISHED",
            Some(2) => "SYN_SENT",
            Some(3) => "SYN_RECV",
            Some(4) => "FIN_WAIT1",
            Some(5) => "FIN_WAIT2",
            Some(6) => "TIME_WAIT",
            Some(7) => "CLOSE",
            Some(8) => "CLOSE_WAIT",
            Some(9) => "LAST_ACK",
            Some(10) => "LISTEN",
            Some(11) => "CLOSING",
            _ => "-",
        }
    }

    pub(crate) fn is_listener(&self) -> bool {
        self.state() == "LISTEN"
    }

    /// What it has waited for most of the time since an earlier sample.
    fn limited_by(&self, before: &Info, elapsed: Duration) -> Option<&'static str> {
        let since = |field| {
            let micros = self.number(field)?.saturating_sub(before.number(field)?);
            Some(Duration::from_micros(micros))
        };
        let (busy, window, buffer) =
            (since(&BUSY)?, since(&RWND_LIMITED)?, since(&SNDBUF_LIMITED)?);
        let network = busy.saturating_sub(window + buffer);
        let idle = elapsed.saturating_sub(busy);
        let all =
            [(idle, "program"), (network, "network"), (window, "receiver"), (buffer, "buffer")];
        all.iter().max_by_key(|(time, _)| *time).map(|(_, name)| *name)
    }
}

impl Field {
    fn text(&self, info: &Info) -> String {
        let Some(number) = info.number(self) else { return "-".to_owned() };
        match self.unit {
            Unit::Count => number.to_string(),
            Unit::Micros => format!("{}.{:03} ms", number / 1000, number % 1000),
            Unit::Millis => format!("{number} ms"),
        }
    }

    fn json(&self, info: &Info, json: Json) -> Json {
        let Some(number) = info.number(self) else { return json };
        let key = format!("{}_ns", self.name);
        match self.unit {
            Unit::Count => json.number(self.name, number),
            Unit::Micros => json.nanos(&key, Duration::from_micros(number)),
            Unit::Millis => json.nanos(&key, Duration::from_millis(number)),
        }
    }
}

/// The table, row by row.
pub(crate) struct Table<'a> {
    fields: &'a Fields,
    json: bool,
    begun: Instant,
    last: Option<(Info, Instant)>,
    pub(crate) samples: u64,
}

impl<'a> Table<'a> {
    pub(crate) fn new(fields: &'a Fields, json: bool) -> Table<'a> {
        Table { fields, json, begun: Instant::now(), last: None, samples: 0 }
    }

    pub(crate) fn add(&mut self, info: Info, out: &mut Output) -> Result<(), Error> {
        let now = Instant::now();
        let last = self.last.as_ref();
        let limit = last.and_then(|(last, at)| info.limited_by(last, now - *at));
        if self.json {
            let json = Json::new("sample").nanos("duration_ns", now - self.begun);
            let json = json.text("state", info.state());
            let json = FIELDS.iter().fold(json, |json, field| field.json(&info, json));
            out.line(limit.into_iter().fold(json, |json, limit| json.text("limited_by", limit)))?;
        } else {
            let Fields(fields) = self.fields;
            if last.is_none() {
                let names = fields.iter().map(|field| field.name.to_owned());
                out.line(self.row("state", names, "limited by"))?;
            }
            let numbers = fields.iter().map(|field| field.text(&info));
            out.line(self.row(info.state(), numbers, limit.unwrap_or("-")))?;
        }
        self.last = Some((info, now));
        self.samples += 1;
        Ok(())
    }

    fn row(&self, state: &str, cells: impl Iterator<Item = String>, limit: &str) -> String {
        let Fields(fields) = self.fields;
        let cells = cells.zip(fields).map(|(cell, field)| {
            let width = field.name.len().max(if field.unit == Unit::Count { 7 } else { 10 });
            format!("{cell:width$}  ")
        });
        format!("{state:11}  {}{limit}", cells.collect::<String>())
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
