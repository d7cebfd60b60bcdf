//! The service itself, for servers that have a process or a thread for each client: plain calls
//! that block, and that SO_RCVTIMEO and SO_SNDTIMEO end. The recipe `echo-server` explains it.

mod sys;

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use socket2::Socket;

use crate::error::{Attempt, Error, errno};
use crate::log::Record;
use crate::time::Timeout;

pub use sys::Buffer;

/// Bytes that one `recv` takes at most.
pub const BUFFER: usize = 64 * 1024;

/// Gives a listener the two time-outs that the sockets of its clients inherit, so that none of
/// them has to be set. They end a call with EAGAIN.
///
/// # Errors
/// Those of setsockopt(2).
pub fn inherit_timeouts(listener: &Socket, idle: Timeout) -> Result<(), Error> {
    listener.set_read_timeout(idle.duration()).attempt("setsockopt SO_RCVTIMEO")?;
    listener.set_write_timeout(idle.duration()).attempt("setsockopt SO_SNDTIMEO")
}

/// Sends back what comes until the peer's FIN, `prefix` before the first byte.
///
/// # Errors
/// The reason to end before the FIN, as the log says it.
pub fn echo(
    stream: &Socket,
    buffer: &mut Buffer,
    prefix: Option<String>,
    idle: Timeout,
    record: &mut Record,
) -> Result<(), String> {
    let mut prefix = prefix;
    loop {
        let bytes = match buffer.recv(stream) {
            Ok([]) => return Ok(()),
            Ok(bytes) => bytes,
            Err(Errno::EINTR) => continue,
            // What SO_RCVTIMEO ends a call with.
            Err(Errno::EAGAIN) => return Err(format!("timed out after {idle}")),
            Err(why) => return Err(format!("recv: {}", errno(why))),
        };
        record.received(bytes);
        if let Some(prefix) = prefix.take() {
            send_all(stream, prefix.as_bytes(), idle, record)?;
        }
        send_all(stream, bytes, idle, record)?;
    }
}

/// Sends all bytes, however few of them the kernel takes at a time.
fn send_all(
    stream: &Socket,
    mut rest: &[u8],
    idle: Timeout,
    record: &mut Record,
) -> Result<(), String> {
    while !rest.is_empty() {
        match send(stream.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => {
                record.sent(sent);
                rest = rest.get(sent..).unwrap_or_default();
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(format!("send timed out after {idle}")),
            Err(why) => return Err(format!("send: {}", errno(why))),
        }
    }
    Ok(())
}
