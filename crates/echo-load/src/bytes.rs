//! What is sent, and so what has to come back.

use netcore::pattern::pattern;

/// Bytes in one send, and in one recv, at most.
pub(crate) const CHUNK: u32 = 256 * 1024;

/// After so many bytes the pattern begins again. It is a prime: a piece of any usual size (64, 4096,
/// 65536, …) that is lost, doubled or exchanged with another is found.
const PERIOD: u32 = 65_521;

/// How much later in the pattern the stream of the next connection begins, so that bytes of another
/// connection are found too.
const STRIDE: u64 = 40_503;

/// The streams of all connections, in memory once.
pub(crate) struct Bytes {
    /// A period and a chunk: a chunk that begins anywhere in the period is one slice.
    repeated: Vec<u8>,
}

impl Bytes {
    pub(crate) fn new(seed: u64) -> Bytes {
        let period = pattern(seed, PERIOD).into_iter().cycle();
        Bytes { repeated: period.take(length((PERIOD + CHUNK).into())).collect() }
    }

    /// Bytes of the stream of a connection from `position` on: `most` of them, but no more than a chunk.
    pub(crate) fn slice(&self, connection: u32, position: u64, most: u64) -> &[u8] {
        let start = u64::from(connection).wrapping_mul(STRIDE).wrapping_add(position);
        let from = length(start % u64::from(PERIOD));
        self.repeated.get(from..from + length(most.min(CHUNK.into()))).unwrap_or_default()
    }
}

/// A number of bytes that are in memory, and so fits.
fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let bytes = Bytes::new(1);
        let mut cut: Vec<u8> = Vec::new();
        while cut.len() < 200_000 {
            let piece = 1 + cut.len() as u64 % 70_001;
            cut.extend(bytes.slice(3, cut.len() as u64, piece));
        }
        let whole = bytes.slice(3, 0, u64::MAX);
        assert_eq!(whole.len() as u64, u64::from(CHUNK));
        assert!(cut.iter().zip(whole).all(|(one, other)| one == other));
    }

    #[test]
    fn a_piece_in_the_place_of_another_is_found() {
        let bytes = Bytes::new(1);
        for shift in [64, 512, 4096, 65_536, 131_072] {
            assert_ne!(bytes.slice(1, 0, 64), bytes.slice(1, shift, 64), "shifted by {shift}");
        }
        for other in 2..20_000 {
            assert_ne!(bytes.slice(1, 0, 64), bytes.slice(other, 0, 64), "connection {other}");
        }
    }
}
