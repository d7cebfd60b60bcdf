//! Four calls in three modes, where there is nothing to connect to, accept, receive or fill.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use socket2::{SockAddr, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::time::{Timeout, in_micros};

use crate::peers::{Peers, listen, loopback};

const DONTWAIT: i32 = MsgFlags::MSG_DONTWAIT.bits();

/// How much a send is given: more than one of them takes, in the end.
const CHUNK: [u8; 4096] = [0; 4096];

/// How a call is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing is said: it waits. An option bounds the wait, which would be for ever.
    Blocking(&'static str),
    /// A flag of this one call.
    DontWait,
    /// A flag of the socket.
    NonBlocking,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Blocking(_) => "blocking",
            Mode::DontWait => "MSG_DONTWAIT",
            Mode::NonBlocking => "O_NONBLOCK",
        }
    }
}

/// A call in a mode.
pub(crate) struct Row {
    pub(crate) call: &'static str,
    pub(crate) mode: Mode,
    /// The errno that it ends with by its man page.
    pub(crate) documented: &'static str,
    /// The end of it, or why it was not made.
    pub(crate) ended: Result<Ended, &'static str>,
}

/// How a call ended.
pub(crate) struct Ended {
    pub(crate) errno: String,
    pub(crate) after: Duration,
    /// What the calls before it had sent.
    pub(crate) bytes: Option<u64>,
}

/// All the rows.
pub(crate) fn rows(peers: &Peers, timeout: Timeout) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    rows.extend(connect("connect", "EINPROGRESS", &peers.silent, timeout)?);
    rows.extend(connect("connect, unix", "EAGAIN", &peers.silent_unix, timeout)?);
    rows.extend(accept(timeout)?);
    rows.extend(recv(peers, timeout)?);
    rows.extend(send(peers, timeout)?);
    Ok(rows)
}

/// To a listener that does not answer. TCP goes on in the background, a unix socket does not.
fn connect(
    call: &'static str,
    documented: &'static str,
    silent: &SockAddr,
    timeout: Timeout,
) -> Result<[Row; 3], Error> {
    let row = |mode, ended| Row { call, mode, documented, ended };
    let socket = Socket::new(silent.domain(), Type::STREAM, None).attempt("socket")?;
    socket.set_write_timeout(asked(timeout)).attempt("setsockopt SO_SNDTIMEO")?;
    let blocking = bounded(timeout, || socket.connect(silent));

    let socket = Socket::new(silent.domain(), Type::STREAM, None).attempt("socket")?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let nonblocking = timed(|| socket.connect(silent));
    Ok([
        row(Mode::Blocking("SO_SNDTIMEO"), blocking),
        row(Mode::DontWait, Err(NO_FLAGS)),
        row(Mode::NonBlocking, Ok(nonblocking)),
    ])
}

/// Where nobody connects.
fn accept(timeout: Timeout) -> Result<[Row; 3], Error> {
    let row = |mode, ended| Row { call: "accept", mode, documented: "EAGAIN", ended };
    let (listener, _) = listen(&loopback(), 1)?;
    listener.set_read_timeout(asked(timeout)).attempt("setsockopt SO_RCVTIMEO")?;
    let blocking = bounded(timeout, || listener.accept());
    listener.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let nonblocking = timed(|| listener.accept());
    Ok([
        row(Mode::Blocking("SO_RCVTIMEO"), blocking),
        // accept4 has flags, for the socket that it returns.
        row(Mode::DontWait, Err(NO_FLAGS)),
        row(Mode::NonBlocking, Ok(nonblocking)),
    ])
}

/// From a peer that sends nothing, three times on one socket.
fn recv(peers: &Peers, timeout: Timeout) -> Result<[Row; 3], Error> {
    let row = |mode, ended| Row { call: "recv", mode, documented: "EAGAIN", ended };
    let (socket, _peer) = peers.connect()?;
    socket.set_read_timeout(asked(timeout)).attempt("setsockopt SO_RCVTIMEO")?;
    let blocking = bounded(timeout, || (&socket).read(&mut [0]));
    let dontwait =
        timed(|| socket.recv_with_flags(&mut [std::mem::MaybeUninit::uninit()], DONTWAIT));
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let nonblocking = timed(|| (&socket).read(&mut [0]));
    Ok([
        row(Mode::Blocking("SO_RCVTIMEO"), blocking),
        row(Mode::DontWait, Ok(dontwait)),
        row(Mode::NonBlocking, Ok(nonblocking)),
    ])
}

/// To a peer that reads nothing, until the buffers of both are full.
fn send(peers: &Peers, timeout: Timeout) -> Result<[Row; 3], Error> {
    let row = |mode, ended| Row { call: "send", mode, documented: "EAGAIN", ended };
    let (socket, _peer) = writer(peers)?;
    socket.set_write_timeout(asked(timeout)).attempt("setsockopt SO_SNDTIMEO")?;
    let blocking = match timeout.duration() {
        Some(_) => Ok(fill(|| socket.send(&CHUNK))),
        None => Err(FOR_EVER),
    };
    let (socket, _peer) = writer(peers)?;
    let dontwait = fill(|| socket.send_with_flags(&CHUNK, DONTWAIT));
    let (socket, _peer) = writer(peers)?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let nonblocking = fill(|| socket.send(&CHUNK));
    Ok([
        row(Mode::Blocking("SO_SNDTIMEO"), blocking),
        row(Mode::DontWait, Ok(dontwait)),
        row(Mode::NonBlocking, Ok(nonblocking)),
    ])
}

/// A connection with a small buffer: it is full after some sends, and not after four megabytes.
fn writer(peers: &Peers) -> Result<(Socket, Socket), Error> {
    let (socket, peer) = peers.connect()?;
    socket.set_send_buffer_size(4096).attempt("setsockopt SO_SNDBUF")?;
    Ok((socket, peer))
}

/// In whole microseconds, rounded up: a timeval has no more of them.
fn asked(timeout: Timeout) -> Option<Duration> {
    timeout.duration().map(in_micros)
}

const NO_FLAGS: &str = "the call has no flags";
const FOR_EVER: &str = "not begun: for ever";

/// Makes a call that waits, unless nothing would end it.
fn bounded<T>(
    timeout: Timeout,
    call: impl FnOnce() -> io::Result<T>,
) -> Result<Ended, &'static str> {
    if timeout.duration().is_some() { Ok(timed(call)) } else { Err(FOR_EVER) }
}

fn timed<T>(call: impl FnOnce() -> io::Result<T>) -> Ended {
    let begun = Instant::now();
    let result = call();
    let after = begun.elapsed();
    let errno = result.map_or_else(|why| errno(&why), |_| "0".to_owned());
    Ended { errno, after, bytes: None }
}

/// Sends until a call fails; the time is the last one's.
fn fill(mut send: impl FnMut() -> io::Result<usize>) -> Ended {
    let mut bytes = 0;
    loop {
        let begun = Instant::now();
        match send() {
            // It may take a part of what it is given: a count says how much.
            Ok(sent) => bytes += sent as u64,
            Err(why) => {
                let after = begun.elapsed();
                return Ended { errno: errno(&why), after, bytes: Some(bytes) };
            }
        }
    }
}

/// `EAGAIN`: Rust's name for it, WouldBlock, stands in no man page.
pub(crate) fn errno(why: &io::Error) -> String {
    format!("{:?}", Errno::from_raw(why.raw_os_error().unwrap_or_default()))
}
