//! What the samples of a server come to, as lines for a person or for a program.

use netcore::error::Error;
use netcore::local_time;
use netcore::ntp::Sample;
use netcore::ntp::filter::jitter;
use netcore::ntp::show::{signed, unsigned};
use netcore::text::Json;

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
        let leap = sample.packet.leap();
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
        if !self.asked.refused.is_empty() {
            text += &format!("    {}\n", self.asked.refused);
        }
        if self.args.verbose {
            text += &format!("Response received from {}\n", self.asked.server);
            text += &format!("    Time={}\n", local_time::date(time));
        }
        text
    }

    fn json(&self) -> Json {
        let (asked, sample) = (self.asked, &self.best.sample);
        let json = Json::new("answer").text("server", self.word).address(asked.server);
        let json = json.text("time", &sample.corrected(sample.t4).to_string());
        let json = json.number("offset_ns", sample.offset()).number("delay_ns", sample.delay());
        let json = sample.describe(json.number("bound_ns", sample.bound()));
        let by_kernel = self.best.stamped && self.args.clock != Clock::User;
        let mut json = json.text("clock", if by_kernel { "receive" } else { "user" });
        if self.args.clock == Clock::Both {
            let user = self.user();
            json = json.number("user_t4_ns", user.t4.nanos());
            json = json.number("user_offset_ns", user.offset());
        }
        let json = json.number("samples", asked.samples.len() as u64).number("tries", asked.tries);
        let json =
            json.number("median_offset_ns", self.median()).number("jitter_ns", self.jitter());
        json.counts("rejected", asked.refused.counts())
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

    fn jitter(&self) -> i128 {
        jitter(self.best.sample.offset(), self.offsets())
    }
}
