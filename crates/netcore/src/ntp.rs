//! The Network Time Protocol (RFC 5905), as much as one request and its reply need (RFC 4330).
//!
//! Nothing here does I/O: bytes and instants go in, values or named reasons come out.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`time`] | instants, and their 64-bit timestamps, which leave out the era |
//! | [`date`] | dates as people read and type them (RFC 3339) |
//! | [`packet`] | the 48 bytes, and the fields in them |
//! | [`validate`] | whether a datagram is a valid reply to a request, or why not |
//! | [`rejected`] | rejected datagrams, counted by reason |
//! | [`filter`] | the best of several samples of a server |
//! | [`select`] | which of several servers agree |
//! | [`server`] | servers as people type them |
//! | [`show`] | the fields of a reply as text and as JSON |

pub mod date;
pub mod filter;
pub mod packet;
pub mod rejected;
pub mod select;
pub mod server;
pub mod show;
pub mod time;
pub mod validate;

use packet::Packet;
use time::Utc;

/// How fast a clock may drift: 15 parts in a million (RFC 5905 §7.1, PHI).
const DRIFT: (i128, i128) = (15, 1_000_000);

/// How far a clock may drift in so many nanoseconds.
fn drift(nanos: i128) -> i128 {
    nanos.max(0) * DRIFT.0 / DRIFT.1
}

/// One request and its reply: four readings of two clocks (RFC 4330 §5).
///
/// ```text
/// Timestamp Name          ID   When Generated
/// ------------------------------------------------------------
/// Originate Timestamp     T1   time request sent by client
/// Receive Timestamp       T2   time request received by server
/// Transmit Timestamp      T3   time reply sent by server
/// Destination Timestamp   T4   time reply received by client
/// ```
///
/// T1 and T4 are read from our clock, T2 and T3 from the server's. The results are nanoseconds in
/// 128 bits: clocks that are centuries apart do not overflow them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The client sent the request.
    pub t1: Utc,
    /// The server received it.
    pub t2: Utc,
    /// The server sent the reply.
    pub t3: Utc,
    /// The client received it.
    pub t4: Utc,
    /// The reply.
    pub packet: Packet,
}

impl Sample {
    /// The server's clock minus ours, if both directions took equally long:
    ///
    /// `offset = ((T2 - T1) + (T3 - T4)) / 2`
    #[must_use]
    pub fn offset(&self) -> i128 {
        (self.t2.since(self.t1) + self.t3.since(self.t4)).div_euclid(2)
    }

    /// The round-trip time, without the time that the server spent:
    ///
    /// `delay = (T4 - T1) - (T3 - T2)`
    #[must_use]
    pub fn delay(&self) -> i128 {
        self.t4.since(self.t1) - self.t3.since(self.t2)
    }

    /// The largest error of the offset, if the server states its own errors correctly: half of the
    /// delay, for the case that one direction took all of it; half the root delay and the root
    /// dispersion of the server; the precision of its clock; and the drift of ours from T1 to T4.
    /// RFC 5905 calls it the root synchronization distance (Appendix A.5.5.2).
    #[must_use]
    pub fn bound(&self) -> i128 {
        let packet = &self.packet;
        self.delay().max(0) / 2 + packet.root_distance() + packet.precision_nanos() + self.drift()
    }

    /// How far a clock may have drifted from T1 to T4.
    fn drift(&self) -> i128 {
        drift(self.t4.since(self.t1))
    }

    /// The server's time when our clock shows `ours`.
    #[must_use]
    pub fn corrected(&self, ours: Utc) -> Utc {
        ours.plus(self.offset())
    }
}

#[cfg(test)]
mod tests {
    use super::packet::Short;
    use super::*;

    const MS: i128 = 1_000_000;
    const SECOND: i128 = 1_000 * MS;

    fn sample(times: [i128; 4]) -> Sample {
        let [t1, t2, t3, t4] = times.map(Utc::from_nanos);
        Sample { t1, t2, t3, t4, packet: Packet { precision: -20, ..Packet::default() } }
    }

    #[test]
    fn equal_delays_in_both_directions_give_the_true_offset() {
        // The server is 1.5 s ahead, 20 ms away, and takes 1 ms.
        let sample = sample([0, 1_520 * MS, 1_521 * MS, 41 * MS]);
        assert_eq!((sample.offset(), sample.delay()), (1_500 * MS, 40 * MS));
    }

    #[test]
    fn unequal_delays_are_an_error_of_half_their_difference_and_inside_the_bound() {
        // 40 ms there, nothing back.
        let sample = sample([0, 40 * MS, 40 * MS, 40 * MS]);
        assert_eq!((sample.offset(), sample.delay()), (20 * MS, 40 * MS));
        assert!(sample.bound() >= 20 * MS && sample.bound() < 20 * MS + 3_000);
    }

    #[test]
    fn the_bound_adds_the_errors_that_the_server_states() {
        let mut sample = sample([0, 0, 0, 0]);
        sample.packet.root_delay = Short(0x0001_0000);
        sample.packet.root_dispersion = Short(0x0000_8000);
        assert_eq!(sample.bound(), SECOND + 954);
    }

    #[test]
    fn clocks_that_are_centuries_apart_do_not_overflow() {
        let century = 100 * 365 * 86_400 * SECOND;
        for apart in [century, -century, 100 * century, 1 << 79, -1 << 79] {
            let there = Utc::from_nanos(apart);
            let apart = there.since(Utc::from_nanos(0));
            let sample = sample([0, apart + MS, apart + MS, 2 * MS]);
            assert_eq!((sample.offset(), sample.delay()), (apart, 2 * MS));
        }
    }

    #[test]
    fn an_offset_is_rounded_down_on_both_sides_of_zero() {
        assert_eq!(sample([0, 1, 0, 0]).offset(), 0);
        assert_eq!(sample([1, 0, 0, 0]).offset(), -1);
    }
}
