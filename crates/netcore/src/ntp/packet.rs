//! The 48 bytes of a packet, and the fields in them (RFC 5905 §7.3, RFC 4330 §4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |LI | VN  |Mode |    Stratum     |     Poll      |  Precision   |
//! |                         Root Delay                            |
//! |                         Root Dispersion                       |
//! |                          Reference ID                         |
//! |                     Reference Timestamp (64)                  |
//! |                      Origin Timestamp (64)                    |
//! |                      Receive Timestamp (64)                   |
//! |                      Transmit Timestamp (64)                  |
//! ```

use super::time::Timestamp;

/// Bytes of a packet without extensions.
pub(crate) const LENGTH: usize = 48;

/// The mode of a request.
pub const CLIENT: u8 = 3;

/// The mode of its reply.
pub const SERVER: u8 = 4;

/// The leap indicator of a server whose clock is not synchronised.
pub const UNSYNCHRONISED: u8 = 3;

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// A duration in 32 bits: seconds and fractions of 2^-16 s ("NTP Short Format").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Short(pub u32);

impl Short {
    /// Rounded to the nearest nanosecond.
    #[must_use]
    pub fn nanos(self) -> i128 {
        (i128::from(self.0) * SECOND + (1 << 15)) >> 16
    }
}

/// A packet, in the order of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// 0: none, 1: the last minute of the day has 61 seconds, 2: 59, 3: not synchronised.
    pub leap: u8,
    /// 4, or 3.
    pub version: u8,
    /// 3 in a request, 4 in its reply.
    pub mode: u8,
    /// The distance to a reference clock: 1 has one, 2 asks a server of stratum 1, 16 is
    /// unsynchronised, 0 is a kiss-o'-death.
    pub stratum: u8,
    /// The longest interval between two messages, as a power of two in seconds.
    pub poll: i8,
    /// The precision of the server's clock, as a power of two in seconds.
    pub precision: i8,
    /// The round-trip delay from the server to its reference clock.
    pub root_delay: Short,
    /// The error of the server's clock relative to its reference clock.
    pub root_dispersion: Short,
    /// The name of the reference clock at stratum 1, the kiss code at 0; above 1 the address of the
    /// server's server.
    pub reference_id: [u8; 4],
    /// When the server's clock was last set.
    pub reference: Timestamp,
    /// T1, copied from the request.
    pub origin: Timestamp,
    /// T2.
    pub receive: Timestamp,
    /// T3.
    pub transmit: Timestamp,
}

impl Packet {
    /// A request: every field is zero but the version, the mode and the transmit timestamp. A server
    /// only copies that one into the origin timestamp of its reply. So it need not be the time of our
    /// clock: it is a nonce, and a reply that returns it comes from a host that saw the request.
    #[must_use]
    pub fn request(version: u8, nonce: Timestamp) -> Packet {
        Packet { version, mode: CLIENT, transmit: nonce, ..Packet::default() }
    }

    /// The bytes on the wire, every number in network order.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let first = (self.leap & 3) << 6 | (self.version & 7) << 3 | self.mode & 7;
        let [poll, precision] = [self.poll, self.precision].map(i8::cast_unsigned);
        let fields: [&[u8]; 8] = [
            &[first, self.stratum, poll, precision],
            &self.root_delay.0.to_be_bytes(),
            &self.root_dispersion.0.to_be_bytes(),
            &self.reference_id,
            &self.reference.0.to_be_bytes(),
            &self.origin.0.to_be_bytes(),
            &self.receive.0.to_be_bytes(),
            &self.transmit.0.to_be_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// The packet at the start of a datagram; `None` if it has fewer than 48 bytes. What follows,
    /// extension fields and a message authentication code, is ignored.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Packet> {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let (root_delay, rest) = rest.split_first_chunk()?;
        let (root_dispersion, rest) = rest.split_first_chunk()?;
        let (reference_id, rest) = rest.split_first_chunk()?;
        let (reference, rest) = rest.split_first_chunk()?;
        let (origin, rest) = rest.split_first_chunk()?;
        let (receive, rest) = rest.split_first_chunk()?;
        let (transmit, _) = rest.split_first_chunk()?;
        let [first, stratum, poll, precision] = *head;
        let short = |bytes| Short(u32::from_be_bytes(bytes));
        let timestamp = |bytes| Timestamp(u64::from_be_bytes(bytes));
        Some(Packet {
            leap: first >> 6,
            version: first >> 3 & 7,
            mode: first & 7,
            stratum,
            poll: poll.cast_signed(),
            precision: precision.cast_signed(),
            root_delay: short(*root_delay),
            root_dispersion: short(*root_dispersion),
            reference_id: *reference_id,
            reference: timestamp(*reference),
            origin: timestamp(*origin),
            receive: timestamp(*receive),
            transmit: timestamp(*transmit),
        })
    }

    /// The largest error of the server's own clock: half its root delay, and its root dispersion. In
    /// nanoseconds.
    #[must_use]
    pub(crate) fn root_distance(&self) -> i128 {
        self.root_delay.nanos() / 2 + self.root_dispersion.nanos()
    }

    /// The precision of its clock in nanoseconds, rounded up.
    #[must_use]
    pub(crate) fn precision_nanos(&self) -> i128 {
        let exponent = self.precision.unsigned_abs().min(64);
        let power = 1_i128 << exponent;
        if self.precision < 0 { (SECOND + power - 1) >> exponent } else { SECOND * power }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_holds_its_version_its_mode_and_the_nonce_only() {
        let bytes = Packet::request(4, Timestamp(0x0102_0304_0506_0708)).to_bytes();
        // 0x23, 35: leap 0, version 4, mode 3. The Python original's 0x1b is version 3.
        assert_eq!((bytes[0], Packet::request(3, Timestamp::NONE).to_bytes()[0]), (0x23, 0x1b));
        assert_eq!(bytes[1..40], [0; 39]);
        assert_eq!(bytes[40..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn each_field_lies_where_the_rfc_draws_it() {
        let mut bytes: Vec<u8> = (0..48).collect();
        bytes[0] = 0b01_100_100;
        bytes.extend([0xff; 20]);
        let packet = Packet {
            leap: 1,
            version: 4,
            mode: SERVER,
            stratum: 1,
            poll: 2,
            precision: 3,
            root_delay: Short(0x0405_0607),
            root_dispersion: Short(0x0809_0a0b),
            reference_id: [12, 13, 14, 15],
            reference: Timestamp(0x1011_1213_1415_1617),
            origin: Timestamp(0x1819_1a1b_1c1d_1e1f),
            receive: Timestamp(0x2021_2223_2425_2627),
            transmit: Timestamp(0x2829_2a2b_2c2d_2e2f),
        };
        assert_eq!(Packet::from_bytes(&bytes), Some(packet));
        assert_eq!(Packet::from_bytes(&bytes[..47]), None);
    }

    #[test]
    fn short_spans_are_seconds_and_65_536ths() {
        assert_eq!(Short(0x0001_8000).nanos(), 1_500_000_000);
        // 15.26 microseconds.
        assert_eq!([Short(1).nanos(), Short(2).nanos()], [15_259, 30_518]);
        assert_eq!(Short(u32::MAX).nanos(), 65_535_999_984_741);
    }

    #[test]
    fn the_precision_of_a_clock_is_a_power_of_two() {
        let nanos = |precision| Packet { precision, ..Packet::default() }.precision_nanos();
        // A quarter of a million a second: 3.8 microseconds.
        assert_eq!(nanos(-18), 3_815);
        assert_eq!([nanos(-1), nanos(0), nanos(1)], [SECOND / 2, SECOND, 2 * SECOND]);
        assert_eq!([nanos(-128), nanos(127)], [1, SECOND << 64]);
    }

    proptest! {
        #[test]
        fn a_packet_survives_its_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            match Packet::from_bytes(&bytes) {
                Some(packet) => prop_assert_eq!(&packet.to_bytes(), &bytes[..LENGTH]),
                None => prop_assert!(bytes.len() < LENGTH),
            }
        }
    }
}
