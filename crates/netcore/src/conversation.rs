//! The service itself, for servers that have all clients in one thread: a connection that never
//! blocks, and so has to remember what it still owes. The recipe `poll-echo` explains it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::Socket;

use crate::error::{Error, errno};
use crate::listener::Listener;
use crate::log::Record;
use crate::signal::Signals;
use crate::time::Timeout;

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

/// Finds the conversations that are idle, in a look at all of them now and then: a timer for each
/// would have to be set again for each message.
pub struct Idle {
    timeout: Timeout,
    /// When to look next.
    pub next: Option<Instant>,
}

impl Idle {
    /// Between two looks a tenth of the time-out passes: nobody is closed too early, nor later than
    /// by that.
    const LOOKS: u32 = 10;

    /// Nobody is idle yet.
    #[must_use]
    pub fn new(timeout: Timeout) -> Self {
        let mut idle = Self { timeout, next: None };
        idle.again(Instant::now());
        idle
    }

    /// Whether it is time to look; then the time of the next look is set.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.again(now);
        }
        due
    }

    fn again(&mut self, now: Instant) {
        let pause = self.timeout.duration().map(|time| time / Self::LOOKS);
        let pause = pause.map(|pause| pause.max(Duration::from_millis(1)));
        self.next = pause.and_then(|pause| now.checked_add(pause));
    }

    /// Ends a conversation on which nothing went for so long; whether it did.
    pub fn ends(&self, conversation: &mut Conversation, now: Instant) -> bool {
        let why = self.silence(conversation.last, conversation.is_sending(), now);
        why.map(|why| conversation.end(&why)).is_some()
    }

    /// The reason to end a conversation on which bytes last went at `last`, if that is too long ago.
    #[must_use]
    pub fn silence(&self, last: Instant, sending: bool, now: Instant) -> Option<String> {
        let silent = now.saturating_duration_since(last);
        let over = self.timeout.duration().is_some_and(|longest| silent >= longest);
        let what = if sending { "nothing read" } else { "idle" };
        over.then(|| format!("{what} for {}", self.timeout))
    }
}

/// What ends the server: the first SIGTERM or SIGINT closes the listener and begins the grace of
/// the clients, the second ends it.
pub struct Stop {
    /// To wait for.
    pub signals: Signals,
    /// `None` once no more connections are wanted. To drop it is to close it: the kernel then
    /// refuses, where an open listener that nobody accepts from would let new clients hang.
    pub listener: Option<Listener>,
    grace: Duration,
    /// The end of the grace, once we were asked to stop.
    end: Option<Instant>,
}

impl Stop {
    /// A server that was not asked to stop yet.
    #[must_use]
    pub fn new(signals: Signals, listener: Listener, grace: Duration) -> Self {
        Self { signals, listener: Some(listener), grace, end: None }
    }

    /// When the server has to look around although nothing is ready.
    #[must_use]
    pub fn deadline(&self, idle: &Idle) -> Option<Instant> {
        idle.next.into_iter().chain(self.end).min()
    }

    /// Takes the signal if there is one, and looks at the clock. The reason, once it is time to cut
    /// off those that are still there.
    ///
    /// # Errors
    /// The error of read(2) on the descriptor of the signals.
    pub fn is_over(&mut self, signal: bool, now: Instant) -> Result<Option<&str>, Error> {
        let signal = signal && self.signals.next()?.is_some();
        if signal {
            let Some(listener) = self.listener.take() else { return Ok(Some("stopped twice")) };
            listener.close()?;
            self.end = now.checked_add(self.grace);
        }
        let over = self.end.is_some_and(|end| end <= now);
        Ok(over.then_some("the grace after the stop is over"))
    }
}
