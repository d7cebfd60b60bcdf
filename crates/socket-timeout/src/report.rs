//! What is printed, and what this kernel makes of a timeout: a whole number of clock ticks, whose
//! length is chosen when a kernel is built (CONFIG_HZ).

use std::ffi::c_long;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::time::{ClockId, clock_getres};

use netcore::error::{Attempt, Error};
use netcore::text::Json;
use netcore::time::{Timeout, in_micros, millis};

/// One way to stop waiting, and how it ended.
pub(crate) struct Row {
    /// The call that waits.
    pub(crate) call: &'static str,
    /// What ends the wait.
    pub(crate) bound: &'static str,
    /// What getsockopt says of the option; poll has none.
    pub(crate) read_back: Option<Option<Duration>>,
    /// How a wait ends whose time is over.
    pub(crate) documented: &'static str,
    /// How it ended, and after how long. A wait that nothing would end is not made.
    pub(crate) ended: Option<(String, Duration)>,
}

/// How a call ends that did not fail.
pub(crate) const DONE: &str = "done";

pub(crate) fn how<T>(result: io::Result<T>) -> String {
    result.map_or_else(|why| errno(&why), |_| DONE.to_owned())
}

/// `EAGAIN`: Rust's name for it, WouldBlock, stands in no man page.
pub(crate) fn errno(why: &io::Error) -> String {
    format!("{:?}", Errno::from_raw(why.raw_os_error().unwrap_or_default()))
}

/// How a peer sends that is never silent for long: a byte now and then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drip {
    /// The time between two bytes.
    pub(crate) every: Duration,
    /// How many bytes it sends.
    pub(crate) bytes: u64,
}

impl Drip {
    /// One that takes three times as long as the reader waits for a byte: a byte every 100 ms, or
    /// twice in that time where it is shorter.
    pub(crate) fn slower_than(asked: Duration) -> Drip {
        let every = (asked / 2).clamp(Duration::from_millis(1), Duration::from_millis(100));
        let bytes = (3 * asked.as_nanos()).div_ceil(every.as_nanos());
        Drip { every, bytes: u64::try_from(bytes).unwrap_or(u64::MAX).max(3) }
    }
}

/// What a reader of it saw.
pub(crate) struct Seen {
    begun: Instant,
    last: Instant,
    /// It stopped waiting before all had come.
    pub(crate) fired: bool,
    pub(crate) bytes: u64,
    pub(crate) after: Duration,
    /// The longest wait for one byte.
    pub(crate) longest: Duration,
}

impl Seen {
    pub(crate) fn new() -> Seen {
        let now = Instant::now();
        let zero = Duration::ZERO;
        Seen { begun: now, last: now, fired: false, bytes: 0, after: zero, longest: zero }
    }

    pub(crate) fn received(&mut self) {
        let now = Instant::now();
        self.bytes += 1;
        self.longest = self.longest.max(now - self.last);
        self.last = now;
    }

    pub(crate) fn end(self, fired: bool) -> Seen {
        Seen { fired, after: self.begun.elapsed(), ..self }
    }
}

/// Widths of the columns that are the same on every machine; times follow behind them.
const CALL: usize = 9;
const BOUND: usize = 13;
const ENDED: usize = 35;

/// The options of a new socket.
pub(crate) fn default(
    receiving: Option<Duration>,
    sending: Option<Duration>,
    json: bool,
) -> String {
    if json {
        let line = Json::new("default").flag("receives_forever", receiving.is_none());
        return format!("{}\n", line.flag("sends_forever", sending.is_none()));
    }
    let (receiving, sending) = (time(receiving), time(sending));
    format!(
        "a new socket: SO_RCVTIMEO {receiving}, SO_SNDTIMEO {sending}\n\n\
         {:CALL$}{:BOUND$}{:ENDED$}asked, read back, measured\n",
        "call", "bounded by", "ended with"
    )
}

impl Row {
    pub(crate) fn text(&self, asked: Timeout, json: bool) -> String {
        if json {
            return self.json(asked);
        }
        let ended = self.ended.as_ref().map_or("not made: it would wait forever", |(how, _)| how);
        let read_back = self.read_back.map_or("-".to_owned(), time);
        let measured = self.ended.as_ref().map_or("-".to_owned(), |(_, after)| millis(*after));
        format!(
            "{:CALL$}{:BOUND$}{ended:ENDED$}{asked}, {read_back}, {measured}\n",
            self.call, self.bound
        )
    }

    fn json(&self, asked: Timeout) -> String {
        let mut json = Json::new("wait").text("call", self.call).text("bounded_by", self.bound);
        if let Some(asked) = asked.duration() {
            json = json.nanos("asked_ns", asked);
        }
        // Absent for poll, and where there is no timeout: JSON has no number for that.
        if let Some(Some(read_back)) = self.read_back {
            json = json.nanos("read_back_ns", read_back);
        }
        json = json.flag("forever", asked.duration().is_none());
        if let Some((how, after)) = &self.ended {
            json = json.text("ended_with", how).nanos("measured_ns", *after);
        }
        format!("{json}\n")
    }

    /// Where the kernel differs from its manual, in a sentence.
    pub(crate) fn difference(&self, asked: Timeout, tick: Tick) -> Option<String> {
        let what = format!("{} with {}", self.call, self.bound);
        let computed = asked.duration().map(|asked| tick.read_back(asked));
        if let Some(read_back) = self.read_back.filter(|read_back| *read_back != computed) {
            let (read_back, computed) = (time(read_back), time(computed));
            return Some(format!("{what}: reads back {read_back}, by the tick it is {computed}"));
        }
        let (how, after) = self.ended.as_ref()?;
        if how != self.documented {
            return Some(format!("{what}: ended with {how}, not with {}", self.documented));
        }
        let asked = asked.duration().filter(|asked| after < asked)?;
        Some(format!("{what}: ended after {}, before {}", millis(*after), millis(asked)))
    }
}

/// What explains the rows: the tick and the slot of this kernel's clock, and what is inherited.
pub(crate) fn reasons(
    asked: Timeout,
    inherited: Option<Duration>,
    tick: Tick,
    json: bool,
) -> String {
    let slot = asked.duration().map(|asked| tick.slot(asked));
    if json {
        let mut json = Json::new("reasons").nanos("tick_ns", tick.length());
        if let Some(slot) = slot {
            json = json.nanos("slot_ns", slot);
        }
        if let Some(inherited) = inherited {
            json = json.nanos("inherited_ns", inherited);
        }
        return format!("{json}\n");
    }
    let inherited = time(inherited);
    let Some(slot) = slot else {
        return format!(
            "\nread back: none is a timeval of 0, so a timeout of 0 cannot be set;\n  \
             an accepted socket inherits SO_RCVTIMEO of its listener: {inherited}\n"
        );
    };
    format!(
        "\nread back: whole clock ticks, of {} here, rounded up;\n  \
         an accepted socket inherits SO_RCVTIMEO of its listener: {inherited}\n\
         measured: never less than asked; SO_*TIMEO late by up to two slots of the timer wheel,\n  \
         which are {} wide for this time; poll has a finer clock\n\
         ended with: EAGAIN, as from a call that does not wait; ETIMEDOUT means that TCP gave up\n",
        millis(tick.length()),
        millis(slot)
    )
}

/// What two readers of such a peer saw.
pub(crate) fn drip(
    drip: Drip,
    timeout: &Seen,
    deadline: &Seen,
    asked: Timeout,
    json: bool,
) -> String {
    if json {
        let line = |bound: &str, seen: &Seen| {
            let json = Json::new("drip").text("bounded_by", bound).nanos("every_ns", drip.every);
            let json = json.number("sent", drip.bytes).number("received", seen.bytes);
            let json = json.flag("fired", seen.fired).nanos("measured_ns", seen.after);
            format!("{}\n", json.nanos("longest_wait_ns", seen.longest))
        };
        return line("SO_RCVTIMEO", timeout) + &line("deadline", deadline);
    }
    let verdict = |seen: &Seen| match seen.fired {
        true => format!("expired after {}", millis(seen.after)),
        false => format!(
            "never expired: all received in {}, longest wait {}",
            millis(seen.after),
            millis(seen.longest)
        ),
    };
    format!(
        "\na peer that sends {} bytes, one every {}:\n\
         SO_RCVTIMEO of {asked} {}\none deadline of {asked} {}\n",
        drip.bytes,
        millis(drip.every),
        verdict(timeout),
        verdict(deadline)
    )
}

fn time(time: Option<Duration>) -> String {
    time.map_or("none".to_owned(), millis)
}

const MICROS_A_SECOND: u64 = 1_000_000;

/// The clock tick of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    /// Ticks a second: 100, 250, 300 and 1000 are what distributions choose.
    hz: u64,
}

impl Tick {
    /// The tick of this machine: what a coarse clock advances by.
    pub(crate) fn of_this_kernel() -> Result<Tick, Error> {
        let clock = ClockId::CLOCK_MONOTONIC_COARSE;
        let tick = clock_getres(clock).attempt("clock_getres CLOCK_MONOTONIC_COARSE")?;
        let nanos = Duration::from(tick).as_nanos().clamp(1, 1_000_000_000);
        // 300 a second are 3333333 ns each: rounded to the nearest, not down.
        let hz = u64::try_from((1_000_000_000 + nanos / 2) / nanos).unwrap_or(MICROS_A_SECOND);
        Ok(Tick { hz: hz.min(MICROS_A_SECOND) })
    }

    pub(crate) fn length(self) -> Duration {
        Duration::from_nanos(1_000_000_000 / self.hz)
    }

    /// How many ticks a time is rounded up to, as sock_set_timeout() of the kernel does it. Its
    /// ticks are of whole microseconds, so at 300 a second it may take one more than it had to.
    fn ticks(self, asked: Duration) -> u64 {
        let asked = in_micros(asked);
        let micros = u64::from(asked.subsec_micros());
        asked.as_secs() * self.hz + micros.div_ceil(MICROS_A_SECOND / self.hz)
    }

    /// What getsockopt says after a setsockopt of `asked`.
    pub(crate) fn read_back(self, asked: Duration) -> Duration {
        let ticks = self.ticks(asked);
        let micros = ticks % self.hz * MICROS_A_SECOND / self.hz;
        Duration::from_secs(ticks / self.hz) + Duration::from_micros(micros)
    }

    /// How late such a wait may end: it waits in the kernel's timer wheel, whose slots are a tick
    /// wide below 63 ticks, 8 ticks below 504, 64 below 4032, and so on.
    pub(crate) fn slot(self, asked: Duration) -> Duration {
        let (mut slot, mut end) = (1_u32, 63_u64);
        while self.ticks(asked) >= end && slot < 1 << 24 {
            (slot, end) = (slot * 8, end * 8);
        }
        self.length() * slot
    }

    /// The longest timeout: the kernel takes a time of more ticks than a long can count as none.
    pub(crate) fn longest(self) -> Duration {
        Duration::from_secs((u64::try_from(c_long::MAX).unwrap_or(u64::MAX) / self.hz) - 2)
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
