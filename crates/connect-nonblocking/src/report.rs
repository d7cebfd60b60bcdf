//! What became of a connect, as lines for a person or for a program.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;

use netcore::signal::Signal;
use netcore::text::Json;
use netcore::time::millis;

/// What became of a connect.
pub(crate) struct Outcome {
    /// What connect returned.
    pub(crate) begun: String,
    /// What poll returned, and when.
    pub(crate) events: PollFlags,
    pub(crate) after: Duration,
    /// SO_ERROR, and what it was when it was read again.
    pub(crate) error: String,
    pub(crate) again: String,
}

impl Outcome {
    pub(crate) fn text(&self, to: &str, json: bool) -> String {
        let events: Vec<&str> = self.events.iter_names().map(|(name, _)| name).collect();
        let events = events.join("|");
        let Outcome { begun, error, again, .. } = self;
        if json {
            let json = Json::new("connect").text("to", to).text("errno", begun);
            let json = json.text("poll", &events).nanos("measured_ns", self.after);
            return json.text("so_error", error).text("so_error_again", again).to_string();
        }
        let after = time(self.after);
        format!(
            "connect to {to}:\n  {begun}, poll: {events} after {after}, SO_ERROR {error}, then {again}"
        )
    }
}

/// A connect in progress.
pub(crate) fn connecting(peer: SocketAddr, errno: &str, json: bool) -> String {
    if json {
        return Json::new("connecting").address(peer).text("errno", errno).to_string();
    }
    format!("connecting to {peer}: {errno}; poll waits, Ctrl-C cancels")
}

/// A connect that was called off.
pub(crate) fn cancelled(signal: Signal, after: Duration, json: bool) -> String {
    if json {
        let json = Json::new("cancelled").text("signal", signal.as_str());
        return json.nanos("after_ns", after).to_string();
    }
    format!("cancelled by {signal} after {}", millis(after))
}

/// `ECONNREFUSED`, and `0` where there is no error.
pub(crate) fn errno(error: Option<&io::Error>) -> String {
    let errno = |why: &io::Error| Errno::from_raw(why.raw_os_error().unwrap_or_default());
    error.map_or_else(|| "0".to_owned(), |why| format!("{:?}", errno(why)))
}

/// On loopback a connect is so short that two decimals would show 0.
fn time(duration: Duration) -> String {
    if duration < Duration::from_micros(100) {
        return format!("{:.4} ms", duration.as_secs_f64() * 1e3);
    }
    millis(duration)
}
