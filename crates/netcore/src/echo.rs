//! The buffer of an echo server.

mod sys;

pub use sys::Buffer;

/// Bytes that one `recv` takes at most where one thread serves all clients: what a peer does not receive
/// is kept for it, so that more would be more memory for each that is deaf.
pub const BUFFER: usize = 64 * 1024;

/// The same of a [`Buffer`], which its process or thread has for one client at a time. A page of it that
/// nothing was received into takes no memory. Where the congestion control paces loopback (bbr), more bytes
/// in one call gain a tenth and more.
const UNTOUCHED: usize = 4 * BUFFER;
