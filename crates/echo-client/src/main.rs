//! Send, and check what comes back byte for byte (RFC 862).
//!
//! # What it shows
//! `connect` on a non-blocking socket sends a SYN and returns EINPROGRESS; `poll` reports when it is
//! answered, and SO_ERROR says how. So the addresses of a name are tried side by side, each a quarter
//! of a second after the one before it, and a dead address does not cost the whole timeout.
//! TCP carries a stream of bytes, not messages: what one `send` took may come back in several
//! `recv`s, or two messages in one. And both directions have to move: a client that sends all before
//! it receives blocks the server, whose replies fill the buffers, and then itself. This one waits in
//! `poll` for both, and for standard input. `shutdown` ends what it sends; it can still receive.
//! Two clocks run: `--timeout` for a message and its whole reply, the first of which includes the name and
//! all addresses, and `--idle-timeout` for the next byte. With `--stdin` the first ends with `connect`.
//!
//! # System calls
//! (`socket` → `connect`)* → `poll` → `getsockopt(SO_ERROR)` → (`send` → `poll` → `recv`)* →
//! `shutdown(SHUT_WR)` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ echo-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ echo-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   0.11 ms
//! $ echo-client --port 7777 --count 1000
//! 1000 round trips: minimum 0.01 ms, median 0.02 ms, p99 0.05 ms
//! ```
//!
//! # What can go wrong
//! - `ECONNREFUSED`: no program listens there. The error names each address that was tried.
//! - The server closes early: `recv` returns 0, each time it is called. The Python original adds up
//!   the lengths of what it received, and so never ends; it also does not look at the bytes.
//! - A timeout of each `recv` in place of a deadline: a server that sends a byte now and then is waited
//!   for without end.
//! - `ECONNRESET`: the server closed the connection before it had read all that we sent.
//! - A connection to oneself: `connect` to a free port of the ephemeral range may be given that
//!   very port as its own, and succeed. Here that counts as refused.
//!
//! # Next
//! `echo-server` is the other end; `forking-client` is several clients at once.
//!
//! # Source
//! connect(2), send(2), recv(2), shutdown(2), poll(2); RFC 862, RFC 8305; UNP §5.4, §6.4 and §16.3,
//! TLPI §61.2; the Python cookbook's recipe 1.13, echo client.

mod args;
mod report;

use std::io::stdin;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::read;
use socket2::{Domain, Socket, Type};

use netcore::connect::{all_failed, alternate_families, timed_out};
use netcore::error::{Attempt, Error, to_errno};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{AddressFamily, addresses};
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::Args;
use report::Window;

/// How long an attempt to connect has before the next begins (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Bytes that one `recv` or `read` takes at most.
const BUFFER: usize = 64 * 1024;

/// Standard input is read while fewer bytes than this are on their way.
const WINDOW: usize = 1024 * 1024;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 77 130), run)
}

fn run(args: &Args, out: &mut Output) -> Result<(), Error> {
    args.check()?;
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let messages = args.messages();
    let deadline = args.timeout.deadline(); // of the first message: name and connection are part of it
    let addresses = addresses(&args.host, args.port.0, family, args.timeout)?;
    let (stream, peer) = connect_to_first(&addresses, args.timeout, deadline)?;
    let (window, buffer) = (Window::default(), vec![0; BUFFER]);
    let mut echo = Echo { stream, peer, args, deadline, window, is_broken: false, buffer };
    if args.stdin {
        echo.deadline = None; // a session: only the silence of the server ends it
        echo.exchange(Some(stdin().as_fd()), out)?;
    } else {
        echo_messages(&mut echo, &messages, out)?;
    }
    echo.finish()
}

/// Connects to the address that answers first, and returns the socket, which is non-blocking, with the
/// address. The attempts overlap (RFC 8305, "happy eyeballs").
fn connect_to_first(
    addresses: &[SocketAddr],
    timeout: Timeout,
    deadline: Option<Instant>,
) -> Result<(Socket, SocketAddr), Error> {
    let mut untried = alternate_families(addresses).into_iter().peekable();
    let mut pending: Vec<(Socket, SocketAddr)> = Vec::new();
    let mut failed: Vec<(SocketAddr, Errno)> = Vec::new();
    let mut next_attempt = Instant::now();
    loop {
        // An attempt begins after the delay, or when all before it have failed.
        while let Some(address) =
            untried.next_if(|_| pending.is_empty() || next_attempt <= Instant::now())
        {
            match begin_to_connect(address) {
                Ok(socket) => pending.push((socket, address)),
                Err(why) => failed.push((address, why)),
            }
            next_attempt = Instant::now() + ATTEMPT_DELAY;
        }
        if pending.is_empty() {
            return Err(all_failed(&failed));
        }
        let until = untried.peek().map(|_| next_attempt).into_iter().chain(deadline).min();
        let mut fds: Vec<PollFd> = pending
            .iter()
            .map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT))
            .collect();
        poll(&mut fds, until).attempt("poll")?;
        if let Some(decided) = fds.iter().position(|fd| fd.any().unwrap_or(true)) {
            let (socket, address) = pending.remove(decided);
            match connected(&socket) {
                Ok(()) => return Ok((socket, address)), // the drop of the others closes them
                Err(why) => failed.push((address, why)),
            }
        } else if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(timed_out(pending.iter().map(|(_, address)| address), timeout));
        }
    }
}

/// Sends a SYN, and does not wait for the answer.
fn begin_to_connect(address: SocketAddr) -> Result<Socket, Errno> {
    let (family, kind) = (Domain::for_address(address), Type::STREAM.nonblocking());
    let socket = Socket::new(family, kind, None).map_err(to_errno)?;
    match socket.connect(&address.into()).map_err(to_errno) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(why) => Err(why),
    }
}

/// How the attempt ended. Writable means that it has, not that it succeeded.
fn connected(socket: &Socket) -> Result<(), Errno> {
    // SO_ERROR is the errno that `connect` would have returned, had it waited.
    if let Some(error) = socket.take_error().map_err(to_errno)? {
        return Err(to_errno(error));
    }
    // The kernel may pick the very port that we connect to as our own; TCP's simultaneous open then
    // connects the socket to itself. There is no server.
    let (local, peer) = (socket.local_addr(), socket.peer_addr());
    let (local, peer) = (local.map_err(to_errno)?, peer.map_err(to_errno)?);
    if local.as_socket() == peer.as_socket() { Err(Errno::ECONNREFUSED) } else { Ok(()) }
}

/// Sends the messages as often as was asked for, each when the one before it has come back.
fn echo_messages(echo: &mut Echo, messages: &[Vec<u8>], out: &mut Output) -> Result<(), Error> {
    let (args, mut times) = (echo.args, Vec::new());
    for remaining in (0..args.count).rev() {
        for message in messages {
            let begun = Instant::now();
            if !times.is_empty() {
                echo.deadline = args.timeout.deadline();
            }
            echo.window.push(message);
            echo.exchange(None, out)?;
            let time = begun.elapsed();
            times.push(time);
            if !args.quiet && (args.count == 1 || args.verbose) {
                out.line(report::echoed(echo.peer, message, time, args))?;
            }
        }
        if remaining > 0 && !args.interval.0.is_zero() {
            poll(&mut [], Instant::now().checked_add(args.interval.0)).attempt("poll")?;
        }
    }
    if args.count > 1 && !args.quiet { out.line(report::summary(times, args)) } else { Ok(()) }
}

/// A connection to an echo server.
struct Echo<'a> {
    stream: Socket,
    peer: SocketAddr,
    args: &'a Args,
    /// When the message has to have come back, to its last byte.
    deadline: Option<Instant>,
    window: Window,
    /// The server has closed: nothing more can be sent.
    is_broken: bool,
    buffer: Vec<u8>,
}

impl Echo<'_> {
    /// Sends the window and receives it again, both at the same time, until all of it has come back.
    /// With an `input` that continues until its end, and what comes back is written to `out` (`str_cli`,
    /// UNP §6.4).
    fn exchange(&mut self, mut input: Option<BorrowedFd>, out: &mut Output) -> Result<(), Error> {
        let is_copy = input.is_some();
        loop {
            self.send_some()?;
            if input.is_none() && self.window.missing() == 0 {
                return Ok(());
            }
            // With much on its way, more input waits until some of it has come back.
            let wanted = input.filter(|_| self.window.missing() < WINDOW);
            let (stream_ready, input_ready) = self.wait(wanted)?;
            if stream_ready {
                let received = self.receive_some()?;
                if is_copy {
                    report::copy(received, out)?;
                }
            }
            if input_ready && !self.read_some()? {
                input = None;
            }
        }
    }

    /// Waits until the peer has sent bytes or takes some, or there is input.
    fn wait(&self, input: Option<BorrowedFd>) -> Result<(bool, bool), Error> {
        let mut events = PollFlags::POLLIN;
        // A socket with room to send is always ready for it: asked for only when there are bytes.
        events.set(PollFlags::POLLOUT, !self.window.unsent().is_empty() && !self.is_broken);
        let mut fds = vec![PollFd::new(self.stream.as_fd(), events)];
        fds.extend(input.map(|input| PollFd::new(input, PollFlags::POLLIN)));
        let silent =
            self.window.silent_since.and_then(|since| self.args.idle_timeout.deadline_of(since));
        let until = self.deadline.into_iter().chain(silent).min();
        let ready = poll(&mut fds, until).attempt("poll")?;
        let (attempt, now) = (report::awaited(self.peer, self.window.missing()), Instant::now());
        // A server that sends a byte now and then is ready again and again, and late all the same.
        if self.deadline.is_some_and(|deadline| deadline <= now) {
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
        while !self.window.unsent().is_empty() {
            // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
            match send(self.stream.as_raw_fd(), self.window.unsent(), MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => self.window.sent(sent),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                // The server has closed. What it sent before is still to be received, and says more.
                Err(Errno::EPIPE) => {
                    self.is_broken = true;
                    return Ok(());
                }
                Err(why) => return Err(why).attempt(format_args!("send to {}", self.peer)),
            }
        }
        Ok(())
    }

    /// Receives what has arrived, and compares it with what was sent.
    #[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it got")]
    fn receive_some(&mut self) -> Result<&[u8], Error> {
        match recv(self.stream.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
            Ok(0) => Err(self.window.closed_early(self.peer)), // FIN
            Ok(received) => match self.window.compare(&self.buffer[..received]) {
                Ok(()) => Ok(&self.buffer[..received]),
                Err(difference) => Err(self.fault(difference)),
            },
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(&[]),
            Err(why) => Err(why).attempt(format_args!("receive from {}", self.peer)),
        }
    }

    /// Reads standard input once; false at its end.
    #[expect(clippy::indexing_slicing, reason = "read returns at most the length that it got")]
    fn read_some(&mut self) -> Result<bool, Error> {
        match read(stdin(), &mut self.buffer) {
            Ok(count) => {
                self.window.push(&self.buffer[..count]);
                Ok(count > 0)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(true),
            Err(why) => Err(Error::Input(why)),
        }
    }

    /// Ends what is sent, and receives until the server's end: nothing may come before it.
    fn finish(mut self) -> Result<(), Error> {
        self.window.silent_since = Some(Instant::now());
        // ENOTCONN: the server has reset the connection; `recv` has the reason.
        let _ = self.stream.shutdown(Shutdown::Write);
        loop {
            match recv(self.stream.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(0) => return Ok(()), // the drop of `stream` closes it
                Ok(more) => return Err(self.fault(report::too_many(more))),
                Err(Errno::EAGAIN) => drop(self.wait(None)?),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(why).attempt(format_args!("receive from {}", self.peer)),
            }
        }
    }

    fn fault(&self, fault: String) -> Error {
        Error::Protocol { peer: self.peer.to_string(), fault }
    }
}

#[cfg(test)]
#[path = "main_tests.rs"]
mod tests;
