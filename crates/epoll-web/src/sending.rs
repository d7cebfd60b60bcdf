//! A response that is being sent: its head, then the part of a file, as fast as the peer receives.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc::MSG_MORE;
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, send};
use socket2::Socket;

use netcore::error::errno;
use netcore::log::Log;
use netcore::text::{Json, counted};
use netcore::time::millis;

use crate::connection::Progress;
use crate::response::Response;

/// Bytes of one `sendfile`: a fast peer does not make the others wait for longer.
const CHUNK: u64 = 1 << 20;

pub(crate) struct Sending {
    response: Response,
    /// Bytes of its head that were sent.
    head: usize,
    /// Bytes of the file that were sent.
    file: usize,
    /// Method and target of the request as they are shown; empty where there was none.
    line: [String; 2],
    begun: Instant,
}

impl Sending {
    /// A response of which nothing was sent yet.
    pub(crate) fn new(response: Response, line: [String; 2], begun: Instant) -> Self {
        Self { response, head: 0, file: 0, line, begun }
    }

    /// Whether the connection is kept for another request.
    pub(crate) fn keep(&self) -> bool {
        self.response.keep
    }

    /// How many bytes were sent.
    pub(crate) fn sent(&self) -> usize {
        self.head + self.file
    }

    /// Sends the head, then a chunk of the file, with one call for each. At the end of the response the
    /// result is [`Progress::Done`].
    ///
    /// # Errors
    /// Why the rest cannot be sent.
    pub(crate) fn send_some(&mut self, stream: &Socket) -> Result<Progress, String> {
        let rest = self.response.head.as_bytes().get(self.head..).unwrap_or_default();
        if !rest.is_empty() {
            // With MSG_MORE the head waits for the file, and both are sent in one segment. To read a small
            // file and send it with its head would be a little faster, but a second code path.
            let more = if self.response.part.is_some() { MSG_MORE } else { 0 };
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::from_bits_retain(more);
            match send(stream.as_raw_fd(), rest, flags) {
                Ok(sent) => self.head += sent,
                Err(Errno::EAGAIN) => return Ok(Progress::Blocked),
                Err(Errno::EINTR) => return Ok(Progress::Ready),
                Err(why) => return Err(format!("send: {}", errno(why))),
            }
            if self.head < self.response.head.len() {
                return Ok(Progress::Blocked);
            }
        }
        let Some(part) = &mut self.response.part else { return Ok(Progress::Done) };
        let wanted = usize::try_from(part.left.min(CHUNK)).unwrap_or(usize::MAX);
        // `sendfile` raises SIGPIPE where the peer has closed, and has no MSG_NOSIGNAL; Rust's start-up
        // code ignores that signal.
        match sendfile(stream, &part.file, Some(&mut part.next), wanted) {
            // The head has promised more bytes; the peer sees the close, and knows that they are missing.
            Ok(0) => Err("the file became shorter".to_owned()),
            Ok(sent) => {
                self.file += sent;
                part.left -= sent as u64;
                Ok(match part.left {
                    0 => Progress::Done,
                    _ if sent == wanted => Progress::Ready,
                    _ => Progress::Blocked,
                })
            }
            Err(Errno::EAGAIN) => Ok(Progress::Blocked),
            Err(Errno::EINTR) => Ok(Progress::Ready),
            Err(why) => Err(format!("sendfile: {}", errno(why))),
        }
    }

    /// Its line in the log.
    pub(crate) fn log(&self, log: &Log, peer: SocketAddr) {
        let took = self.begun.elapsed();
        let (status, bytes) = (self.response.status.0, self.file as u64);
        let [method, target] = &self.line;
        log.event(
            || {
                let json = Json::new("request").address(peer).text("method", method);
                let json = json.text("target", target).number("status", status);
                json.number("bytes", bytes).nanos("duration_ns", took)
            },
            || {
                let asked = format!("{method} {target}");
                let asked = if method.is_empty() { "no request" } else { &asked };
                format!("{peer} {asked}: {status}, {}, {}", counted(bytes, "byte"), millis(took))
            },
        );
    }
}
