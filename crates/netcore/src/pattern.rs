//! Bytes to send when it matters that they come back as they went.

/// So many bytes that never repeat for long, the same for the same seed (xorshift64*), so that a
/// lost, doubled or exchanged piece shows.
#[must_use]
pub fn pattern(seed: u64, size: u32) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let [high, ..] = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes();
        high
    };
    (0..size).map(|_| next()).collect()
}

/// `byte 2 was sent as 0x6c and came back as 0x4c`: the first byte that differs, counted from
/// `offset`; `None` where all are equal as far as both go.
#[must_use]
pub fn first_difference<'a>(
    sent: impl IntoIterator<Item = &'a u8>,
    got: &[u8],
    offset: u64,
) -> Option<String> {
    let differs = |(at, (sent, got)): (u64, (&u8, &u8))| {
        (sent != got).then(|| {
            format!("byte {} was sent as {sent:#04x} and came back as {got:#04x}", offset + at)
        })
    };
    (0..).zip(sent.into_iter().zip(got)).find_map(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_same_for_the_same_seed_and_its_beginning_for_every_size() {
        assert_eq!(pattern(1, 1000), pattern(1, 1000));
        assert_ne!(pattern(1, 1000), pattern(2, 1000));
        assert!(pattern(1, 1000).starts_with(&pattern(1, 10)));
    }

    #[test]
    fn the_first_difference_is_named_with_its_offset() {
        let said = first_difference(b"hello, all", b"heLlo", 100);
        assert_eq!(said.as_deref(), Some("byte 102 was sent as 0x6c and came back as 0x4c"));
        assert_eq!(first_difference(b"hello", b"hell", 0), None);
    }
}
