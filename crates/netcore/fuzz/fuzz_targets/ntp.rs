//! Any bytes and any clocks: the rules of `check` hold, and nothing panics.

#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|changes: &[u8]| {
    check::check(changes);
});
