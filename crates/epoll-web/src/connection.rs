//! One client's connection: receives a request, sends the response, receives the next request.

use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::Socket;

use netcore::error::{Attempt, Error, errno};
use netcore::limits::reserve;
use netcore::log::Record;
use netcore::text::shown_word;
use netcore::time::Timeout;

use crate::request::{HEAD, parse};
use crate::response::Site;
use crate::sending::Sending;
use crate::status::Status;

/// How long, and for how many bytes, a peer may continue to send after its last response was sent.
/// The time has nothing to do with the idle timeout: the server has ended, and waits for the peer to end. A peer may have sent much before it receives the response: as much as the buffers of both
/// ends hold (tcp_wmem and tcp_rmem, 4 and 32 MiB).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

/// The result of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There may be more to do now.
    Ready,
    /// The kernel has nothing to receive, or no room to send.
    Blocked,
    /// The response is sent; or the connection has ended, and its last line is in the log.
    Done,
}

pub(crate) struct Connection<'a> {
    stream: Socket,
    peer: SocketAddr,
    /// `None` once it has ended.
    record: Option<Record<'a>>,
    /// The head of a request and what follows it, never more than the longest head.
    received: Vec<u8>,
    /// Whether there may be a whole request in it, which the kernel does not report.
    is_pipelined: bool,
    /// Bytes of a body that are still to be skipped.
    body: usize,
    /// What is being sent.
    response: Option<Sending>,
    /// After the last response: how many bytes may still be received, and until when.
    draining: Option<(usize, Instant)>,
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
            response: None,
            draining: None,
            since: now,
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it waits for room to send, and not for bytes to receive.
    pub(crate) fn is_sending(&self) -> bool {
        self.response.is_some()
    }

    /// When it has to have closed, once its last response is sent.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.draining.map(|(_, deadline)| deadline)
    }

    /// Sets what the responses need. `sendfile` has no flags, and so no MSG_DONTWAIT. Without
    /// TCP_NODELAY the last segment of a response waits until the peer acknowledges those before it
    /// (Nagle), which the peer delays (tcp(7)) by 40 ms.
    pub(crate) fn set_options(&self) -> Result<(), Error> {
        self.stream.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
        self.stream.set_tcp_nodelay(true).attempt("setsockopt TCP_NODELAY")
    }

    /// Continues where the connection is, as far as one receive or one send goes.
    pub(crate) fn resume(&mut self, site: &mut Site, buffer: &mut [u8], now: Instant) -> Progress {
        if self.response.is_some() {
            self.send_some(site, now)
        } else if self.draining.is_some() {
            self.drain(buffer)
        } else if std::mem::take(&mut self.is_pipelined) {
            self.respond(site, now)
        } else {
            self.receive(site, buffer, now)
        }
    }

    #[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it got")]
    fn receive(&mut self, site: &mut Site, buffer: &mut [u8], now: Instant) -> Progress {
        let room = HEAD.saturating_sub(self.received.len()).min(buffer.len());
        let room = buffer.get_mut(..room).unwrap_or_default();
        match recv(self.stream.as_raw_fd(), room, MsgFlags::empty()) {
            // FIN. It is reported until the server closes: one that does not close spins.
            Ok(0) if self.is_inside() => self.close(Err("end of stream inside a request".into())),
            Ok(0) => self.close(Ok(())),
            Ok(count) => {
                let bytes = &room[..count];
                if let Some(record) = &mut self.record {
                    record.received(bytes);
                }
                // More bytes of the same request do not move its deadline.
                if !self.is_inside() {
                    self.since = now;
                }
                if reserve(|| self.received.try_reserve(count)).is_err() {
                    return self.close(Err("no memory for the request".to_owned()));
                }
                self.received.extend_from_slice(bytes);
                self.respond(site, now)
            }
            Err(Errno::EAGAIN) => Progress::Blocked,
            Err(Errno::EINTR) => Progress::Ready,
            Err(why) => self.close(Err(format!("recv: {}", errno(why)))),
        }
    }

    /// Whether the peer has begun a request that it has not finished.
    fn is_inside(&self) -> bool {
        !self.received.is_empty() || self.body > 0
    }

    /// Begins to respond to the next request, if it is complete.
    fn respond(&mut self, site: &mut Site, now: Instant) -> Progress {
        let skipped = self.body.min(self.received.len());
        self.received.drain(..skipped);
        self.body -= skipped;
        if skipped > 0 && self.body == 0 {
            self.since = now;
        }
        if self.received.is_empty() {
            return Progress::Blocked;
        }
        let (response, length, line) = match parse(&self.received) {
            Ok(None) => return Progress::Blocked,
            Ok(Some((request, length))) => {
                self.body = request.body;
                // A head may be long, and a peer need not read: no more of it is kept than is shown.
                let line = [request.method, request.target].map(|word| shown_word(word.as_bytes()));
                (site.respond(&request), length, line)
            }
            Err(status) => (site.refuse(status), self.received.len(), Default::default()),
        };
        self.received.drain(..length);
        self.since = now;
        self.response = Some(Sending::new(response, line, Instant::now()));
        self.send_some(site, now)
    }

    /// Sends what the kernel has room for, and is ready for the next request when that was all.
    fn send_some(&mut self, site: &Site, now: Instant) -> Progress {
        let Some(sending) = &mut self.response else { return Progress::Blocked };
        let before = sending.sent();
        let progress = sending.send_some(&self.stream);
        let sent = sending.sent() - before;
        if sent > 0 {
            self.since = now;
            if let Some(record) = &mut self.record {
                record.sent(sent);
            }
        }
        match progress {
            Ok(Progress::Done) => self.responded(site, now),
            Ok(progress) => progress,
            Err(why) => self.abort(site, &why),
        }
    }

    /// The kernel has the whole response.
    fn responded(&mut self, site: &Site, now: Instant) -> Progress {
        let Some(sending) = self.response.take() else { return Progress::Blocked };
        sending.log(site.log, self.peer);
        if sending.keep() {
            self.is_pipelined = !self.received.is_empty();
            if self.is_pipelined {
                return Progress::Ready;
            }
            // The response may have said keep-alive before the server was asked to stop.
            if !site.is_stopping {
                return Progress::Blocked;
            }
        }
        // A close with bytes of the peer unread, or still to come, resets the connection, and the reset
        // may overtake the response: so FIN is sent, and the peer closes first.
        self.draining = Some((LINGER_BYTES, now + LINGER));
        match self.stream.shutdown(Shutdown::Write) {
            Ok(()) => Progress::Ready,
            Err(_) => self.close(Ok(())),
        }
    }

    /// Receives what the peer still sends, and drops it.
    fn drain(&mut self, buffer: &mut [u8]) -> Progress {
        let Some((left, deadline)) = self.draining else { return Progress::Blocked };
        match recv(self.stream.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(count) if count > 0 && count < left => {
                self.draining = Some((left - count, deadline));
                Progress::Ready
            }
            Err(Errno::EAGAIN) => Progress::Blocked,
            Err(Errno::EINTR) => Progress::Ready,
            _ => self.close(Ok(())),
        }
    }

    /// Ends the connection if it is idle for too long; a peer inside a request is sent 408.
    pub(crate) fn end_if_idle(
        &mut self,
        timeout: Timeout,
        site: &mut Site,
        now: Instant,
    ) -> Progress {
        let silent = now.saturating_duration_since(self.since);
        if self.draining.is_some() || timeout.duration().is_none_or(|longest| silent < longest) {
            return Progress::Blocked;
        }
        if self.response.is_some() {
            self.abort(site, &format!("send timed out after {timeout}"))
        } else if self.received.is_empty() {
            self.close(Err(format!("timed out after {timeout}")))
        } else {
            self.received.clear();
            let response = site.refuse(Status::TOO_SLOW);
            self.response = Some(Sending::new(response, Default::default(), self.since));
            self.send_some(site, now)
        }
    }

    /// Closes the connection if its deadline has passed.
    pub(crate) fn end_late(&mut self, now: Instant) -> Progress {
        match self.deadline() {
            Some(deadline) if deadline <= now => self.close(Ok(())),
            _ => Progress::Blocked,
        }
    }

    /// The server stops: a connection without a request ends, after one more receive.
    pub(crate) fn stop(&mut self, site: &mut Site, buffer: &mut [u8], now: Instant) -> Progress {
        match self.resume(site, buffer, now) {
            Progress::Blocked
                if !self.is_inside() && !self.is_sending() && self.draining.is_none() =>
            {
                self.close(Err("the server stops".to_owned()))
            }
            progress => progress,
        }
    }

    /// Ends the connection for a reason of the server; the drop of the socket closes it.
    pub(crate) fn end(&mut self, why: &str) {
        self.close(Err(why.to_owned()));
    }

    /// The rest of the response is not sent.
    fn abort(&mut self, site: &Site, why: &str) -> Progress {
        if let Some(sending) = self.response.take() {
            sending.log(site.log, self.peer);
        }
        self.close(Err(why.to_owned()))
    }

    fn close(&mut self, why: Result<(), String>) -> Progress {
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
