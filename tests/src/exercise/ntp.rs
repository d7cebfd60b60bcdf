//! What both exercises about NTP need: a server whose clock shows what it is told to, and the client's answer.

use std::time::{SystemTime, UNIX_EPOCH};

use netcheck::Arrival;

use super::{DatagramCaller, Fault, shown};

/// From the epoch of NTP, 1900, to that of Unix, 1970, in seconds.
const NTP_TO_UNIX: i128 = 2_208_988_800;

/// In nanoseconds.
pub(super) const SECOND: i128 = 1_000_000_000;

/// Bytes of a packet.
const LENGTH: usize = 48;

/// A reply, as the RFC has its fields (RFC 4330 §4).
#[derive(Clone, Copy)]
pub(super) struct Reply {
    pub(super) leap: u8,
    pub(super) version: u8,
    pub(super) mode: u8,
    pub(super) stratum: u8,
    pub(super) reference_id: [u8; 4],
    /// The bits of a timestamp, as all that follow.
    pub(super) origin: u64,
    pub(super) receive: u64,
    pub(super) transmit: u64,
}

impl Reply {
    /// A valid one to that request; T2 and T3 are nanoseconds since 1970.
    pub(super) fn new(request: &Arrival, t2: i128, t3: i128) -> Reply {
        let nonce = request.bytes.get(40..LENGTH).and_then(|bytes| bytes.try_into().ok());
        Reply {
            leap: 0,
            version: 4,
            mode: 4,
            stratum: 1,
            reference_id: *b"GPS\0",
            origin: nonce.map_or(0, u64::from_be_bytes),
            receive: timestamp(t2),
            transmit: timestamp(t3),
        }
    }

    /// The bytes on the wire.
    pub(super) fn bytes(&self) -> Vec<u8> {
        /// 2^-20 s, in two's complement.
        const PRECISION: u8 = 236;
        let first = self.leap << 6 | self.version << 3 | self.mode;
        let mut bytes = vec![first, self.stratum, 6, PRECISION];
        bytes.extend([0, 0, 0, 0]); // root delay
        bytes.extend([0, 0, 0, 16]); // root dispersion, a quarter of a millisecond
        bytes.extend(self.reference_id);
        for timestamp in [self.receive, self.origin, self.receive, self.transmit] {
            bytes.extend(timestamp.to_be_bytes());
        }
        bytes
    }
}

/// The bits of an instant: seconds since 1900, without the era, and fractions of 2^-32 s.
fn timestamp(nanos: i128) -> u64 {
    let units = ((nanos + NTP_TO_UNIX * SECOND) << 32).div_euclid(SECOND);
    u64::try_from(units & i128::from(u64::MAX)).unwrap_or_default()
}

/// Nanoseconds since 1970.
pub(super) fn nanos(time: SystemTime) -> i128 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos().cast_signed())
}

/// The offset and the delay that the client has printed, in nanoseconds. It has ended.
pub(super) fn answer(caller: &DatagramCaller) -> Result<(i128, i128), Fault> {
    let expected = "a line of JSON with \"offset_ns\" and \"delay_ns\", and exit code 0";
    let status = caller.end(expected)?;
    let printed = caller.process().stdout();
    let answer = number(&printed, "offset_ns").zip(number(&printed, "delay_ns"));
    let answer = answer.filter(|_| status.success());
    answer.ok_or_else(|| caller.wrong(expected, shown(printed.as_bytes()), ""))
}

/// The number that stands behind a key.
pub(super) fn number(json: &str, key: &str) -> Option<i128> {
    let (_, after) = json.split_once(&format!("\"{key}\""))?;
    let after = after.trim_start().strip_prefix(':')?.trim_start();
    let is_part = |c: char| c.is_ascii_digit() || c == '-';
    let end = after.find(|c| !is_part(c)).unwrap_or(after.len());
    after.get(..end)?.parse().ok()
}

/// Nanoseconds as seconds with a sign.
pub(super) fn seconds(nanos: i128) -> String {
    let sign = if nanos < 0 { '-' } else { '+' };
    let micros = nanos.unsigned_abs() / 1_000;
    format!("{sign}{}.{:06} s", micros / 1_000_000, micros % 1_000_000)
}
