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
use netcore::time::{Timeout, in_micros};

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
    /// How many of its own bytes came back; the pid before them is not counted.
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

        let mut reply = Vec::new();
        let deadline = self.timeout.deadline();
        let pid = loop {
            if let Some(pid) = self.check(&reply)? {
                break pid;
            }
            if !self.receive(&mut reply, deadline)? {
                return Err(self.fault(&reply));
            }
        };
        let time = begun.elapsed();

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
        Ok(Reply { pid, bytes: message.len(), time })
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
            // In whole microseconds, rounded up: a zero would be for ever.
            let left = left.map(in_micros);
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

    /// The pid before our own bytes, if the server says one, once the reply is complete; `None`
    /// while it may still become so.
    fn check(&self, reply: &[u8]) -> Result<Option<Option<u32>>, Error> {
        let digits = reply.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (pid, rest) = reply.split_at(digits);
        let expected = match digits {
            0 => self.message.clone(),
            _ => format!(": {}", self.message),
        };
        let pid = std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok());
        if !expected.as_bytes().starts_with(rest) || digits > 0 && pid.is_none() {
            return Err(self.fault(reply));
        }
        Ok((rest.len() == expected.len()).then_some(pid))
    }

    fn fault(&self, reply: &[u8]) -> Error {
        let fault =
            format!("{} was answered with {}", shown(self.message.as_bytes()), shown(reply));
        Error::Protocol { peer: self.peer.to_string(), fault }
    }
}
