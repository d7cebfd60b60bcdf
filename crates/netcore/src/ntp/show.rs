//! The fields of a reply as text and as JSON; seconds with six decimals.

use std::net::Ipv4Addr;

use super::Sample;
use super::packet::Packet;
use super::time::Timestamp;
use crate::text::{Json, escape};

impl Packet {
    /// The leap indicator: whether a leap second follows the last minute of this day.
    #[must_use]
    pub fn leap(&self) -> &'static str {
        match self.leap {
            0 => "none",
            1 => "insert",
            2 => "delete",
            _ => "unknown",
        }
    }

    /// At stratum 1 the name of a clock; above it an IPv4 address, or a hash of an IPv6 address.
    fn reference(&self) -> String {
        if self.stratum > 1 {
            return Ipv4Addr::from(self.reference_id).to_string();
        }
        let length = self.reference_id.iter().position(|byte| *byte == 0).unwrap_or(4);
        escape(self.reference_id.get(..length).unwrap_or_default())
    }
}

impl Sample {
    /// Adds the fields of the reply, and T1 to T4.
    #[must_use]
    pub fn describe(&self, json: Json) -> Json {
        let packet = &self.packet;
        let json = json.number("version", packet.version).text("leap", packet.leap());
        let json = json.number("stratum", packet.stratum).number("precision", packet.precision);
        let json = json.number("poll", packet.poll);
        let json = json.number("root_delay_ns", packet.root_delay.nanos());
        let json = json.number("root_dispersion_ns", packet.root_dispersion.nanos());
        let json = json.text("reference_id", &packet.reference());
        let mut json = json.number("era", self.t3.era());
        // Zero means unknown, not the year 1900.
        if packet.reference != Timestamp::NONE {
            json = json.text("reference_time", &packet.reference.near(self.t3).to_string());
        }
        let times =
            [("t1_ns", self.t1), ("t2_ns", self.t2), ("t3_ns", self.t3), ("t4_ns", self.t4)];
        times.into_iter().fold(json, |json, (key, instant)| json.number(key, instant.nanos()))
    }
}

/// Seconds with their sign and six decimals: `+0.000023`. Rounded to the microsecond.
#[must_use]
pub fn signed(nanos: i128) -> String {
    let micros = (nanos.saturating_abs() + 500) / 1_000;
    let sign = if nanos < 0 && micros > 0 { '-' } else { '+' };
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Seconds without a sign, rounded up: a bound must not be shown smaller than it is.
#[must_use]
pub fn unsigned(nanos: i128) -> String {
    let micros = nanos.saturating_add(999).div_euclid(1_000);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_and_have_six_decimals() {
        for (nanos, shown) in [
            (23_000, "+0.000023"),
            (-23_499, "-0.000023"),
            (1_500_000_500, "+1.500001"),
            (499, "+0.000000"),
            (-499, "+0.000000"),
            (0, "+0.000000"),
            (-4_294_967_296_000_000_000, "-4294967296.000000"),
        ] {
            assert_eq!(signed(nanos), shown);
        }
        for (nanos, shown) in [(0, "0.000000"), (1, "0.000001"), (1_000, "0.000001")] {
            assert_eq!(unsigned(nanos), shown);
        }
    }

    #[test]
    fn a_reference_is_a_clock_or_a_server() {
        let named =
            |stratum, id| Packet { stratum, reference_id: id, ..Packet::default() }.reference();
        assert_eq!(named(1, *b"GPS\0"), "GPS");
        assert_eq!(named(1, *b"\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(named(2, [192, 0, 2, 1]), "192.0.2.1");
    }
}
