//! Whether a datagram is a valid reply to a request, or why not.
//!
//! Anybody can send a datagram with a forged source address. The nonce in the request is known only
//! to the server, and to those on the path to it. So the order of the checks matters: no field of a
//! reply counts, not even a kiss-o'-death, before the reply has returned the nonce (RFC 4330 §5,
//! RFC 5905 §8).

use std::fmt;
use std::net::SocketAddr;

use super::packet::{LENGTH, Packet, SERVER, UNSYNCHRONISED};
use super::time::{Timestamp, Utc};
use super::{DRIFT, Sample};
use crate::error::Error;

/// The longest packet that is accepted: the MTU of Ethernet. A receive buffer needs a byte more, so
/// that a longer datagram can be told from one of this length.
pub const LONGEST: usize = 1_500;

/// The largest root distance that is accepted: 1.5 s in nanoseconds (RFC 5905 §7.1, MAXDIST).
const MAX_DISTANCE: i128 = 1_500_000_000;

/// The coarsest clock that excuses a negative delay: 2^-6 s, a tick of 64 Hz, in nanoseconds.
const COARSEST: i128 = 15_625_000;

/// A request that was sent, as far as its reply has to match it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it was sent to.
    pub server: SocketAddr,
    /// The version of its packet.
    pub version: u8,
    /// Its transmit timestamp: random bits.
    pub nonce: Timestamp,
    /// The nonces of earlier requests.
    pub earlier: Vec<Timestamp>,
    /// T1.
    pub sent: Utc,
}

/// Checks a datagram from `from` that was received at `t4`: a line for each check, in this order.
/// The timestamps of the server are taken as the instants within 68 years of `pivot`.
///
/// # Errors
/// The reason of the first check that fails.
pub fn validate(
    request: &Request,
    from: SocketAddr,
    bytes: &[u8],
    t4: Utc,
    pivot: Utc,
) -> Result<Sample, Rejection> {
    // A connected socket receives nothing from elsewhere, but for what came before `connect`.
    require(from.ip() == request.server.ip(), Rejection::Address)?;
    require(from.port() == request.server.port(), Rejection::Port)?;

    let packet = Packet::from_bytes(bytes).ok_or(Rejection::Short)?;
    let own_request = Packet::request(request.version, request.nonce).to_bytes();
    require(bytes.len() <= LONGEST, Rejection::Long)?;
    require(!bytes.starts_with(&own_request), Rejection::OwnRequest)?;
    require(packet.mode == SERVER, Rejection::Mode)?;
    require(matches!(packet.version, 3 | 4), Rejection::Version)?;

    // The nonce: from here on the sender has seen our request.
    require(packet.origin != Timestamp::NONE, Rejection::OriginZero)?;
    require(!request.earlier.contains(&packet.origin), Rejection::OriginEarlier)?;
    require(packet.origin == request.nonce, Rejection::Origin)?;

    // Before the leap indicator, which is 3 in a kiss-o'-death.
    if packet.stratum == 0 {
        return Err(Kiss::from_packet(&packet).map_or(Rejection::StratumZero, Rejection::Kiss));
    }
    require(packet.stratum < 16, Rejection::Stratum)?;
    require(packet.leap != UNSYNCHRONISED, Rejection::Leap)?;

    require(packet.transmit != Timestamp::NONE, Rejection::TransmitZero)?;
    require(packet.receive != Timestamp::NONE, Rejection::ReceiveZero)?;
    require(packet.transmit.since(packet.receive) >= 0, Rejection::Backwards)?;

    require(packet.root_delay.nanos() / 2 < MAX_DISTANCE, Rejection::RootDelay)?;
    require(packet.root_dispersion.nanos() < MAX_DISTANCE, Rejection::RootDispersion)?;
    require(packet.root_distance() < MAX_DISTANCE, Rejection::RootDistance)?;
    require(packet.precision_nanos() < MAX_DISTANCE, Rejection::Precision)?;

    let t3 = packet.transmit.near(pivot);
    // Near T3 and not near the pivot: both are in the same 68 years.
    let t2 = packet.receive.near(t3);
    let sample = Sample { t1: request.sent, t2, t3, t4, packet };
    // The server cannot have had the request for longer than we waited, but for the precision of its
    // clock and the drift of ours.
    let tolerance = sample.packet.precision_nanos().min(COARSEST) + sample.drift();
    require(sample.delay() >= -tolerance, Rejection::NegativeDelay)?;
    Ok(sample)
}

fn require(holds: bool, otherwise: Rejection) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// A kiss-o'-death: the server says that it does not serve us (RFC 5905 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kiss(pub [u8; 4]);

impl Kiss {
    /// The kiss code of a packet of stratum 0; `None` if it has none: one to four letters or
    /// digits, padded with zeros.
    #[must_use]
    pub fn from_packet(packet: &Packet) -> Option<Kiss> {
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

    /// What the code means.
    #[must_use]
    pub(crate) fn meaning(&self) -> &'static str {
        match &self.0 {
            b"DENY" => "the server denies access",
            b"RSTR" => "the server denies access by its local policy",
            b"RATE" => "too many requests; wait before the next one",
            b"INIT" => "the server has not synchronised its clock yet",
            b"STEP" => "the server's clock was stepped, and is not synchronised yet",
            b"AUTH" | b"CRYP" | b"NKEY" => "the server requires authentication",
            _ => "the server does not send its time",
        }
    }

    /// The error of a program that got this kiss from `peer`; the code decides the exit code.
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

/// A table of the reasons: the name that counts it, and its text.
macro_rules! rejections {
    ($($(#[$doc:meta])* $reason:ident $name:literal $text:literal)+) => {
        /// Why a datagram is rejected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rejection {
            $($(#[$doc])* $reason,)+
            /// It is a reply, but without the time.
            Kiss(Kiss),
        }

        impl Rejection {
            /// Its name, for a counter: `origin_zero`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Rejection::$reason => $name,)+
                    Rejection::Kiss(_) => "kiss",
                }
            }
        }

        impl fmt::Display for Rejection {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Rejection::$reason => f.write_str($text),)+
                    Rejection::Kiss(kiss) => write!(f, "{}: {}", kiss.code(), kiss.meaning()),
                }
            }
        }

        /// Every reason but the kiss.
        #[cfg(test)]
        const ALL: &[Rejection] = &[$(Rejection::$reason),+];
    };
}

rejections! {
    /// Another host sent it.
    Address "address" "its source address is not the server's"
    /// Another socket sent it.
    Port "port" "its source port is not the server's"
    /// Fewer bytes than a packet has.
    Short "short" "it is shorter than 48 bytes"
    /// More bytes than any reply has.
    Long "long" "it is longer than 1500 bytes"
    /// An echo server sent it.
    OwnRequest "own_request" "it is a copy of our request"
    /// Not 4.
    Mode "mode" "its mode is not 4 (server)"
    /// Not 3 or 4.
    Version "version" "its version is neither 3 nor 4"
    /// No nonce at all.
    OriginZero "origin_zero" "its origin timestamp is zero"
    /// A nonce of ours, but not of this request.
    OriginEarlier "origin_earlier" "its origin timestamp is that of an earlier request"
    /// Not our nonce: the sender has not seen our request.
    Origin "origin" "its origin timestamp is not that of our request"
    /// The server does not know the time.
    Leap "leap" "the server's clock is not synchronised"
    /// Neither a time nor a kiss.
    StratumZero "stratum_zero" "its stratum is 0, and it has no kiss code"
    /// 16 or more.
    Stratum "stratum" "its stratum is greater than 15"
    /// No T3.
    TransmitZero "transmit_zero" "its transmit timestamp is zero"
    /// No T2.
    ReceiveZero "receive_zero" "its receive timestamp is zero"
    /// T3 is before T2.
    Backwards "backwards" "its transmit timestamp is before its receive timestamp"
    /// The delay alone is too large.
    RootDelay "root_delay" "its root delay is 3 s or more"
    /// The dispersion alone is.
    RootDispersion "root_dispersion" "its root dispersion is 1.5 s or more"
    /// Both together are.
    RootDistance "root_distance" "its root distance is 1.5 s or more"
    /// A clock that cannot tell one second from the next.
    Precision "precision" "the precision of the server's clock is 2 s or worse"
    /// T3 - T2 is longer than T4 - T1.
    NegativeDelay "negative_delay" "the server's own time is longer than the whole exchange"
}

/// The lengths that the texts above state.
const _: () = assert!(LENGTH == 48 && LONGEST == 1_500 && DRIFT.0 < DRIFT.1);

#[cfg(test)]
mod other_tests;
#[cfg(test)]
mod seeded_tests;
#[cfg(test)]
mod tests;
