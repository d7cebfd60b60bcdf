//! Whether some bytes are the answer to a request, or why not.
//!
//! Anybody can send a datagram with any sender in it. What they can't do is read the nonce that
//! travels in the request, unless they sit on the way. So the order matters: nothing in a reply
//! counts, not even its refusal to serve us, before it has shown the nonce (RFC 4330 §5, RFC 5905
//! §8).

use std::fmt;
use std::net::SocketAddr;

use super::packet::{LENGTH, Packet, SERVER, UNSYNCHRONISED};
use super::time::{Timestamp, Utc};
use super::{DRIFT, Sample};
use crate::error::Error;

/// No packet is longer than what an Ethernet carries in one piece. The buffer for one needs a byte
/// more, to tell those that are.
pub const LONGEST: usize = 1_500;

/// How far a server may be from its clock: 1.5 s in nanoseconds (RFC 5905 §7.1, MAXDIST).
const FARTHEST: i128 = 1_500_000_000;

/// The coarsest clock that excuses a negative delay: 2^-6 s, a tick of 64 Hz, in nanoseconds.
const COARSEST: i128 = 15_625_000;

/// A request that was sent, as much as its answer has to match.
#[derive(Clone, Debug)]
pub struct Request {
    /// To whom.
    pub server: SocketAddr,
    /// The version of its packet.
    pub version: u8,
    /// What its transmit field held.
    pub nonce: Timestamp,
    /// What those of earlier requests held.
    pub earlier: Vec<Timestamp>,
    /// T1.
    pub sent: Utc,
}

/// Judges a datagram that `from` sent and that came at `arrived` (T4). The instants of the server
/// are those within 68 years of `pivot`.
///
/// # Errors
/// The first reason not to believe it.
pub fn validate(
    request: &Request,
    from: SocketAddr,
    bytes: &[u8],
    arrived: Utc,
    pivot: Utc,
) -> Result<Sample, Refusal> {
    // A connected socket is given nothing from elsewhere, but for what came before it was connected.
    if from.ip() != request.server.ip() {
        return Err(Refusal::Address);
    }
    if from.port() != request.server.port() {
        return Err(Refusal::Port);
    }
    let packet = Packet::from_bytes(bytes).ok_or(Refusal::Short)?;
    if bytes.len() > LONGEST {
        return Err(Refusal::Long);
    }
    is_answer(request, &packet, bytes)?;
    knows_the_time(&packet)?;

    let t3 = packet.transmit.near(pivot);
    // Beside T3 and not beside the pivot: both lie in the same 68 years.
    let t2 = packet.receive.near(t3);
    let sample = Sample { t1: request.sent, t2, t3, t4: arrived, packet };
    // The server can't have had it for longer than we waited, but for the grain of its clock and
    // the drift of ours.
    let slack = sample.packet.grain().min(COARSEST) + sample.drift();
    if sample.delay() < -slack {
        return Err(Refusal::NegativeDelay);
    }
    Ok(sample)
}

/// Whether it answers this request.
fn is_answer(request: &Request, packet: &Packet, bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.starts_with(&Packet::request(request.version, request.nonce).to_bytes()) {
        return Err(Refusal::OwnRequest);
    }
    if packet.mode != SERVER {
        return Err(Refusal::Mode);
    }
    if !matches!(packet.version, 3 | 4) {
        return Err(Refusal::Version);
    }
    match packet.origin {
        origin if origin == request.nonce => Ok(()),
        Timestamp::NONE => Err(Refusal::OriginZero),
        origin if request.earlier.contains(&origin) => Err(Refusal::OriginEarlier),
        _ => Err(Refusal::Origin),
    }
}

/// Whether an answer tells the time.
fn knows_the_time(packet: &Packet) -> Result<(), Refusal> {
    match packet.stratum {
        // Before the leap indicator, which is 3 in a kiss.
        0 => return Err(Kiss::of(packet).map_or(Refusal::StratumZero, Refusal::Kiss)),
        1..=15 if packet.leap == UNSYNCHRONISED => return Err(Refusal::Leap),
        1..=15 => {}
        _ => return Err(Refusal::Stratum),
    }
    if packet.transmit == Timestamp::NONE {
        return Err(Refusal::TransmitZero);
    }
    if packet.receive == Timestamp::NONE {
        return Err(Refusal::ReceiveZero);
    }
    if packet.transmit.since(packet.receive) < 0 {
        return Err(Refusal::Backwards);
    }
    if packet.root_delay.nanos() / 2 >= FARTHEST {
        return Err(Refusal::RootDelay);
    }
    if packet.root_dispersion.nanos() >= FARTHEST {
        return Err(Refusal::RootDispersion);
    }
    if packet.root_distance() >= FARTHEST {
        return Err(Refusal::RootDistance);
    }
    if packet.grain() >= FARTHEST {
        return Err(Refusal::Precision);
    }
    Ok(())
}

/// A kiss-o'-death: the server's word that it does not serve us (RFC 5905 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kiss(pub [u8; 4]);

impl Kiss {
    /// The kiss code of a packet of stratum 0; `None` if it has none: one to four letters or
    /// digits, filled up with zeros.
    fn of(packet: &Packet) -> Option<Kiss> {
        let kiss = Kiss(packet.reference_id);
        let padded = kiss.0.iter().skip(kiss.code().len()).all(|byte| *byte == 0);
        (padded && !kiss.code().is_empty()).then_some(kiss)
    }

    /// Its letters: `RATE`.
    #[must_use]
    pub(crate) fn code(&self) -> String {
        let is_letter = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        self.0.iter().copied().take_while(is_letter).map(char::from).collect()
    }

    /// What it says, in words.
    #[must_use]
    pub(crate) fn meaning(&self) -> &'static str {
        match &self.0 {
            b"DENY" => "the server denies us its service, for good",
            b"RSTR" => "the server's rules deny us its service, for good",
            b"RATE" => "we ask too often; the server wants to be left alone for a while",
            b"INIT" => "the server has only begun to look for the time",
            b"STEP" => "the server's clock was just set",
            b"AUTH" | b"CRYP" | b"NKEY" => "the server answers only who proves who they are",
            _ => "the server does not tell us the time",
        }
    }

    /// The kiss as the end of asking that peer: what kind of no it is decides the exit code.
    #[must_use]
    pub fn error(&self, peer: String) -> Error {
        let why = format!("{}: {}", self.code(), self.meaning());
        match self.code().as_str() {
            "RATE" => Error::Later { peer, why },
            "DENY" | "RSTR" => Error::Denied { peer, why },
            _ => Error::Protocol { peer, fault: why },
        }
    }
}

/// A table of the reasons: the name of each, by which it is counted, and what it means.
macro_rules! refusals {
    ($($(#[$doc:meta])* $reason:ident $name:literal $text:literal)+) => {
        /// Why a datagram is not believed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal {
            $($(#[$doc])* $reason,)+
            /// It is an answer, but not the time.
            Kiss(Kiss),
        }

        impl Refusal {
            /// Its name, for a counter: `origin_zero`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Refusal::$reason => $name,)+
                    Refusal::Kiss(_) => "kiss",
                }
            }
        }

        impl fmt::Display for Refusal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Refusal::$reason => f.write_str($text),)+
                    Refusal::Kiss(kiss) => write!(f, "{}: {}", kiss.code(), kiss.meaning()),
                }
            }
        }

        /// One of each reason that is no kiss.
        #[cfg(test)]
        const ALL: &[Refusal] = &[$(Refusal::$reason),+];
    };
}

refusals! {
    /// Its sender has another address than the server.
    Address "address" "it came from another address"
    /// The same with the port.
    Port "port" "it came from another port"
    /// Fewer bytes than a packet has.
    Short "short" "it is shorter than 48 bytes"
    /// More bytes than any answer has.
    Long "long" "it is longer than 1500 bytes"
    /// A mirror is not a clock.
    OwnRequest "own_request" "it is our own request, sent back"
    /// Not 4.
    Mode "mode" "its mode is not that of a server's answer"
    /// Not 3 or 4.
    Version "version" "its version is neither 3 nor 4"
    /// No nonce at all.
    OriginZero "origin_zero" "its origin is empty: it does not say what it answers"
    /// A nonce of ours, but not of this request.
    OriginEarlier "origin_earlier" "it answers an earlier request"
    /// Not our nonce: whoever sent it has not seen our request.
    Origin "origin" "it does not answer our request"
    /// The server does not know the time.
    Leap "leap" "the server is not synchronised"
    /// Neither a time nor a kiss.
    StratumZero "stratum_zero" "it is at stratum 0, without a kiss code"
    /// 16 or more.
    Stratum "stratum" "the server is at no stratum from 1 to 15"
    /// No T3.
    TransmitZero "transmit_zero" "it does not say when it was sent"
    /// No T2.
    ReceiveZero "receive_zero" "it does not say when our request was received"
    /// T3 lies before T2.
    Backwards "backwards" "it was sent before our request was received"
    /// The delay alone is too much.
    RootDelay "root_delay" "the server is too far from its clock: root delay"
    /// The dispersion alone is.
    RootDispersion "root_dispersion" "the server is too far from its clock: root dispersion"
    /// Both together are.
    RootDistance "root_distance" "the server is too far from its clock: both together"
    /// A grain of two seconds or more.
    Precision "precision" "the server's clock counts no single seconds"
    /// T3 - T2 is longer than T4 - T1.
    NegativeDelay "negative_delay" "the server says that it took longer than we waited"
}

/// That a packet is as long as the messages above say.
const _: () = assert!(LENGTH == 48 && LONGEST == 1_500 && DRIFT.0 < DRIFT.1);

#[cfg(test)]
mod other_tests;
#[cfg(test)]
mod seeded_tests;
#[cfg(test)]
mod tests;
