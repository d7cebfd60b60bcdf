//! A fuzzer that needs no tools: it changes seeds at random, the same changes each time.
//!
//! The fuzz targets take some of their changes from it too, so that libFuzzer knows the seeds and the
//! words of a format.

/// What a check is given at first, and what it returns for each of them.
pub(crate) type Seeds<'a> = &'a [(&'a [u8], &'static str)];

/// The numbers of SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or_default()
    }

    /// One of them.
    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// One change: a byte, a bit, a word of the format, a part that is removed, repeated or moved, or the
/// beginning of one seed with the end of another.
pub(crate) fn change(bytes: &mut Vec<u8>, seeds: Seeds, words: &[&[u8]], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(16) + 1).min(bytes.len());
    match random.below(8) {
        0 => bytes.insert(at, random.next().to_le_bytes()[0]),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        2 | 3 => {
            let word = random.pick(words).copied().unwrap_or_default();
            let end = if random.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
            bytes.splice(at..end, word.iter().copied());
        }
        4 => drop(bytes.drain(at..end)),
        5 => {
            let part: Vec<u8> = bytes.drain(at..end).collect();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, part);
        }
        6 => {
            let part: Vec<u8> = bytes.iter().skip(at).take(end - at).copied().collect();
            (0..random.below(3)).for_each(|_| drop(bytes.splice(at..at, part.iter().copied())));
        }
        _ => {
            let other = random.pick(seeds).map_or(&[][..], |(seed, _)| seed);
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend(other.iter().skip(from));
        }
    }
}

/// Gives the check each seed, and `FUZZ_RUNS` (20,000) changed ones.
///
/// # Panics
/// When the check does; when a seed has another outcome than it should; and when one of these
/// outcomes was never reached by a changed seed, since then the check was not used.
#[cfg(test)]
pub(crate) fn run(seeds: Seeds, words: &[&[u8]], check: fn(&[u8]) -> &'static str) {
    let runs = std::env::var("FUZZ_RUNS").map_or(20_000, |runs| runs.parse().expect("a number"));
    for (seed, outcome) in seeds {
        assert_eq!(check(seed), *outcome, "{}", seed.escape_ascii());
    }
    let (mut random, mut reached) = (Random(1), std::collections::BTreeMap::new());
    for _ in 0..runs {
        let mut bytes = random.pick(seeds).map_or_else(Vec::new, |(seed, _)| seed.to_vec());
        for _ in 0..=random.below(4) {
            change(&mut bytes, seeds, words, &mut random);
        }
        // Shown when the check panics, and only then: the output of a test is captured.
        let outcome = std::panic::catch_unwind(|| check(&bytes)).unwrap_or_else(|cause| {
            eprintln!("the input: {}", bytes.escape_ascii());
            std::panic::resume_unwind(cause)
        });
        *reached.entry(outcome).or_insert(0) += 1;
    }
    for (_, outcome) in seeds {
        assert!(reached.contains_key(outcome), "{outcome}: never; {reached:?}");
    }
}
