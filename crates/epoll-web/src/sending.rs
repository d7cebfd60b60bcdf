//! An answer on its way: its head, then the part of a file, as fast as the peer takes them.

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
use netcore::text::{Json, escape};
use netcore::time::millis;

use crate::answer::Answer;
use crate::connection::Progress;

/// What one `sendfile` is asked for: a fast peer does not keep the others waiting for longer.
const CHUNK: u64 = 1 << 20;

pub(crate) struct Sending {
    answer: Answer,
    /// Bytes of its head that went.
    head: usize,
    /// Bytes of the file that went.
    file: usize,
    /// Method and target of the request; empty where there was none.
    line: [String; 2],
    begun: Instant,
}

impl Sending {
    /// An answer of which nothing has gone yet.
    pub(crate) fn new(answer: Answer, line: [String; 2], begun: Instant) -> Self {
        Self { answer, head: 0, file: 0, line, begun }
    }

    /// Whether another request may follow.
    pub(crate) fn keep(&self) -> bool {
        self.answer.keep
    }

    /// How many bytes went.
    pub(crate) fn went(&self) -> usize {
        self.head + self.file
    }

    /// Sends the head, then a chunk of the file: at most one call for each. At the end of the answer
    /// it says [`Progress::Done`].
    ///
    /// # Errors
    /// Why the rest can't be sent.
    pub(crate) fn go_on(&mut self, stream: &Socket) -> Result<Progress, String> {
        let rest = self.answer.head.as_bytes().get(self.head..).unwrap_or_default();
        if !rest.is_empty() {
            // With MSG_MORE the head waits for the file, and both leave in one segment. To read a small
            // file and send it with its head would be a little faster still, and a second way.
            let more = if self.answer.part.is_some() { MSG_MORE } else { 0 };
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::from_bits_retain(more);
            match send(stream.as_raw_fd(), rest, flags) {
                Ok(sent) => self.head += sent,
                Err(Errno::EAGAIN) => return Ok(Progress::Blocked),
                Err(Errno::EINTR) => return Ok(Progress::Ready),
                Err(why) => return Err(format!("send: {}", errno(why))),
            }
            if self.head < self.answer.head.len() {
                return Ok(Progress::Blocked);
            }
        }
        let Some(part) = &mut self.answer.part else { return Ok(Progress::Done) };
        let wanted = usize::try_from(part.left.min(CHUNK)).unwrap_or(usize::MAX);
        // It raises SIGPIPE where the peer has gone, and there is no MSG_NOSIGNAL for it; Rust's
        // start-up has that signal ignored.
        match sendfile(stream, &part.file, Some(&mut part.next), wanted) {
            // The length that was promised can't be kept, and the peer must see that.
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

    /// Its line in the log, once it is over.
    pub(crate) fn log(&self, log: &Log, peer: SocketAddr) {
        let took = self.begun.elapsed();
        let (status, bytes) = (self.answer.status.0, self.file as u64);
        let escaped = || self.line.each_ref().map(|text| escape(text.as_bytes()));
        log.event(
            || {
                let [method, target] = escaped();
                let json = Json::new("request").address(peer).text("method", &method);
                let json = json.text("target", &target).number("status", status);
                json.number("bytes", bytes).nanos("duration_ns", took)
            },
            || {
                let asked = escaped().join(" ");
                let asked = if asked == " " { "no request" } else { &asked };
                format!("{peer} {asked}: {status}, {bytes} bytes, {}", millis(took))
            },
        );
    }
}
