//! The command line.

use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::number::at_least_one;
use netcore::port::Port;
use netcore::time::{Span, Timeout};

/// Notice a peer that has gone silent. Without --port only show what the options add up to.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --idle 1s --every 1s --probes 3")]
#[argh(example = "{command_name} --port 7777 --idle 1s --every 1s --probes 3")]
pub(crate) struct Args {
    /// port of the server: a number or a service name
    #[argh(option, short = 'p')]
    pub(crate) port: Option<Port>,
    /// address or name of the server (localhost)
    #[argh(option, default = "Host::Name(String::from(\"localhost\"))")]
    pub(crate) host: Host,
    /// IPv4 only
    #[argh(switch, short = '4')]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    pub(crate) ipv6: bool,
    /// silence before the first probe (what the system has, 7200s), or none: no probes
    #[argh(option, arg_name = "time", default = "Idle::System", from_str_fn(idle))]
    pub(crate) idle: Idle,
    /// time between two probes (what the system has, 75s)
    #[argh(option, arg_name = "time", from_str_fn(seconds))]
    pub(crate) every: Option<u32>,
    /// probes without an answer that end the connection (what the system has, 9)
    #[argh(option, arg_name = "n", from_str_fn(probes))]
    pub(crate) probes: Option<u32>,
    /// longest time that what is sent may stay without an acknowledgement (none)
    #[argh(option, arg_name = "time", default = "0", from_str_fn(milliseconds))]
    pub(crate) user_timeout: u32,
    /// time between two messages (none: nothing is sent)
    #[argh(option, arg_name = "time", from_str_fn(pause))]
    pub(crate) send: Option<Duration>,
    /// bytes of a message of --send (1)
    #[argh(option, arg_name = "bytes", default = "1", from_str_fn(at_least_one))]
    pub(crate) size: u32,
    /// longest time to connect, from the name to the connection (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

/// TCP_KEEPIDLE, and whether there are probes at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    System,
    Seconds(u32),
    Off,
}

fn idle(text: &str) -> Result<Idle, String> {
    if text == "none" { Ok(Idle::Off) } else { seconds(text).map(Idle::Seconds) }
}

/// What the kernel takes. Setters that are given a duration cut it to whole seconds: 500 ms is 0 then.
fn seconds(text: &str) -> Result<u32, String> {
    let Span(span) = text.parse()?;
    let whole = u32::try_from(span.as_secs()).ok().filter(|_| span.subsec_nanos() == 0);
    let whole = whole.filter(|seconds| (1..=32_767).contains(seconds));
    whole.ok_or_else(|| "the kernel takes whole seconds from 1s to 32767s".to_owned())
}

fn probes(text: &str) -> Result<u32, String> {
    let number = at_least_one(text).ok().filter(|number| *number <= 127);
    number.ok_or_else(|| "write a whole number from 1 to 127".to_owned())
}

/// TCP_USER_TIMEOUT, 0 for none.
fn milliseconds(text: &str) -> Result<u32, String> {
    let Some(timeout) = text.parse::<Timeout>()?.duration() else { return Ok(0) };
    let millis = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).ok();
    let millis = millis.and_then(|millis| u32::try_from(millis).ok());
    millis.ok_or_else(|| "the kernel takes at most 2147483647ms".to_owned())
}

fn pause(text: &str) -> Result<Duration, String> {
    match text.parse()? {
        Span(Duration::ZERO) => Err("0 would take a whole processor".to_owned()),
        Span(pause) => Ok(pause),
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
