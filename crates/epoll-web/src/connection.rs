//! One client's connection: a request is received, answered, and the next one received.

use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::Socket;

use netcore::error::{Attempt, Error, errno};
use netcore::log::Record;
use netcore::time::Timeout;

use crate::answer::Site;
use crate::request::{HEAD, parse};
use crate::sending::Sending;
use crate::status::Status;

/// How long, until we next look around, and for how many bytes a peer may go on sending once its
/// last answer is under way. It is no fault of the peer's to have much on its way before it can hear
/// the answer: as much as the buffers of both ends hold (tcp_wmem and tcp_rmem, 4 and 32 MiB).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

/// What one call of the kernel came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There may be more to do at once.
    Ready,
    /// The kernel has nothing for us, or no room.
    Blocked,
    /// It is over: an answer is sent, or a connection has ended and its last line is in the log.
    Done,
}

pub(crate) struct Connection<'a> {
    stream: Socket,
    peer: SocketAddr,
    /// `None` once it has ended.
    record: Option<Record<'a>>,
    /// Of the head of a request, and of what follows it. Never more than a head may have.
    received: Vec<u8>,
    /// Whether there may be a whole request in it: nothing will come to tell us of that.
    is_pipelined: bool,
    /// Bytes of a body that are still to be passed over.
    body: usize,
    /// What is being sent.
    answer: Option<Sending>,
    /// After the last answer: how many bytes are still taken.
    leaving: Option<usize>,
    /// When the request began; before it, and while it is answered, when bytes last went.
    since: Instant,
}

impl<'a> Connection<'a> {
    /// A connection that was just accepted.
    pub(crate) fn new(stream: Socket, peer: SocketAddr, record: Record<'a>, now: Instant) -> Self {
        Self {
            stream,
            peer,
            record: Some(record),
            received: Vec::new(),
            is_pipelined: false,
            body: 0,
            answer: None,
            leaving: None,
            since: now,
        }
    }

    /// Whose it is.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it waits for room to send, and not for bytes to receive.
    pub(crate) fn is_sending(&self) -> bool {
        self.answer.is_some()
    }

    /// Sets what the answers need. `sendfile` has no flags to say MSG_DONTWAIT with. And without
    /// TCP_NODELAY the last segment of an answer waits for the peer's word on those before it
    /// (Nagle), which the peer delays (tcp(7)): 40 ms for nothing.
    pub(crate) fn set_up(&self) -> Result<(), Error> {
        self.stream.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
        self.stream.set_tcp_nodelay(true).attempt("setsockopt TCP_NODELAY")
    }

    /// Goes on as far as one call of the kernel's leads; `buffer` is lent by the server.
    pub(crate) fn resume(&mut self, site: &mut Site, buffer: &mut [u8], now: Instant) -> Progress {
        if self.answer.is_some() {
            self.send(site, now)
        } else if self.leaving.is_some() {
            self.drain(buffer)
        } else if std::mem::take(&mut self.is_pipelined) {
            self.next(site, now)
        } else {
            self.receive(site, buffer, now)
        }
    }

    fn receive(&mut self, site: &mut Site, buffer: &mut [u8], now: Instant) -> Progress {
        let room = HEAD.saturating_sub(self.received.len()).min(buffer.len());
        let room = buffer.get_mut(..room).unwrap_or_default();
        match recv(self.stream.as_raw_fd(), room, MsgFlags::empty()) {
            // The end of the stream is told again and again: whoever does not close spins.
            Ok(0) if self.is_inside() => self.over(Err("end of stream inside a request".into())),
            Ok(0) => self.over(Ok(())),
            Ok(count) => {
                let bytes = room.get(..count).unwrap_or_default();
                if let Some(record) = &mut self.record {
                    record.received(bytes);
                }
                // Bytes that drip do not move the end of the time that a request has.
                if !self.is_inside() {
                    self.since = now;
                }
                self.received.extend_from_slice(bytes);
                self.next(site, now)
            }
            Err(Errno::EAGAIN) => Progress::Blocked,
            Err(Errno::EINTR) => Progress::Ready,
            Err(why) => self.over(Err(format!("recv: {}", errno(why)))),
        }
    }

    /// Whether the peer has begun a request that it has not finished.
    fn is_inside(&self) -> bool {
        !self.received.is_empty() || self.body > 0
    }

    /// Begins to answer the next request, if it is complete.
    fn next(&mut self, site: &mut Site, now: Instant) -> Progress {
        let passed = self.body.min(self.received.len());
        self.received.drain(..passed);
        self.body -= passed;
        if passed > 0 && self.body == 0 {
            self.since = now;
        }
        if self.received.is_empty() {
            return Progress::Blocked;
        }
        let (answer, length, line) = match parse(&self.received) {
            Ok(None) => return Progress::Blocked,
            Ok(Some((request, length))) => {
                self.body = request.body;
                let line = [request.method, request.target].map(str::to_owned);
                (site.answer(&request), length, line)
            }
            Err(status) => (site.refuse(status), self.received.len(), Default::default()),
        };
        self.received.drain(..length);
        self.since = now;
        self.answer = Some(Sending::new(answer, line, Instant::now()));
        self.send(site, now)
    }

    /// Sends what the kernel takes, and is ready for the next request when that was all.
    fn send(&mut self, site: &Site, now: Instant) -> Progress {
        let Some(sending) = &mut self.answer else { return Progress::Blocked };
        let before = sending.went();
        let progress = sending.go_on(&self.stream);
        let sent = sending.went() - before;
        if sent > 0 {
            self.since = now;
            if let Some(record) = &mut self.record {
                record.sent(sent);
            }
        }
        match progress {
            Ok(Progress::Done) => self.answered(site),
            Ok(progress) => progress,
            Err(why) => self.cut(site, &why),
        }
    }

    /// An answer is sent, as far as the kernel is concerned.
    fn answered(&mut self, site: &Site) -> Progress {
        let Some(sending) = self.answer.take() else { return Progress::Blocked };
        sending.log(site.log, self.peer);
        if sending.keep() {
            self.is_pipelined = !self.received.is_empty();
            if self.is_pipelined {
                return Progress::Ready;
            }
            // It may have been promised before we were asked to stop.
            if !site.is_stopping {
                return Progress::Blocked;
            }
        }
        // To close while bytes of the peer's lie unread, or still come, is to reset the connection,
        // and that would overtake the answer: its end is sent, and the peer closes first.
        self.leaving = Some(LINGER_BYTES);
        match self.stream.shutdown(Shutdown::Write) {
            Ok(()) => Progress::Ready,
            Err(_) => self.over(Ok(())),
        }
    }

    /// Takes what the peer still sends, and forgets it.
    fn drain(&mut self, buffer: &mut [u8]) -> Progress {
        let left = self.leaving.unwrap_or(0);
        match recv(self.stream.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(count) if count > 0 && count < left => {
                self.leaving = Some(left - count);
                Progress::Ready
            }
            Err(Errno::EAGAIN) => Progress::Blocked,
            Err(Errno::EINTR) => Progress::Ready,
            _ => self.over(Ok(())),
        }
    }

    /// Ends it if it has waited for too long; a peer inside a request is told so.
    pub(crate) fn wait(&mut self, timeout: Timeout, site: &mut Site, now: Instant) -> Progress {
        let Some(longest) = timeout.duration() else { return Progress::Blocked };
        let longest = if self.leaving.is_some() { longest.min(LINGER) } else { longest };
        if now.saturating_duration_since(self.since) < longest {
            return Progress::Blocked;
        }
        if self.answer.is_some() {
            self.cut(site, &format!("send timed out after {timeout}"))
        } else if self.leaving.is_some() {
            self.over(Ok(()))
        } else if self.received.is_empty() {
            self.over(Err(format!("timed out after {timeout}")))
        } else {
            self.received.clear();
            let answer = site.refuse(Status::TOO_SLOW);
            self.answer = Some(Sending::new(answer, Default::default(), self.since));
            self.send(site, now)
        }
    }

    /// The server stops: a connection on which nothing is asked ends, after a last look.
    pub(crate) fn stop(&mut self, site: &mut Site, buffer: &mut [u8], now: Instant) -> Progress {
        match self.resume(site, buffer, now) {
            Progress::Blocked
                if !self.is_inside() && !self.is_sending() && self.leaving.is_none() =>
            {
                self.over(Err("the server stops".to_owned()))
            }
            progress => progress,
        }
    }

    /// Ends it for a reason of the server's; the socket is closed when it is dropped.
    pub(crate) fn end(&mut self, why: &str) {
        self.over(Err(why.to_owned()));
    }

    /// The answer is not sent whole.
    fn cut(&mut self, site: &Site, why: &str) -> Progress {
        if let Some(sending) = self.answer.take() {
            sending.log(site.log, self.peer);
        }
        self.over(Err(why.to_owned()))
    }

    fn over(&mut self, why: Result<(), String>) -> Progress {
        if let Some(record) = self.record.take() {
            record.close(why);
        }
        Progress::Done
    }
}

impl AsFd for Connection<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
