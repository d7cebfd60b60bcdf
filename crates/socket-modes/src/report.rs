//! The rows, as lines for a person or for a program, and what is not as it should be.

use std::net::SocketAddr;
use std::time::Duration;

use netcore::signal::Signal;
use netcore::text::Json;
use netcore::time::millis;

use crate::connect::Outcome;
use crate::flag::Case;
use crate::matrix::{Mode, Row};

/// The heading of the matrix.
pub(crate) fn heading(json: bool) -> &'static str {
    if json { "" } else { "call           mode          errno        time\n" }
}

impl Row {
    pub(crate) fn text(&self, json: bool) -> String {
        if json {
            return self.json();
        }
        let mode = self.mode.name();
        let begin = format!("{:<15}{mode:<14}", self.call);
        let ended = match &self.ended {
            Err(why) => return format!("{begin}{why}\n"),
            Ok(ended) => ended,
        };
        let mut text = format!("{begin}{:<13}{}", ended.errno, time(ended.after));
        if let Mode::Blocking(option) = self.mode {
            text += &format!(", ended by {option}");
        }
        if let Some(bytes) = ended.bytes {
            text += &format!(", after {bytes} bytes");
        }
        text + "\n"
    }

    fn json(&self) -> String {
        let mut json = Json::new("call").text("call", self.call).text("mode", self.mode.name());
        if let Mode::Blocking(option) = self.mode {
            json = json.text("ended_by", option);
        }
        match &self.ended {
            Err(why) => json = json.text("not_made", why),
            Ok(ended) => {
                json = json.text("errno", &ended.errno).nanos("measured_ns", ended.after);
                if let Some(bytes) = ended.bytes {
                    json = json.number("bytes", bytes);
                }
            }
        }
        format!("{json}\n")
    }

    pub(crate) fn difference(&self) -> Option<String> {
        let ended = self.ended.as_ref().ok()?;
        let (call, mode, errno) = (self.call, self.mode.name(), &ended.errno);
        let differs = ended.errno != self.documented;
        differs.then(|| format!("{call}, {mode}: ended with {errno}, not with {}", self.documented))
    }
}

impl Outcome {
    pub(crate) fn text(&self, json: bool) -> String {
        let events: Vec<&str> = self.events.iter_names().map(|(name, _)| name).collect();
        let events = events.join("|");
        let Outcome { to, begun, error, again, .. } = self;
        if json {
            let json = Json::new("connect").text("to", to).text("errno", begun);
            let json = json.text("poll", &events).nanos("measured_ns", self.after);
            return format!("{}\n", json.text("so_error", error).text("so_error_again", again));
        }
        format!(
            "connect to {to}:\n  {begun}, poll says {events} after {}, SO_ERROR {error}, then {again}\n",
            time(self.after)
        )
    }

    pub(crate) fn difference(&self) -> Option<String> {
        let Outcome { to, error, documented, .. } = self;
        let differs = error != documented;
        differs.then(|| format!("connect to {to}: SO_ERROR is {error}, not {documented}"))
    }
}

impl Case {
    pub(crate) fn text(&self, json: bool) -> String {
        let Case { by, set_on, seen_on, is_set, .. } = self;
        if json {
            let json = Json::new("flag").text("by", by).text("set_on", set_on);
            return format!("{}\n", json.text("seen_on", seen_on).flag("is_set", *is_set));
        }
        let has = if *is_set { "has it" } else { "has it not" };
        format!("{by:<14}set on {set_on}: {seen_on} {has}\n")
    }

    pub(crate) fn difference(&self) -> Option<String> {
        let Case { by, seen_on, is_set, documented, .. } = self;
        let differs = is_set != documented;
        differs.then(|| format!("{by}: O_NONBLOCK of {seen_on} is {is_set}, not {documented}"))
    }
}

/// A connect that somebody may call off.
pub(crate) fn connecting(peer: SocketAddr, errno: &str, json: bool) -> String {
    if json {
        return format!("{}\n", Json::new("connecting").address(peer).text("errno", errno));
    }
    format!("connecting to {peer}: {errno}; poll waits, Ctrl-C cancels\n")
}

/// A connect that somebody called off.
pub(crate) fn cancelled(signal: Signal, after: Duration, json: bool) -> String {
    if json {
        let json = Json::new("cancelled").text("signal", signal.as_str());
        return format!("{}\n", json.nanos("after_ns", after));
    }
    format!("cancelled by {signal} after {}\n", millis(after))
}

/// A call that does not wait takes so little that two decimals show none of it.
fn time(duration: Duration) -> String {
    if duration < Duration::from_micros(100) {
        return format!("{:.4} ms", duration.as_secs_f64() * 1e3);
    }
    millis(duration)
}
