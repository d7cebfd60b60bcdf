//! What the kernel should make of a size, computed from this machine's settings, and what is printed.

use std::fmt;
use std::fs;
use std::time::Duration;

use netcore::error::Error;
use netcore::log::Log;
use netcore::output::Output;
use netcore::text::{Json, counted};

use crate::args::{Buffer, Moment, Wanted};

/// The kernel multiplies by two, and an int holds no more: a size is first cut to this.
const HALF: u32 = i32::MAX.unsigned_abs() / 2;

/// The longest bar, in characters.
const BAR: u64 = 30;

/// The three kinds of sockets that have separate buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Unix,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Tcp, Kind::Udp, Kind::Unix];

    fn name(self) -> &'static str {
        match self {
            Kind::Tcp => "TCP",
            Kind::Udp => "UDP",
            Kind::Unix => "unix",
        }
    }
}

/// What bounds one of the two buffers, for every kind of socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) buffer: Buffer,
    /// `net.core.wmem_max` or `net.core.rmem_max`.
    pub(crate) most: u32,
    /// What is read back however little was asked.
    pub(crate) floor: u32,
}

/// Why a size reads back as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The kernel charges its own bookkeeping to the buffer, and takes twice what was asked.
    Doubled,
    /// Less would not hold one packet.
    Floor,
    /// More than the administrator allows, which is no error.
    Clamped(Buffer, u32),
    /// More than is allowed, and all of it granted: SO_SNDBUFFORCE.
    Forced,
    /// Forced, and more than an int holds twice.
    Half,
}

impl Limits {
    /// What `asked` has to read back as: sk_setsockopt() of the kernel in two lines.
    pub(crate) fn predict(self, asked: u32, force: bool) -> (u32, Reason) {
        let most = if force { HALF } else { self.most.min(HALF) };
        let used = asked.min(most);
        let read_back = used.saturating_mul(2).max(self.floor);
        let reason = match used {
            _ if used.saturating_mul(2) < self.floor => Reason::Floor,
            _ if used == asked && asked > self.most => Reason::Forced,
            _ if used == asked => Reason::Doubled,
            _ if force => Reason::Half,
            _ => Reason::Clamped(self.buffer, self.most),
        };
        (read_back, reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Doubled => f.write_str("doubled"),
            Reason::Floor => f.write_str("floor"),
            Reason::Clamped(buffer, most) => {
                write!(f, "clamped: net.core.{} = {most}", core_setting(*buffer, "max"))
            }
            Reason::Forced => f.write_str("forced"),
            Reason::Half => f.write_str("forced, and clamped: an int holds no more"),
        }
    }
}

/// The setting of net.core that says the `default` or the `max` of a buffer.
fn core_setting(buffer: Buffer, what: &str) -> String {
    match buffer {
        Buffer::Send => format!("wmem_{what}"),
        Buffer::Receive => format!("rmem_{what}"),
    }
}

/// `net.core.wmem_max` or `net.core.rmem_max`, where it can be read.
pub(crate) fn sysctl_max(buffer: Buffer) -> Option<u32> {
    sysctl("core", &core_setting(buffer, "max")).first().copied()
}

/// The numbers of a setting; none where the file cannot be read.
fn sysctl(folder: &str, name: &str) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/sys/net/{folder}/{name}")).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// The size of a buffer that nobody has set.
pub(crate) struct DefaultSize {
    pub(crate) kind: Kind,
    pub(crate) buffer: Buffer,
    pub(crate) size: u32,
}

impl DefaultSize {
    /// The setting that a new socket has its size from, and that size where it can be read.
    fn documented(&self) -> (String, Option<u32>) {
        match self.kind {
            // The three numbers are the least, the default and the most of autotuning.
            Kind::Tcp => {
                let name = if self.buffer == Buffer::Send { "tcp_wmem" } else { "tcp_rmem" };
                (format!("net.ipv4.{name}"), sysctl("ipv4", name).get(1).copied())
            }
            Kind::Udp | Kind::Unix => {
                let name = core_setting(self.buffer, "default");
                (format!("net.core.{name}"), sysctl("core", &name).first().copied())
            }
        }
    }

    pub(crate) fn print(&self, json: bool, out: &mut Output) -> Result<(), Error> {
        let (kind, buffer, size) = (self.kind.name(), self.buffer.name(), self.size);
        let (source, documented) = self.documented();
        let agrees = documented.is_none_or(|documented| documented == size);
        if json {
            let line = Json::new("default").text("socket", kind).text("buffer", buffer);
            let line = line.number("default", size).text("source", &source);
            out.line(line.flag("as_documented", agrees))?;
        } else {
            let verdict = match documented {
                None => format!("{source} is not shown here"),
                Some(documented) if agrees => format!("as documented: {source} = {documented}"),
                Some(documented) => format!("different: {source} = {documented}"),
            };
            out.line(format_args!("{kind:5}{buffer:8}default {size}  {verdict}"))?;
        }
        if !agrees {
            let what = format!("{kind} {buffer}: default {size}, which is not what {source} says");
            out.report(&Error::No(what));
        }
        Ok(())
    }
}

/// One size that was asked for, and what the kernel made of it.
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) asked: u32,
    pub(crate) read_back: u32,
    pub(crate) force: bool,
    pub(crate) limits: Limits,
}

impl Row {
    /// One of several is printed in columns; of a single one, less than asked is a warning.
    pub(crate) fn print(
        &self,
        is_one_of_several: bool,
        json: bool,
        out: &mut Output,
    ) -> Result<(), Error> {
        let (kind, buffer, read_back) =
            (self.kind.name(), self.limits.buffer.name(), self.read_back);
        // The int that setsockopt was given.
        let asked = if self.asked == u32::MAX { -1 } else { i64::from(self.asked) };
        let (documented, reason) = self.limits.predict(self.asked, self.force);
        let agrees = read_back == documented;
        if json {
            let line = Json::new("size").text("socket", kind).text("buffer", buffer);
            let line = line.number("asked", asked).flag("forced", self.force);
            let line = line.number("read_back", read_back).text("reason", &reason.to_string());
            out.line(line.flag("as_documented", agrees))?;
        } else {
            let verdict = if agrees { "as documented" } else { "different" };
            let width = if is_one_of_several { 10 } else { 0 };
            out.line(format_args!(
                "{kind:5}{buffer:8}asked {asked:>width$}  read back {read_back:>width$}  \
                 {verdict}  {reason}"
            ))?;
        }
        if !agrees {
            out.report(&Error::No(format!(
                "{kind} {buffer}: asked {asked}, read back {read_back}, \
                 documented {documented} ({reason})"
            )));
        } else if !is_one_of_several && matches!(reason, Reason::Clamped(..) | Reason::Half) {
            let log = Log::new(env!("CARGO_PKG_NAME"), false, false, json);
            log.note(format_args!("{kind} {buffer}: less than {asked} is in effect: {reason}"));
        }
        Ok(())
    }
}

/// How many bytes a pair of sockets took while nobody read, and how many of them were kept.
pub(crate) fn taken(kind: Kind, wanted: Wanted, taken: usize, kept: usize, json: bool) -> String {
    let (taken, kept) = (taken as u64, kept as u64);
    if json {
        let mut line = Json::new("taken").text("socket", kind.name());
        // Absent where nothing was set.
        for (buffer, key) in [(Buffer::Send, "send_asked"), (Buffer::Receive, "receive_asked")] {
            line = wanted.of(buffer).into_iter().fold(line, |line, size| line.number(key, size));
        }
        return line.number("bytes", taken).number("kept", kept).to_string();
    }
    let named =
        |buffer: Buffer| wanted.of(buffer).map(|size| format!("{} {size}", buffer.option()));
    let set: Vec<String> = Buffer::BOTH.into_iter().filter_map(named).collect();
    let set = if set.is_empty() { "untouched".to_owned() } else { set.join(", ") };
    let lost = match kind {
        Kind::Udp => format!(", {kept} kept, the rest dropped without an error"),
        Kind::Tcp | Kind::Unix => String::new(),
    };
    format!("{:5}{set:34}{taken:>10} bytes{lost}", kind.name())
}

/// What was seen of a listener, and of the socket that it accepted.
pub(crate) struct Accepted {
    /// Of the listener, once the size was set.
    pub(crate) listener: u32,
    /// Of the accepted socket, when accept returned it.
    pub(crate) accepted: u32,
    /// Of the accepted socket, when the listener had been set too.
    pub(crate) accepted_then: u32,
    /// Of the accepted socket, after the same was set on itself; only where the listener was set
    /// too late.
    pub(crate) own: Option<u32>,
    /// Bytes in its receive buffer when the peer had sent all that was taken, and nobody read.
    pub(crate) unread: usize,
}

impl Accepted {
    /// `before`: the unread bytes where the size was set before listen, for comparison.
    pub(crate) fn print(
        &self,
        (moment, buffer, size): (Moment, Buffer, u32),
        before: Option<usize>,
        json: bool,
        out: &mut Output,
    ) -> Result<(), Error> {
        let Accepted { listener, accepted, own, unread, .. } = self;
        let option = buffer.option();
        let (agrees, as_documented) = match moment {
            Moment::BeforeListen | Moment::AfterListen => (accepted == listener, "inherited"),
            Moment::AfterAccept => {
                let agrees = self.accepted_then == *accepted && *own == Some(*listener);
                (agrees, "copied before, so not inherited")
            }
        };
        if json {
            let line = Json::new("accepted").text("buffer", buffer.name());
            let line = line.text("set", moment.name()).number("asked", size);
            let line = line.number("listener", *listener).number("accepted", *accepted);
            let line = line.flag("as_documented", agrees);
            let mut line = own.iter().fold(line, |line, own| line.number("set_on_itself", *own));
            if buffer == Buffer::Receive {
                line = line.number("unread", *unread as u64);
            }
            out.line(line)?;
        } else {
            let when = moment.name().replace('-', " ");
            let verdict = match agrees {
                true => format!("as documented: {as_documented}"),
                false => "different".to_owned(),
            };
            let mut text = format!(
                "{option} {size} set on the listener {when}, which reads back {listener}\n  \
                 the accepted socket has {accepted}  {verdict}"
            );
            if let Some(own) = own {
                text += &format!("\n  set on the accepted socket itself it reads back {own}");
            }
            if buffer == Buffer::Receive {
                let before = before.map(|before| format!(", {before} if set before listen"));
                let before = before.unwrap_or_default();
                text += &format!("\n  it holds {} unread{before}", counted(*unread, "byte"));
            }
            out.line(text)?;
        }
        if !agrees {
            let what = format!("{option} set {}", moment.name());
            out.report(&Error::No(format!("{what}: the accepted socket has {accepted}")));
        }
        Ok(())
    }
}

/// What went through one pair of sockets.
pub(crate) struct Throughput {
    pub(crate) asked: Option<u32>,
    pub(crate) send: u32,
    pub(crate) receive: u32,
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Throughput {
    /// Prints all of them, each with a bar against the fastest.
    pub(crate) fn print(all: &[Throughput], json: bool, out: &mut Output) -> Result<(), Error> {
        if json {
            return all.iter().try_for_each(|one| out.line(one.json()));
        }
        let most = all.iter().map(Throughput::rate).max().unwrap_or(0).max(1);
        out.line("     asked      send   receive        MB/s")?;
        all.iter().try_for_each(|one| out.line(one.text(most)))
    }

    /// Bytes a second.
    fn rate(&self) -> u64 {
        let nanos = self.time.as_nanos().max(1);
        u64::try_from(u128::from(self.bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    fn text(&self, most: u64) -> String {
        let asked = self.asked.map_or("untouched".to_owned(), |asked| asked.to_string());
        let rate = self.rate();
        let bar = (0..rate.saturating_mul(BAR).div_ceil(most)).map(|_| '#').collect::<String>();
        let megabytes = format!("{}.{}", rate / 1_000_000, rate / 100_000 % 10);
        let line =
            format!("{asked:>10}{:>10}{:>10}{megabytes:>12}  {bar}", self.send, self.receive);
        line.trim_end().to_owned()
    }

    fn json(&self) -> Json {
        let line = Json::new("throughput");
        let line = self.asked.iter().fold(line, |line, asked| line.number("asked", *asked));
        let line = line.number("send", self.send).number("receive", self.receive);
        let line = line.number("bytes", self.bytes).nanos("duration_ns", self.time);
        line.number("bytes_per_second", self.rate())
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
