//! Talk in a chat room, from a terminal or a pipe.
//!
//! # What it shows
//! Either may come first, a line of input or a message of the server, and a program that waits in `read`
//! for the one does not see the other. `poll` waits for both. The terminal edits the lines and hands
//! over whole ones; what others say is escaped, since it could rewrite the screen. Ctrl-D is the end of
//! the input: `shutdown` tells the server, and what was said until then is still received.
//!
//! # System calls
//! In `netcore::connect::connect`: `socket` → `connect`
//! (`send` → `poll` → `recv` → `read`)* → `shutdown(SHUT_WR)` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ chat-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ chat-client --port 7777 --name alice < /dev/null
//! * alice joined
//! * alice left
//! $ printf 'one\ntwo\n' | chat-client --port 7777 --name bob --json
//! {"type":"joined","name":"bob"}
//! {"type":"left","name":"bob"}
//! ```
//!
//! # What can go wrong
//! - A name that is taken, or not allowed: the server refuses it and says why, exit code 1.
//! - A line of more than 4096 bytes, or one that is not UTF-8: it is not sent, the next ones are.
//! - A server that does not welcome us in time (`--timeout`), or that neither sends nor takes anything
//!   while it has to (`--idle-timeout`). In a room where nobody speaks there is no limit.
//! - The server closes: it says why, if it can. One reason is a client that reads too slowly, as after
//!   Ctrl-Z, or with its output in a pager.
//! - A message comes while you type: it stands in the middle of your line, which is sent as you
//!   typed it all the same. The terminal's Ctrl-R shows the line again.
//!
//! # Next
//! `chat-server` is the other end, and explains the frames; `echo-client` has the same loop for bytes
//! without frames, and writes out how to connect.
//!
//! # Source
//! poll(2), shutdown(2), termios(3); UNP §6.4 and §6.7; the Python cookbook's recipe 2.3, a chat
//! with select.select.

mod args;
mod report;

use std::io::stdin;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::read;
use socket2::Socket;

use netcore::chat::{Frames, LONGEST_MESSAGE, ServerMessage, frame};
use netcore::connect::connect;
use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::escape;
use netcore::{cli, recipe};

use args::Args;
use report::Lines;

/// Bytes that one `read` or `recv` takes at most.
const BUFFER: usize = 16 * 1024;

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 65 68 69 71 74 75 77 130), talk)
}

fn talk(args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let deadline = args.timeout.deadline(); // until the server has accepted our name
    let addresses = addresses(&args.host, args.port.0, family, args.timeout)?;
    let (stream, peer) = connect(&addresses, args.timeout, deadline)?; // echo-client writes it out
    let (frames, lines, last) = (Frames::new(LONGEST_MESSAGE), Lines::default(), Instant::now());
    let (unsent, stage, has_left) = (frame(&args.name), Stage::Joining, false);
    let mut client =
        Client { args, deadline, stream, peer, frames, lines, unsent, stage, last, has_left };
    let mut buffer = vec![0; BUFFER];
    loop {
        client.send_some()?;
        if client.stage == Stage::InputEnded && client.unsent.is_empty() {
            // ENOTCONN: the server has reset the connection; `recv` has the reason.
            let _ = client.stream.shutdown(Shutdown::Write);
            (client.stage, client.last) = (Stage::ShutDown, Instant::now());
        }
        let (stream_ready, input_ready) = client.wait()?;
        if stream_ready && !client.receive_some(&mut buffer, out)? {
            return Ok(()); // the drop of `stream` closes it
        }
        if input_ready {
            client.read_some(&mut buffer, out)?;
        }
    }
}

struct Client<'a> {
    args: &'a Args,
    /// When we have to be in the room.
    deadline: Option<Instant>,
    /// Non-blocking.
    stream: Socket,
    peer: SocketAddr,
    frames: Frames,
    lines: Lines,
    /// Frames that the kernel had no room for. While there are any, no line is read.
    unsent: Vec<u8>,
    stage: Stage,
    /// When the server last sent bytes or took some, or was first expected to.
    last: Instant,
    /// The server has said that we left, after which only its FIN is to come.
    has_left: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The server has not accepted our name yet.
    Joining,
    Joined,
    /// Standard input has ended; the last lines may still have to be sent.
    InputEnded,
    /// We have sent FIN.
    ShutDown,
}

impl Client<'_> {
    /// Waits until the server has sent bytes or takes some, or there is input.
    fn wait(&self) -> Result<(bool, bool), Error> {
        let mut events = PollFlags::POLLIN;
        // A socket with room to send is always ready for it: asked for only when there are bytes.
        events.set(PollFlags::POLLOUT, !self.unsent.is_empty());
        let input = stdin();
        let mut fds = vec![PollFd::new(self.stream.as_fd(), events)];
        if self.stage == Stage::Joined && self.unsent.is_empty() {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        let (is_owed, what) = match self.stage {
            Stage::Joining => (true, "welcome from"),
            // Nobody has to say anything, but the server has to take what we say.
            Stage::Joined | Stage::InputEnded => (!self.unsent.is_empty(), "send to"),
            Stage::ShutDown => (true, "goodbye from"),
        };
        let deadline = self.deadline.filter(|_| self.stage == Stage::Joining);
        let silent = self.args.idle_timeout.deadline_of(self.last).filter(|_| is_owed);
        let ready = poll(&mut fds, deadline.into_iter().chain(silent).min()).attempt("poll")?;
        let attempt = format!("{what} {}", self.peer);
        // A server that sends a byte now and then is ready again and again, and late all the same.
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let after = self.args.timeout.duration().unwrap_or_default();
            return Err(Error::Timeout { attempt, after });
        }
        if ready == 0 {
            let after = self.args.idle_timeout.duration().unwrap_or_default();
            return Err(Error::Idle { attempt, after });
        }
        let is_ready = |nth: usize| fds.get(nth).is_some_and(|fd| fd.any().unwrap_or(true));
        Ok((is_ready(0), is_ready(1)))
    }

    /// Sends what the kernel has room for.
    fn send_some(&mut self) -> Result<(), Error> {
        while !self.unsent.is_empty() {
            // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
            match send(self.stream.as_raw_fd(), &self.unsent, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => {
                    self.last = Instant::now();
                    self.unsent.drain(..sent);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                // The server has closed. What it sent before is still to be received, and says more.
                Err(Errno::EPIPE | Errno::ECONNRESET) => self.unsent.clear(),
                Err(why) => return Err(why).attempt(format_args!("send to {}", self.peer)),
            }
        }
        Ok(())
    }

    /// Reads standard input once, and makes frames of the lines that are complete.
    #[expect(clippy::indexing_slicing, reason = "read returns at most the length that it got")]
    fn read_some(&mut self, buffer: &mut [u8], out: &mut Output) -> Result<(), Error> {
        let each = |line: Result<&str, String>| match line {
            Ok(line) => self.unsent.extend(frame(line)),
            Err(why) => out.report(&Error::No(why)),
        };
        match read(stdin(), buffer) {
            Ok(0) => {
                self.lines.end(each);
                self.stage = Stage::InputEnded;
            }
            Ok(count) => {
                self.lines.push(&buffer[..count], each);
                self.last = Instant::now();
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(why) => return Err(Error::Input(why)),
        }
        Ok(())
    }

    /// Receives once, and prints the messages that are complete; false at the end of the stream.
    #[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it got")]
    fn receive_some(&mut self, buffer: &mut [u8], out: &mut Output) -> Result<bool, Error> {
        let peer = self.peer.to_string();
        match recv(self.stream.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(0) if self.has_left => return Ok(false),
            Ok(0) => {
                let inside = if self.frames.is_inside() { " inside a frame" } else { "" };
                return Err(Error::Gone { peer, why: format!("closed without a goodbye{inside}") });
            }
            Ok(received) => {
                self.last = Instant::now();
                self.frames.push(&buffer[..received]).attempt("receive a frame")?;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(true),
            Err(why) => return Err(why).attempt(format_args!("receive from {peer}")),
        }
        let fault = |fault| Error::Protocol { peer: peer.clone(), fault };
        while let Some(text) = self.frames.next_text().map_err(fault)? {
            let message = ServerMessage::parse(&text);
            self.print(message.ok_or_else(|| fault(report::unknown(&text)))?, out)?;
        }
        Ok(true)
    }

    /// Prints a message, and takes what it says of us into account.
    fn print(&mut self, message: ServerMessage, out: &mut Output) -> Result<(), Error> {
        let (peer, json) = (self.peer.to_string(), self.args.json);
        match message {
            ServerMessage::Joined(name) => {
                if name == self.args.name && self.stage == Stage::Joining {
                    self.stage = Stage::Joined;
                }
                out.line(report::event("joined", &name, json))
            }
            ServerMessage::Left(name) => {
                self.has_left |= name == self.args.name;
                out.line(report::event("left", &name, json))
            }
            // What we say ourselves is on the screen already. What comes before our own `joined` is
            // history, in which somebody else had this name.
            ServerMessage::Said(name, _)
                if name == self.args.name && self.stage != Stage::Joining =>
            {
                Ok(())
            }
            ServerMessage::Said(name, text) => out.line(report::said(&name, &text, json)),
            ServerMessage::Refused(why) => {
                Err(Error::No(format!("{peer}: refused: {}", escape(why.as_bytes()))))
            }
            ServerMessage::Closed(why) => Err(Error::Gone { peer, why: escape(why.as_bytes()) }),
        }
    }
}
