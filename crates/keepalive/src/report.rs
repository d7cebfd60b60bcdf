//! What the options add up to, what is known of the peer, and how both are printed.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::{Json, counted};
use netcore::time::millis;

/// The options of a socket, as the kernel has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// SO_KEEPALIVE.
    pub(crate) keepalive: bool,
    /// TCP_KEEPIDLE and TCP_KEEPINTVL, in seconds.
    pub(crate) idle: u32,
    pub(crate) every: u32,
    /// TCP_KEEPCNT.
    pub(crate) probes: u32,
    /// TCP_USER_TIMEOUT in milliseconds, 0 for the kernel's own limit.
    pub(crate) user_timeout: u32,
}

impl Options {
    /// How long after its last ACK a silent peer is noticed while nothing is sent to it.
    pub(crate) fn on_idle(&self) -> Option<Duration> {
        let Options { idle, every, probes, user_timeout, .. } = *self;
        let [idle, every] = [idle, every].map(u64::from);
        // At each probe that is due the kernel counts those before it, or looks at the clock.
        let probes = match (u64::from(user_timeout), u64::from(probes)) {
            (0, probes) => probes,
            (timeout, _) => timeout.saturating_sub(idle * 1000).div_ceil(every * 1000).max(1),
        };
        self.keepalive.then(|| Duration::from_secs(idle + probes * every))
    }

    pub(crate) fn print(&self, json: bool, out: &mut Output) -> Result<(), Error> {
        let Options { keepalive, idle, every, probes, user_timeout } = *self;
        let on_idle = self.on_idle();
        if json {
            let json = Json::new("options").flag("keepalive", keepalive).number("idle_s", idle);
            let json = json.number("every_s", every).number("probes", probes);
            let json = json.number("user_timeout_ms", user_timeout);
            return out.line(match on_idle {
                Some(after) => json.nanos("noticed_ns", after),
                None => json,
            });
        }
        let retries = fs::read_to_string("/proc/sys/net/ipv4/tcp_retries2").unwrap_or_default();
        let on_idle = match on_idle {
            Some(after) => format!("a silent peer is noticed after {} s", after.as_secs()),
            None => "a silent peer is never noticed".to_owned(),
        };
        let on_send = match user_timeout {
            0 => format!("after {} retransmissions (net.ipv4.tcp_retries2)", retries.trim()),
            timeout => format!("after {} s", f64::from(timeout) / 1e3),
        };
        let switch = if keepalive { "on" } else { "off" };
        out.line(format_args!(
            "SO_KEEPALIVE {switch}, TCP_KEEPIDLE {idle} s, TCP_KEEPINTVL {every} s, \
             TCP_KEEPCNT {probes}"
        ))?;
        out.line(format_args!("TCP_USER_TIMEOUT {user_timeout} ms"))?;
        out.line(format_args!("nothing sent  {on_idle}"))?;
        out.line(format_args!("bytes sent    a silent peer is noticed {on_send}"))
    }
}

pub(crate) fn connected(peer: SocketAddr, json: bool) -> String {
    match json {
        true => Json::new("connected").address(peer).to_string(),
        false => format!("{peer} connected"),
    }
}

/// What the kernel has sent, and the peer has not answered.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// Probes of an idle connection, or of a window that is closed.
    pub(crate) probes: u8,
    /// How often the oldest bytes were sent again.
    pub(crate) retransmissions: u8,
}

impl Unanswered {
    pub(crate) fn line(self, at: Duration, json: bool) -> String {
        let Unanswered { probes, retransmissions } = self;
        if json {
            let json = Json::new("unanswered").nanos("duration_ns", at);
            let json = json.number("probes", probes).number("retransmissions", retransmissions);
            return json.to_string();
        }
        let what = match (probes, retransmissions) {
            (0, 0) => "the peer has answered".to_owned(),
            (probes, 0) => format!("{} without an answer", counted(probes, "probe")),
            (_, more) => format!("{} without an answer", counted(more, "retransmission")),
        };
        format!("{}  {what}", millis(at))
    }
}

/// How the connection has ended.
pub(crate) fn ended(why: Option<Errno>, at: Duration, silence: Duration, json: bool) -> String {
    let why = why.map_or("closed by the peer".to_owned(), |why| format!("{why:?}"));
    if json {
        let json = Json::new("ended").nanos("duration_ns", at).text("why", &why);
        return json.nanos("silence_ns", silence).to_string();
    }
    format!("{}  {why}, the last ACK from the peer {} ago", millis(at), millis(silence))
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
