//! The bytes of a stranger and any clocks: what `check` says of them holds, and nothing panics.

#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|changes: &[u8]| {
    check::check(changes);
});
