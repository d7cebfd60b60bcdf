//! One client: what came of it, and what it is owed.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{MsgFlags, recv, sendmsg};
use socket2::Socket;

use netcore::chat::{Frames, LONGEST_TEXT};
use netcore::error::errno;
use netcore::log::Record;

/// The kernel's own queue for each client, which would grow to megabytes. It doubles the number.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;

/// Frames that one `sendmsg` takes at most.
const FRAMES: usize = 64;

pub(crate) struct Client<'a> {
    stream: Socket,
    pub(crate) peer: SocketAddr,
    record: Record<'a>,
    pub(crate) frames: Frames,
    /// The frames that the kernel had no room for yet: their bytes belong to all queues together.
    /// Of the first, `sent` bytes are gone.
    queue: VecDeque<Rc<[u8]>>,
    sent: usize,
    /// As long as it takes part.
    pub(crate) name: Option<Rc<str>>,
    /// When bytes last went either way.
    pub(crate) last: Instant,
    /// Until when it has to have a name, or to be gone.
    pub(crate) until: Option<Instant>,
    /// Why it is being closed: it gets what is in its queue, and nothing else.
    pub(crate) end: Option<Result<(), String>>,
    /// Its FIN came.
    pub(crate) is_silent: bool,
    /// What the kernel was asked to report of it.
    pub(crate) asked: EpollFlags,
}

impl<'a> Client<'a> {
    pub(crate) fn new(stream: Socket, peer: SocketAddr, record: Record<'a>, now: Instant) -> Self {
        Client {
            stream,
            peer,
            record,
            frames: Frames::new(LONGEST_TEXT),
            queue: VecDeque::new(),
            sent: 0,
            name: None,
            last: now,
            until: None,
            end: None,
            is_silent: false,
            asked: EpollFlags::EPOLLIN,
        }
    }

    pub(crate) fn is_owed(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many frames wait for it.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn queue(&mut self, frame: Rc<[u8]>) {
        self.queue.push_back(frame);
    }

    /// What the kernel is to report: only what there is to do, or it would be reported for ever. A
    /// client that does not take what it is owed is not read from either, so nobody talks
    /// faster than it listens.
    pub(crate) fn interest(&self) -> EpollFlags {
        if self.is_owed() { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN }
    }

    /// Receives once, as much as the buffer holds; nothing at all is the peer's FIN.
    pub(crate) fn receive<'b>(
        &mut self,
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<Option<&'b [u8]>, String> {
        // Accepted sockets are blocking ones: without MSG_DONTWAIT one peer stops all.
        match recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(received) => {
                self.last = now;
                let bytes = buffer.get(..received).unwrap_or_default();
                if received > 0 {
                    self.record.received(bytes);
                }
                Ok(Some(bytes))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(why) => Err(format!("recv: {}", errno(why))),
        }
    }

    /// Sends what the kernel has room for, many frames in one call.
    pub(crate) fn flush(&mut self, now: Instant) -> Result<(), String> {
        while self.is_owed() {
            let mut gone = self.sent;
            let frames = self.queue.iter().take(FRAMES);
            let pieces: Vec<IoSlice> = frames
                .map(|frame| frame.get(std::mem::take(&mut gone)..).unwrap_or_default())
                .map(IoSlice::new)
                .collect();
            let all: usize = pieces.iter().map(|piece| piece.len()).sum();
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.stream.as_raw_fd(), &pieces, &[], flags, None) {
                Ok(sent) => {
                    self.last = now;
                    self.record.sent(sent);
                    self.forget(sent);
                    if sent < all {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(why) => return Err(format!("sendmsg: {}", errno(why))),
            }
        }
        if self.end.is_some() && !self.is_owed() {
            // The FIN behind the last frame. ENOTCONN: a reset was faster, and `recv` says so.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Takes out of the queue what has been sent.
    fn forget(&mut self, sent: usize) {
        self.sent += sent;
        while let Some(length) = self.queue.front().map(|frame| frame.len())
            && length <= self.sent
        {
            self.sent -= length;
            self.queue.pop_front();
        }
    }

    /// Drops what waits, but for the rest of a frame that it has half of, and lets the kernel
    /// take a little more than before: a full buffer would have no room for the reason.
    pub(crate) fn give_up(&mut self) {
        self.queue.truncate(usize::from(self.sent > 0));
        let _ = self.stream.set_send_buffer_size(SEND_BUFFER + SEND_BUFFER / 2);
    }

    /// Its last line in the log; the socket is closed with it.
    pub(crate) fn close(self) {
        self.record.close(self.end.unwrap_or(Ok(())));
    }
}

impl AsFd for Client<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
