//! One client: its connection, and the queue of what is to be sent to it.

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
use netcore::limits::reserve;
use netcore::log::Record;

/// The kernel's queue of each client, which would grow to megabytes. The kernel doubles the number.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;

/// Frames that one `sendmsg` takes at most.
const FRAMES: usize = 64;

pub(crate) struct Client<'a> {
    stream: Socket,
    pub(crate) peer: SocketAddr,
    record: Record<'a>,
    pub(crate) frames: Frames,
    /// The frames that the kernel had no room for yet, which all queues share. Of the first, `sent`
    /// bytes were sent.
    queue: VecDeque<Rc<[u8]>>,
    sent: usize,
    /// As long as it is a member.
    pub(crate) name: Option<Rc<str>>,
    /// When bytes last went either way.
    pub(crate) last: Instant,
    /// When it has to have a name, or to have closed.
    pub(crate) deadline: Option<Instant>,
    /// Why it is being closed: what is in its queue is still sent, and nothing else.
    pub(crate) end: Option<Result<(), String>>,
    pub(crate) fin_received: bool,
    /// What the kernel reports of it.
    pub(crate) reported: EpollFlags,
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
            deadline: None,
            end: None,
            fin_received: false,
            reported: EpollFlags::EPOLLIN,
        }
    }

    /// Whether there are frames to send.
    pub(crate) fn is_sending(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Puts a frame into its queue. Without room for one more, only this client ends.
    pub(crate) fn push(&mut self, frame: Rc<[u8]>) -> Result<(), String> {
        if self.queue.len() == self.queue.capacity() {
            reserve(|| self.queue.try_reserve(1)).map_err(|_| "no memory for its queue")?;
        }
        self.queue.push_back(frame);
        Ok(())
    }

    /// What the kernel is to report: only what there is to do, or it would be reported each time. A
    /// client that does not read is not read from either, so no client talks faster than it listens.
    pub(crate) fn interest(&self) -> EpollFlags {
        if self.is_sending() { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN }
    }

    /// Receives once; no bytes are the peer's FIN, and `None` is EAGAIN.
    #[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it got")]
    pub(crate) fn receive_some<'b>(
        &mut self,
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<Option<&'b [u8]>, String> {
        // The socket is a blocking one: without MSG_DONTWAIT a silent peer would stop the server.
        match recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(received) => {
                self.last = now;
                let bytes = &buffer[..received];
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
    #[expect(clippy::indexing_slicing, reason = "less than its length of the first frame was sent")]
    pub(crate) fn send_some(&mut self, now: Instant) -> Result<(), String> {
        while self.is_sending() {
            let mut sent = self.sent;
            let mut unsent = [IoSlice::new(&[]); FRAMES];
            for (slice, frame) in unsent.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(&frame[std::mem::take(&mut sent)..]);
            }
            let unsent = &unsent[..self.queue.len().min(FRAMES)];
            let length: usize = unsent.iter().map(|frame| frame.len()).sum();
            // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.stream.as_raw_fd(), unsent, &[], flags, None) {
                Ok(sent) => {
                    self.last = now;
                    self.record.sent(sent);
                    self.remove(sent);
                    if sent < length {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(why) => return Err(format!("sendmsg: {}", errno(why))),
            }
        }
        if self.end.is_some() && !self.is_sending() {
            // FIN, behind the last frame. ENOTCONN: a reset was faster, and `recv` says so.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Removes so many bytes from the queue, which were sent.
    fn remove(&mut self, sent: usize) {
        self.sent += sent;
        while let Some(length) = self.queue.front().map(|frame| frame.len())
            && length <= self.sent
        {
            self.sent -= length;
            self.queue.pop_front();
        }
    }

    /// Empties the queue, but for the rest of a frame that was sent in part, and makes the kernel's
    /// buffer a little larger: a full one would have no room for the reason.
    pub(crate) fn drop_queue(&mut self) {
        self.queue.truncate(usize::from(self.sent > 0));
        let _ = self.stream.set_send_buffer_size(SEND_BUFFER + SEND_BUFFER / 2);
    }

    /// Its last line in the log; the drop of the socket closes it.
    pub(crate) fn close(self) {
        self.record.close(self.end.unwrap_or(Ok(())));
    }
}

impl AsFd for Client<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
