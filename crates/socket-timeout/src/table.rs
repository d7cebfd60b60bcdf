//! The rows, as lines for a person or for a program, with what explains them.

use std::time::Duration;

use netcore::text::Json;
use netcore::time::{Timeout, millis};

use crate::drip::{Drip, Seen};
use crate::tick::Tick;
use crate::ways::Row;

/// Widths of the columns that are the same on every machine; times follow behind them.
const CALL: usize = 9;
const BOUND: usize = 13;
const ENDED: usize = 35;

/// What a socket has that nobody has asked anything of.
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
        let ended = self.ended.as_ref().map_or("not begun: for ever", |(how, _)| how);
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
        // Absent for poll, and where it is for ever: JSON has no number for that.
        if let Some(Some(read_back)) = self.read_back {
            json = json.nanos("read_back_ns", read_back);
        }
        json = json.flag("forever", asked.duration().is_none());
        if let Some((how, after)) = &self.ended {
            json = json.text("ended_with", how).nanos("measured_ns", *after);
        }
        format!("{json}\n")
    }

    /// What is not as it should be, in a sentence.
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
            "\nread back: none is a timeval of 0, so 0 can't be asked for as no time at all;\n  \
             an accepted socket has the SO_RCVTIMEO of its listener: {inherited}\n"
        );
    };
    format!(
        "\nread back: whole clock ticks, of {} here, rounded up;\n  \
         an accepted socket has the SO_RCVTIMEO of its listener: {inherited}\n\
         measured: never less than asked; SO_*TIMEO late by up to two slots of the timer wheel,\n  \
         which for this time are {} wide; poll has a finer clock\n\
         ended with: EAGAIN, as if it had never waited; ETIMEDOUT is TCP's own giving up\n",
        millis(tick.length()),
        millis(slot)
    )
}

/// What two readers of a peer that drips saw.
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
        true => format!("ended it after {}", millis(seen.after)),
        false => format!(
            "never ended it: all came, in {}, no wait longer than {}",
            millis(seen.after),
            millis(seen.longest)
        ),
    };
    format!(
        "\na peer that sends {} bytes, one every {}:\n\
         SO_RCVTIMEO of {asked} {}\none deadline in {asked} {}\n",
        drip.bytes,
        millis(drip.every),
        verdict(timeout),
        verdict(deadline)
    )
}

fn time(time: Option<Duration>) -> String {
    time.map_or("none".to_owned(), millis)
}
