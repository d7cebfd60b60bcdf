//! Ten million datagrams and clocks, the same ones each time: the check of the fuzz target, without a
//! fuzzer.

#[path = "../../../../../tests/fuzz/checks/ntp.rs"]
mod check;

use std::collections::BTreeMap;

use check::{EARLIER, HEAD, NONCE, check, valid_reply};

use super::{ALL, LONGEST, Packet, Timestamp};
use crate::seeded::Random;

/// How many are checked by each of two threads.
const MANY: u32 = 5_000_000;

/// The offsets of fields after the head.
const FLAGS: usize = HEAD;
const REFERENCE_ID: usize = HEAD + 12;
const ORIGIN: usize = HEAD + 24;
const RECEIVE: usize = HEAD + 32;
const TRANSMIT: usize = HEAD + 40;
const END: usize = HEAD + 48;

fn fill(random: &mut Random, bytes: &mut [u8]) {
    bytes.chunks_mut(8).for_each(|chunk| {
        chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
    });
}

/// Changes that set the field at `at` of the valid reply to these bytes.
fn set(changes: &mut [u8], at: usize, bytes: &[u8]) {
    let valid = valid_reply();
    for (index, byte) in bytes.iter().enumerate() {
        changes[at + index] = byte ^ valid[at - HEAD + index];
    }
}

/// The next changes of the valid reply: random bytes in all of it or in one field, some bits, or values
/// that random bytes would hardly ever have.
fn change(changes: &mut Vec<u8>, random: &mut Random) {
    changes.clear();
    changes.resize(END, 0);
    match random.below(16) {
        0 => fill(random, &mut changes[FLAGS..]),
        1 => fill(random, &mut changes[RECEIVE..TRANSMIT]),
        2 => fill(random, &mut changes[TRANSMIT..]),
        3 => set(changes, ORIGIN, &[0, EARLIER][random.below(2)].to_be_bytes()),
        4 => {
            let field = [RECEIVE, TRANSMIT][random.below(2)];
            set(changes, field, &[0; 8]);
        }
        5 => {
            set(changes, FLAGS + 1, &[0]);
            let code = [b"DENY", b"X\0\0\0", b"D\0NY"][random.below(3)];
            set(changes, REFERENCE_ID, code);
        }
        6 => {
            let version = [3, 4][random.below(2)];
            set(changes, FLAGS, &Packet::request(version, Timestamp(NONCE)).to_bytes());
        }
        7 => set(changes, FLAGS, &[0b1110_0100]),
        8 => changes.resize(FLAGS + random.below(LONGEST + 100), random.next().to_le_bytes()[0]),
        // Seconds and nanoseconds of T1, T4 and the pivot, up to far beyond an era.
        9 | 10 => {
            let clock = 1 + 16 * random.below(3);
            let span = i128::from(random.next().cast_signed()) << random.below(32) >> 16;
            changes[clock..clock + 16].copy_from_slice(&span.to_le_bytes());
        }
        // A precision around a second.
        11 => set(changes, FLAGS + 3, &[0xfe, 0xff, 0, 1][random.below(4)..][..1]),
        12 => fill(random, &mut changes[1..HEAD]),
        _ => {}
    }
    // Bits of the datagram, often among its flags; seldom those of the head.
    for _ in 0..random.below(4) {
        let from = [0, FLAGS, FLAGS, FLAGS][random.below(4)];
        let end = [changes.len(), from + 16][random.below(2)].min(changes.len());
        if from < end {
            let at = from + random.below(end - from);
            changes[at] ^= 1 << random.below(8);
        }
    }
}

fn run(seed: u64) -> BTreeMap<&'static str, u32> {
    let (mut random, mut changes) = (Random(seed), Vec::new());
    let mut reached = BTreeMap::new();
    for _ in 0..MANY {
        change(&mut changes, &mut random);
        *reached.entry(check(&changes)).or_insert(0) += 1;
    }
    reached
}

#[test]
fn ten_million_datagrams_break_nothing_and_reach_each_reason() {
    let reached: Vec<_> = std::thread::scope(|scope| {
        [1, 2]
            .map(|seed| scope.spawn(move || run(seed)))
            .map(|thread| thread.join().unwrap())
            .into()
    });
    for reached in &reached {
        let reasons = ALL.iter().map(|reason| reason.name());
        for name in reasons.chain(["kiss", "accepted"]) {
            let times = reached.get(name).copied().unwrap_or_default();
            assert!(times > MANY / 50_000, "{name} of {reached:?}");
        }
    }
}
