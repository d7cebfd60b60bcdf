//! `recv` into memory that was never touched: what std, socket2 and nix do not wrap safely.
#![expect(unsafe_code, reason = "whether memory was written to is not known to the compiler")]

use std::os::fd::AsRawFd;
use std::slice;

use nix::errno::Errno;
use socket2::Socket;

use super::UNTOUCHED;

/// Room for what one `recv` takes. Nothing was written to it, not even zeros: a page that was never
/// touched does not exist. `fork` does not copy it, and a process or thread has as many as it fills.
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// 256 KiB, none of them touched.
    ///
    /// # Errors
    /// ENOMEM: only this client cannot be served.
    pub fn untouched() -> nix::Result<Buffer> {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(UNTOUCHED).map_err(|_| Errno::ENOMEM)?;
        Ok(Buffer(buffer))
    }

    /// What has arrived (recv(2)); nothing, at the end of the stream.
    ///
    /// # Errors
    /// Those of recv(2).
    pub fn recv(&mut self, stream: &Socket) -> nix::Result<&[u8]> {
        let room = self.0.spare_capacity_mut();
        let (length, room) = (room.len(), room.as_mut_ptr().cast::<u8>());
        // SAFETY: `room` is writable for its length; the kernel does not mind what was in it.
        let count = unsafe { libc::recv(stream.as_raw_fd(), room.cast(), length, 0) };
        let count = usize::try_from(Errno::result(count)?).unwrap_or_default();
        // SAFETY: the kernel has written these bytes, and the slice borrows the buffer.
        Ok(unsafe { slice::from_raw_parts(room, count) })
    }
}
