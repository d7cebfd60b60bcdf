//! One connection to an echo server: bytes go out, and each must come back as it went.
//!
//! What was handed in and has not come back yet waits in a window. Its front is on the way, its
//! rest is still to be sent; what arrives is compared with the front and takes it off.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::Socket;

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::pattern::first_difference;
use netcore::poll::timeout_until;
use netcore::text::escape;
use netcore::time::Timeout;

/// Bytes that one `recv` takes at most.
const BUFFER: usize = 64 * 1024;

/// Standard input is read while fewer bytes than this are on their way.
const WINDOW: usize = 1024 * 1024;

pub(crate) struct Echo {
    stream: Socket,
    pub(crate) peer: SocketAddr,
    timeout: Timeout,
    window: VecDeque<u8>,
    /// How many bytes of the window were sent.
    sent: usize,
    /// How many bytes came back, all of them right.
    echoed: u64,
    buffer: Vec<u8>,
}

impl Echo {
    pub(crate) fn new(stream: Socket, peer: SocketAddr, timeout: Timeout) -> Echo {
        let buffer = vec![0; BUFFER];
        Echo { stream, peer, timeout, window: VecDeque::new(), sent: 0, echoed: 0, buffer }
    }

    /// Sends a message and receives it again, both at the same time.
    pub(crate) fn round_trip(&mut self, message: &[u8]) -> Result<(), Error> {
        self.window.extend(message);
        // On an idle connection the kernel has room: no need to ask poll first.
        self.send_some()?;
        while !self.window.is_empty() {
            self.turn(None)?;
            self.receive_some()?;
            self.send_some()?;
        }
        Ok(())
    }

    /// Sends standard input, and writes what comes back to standard output.
    pub(crate) fn copy_stdin(&mut self, out: &mut Output) -> Result<(), Error> {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().attempt("dup standard input")?;
        let mut source = Some(File::from(stdin));
        let mut chunk = vec![0; BUFFER];
        while source.is_some() || !self.window.is_empty() {
            let wanted = source.as_ref().filter(|_| self.window.len() < WINDOW);
            if self.turn(wanted.map(File::as_fd))?
                && let Some(file) = &mut source
            {
                match file.read(&mut chunk) {
                    Ok(0) => source = None,
                    Ok(read) => self.window.extend(chunk.get(..read).unwrap_or_default()),
                    Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
                        Errno::EAGAIN | Errno::EINTR => {}
                        why => return Err(Error::Input(why)),
                    },
                }
            }
            self.send_some()?;
            let received = self.receive_some()?;
            let bytes = self.buffer.get(..received).unwrap_or_default();
            if out.is_terminal() {
                let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| match line {
                    [text @ .., b'\n'] => escape(text) + "\n",
                    text => escape(text),
                });
                out.bytes(lines.collect::<String>().as_bytes())?;
            } else {
                out.bytes(bytes)?;
            }
        }
        Ok(())
    }

    /// Says that nothing more is to come, and receives to the end: it must be here.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        // ENOTCONN: the server reset the connection meanwhile; recv has the reason.
        let _ = self.stream.shutdown(Shutdown::Write);
        loop {
            match recv(self.stream.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Ok(()),
                Ok(more) => {
                    return Err(self.fault(format!("at least {more} bytes more than were sent")));
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(why) => return Err(why).attempt(format_args!("receive from {}", self.peer)),
            }
            self.turn(None)?;
        }
    }

    /// Waits until the peer has bytes or takes some, or `source` can be read (then true).
    fn turn(&mut self, source: Option<BorrowedFd<'_>>) -> Result<bool, Error> {
        let mut events = PollFlags::POLLIN;
        if self.sent < self.window.len() {
            events |= PollFlags::POLLOUT;
        }
        let mut fds = vec![PollFd::new(self.stream.as_fd(), events)];
        fds.extend(source.map(|source| PollFd::new(source, PollFlags::POLLIN)));
        // The next byte of a person at a terminal has all the time of the world.
        let patient = source.is_some() && self.window.is_empty();
        let deadline = if patient { None } else { self.timeout.deadline() };
        loop {
            match poll(&mut fds, timeout_until(deadline)) {
                Ok(0) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    let (peer, missing) = (self.peer, self.window.len());
                    return Err(Error::Timeout {
                        attempt: format!("echo from {peer} ({missing} bytes still to come)"),
                        after: self.timeout.duration().unwrap_or_default(),
                    });
                }
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(fds.get(1).is_some_and(|fd| fd.any().unwrap_or(true))),
                Err(why) => return Err(why).attempt("poll"),
            }
        }
    }

    /// Sends what the kernel has room for.
    fn send_some(&mut self) -> Result<(), Error> {
        while self.sent < self.window.len() {
            let (front, back) = self.window.as_slices();
            let rest = match front.get(self.sent..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => back.get(self.sent - front.len()..).unwrap_or_default(),
            };
            match send(
                self.stream.as_raw_fd(),
                rest,
                MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            ) {
                Ok(sent) => self.sent += sent,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                // The server has closed. What it said before is still to be received, and tells more.
                Err(Errno::EPIPE) => return Ok(()),
                Err(why) => return Err(why).attempt(format_args!("send to {}", self.peer)),
            }
        }
        Ok(())
    }

    /// Receives what has come, compares it, and returns how many bytes of the buffer it is.
    fn receive_some(&mut self) -> Result<usize, Error> {
        let received = match recv(self.stream.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT)
        {
            Ok(0) => {
                let (echoed, missing) = (self.echoed, self.window.len());
                return Err(
                    self.fault(format!("closed after {echoed} bytes, {missing} are missing"))
                );
            }
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(why) => return Err(why).attempt(format_args!("receive from {}", self.peer)),
        };
        let bytes = self.buffer.get(..received).unwrap_or_default();
        let expected = self.window.iter().take(self.sent);
        if let Some(fault) = first_difference(expected, bytes, self.echoed) {
            return Err(self.fault(fault));
        }
        if received > self.sent {
            return Err(self.fault(format!("{} bytes more than were sent", received - self.sent)));
        }
        self.window.drain(..received);
        self.sent -= received;
        self.echoed += received as u64;
        Ok(received)
    }

    fn fault(&self, fault: String) -> Error {
        Error::Protocol { peer: self.peer.to_string(), fault }
    }
}
