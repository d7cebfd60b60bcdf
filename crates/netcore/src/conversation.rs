//! The service itself, for servers that have all clients in one thread: a connection that never
//! blocks, and so has to remember what it still owes. The recipe `poll-echo` explains it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::Socket;

use crate::error::errno;
use crate::idle::Idle;
use crate::log::Record;

/// One client's connection.
pub struct Conversation<'a> {
    stream: Socket,
    peer: SocketAddr,
    /// `None` once it has ended.
    record: Option<Record<'a>>,
    /// What the kernel had no room for, from `sent` on. While there is any, nothing more is
    /// received: so it is never more than one buffer, and a peer that does not read is not read
    /// from either, until its own `send` blocks. Empty, it costs no memory.
    unsent: Vec<u8>,
    sent: usize,
    /// When bytes last went either way.
    last: Instant,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes went, and there may be more.
    Again,
    /// The kernel has nothing for us, or no room.
    Blocked,
    /// The connection is over, and its last line is in the log.
    Ended,
}

impl<'a> Conversation<'a> {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(stream: Socket, peer: SocketAddr, record: Record<'a>, now: Instant) -> Self {
        Self { stream, peer, record: Some(record), unsent: Vec::new(), sent: 0, last: now }
    }

    /// Whose it is.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it waits for room to send, and not for bytes to receive.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Receives once and sends that back, or sends what was left; `buffer` is lent by the server.
    pub fn step(&mut self, buffer: &mut [u8], now: Instant) -> Step {
        if !self.is_sending() {
            // Accepted sockets are blocking ones: without MSG_DONTWAIT one peer stops all.
            match recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return self.over(Ok(())),
                Ok(received) => {
                    self.last = now;
                    let bytes = buffer.get(..received).unwrap_or_default();
                    if let Some(record) = &mut self.record {
                        record.received(bytes);
                    }
                    return match self.send(bytes) {
                        Ok(sent) if sent == received => Step::Again,
                        Ok(sent) => {
                            self.unsent = bytes.get(sent..).unwrap_or_default().to_vec();
                            self.sent = 0;
                            Step::Blocked
                        }
                        Err(why) => self.over(Err(why)),
                    };
                }
                Err(Errno::EAGAIN) => return Step::Blocked,
                Err(Errno::EINTR) => return Step::Again,
                Err(why) => return self.over(Err(format!("recv: {}", errno(why)))),
            }
        }
        // Taken and put back: `send` borrows all of it.
        let unsent = std::mem::take(&mut self.unsent);
        match self.send(unsent.get(self.sent..).unwrap_or_default()) {
            Ok(sent) if self.sent + sent == unsent.len() => {
                self.last = now;
                Step::Again
            }
            Ok(sent) => {
                self.last = if sent > 0 { now } else { self.last };
                self.sent += sent;
                self.unsent = unsent;
                Step::Blocked
            }
            Err(why) => self.over(Err(why)),
        }
    }

    /// How many bytes the kernel takes now.
    fn send(&mut self, bytes: &[u8]) -> Result<usize, String> {
        loop {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.stream.as_raw_fd(), bytes, flags) {
                Ok(sent) => {
                    if let Some(record) = &mut self.record {
                        record.sent(sent);
                    }
                    return Ok(sent);
                }
                Err(Errno::EAGAIN) => return Ok(0),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(format!("send: {}", errno(why))),
            }
        }
    }

    /// Ends it if it was silent for too long; whether it did.
    pub fn end_if_idle(&mut self, idle: &Idle, now: Instant) -> bool {
        let why = idle.expired(self.last, self.is_sending(), now);
        why.map(|why| self.end(&why)).is_some()
    }

    /// Ends it for a reason of the server's; the socket is closed when it is dropped.
    pub fn end(&mut self, why: &str) {
        self.over(Err(why.to_owned()));
    }

    fn over(&mut self, why: Result<(), String>) -> Step {
        if let Some(record) = self.record.take() {
            record.close(why);
        }
        Step::Ended
    }
}

impl AsFd for Conversation<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
