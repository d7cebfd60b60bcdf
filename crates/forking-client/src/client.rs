//! One of the clients.

use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::Socket;

use netcore::connect::connect;
use netcore::error::{Attempt, Error};
use netcore::text::shown;
use netcore::time::Timeout;

/// The longest prefix that a server may put before the reply: ten digits, a colon, a blank.
const PREFIX: usize = 12;

/// A client that is connected, and will send once the others are too.
pub(crate) struct ForkingClient {
    stream: Socket,
    peer: SocketAddr,
    message: String,
    timeout: Timeout,
}

/// What a client got.
pub(crate) struct Reply {
    /// The process that served it, where the server says so.
    pub(crate) pid: Option<u32>,
    /// The length of the whole reply.
    pub(crate) bytes: usize,
    /// From the first byte sent to the last byte received.
    pub(crate) time: Duration,
}

impl ForkingClient {
    /// Connects the client of that number.
    pub(crate) fn new(
        addresses: &[SocketAddr],
        number: u16,
        timeout: Timeout,
    ) -> Result<ForkingClient, Error> {
        let (stream, peer) = connect(addresses, timeout)?;
        stream.set_nonblocking(false).attempt("fcntl O_NONBLOCK")?;
        Ok(ForkingClient { stream, peer, message: format!("Hello from client {number}"), timeout })
    }

    /// Waits for the others, sends, receives, and stays for as long as it is told to.
    pub(crate) fn run(self, start: &Barrier, hold: Duration) -> Result<Reply, Error> {
        start.wait();
        let begun = Instant::now();
        let message = self.message.as_bytes();
        // So few bytes always fit into an empty send buffer.
        send(self.stream.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL)
            .attempt(format_args!("send to {}", self.peer))?;

        // The reply is complete when it ends with what we sent: a prefix may come before it.
        let mut reply = Vec::new();
        let deadline = self.timeout.deadline();
        while !reply.ends_with(message) && reply.len() < message.len() + PREFIX {
            if !self.receive(&mut reply, deadline)? {
                break;
            }
        }
        let time = begun.elapsed();
        let pid = self.check(&reply)?;

        // A server that closes meanwhile is noticed at the end, which comes then.
        let held = Instant::now().checked_add(hold);
        while held.is_some_and(|end| Instant::now() < end) {
            std::thread::park_timeout(hold);
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        let length = reply.len();
        while self.receive(&mut reply, self.timeout.deadline())? {
            if reply.len() > length {
                return Err(self.fault(&reply));
            }
        }
        Ok(Reply { pid, bytes: length, time })
    }

    /// Receives some more; false at the end of the stream. The deadline is for all of it: a
    /// time-out for each call would never end with a server that sends a byte now and then.
    fn receive(&self, reply: &mut Vec<u8>, deadline: Option<Instant>) -> Result<bool, Error> {
        let mut buffer = [0; 1024];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let late = || Error::Timeout {
                attempt: format!("reply from {}", self.peer),
                after: self.timeout.duration().unwrap_or_default(),
            };
            if left == Some(Duration::ZERO) {
                return Err(late());
            }
            self.stream.set_read_timeout(left).attempt("setsockopt SO_RCVTIMEO")?;
            match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) => return Ok(false),
                Ok(received) => {
                    reply.extend_from_slice(buffer.get(..received).unwrap_or_default());
                    return Ok(true);
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(why) => return Err(why).attempt(format_args!("receive from {}", self.peer)),
            }
        }
    }

    /// The pid before our own bytes, if there is one; anything else is a fault.
    fn check(&self, reply: &[u8]) -> Result<Option<u32>, Error> {
        let fault = || self.fault(reply);
        let prefix = reply.strip_suffix(self.message.as_bytes()).ok_or_else(fault)?;
        if prefix.is_empty() {
            return Ok(None);
        }
        let digits = prefix.strip_suffix(b": ").and_then(|digits| std::str::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or_else(fault)
    }

    fn fault(&self, reply: &[u8]) -> Error {
        let fault =
            format!("{} was answered with {}", shown(self.message.as_bytes()), shown(reply));
        Error::Protocol { peer: self.peer.to_string(), fault }
    }
}
