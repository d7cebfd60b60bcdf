//! The reply as it comes: the header into a bounded buffer, the body through it and out.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netcore::error::Error;
use netcore::text::{Json, escape, shown};

use crate::http::{self, Head};
use crate::stages::Stages;
use crate::stream::{Deadline, receive};

/// Bytes that one `recv` takes at most.
const BUFFER: usize = 64 * 1024;

/// How long a server may take to close after the last byte that it announced: HTTP/1.0 has no second
/// reply on a connection, and what comes instead of the end is too much.
const CLOSES_WITHIN: Duration = Duration::from_millis(500);

/// A connection whose reply is being received.
pub(crate) struct Reply {
    fd: OwnedFd,
    peer: SocketAddr,
    deadline: Deadline,
    /// What came behind the header with it.
    rest: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(fd: OwnedFd, peer: SocketAddr, deadline: Deadline) -> Reply {
        Reply { fd, peer, deadline, rest: Vec::new() }
    }

    /// Receives the bytes of the header, or of what can't be one.
    pub(crate) fn receive_head(&mut self) -> Result<Vec<u8>, Error> {
        let mut head = Vec::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let what =
                format!("receive from {} (the header, {} bytes so far)", self.peer, head.len());
            let count = receive(&self.fd, &mut buffer, what, self.deadline)?;
            let looked_at = head.len();
            head.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if let Some(end) = http::judged(&head, looked_at) {
                self.rest = head.split_off(end);
                return Ok(head);
            }
            if count == 0 {
                return Err(
                    self.fault(format!("closed within the header, after {looked_at} bytes of it"))
                );
            }
        }
    }

    /// Receives the body and writes it as it comes, so that what came is there however it ends.
    /// Returns how many bytes it has.
    pub(crate) fn receive_body(
        &mut self,
        length: Option<u64>,
        most: u64,
        stages: &mut Stages<'_>,
    ) -> Result<u64, Error> {
        let mut buffer = std::mem::take(&mut self.rest);
        let mut count = buffer.len();
        buffer.resize(buffer.len().max(BUFFER), 0);
        let mut taken = 0;
        loop {
            let chunk = buffer.get(..count).unwrap_or_default();
            // What is more than announced, or more than wanted, is not written.
            let room = length.unwrap_or(u64::MAX).min(most) - taken;
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let (wanted, more) = chunk.split_at(room.min(count));
            write(wanted, stages)?;
            taken += wanted.len() as u64;
            if !more.is_empty() {
                let more = match length {
                    Some(length) if length == taken => {
                        format!("at least {} bytes more than Content-Length {length}", more.len())
                    }
                    _ => format!("the body has more than --max-bytes {most}"),
                };
                return Err(self.fault(more));
            }
            match self.receive_more(taken, length, &mut buffer)? {
                0 => return Ok(taken),
                received => count = received,
            }
        }
    }

    /// The next bytes of the body, 0 at its end.
    fn receive_more(
        &self,
        taken: u64,
        length: Option<u64>,
        buffer: &mut [u8],
    ) -> Result<usize, Error> {
        let peer = self.peer;
        if length == Some(taken) {
            let deadline = self.deadline.within(CLOSES_WITHIN);
            // All is here: a server that stays, or resets now, takes nothing away.
            return Ok(receive(&self.fd, buffer, "", deadline).unwrap_or(0));
        }
        let what = format!("receive from {peer} (the end of the body, {taken} bytes so far)");
        match (receive(&self.fd, buffer, what, self.deadline)?, length) {
            (0, Some(length)) => Err(self.fault(format!(
                "closed after {taken} bytes of the body, Content-Length is {length}"
            ))),
            (count, _) => Ok(count),
        }
    }

    /// The header, read.
    pub(crate) fn parse(&self, head: &[u8]) -> Result<Head, Error> {
        http::parse(head).map_err(|fault| self.fault(fault))
    }

    fn fault(&self, fault: String) -> Error {
        Error::Protocol { peer: self.peer.to_string(), fault }
    }
}

/// Writes a piece of the body: bytes as they are, unless a person or a JSON line would read them.
fn write(bytes: &[u8], stages: &mut Stages<'_>) -> Result<(), Error> {
    if bytes.is_empty() {
        Ok(())
    } else if stages.json {
        let json = Json::new("body").number("bytes", bytes.len() as u64);
        stages.out.line(json.text("payload", &shown(bytes)))
    } else if stages.out.is_terminal() {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| match line {
            [text @ .., b'\n'] => escape(text) + "\n",
            text => escape(text),
        });
        stages.out.bytes(lines.collect::<String>().as_bytes())
    } else {
        stages.out.bytes(bytes)
    }
}
