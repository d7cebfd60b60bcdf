//! What the samples of a server come to, as lines for a person or for a program.

use netcore::error::Error;
use netcore::ntp::Sample;
use netcore::ntp::packet::Packet;
use netcore::ntp::time::Timestamp;
use netcore::sys::local_time;
use netcore::text::{Json, escape};

use crate::args::{Args, Clock};
use crate::ask::{Asked, Got};

/// The answer of one address.
pub(crate) struct Answer<'a> {
    word: &'a str,
    asked: &'a Asked,
    args: &'a Args,
    /// The sample of least delay: what took longer has waited somewhere, and who knows where.
    best: &'a Got,
}

impl<'a> Answer<'a> {
    /// `None` without a sample.
    pub(crate) fn of(word: &'a str, asked: &'a Asked, args: &'a Args) -> Option<Answer<'a>> {
        let best = asked.samples.iter().min_by_key(|got| got.sample.delay())?;
        Some(Answer { word, asked, args, best })
    }

    /// Whether it is good enough.
    pub(crate) fn judge(&self) -> Result<(), Error> {
        let peer = self.asked.server.to_string();
        let (offset, bound) = (self.best.sample.offset(), self.best.sample.bound());
        if self.args.max_offset.is_passed_by(offset.abs()) {
            let fault = format!("off by {} s, which is more than --max-offset", signed(offset));
            return Err(Error::Protocol { peer, fault });
        }
        if self.args.max_bound.is_passed_by(bound) {
            let bound = unsigned(bound);
            let why =
                format!("off by up to {bound} s more or less, which is more than --max-bound");
            return Err(Error::Later { peer, why });
        }
        Ok(())
    }

    pub(crate) fn text(&self) -> String {
        if self.args.json {
            return format!("{}\n", self.json());
        }
        let sample = &self.best.sample;
        let time = sample.corrected(sample.t4);
        let (offset, bound) = (signed(sample.offset()), unsigned(sample.bound()));
        let (ip, stratum) = (self.asked.server.ip(), sample.packet.stratum);
        let leap = leap(&sample.packet);
        let word = self.word;
        let mut text = format!("{time} {offset} +/- {bound} {word} {ip} s{stratum} leap={leap}\n");
        if self.asked.samples.len() > 1 {
            let (count, delay) = (self.asked.samples.len(), unsigned(sample.delay().max(0)));
            let (median, jitter) = (signed(self.median()), unsigned(self.jitter()));
            text += &format!("    Samples={count} median={median} jitter={jitter} delay={delay}\n");
        }
        if self.args.clock == Clock::Both {
            let user = self.user();
            let late = unsigned(user.t4.since(sample.t4));
            text += &format!("    User={} read {late} later\n", signed(user.offset()));
        }
        if let Some(counts) = self.asked.counts() {
            text += &format!("    {counts}\n");
        }
        if self.args.verbose {
            text += &format!("Response received from {}\n", self.asked.server);
            let seconds = i64::try_from(time.nanos().div_euclid(1_000_000_000)).ok();
            let local = seconds.and_then(local_time).unwrap_or_else(|| time.to_string());
            text += &format!("    Time={}\n", escape(local.as_bytes()));
        }
        text
    }

    fn json(&self) -> Json {
        let (asked, sample) = (self.asked, &self.best.sample);
        let packet = &sample.packet;
        let json = Json::new("answer").text("server", self.word).address(asked.server);
        let json = json.text("time", &sample.corrected(sample.t4).to_string());
        let json = json.number("offset_ns", sample.offset()).number("delay_ns", sample.delay());
        let json = json.number("bound_ns", sample.bound()).number("version", packet.version);
        let json = json.text("leap", leap(packet)).number("stratum", packet.stratum);
        let json = json.number("precision", packet.precision).number("poll", packet.poll);
        let json = json.number("root_delay_ns", packet.root_delay.nanos());
        let json = json.number("root_dispersion_ns", packet.root_dispersion.nanos());
        let json = json.text("reference_id", &reference_id(packet));
        let mut json = json.number("era", sample.t3.era());
        // All zeros are no time, least of all one in 1900.
        if packet.reference != Timestamp::NONE {
            json = json.text("reference_time", &packet.reference.near(sample.t3).to_string());
        }
        for (key, instant) in
            [("t1_ns", sample.t1), ("t2_ns", sample.t2), ("t3_ns", sample.t3), ("t4_ns", sample.t4)]
        {
            json = json.number(key, instant.nanos());
        }
        let by_kernel = self.best.stamped && self.args.clock != Clock::User;
        json = json.text("clock", if by_kernel { "receive" } else { "user" });
        if self.args.clock == Clock::Both {
            let user = self.user();
            json = json.number("user_t4_ns", user.t4.nanos());
            json = json.number("user_offset_ns", user.offset());
        }
        let json = json.number("samples", asked.samples.len() as u64).number("tries", asked.tries);
        let json =
            json.number("median_offset_ns", self.median()).number("jitter_ns", self.jitter());
        json.counts("rejected", asked.rejected.iter().map(|(name, (count, _))| (*name, *count)))
    }

    /// The best sample as it would be without the kernel's stamp.
    fn user(&self) -> Sample {
        Sample { t4: self.best.user, ..self.best.sample.clone() }
    }

    fn offsets(&self) -> impl Iterator<Item = i128> {
        self.asked.samples.iter().map(|got| got.sample.offset())
    }

    /// The offset in the middle, of an even number the mean of both.
    fn median(&self) -> i128 {
        let mut offsets: Vec<i128> = self.offsets().collect();
        offsets.sort_unstable();
        let at = |index: usize| offsets.get(index).copied().unwrap_or_default();
        let (low, high) = (offsets.len().saturating_sub(1) / 2, offsets.len() / 2);
        (at(low) + at(high)).div_euclid(2)
    }

    /// How much the offsets differ from the best: the root of the mean square (RFC 5905 §8).
    fn jitter(&self) -> i128 {
        let best = self.best.sample.offset();
        let others = self.asked.samples.len().saturating_sub(1).max(1) as f64;
        let squares = self.offsets().map(|offset| ((offset - best) as f64).powi(2));
        std::time::Duration::try_from_secs_f64((squares.sum::<f64>() / others).sqrt() / 1e9)
            .map_or(i128::MAX, |jitter| jitter.as_nanos().cast_signed())
    }
}

/// `once`, `4 times`.
pub(crate) fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn leap(packet: &Packet) -> &'static str {
    match packet.leap {
        0 => "none",
        1 => "insert",
        2 => "delete",
        _ => "unknown",
    }
}

/// At stratum 1 the name of a clock; further on the address of a server, or what is left of one.
fn reference_id(packet: &Packet) -> String {
    if packet.stratum > 1 {
        return std::net::Ipv4Addr::from(packet.reference_id).to_string();
    }
    let length = packet.reference_id.iter().position(|byte| *byte == 0).unwrap_or(4);
    escape(packet.reference_id.get(..length).unwrap_or_default())
}

/// Seconds with all their zeros, and their sign: `+0.000023`. Rounded to the microsecond.
fn signed(nanos: i128) -> String {
    let micros = (nanos.saturating_abs() + 500) / 1_000;
    let sign = if nanos < 0 && micros > 0 { '-' } else { '+' };
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Seconds of something that has no sign, rounded up: a bound must not look smaller than it is.
fn unsigned(nanos: i128) -> String {
    let micros = nanos.saturating_add(999).div_euclid(1_000);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_and_keep_their_zeros() {
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
            |stratum, id| reference_id(&Packet { stratum, reference_id: id, ..Packet::default() });
        assert_eq!(named(1, *b"GPS\0"), "GPS");
        assert_eq!(named(1, *b"\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(named(2, [192, 0, 2, 1]), "192.0.2.1");
    }
}
