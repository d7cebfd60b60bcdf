//! What the targets share: libFuzzer's changes, and now and then one that knows the format.

/// A target that runs a check.
macro_rules! target {
    ($check:ident) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            $check::check(bytes);
        });

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
            let mut random = seeded::Random(seed.into());
            if random.below(4) > 0 {
                return libfuzzer_sys::fuzzer_mutate(data, size, max);
            }
            // At first there is a single byte, a newline.
            let mut bytes = if size > 1 { data[..size].to_vec() } else { Vec::new() };
            seeded::change(&mut bytes, $check::SEEDS, $check::WORDS, &mut random);
            bytes.truncate(max);
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        });
    };
}
