//! The conversation: lines one way, messages the other.

use std::io::stdin;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::read;
use socket2::Socket;

use netcore::chat::{Frames, LONGEST_TOLD, Told, frame};
use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::text::{Json, escape};
use netcore::time::Timeout;

use crate::lines::Lines;

/// Bytes that one `read` or `recv` takes at most.
const BUFFER: usize = 16 * 1024;

pub(crate) struct Talk<'a> {
    stream: Socket,
    peer: SocketAddr,
    timeout: Timeout,
    name: &'a str,
    json: bool,
    frames: Frames,
    lines: Lines,
    /// Frames that the kernel had no room for. While there are any, no line is read.
    unsent: Vec<u8>,
    stage: Stage,
    /// Our own `left` came, after which only the end of the stream is to come.
    is_over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The name was sent, and is not taken yet.
    Asking,
    /// We are in.
    Talking,
    /// Standard input has ended; the last lines may still have to be sent.
    Ending,
    /// We have said that nothing more is to come.
    Shut,
}

impl<'a> Talk<'a> {
    pub(crate) fn new(
        stream: Socket,
        peer: SocketAddr,
        timeout: Timeout,
        name: &'a str,
        json: bool,
    ) -> Self {
        Talk {
            stream,
            peer,
            timeout,
            name,
            json,
            frames: Frames::new(LONGEST_TOLD),
            lines: Lines::new(),
            unsent: frame(name),
            stage: Stage::Asking,
            is_over: false,
        }
    }

    pub(crate) fn run(mut self, out: &mut Output) -> Result<(), Error> {
        let mut buffer = vec![0; BUFFER];
        loop {
            self.send_some()?;
            if self.stage == Stage::Ending && self.unsent.is_empty() {
                // ENOTCONN: the server reset the connection meanwhile; recv has the reason.
                let _ = self.stream.shutdown(Shutdown::Write);
                self.stage = Stage::Shut;
            }
            let (is_ready, has_line) = self.wait()?;
            if is_ready && self.receive(&mut buffer, out)? {
                return Ok(());
            }
            if has_line {
                self.read(&mut buffer, out)?;
            }
        }
    }

    /// Waits until something can be done with the socket, and whether there is something to read.
    fn wait(&self) -> Result<(bool, bool), Error> {
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, !self.unsent.is_empty());
        let input = stdin();
        let mut fds = vec![PollFd::new(self.stream.as_fd(), events)];
        if self.stage == Stage::Talking && self.unsent.is_empty() {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        // In between, nobody has to say anything.
        let patient = matches!(self.stage, Stage::Talking | Stage::Ending);
        let deadline = if patient { None } else { self.timeout.deadline() };
        loop {
            match poll(&mut fds, timeout_until(deadline)) {
                Ok(0) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    let what = if self.stage == Stage::Asking { "welcome" } else { "goodbye" };
                    return Err(Error::Timeout {
                        attempt: format!("{what} from {}", self.peer),
                        after: self.timeout.duration().unwrap_or_default(),
                    });
                }
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => break,
                Err(why) => return Err(why).attempt("poll"),
            }
        }
        let is_ready = |nth: usize| fds.get(nth).is_some_and(|fd| fd.any().unwrap_or(true));
        Ok((is_ready(0), is_ready(1)))
    }

    /// Sends what the kernel has room for.
    fn send_some(&mut self) -> Result<(), Error> {
        while !self.unsent.is_empty() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.stream.as_raw_fd(), &self.unsent, flags) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                // The server has closed. What it said before is still to be received, and tells more.
                Err(Errno::EPIPE | Errno::ECONNRESET) => self.unsent.clear(),
                Err(why) => return Err(why).attempt(format_args!("send to {}", self.peer)),
            }
        }
        Ok(())
    }

    /// Reads once, and has what are whole lines sent.
    fn read(&mut self, buffer: &mut [u8], out: &mut Output) -> Result<(), Error> {
        let count = match read(stdin(), buffer) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            Err(why) => return Err(Error::Input(why)),
        };
        let unsent = &mut self.unsent;
        let each = |line: Result<&str, String>| match line {
            Ok(line) => unsent.extend(frame(line)),
            Err(why) => out.report(&Error::No(why)),
        };
        if count == 0 {
            self.lines.finish(each);
            self.stage = Stage::Ending;
        } else {
            self.lines.push(buffer.get(..count).unwrap_or_default(), each);
        }
        Ok(())
    }

    /// Receives once, and shows what are whole frames; whether it is over.
    fn receive(&mut self, buffer: &mut [u8], out: &mut Output) -> Result<bool, Error> {
        match recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) if self.is_over => return Ok(true),
            Ok(0) => {
                let inside = if self.frames.is_inside() { " inside a frame" } else { "" };
                let why = format!("closed without a goodbye{inside}");
                return Err(Error::Gone { peer: self.peer.to_string(), why });
            }
            Ok(received) => self.frames.push(buffer.get(..received).unwrap_or_default()),
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(why) => return Err(why).attempt(format_args!("receive from {}", self.peer)),
        }
        let peer = self.peer.to_string();
        let fault = |fault: String| Error::Protocol { peer: peer.clone(), fault };
        while let Some(text) = self.frames.next_text().map_err(fault)? {
            let what = escape(text.chars().take(40).collect::<String>().as_bytes());
            let told = Told::read(&text);
            let told =
                told.ok_or_else(|| fault(format!("a frame of no known word: \"{what}\"")))?;
            self.show(told, out)?;
        }
        Ok(false)
    }

    fn show(&mut self, told: Told, out: &mut Output) -> Result<(), Error> {
        let peer = self.peer.to_string();
        let escape = |text: &str| escape(text.as_bytes());
        match told {
            Told::Joined(name) => {
                if name == self.name && self.stage == Stage::Asking {
                    self.stage = Stage::Talking;
                }
                self.line(out, "joined", &escape(&name))
            }
            Told::Left(name) => {
                self.is_over |= name == self.name;
                self.line(out, "left", &escape(&name))
            }
            // What we say ourselves is on the screen already. What comes before our name is taken is
            // history, and somebody had the same name then.
            Told::Said(name, _) if name == self.name && self.stage != Stage::Asking => Ok(()),
            Told::Said(name, text) if self.json => {
                let json = Json::new("said").text("name", &escape(&name));
                out.line(json.text("text", &escape(&text)).number("bytes", text.len() as u64))
            }
            Told::Said(name, text) => {
                out.line(format_args!("{}: {}", escape(&name), escape(&text)))
            }
            Told::Refused(why) => Err(Error::No(format!("{peer}: refused: {}", escape(&why)))),
            Told::Closed(why) => Err(Error::Gone { peer, why: escape(&why) }),
        }
    }

    /// Somebody came or went.
    fn line(&self, out: &mut Output, what: &str, name: &str) -> Result<(), Error> {
        match self.json {
            true => out.line(Json::new(what).text("name", name)),
            false => out.line(format_args!("* {name} {what}")),
        }
    }
}
