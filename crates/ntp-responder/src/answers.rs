//! From requests to answers: what each says, when it leaves, and what is remembered for a lie.

use std::net::{SocketAddr, UdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use netcore::error::Error;
use netcore::log::Log;
use netcore::ntp::packet::{CLIENT, Packet, SERVER, Short, UNSYNCHRONISED};
use netcore::ntp::time::{Timestamp, Utc};
use netcore::text::{Json, escape};

use crate::Args;
use crate::lies::{Lie, Told};
use crate::way::{Shift, Way};

/// How many answers may be under way. More are lost, as on a real line.
const PENDING: usize = 10_000;

/// How far a clock that nobody sets may be off meanwhile: a millisecond, in 65,536ths of a second.
const DISPERSION: Short = Short(66);

/// A kiss code: one to four capital letters or digits.
#[derive(Clone, Copy)]
pub(crate) struct Code([u8; 4]);

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Code, String> {
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if !(1..=4).contains(&text.len()) || !text.bytes().all(is_code) {
            return Err("write one to four capital letters or digits, such as RATE".to_owned());
        }
        let mut code = [0; 4];
        code.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Ok(Code(code))
    }
}

pub(crate) struct Answers {
    way: Way,
    /// From this machine's clock to ours, in nanoseconds.
    shift: i128,
    stratum: u8,
    kiss: Option<Code>,
    lie: Option<Lie>,
    /// When our clock was set: when we began.
    reference: Timestamp,
    pending: Vec<Pending>,
    /// The last request that was answered, and its answer.
    last: Option<(Packet, Packet)>,
}

/// A request whose answer has not left yet.
struct Pending {
    due: Instant,
    back: Duration,
    peer: SocketAddr,
    /// As its socket address is, with an IPv4 peer of a dual-stack socket mapped.
    to: SocketAddr,
    request: Packet,
    /// T2 by our clock.
    received: Utc,
}

impl Answers {
    pub(crate) fn new(args: &Args) -> Result<Answers, Error> {
        let Shift(mut shift) = args.offset;
        let now = Utc::now();
        if let Some(era) = args.era {
            shift += Utc::start_of_era(era).since(now);
        }
        Ok(Answers {
            way: Way::new(args)?,
            shift,
            stratum: args.stratum,
            kiss: args.kiss,
            lie: args.lie.clone(),
            reference: Timestamp::from_utc(now.plus(shift)),
            pending: Vec::new(),
            last: None,
        })
    }

    /// When the next answer leaves.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.due).min()
    }

    /// Takes a datagram that `peer` sent; `to` is where its answer goes.
    pub(crate) fn take(&mut self, bytes: &[u8], peer: SocketAddr, to: SocketAddr, log: &Log) {
        let (now, instant) = (Utc::now(), Instant::now());
        let request = Packet::from_bytes(bytes)
            .filter(|packet| packet.mode == CLIENT && (1..=4).contains(&packet.version));
        let Some(request) = request else {
            let count = bytes.len() as u64;
            log.event(
                || Json::new("ignored").address(peer).number("bytes", count),
                || format!("{peer} sent {count} bytes that are no request"),
            );
            return;
        };
        let legs = self.way.next().filter(|_| self.pending.len() < PENDING);
        log.event(
            || {
                let json = Json::new("request").address(peer).number("version", request.version);
                json.flag("lost", legs.is_none())
            },
            || {
                let lost = if legs.is_none() { ", lost" } else { "" };
                format!("{peer} asked, version {}{lost}", request.version)
            },
        );
        let Some((there, back)) = legs else { return };
        let back = back + self.late();
        let received = now.plus(there.as_nanos().cast_signed() + self.shift);
        // Delays are at most two centuries long, and an Instant reaches farther.
        let Some(due) = instant.checked_add(there + back) else { return };
        self.pending.push(Pending { due, back, peer, to, request, received });
    }

    fn late(&self) -> Duration {
        self.lie.as_ref().map_or(Duration::ZERO, Lie::late)
    }

    /// Sends the answers whose time has come, in the order in which they were due.
    pub(crate) fn send_due(&mut self, socket: &UdpSocket, log: &Log) {
        let now = Instant::now();
        let (mut due, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|one| one.due <= now);
        self.pending = pending;
        due.sort_by_key(|one| one.due);
        for one in due {
            self.send(socket, &one, log);
        }
    }

    fn send(&mut self, socket: &UdpSocket, one: &Pending, log: &Log) {
        let truth = self.truth(one);
        let told = Told { request: &one.request, truth: &truth, last: self.last.as_ref() };
        let lies = self.lie.as_ref().map_or_else(Vec::new, |lie| lie.tell(&told));
        for lie in lies {
            let done = lie.send(socket, one.to);
            note(done, format_args!("lie to {}", one.peer), log);
        }
        // Once more: the lies took their time.
        let truth = self.truth(one);
        if self.lie.as_ref().is_none_or(Lie::is_followed_by_the_truth) {
            let done = socket.send_to(&truth.to_bytes(), one.to).map(drop);
            note(done, format_args!("answer {}", one.peer), log);
        }
        self.last = Some((one.request.clone(), truth));
    }

    /// What an honest server says: the time, or that it does not tell it.
    fn truth(&self, one: &Pending) -> Packet {
        // It leaves when the way back begins. Read now, so that a late wake-up is no error of ours.
        let back = one.back.as_nanos().cast_signed();
        let sent = Utc::now().plus(self.shift - back).max(one.received);
        let answer = Packet {
            version: one.request.version,
            mode: SERVER,
            stratum: self.stratum,
            poll: one.request.poll,
            precision: -20,
            root_dispersion: DISPERSION,
            reference_id: if self.stratum == 1 { *b"LOCL" } else { [127, 0, 0, 1] },
            reference: self.reference,
            origin: one.request.transmit,
            receive: Timestamp::from_utc(one.received),
            transmit: Timestamp::from_utc(sent),
            ..Packet::default()
        };
        match self.kiss {
            None => answer,
            Some(Code(reference_id)) => {
                Packet { leap: UNSYNCHRONISED, stratum: 0, reference_id, ..answer }
            }
        }
    }
}

/// A datagram that could not be sent is no reason to stop serving.
fn note(sent: std::io::Result<()>, what: std::fmt::Arguments<'_>, log: &Log) {
    if let Err(why) = sent {
        log.note(format_args!("{what}: {}", escape(why.to_string().as_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kiss_code_is_padded_with_zeros() {
        let code = |text: &str| text.parse::<Code>().map(|Code(code)| code);
        assert_eq!((code("RATE"), code("X")), (Ok(*b"RATE"), Ok(*b"X\0\0\0")));
        for text in ["", "rate", "RATES", "R TE", "-1e99", "\u{c4}B"] {
            assert!(code(text).is_err(), "{text}");
        }
    }
}
