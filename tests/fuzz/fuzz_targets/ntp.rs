//! Any datagram and any clocks: the rules of the check hold, and nothing panics.

#![no_main]

#[path = "../checks/ntp.rs"]
mod ntp;

libfuzzer_sys::fuzz_target!(|changes: &[u8]| {
    ntp::check(changes);
});
