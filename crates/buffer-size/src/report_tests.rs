//! The computed sizes, and the kernel's.

use super::*;
use crate::{limits, new_socket, set_size};
use proptest::prelude::*;

const LIMITS: Limits = Limits { buffer: Buffer::Send, most: 212_992, floor: 4_608 };

#[test]
fn a_size_is_doubled_between_the_floor_and_the_limit() {
    let clamped = Reason::Clamped(Buffer::Send, 212_992);
    for (asked, force, read_back, reason) in [
        (0, false, 4_608, Reason::Floor),
        (2_303, false, 4_608, Reason::Floor),
        (2_304, false, 4_608, Reason::Doubled),
        (4_096, false, 8_192, Reason::Doubled),
        (9_973, false, 19_946, Reason::Doubled),
        (212_992, false, 425_984, Reason::Doubled),
        (212_993, false, 425_984, clamped),
        (1 << 30, false, 425_984, clamped),
        (u32::MAX, false, 425_984, clamped),
        (212_992, true, 425_984, Reason::Doubled),
        (212_993, true, 425_986, Reason::Forced),
        (1 << 30, true, 2_147_483_646, Reason::Half),
    ] {
        assert_eq!(LIMITS.predict(asked, force), (read_back, reason), "{asked} {force}");
    }
    assert_eq!(clamped.to_string(), "clamped: net.core.wmem_max = 212992");
}

proptest! {
    #[test]
    fn the_kernel_does_what_is_computed(shift in 0_u32..31, low: u32, unsigned: bool) {
        let asked = if unsigned { u32::MAX } else { (1 << shift) | (low % (1 << shift)) };
        for buffer in Buffer::BOTH {
            let limits = limits(buffer).unwrap();
            for kind in Kind::ALL {
                let read_back = set_size(&new_socket(kind).unwrap(), buffer, asked, false).unwrap();
                prop_assert_eq!(read_back, limits.predict(asked, false).0, "{}", asked);
            }
        }
    }
}

#[test]
fn the_send_buffer_has_twice_the_floor_of_the_other() {
    let floor = |buffer| limits(buffer).unwrap().floor;
    assert_eq!(floor(Buffer::Send), 2 * floor(Buffer::Receive));
}
