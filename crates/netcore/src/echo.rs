//! The buffer of an echo server.

mod sys;

pub use sys::Buffer;

/// Bytes that one `recv` takes at most.
pub const BUFFER: usize = 64 * 1024;
