//! The ways to stop waiting, each against a peer that stays silent.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;
use socket2::Socket;

use netcore::error::{Attempt, Error};
use netcore::time::{Timeout, in_micros};

use crate::peers::{Peers, listen, ready, stream};

/// One way, and what came of it.
pub(crate) struct Row {
    /// The call that waits.
    pub(crate) call: &'static str,
    /// What ends the wait.
    pub(crate) bound: &'static str,
    /// What getsockopt says of the option; poll has none.
    pub(crate) read_back: Option<Option<Duration>>,
    /// What getsockopt says of a socket that was accepted.
    pub(crate) inherited: Option<Option<Duration>>,
    /// How a wait ends whose time is over.
    pub(crate) documented: &'static str,
    /// How it ended, and after how long. A wait that nothing would end is not begun.
    pub(crate) ended: Option<(String, Duration)>,
}

impl Row {
    fn new(
        call: &'static str,
        bound: &'static str,
        documented: &'static str,
        ended: Option<(String, Duration)>,
    ) -> Row {
        Row { call, bound, read_back: None, inherited: None, documented, ended }
    }
}

type Way = fn(&Peers, Timeout) -> Result<Row, Error>;

/// All of them.
pub(crate) const ALL: [Way; 6] = [recv, accept, send, connect, poll_recv, poll_connect];

/// From a peer that sends nothing.
fn recv(peers: &Peers, asked: Timeout) -> Result<Row, Error> {
    let (socket, _peer) = peers.connect()?;
    let read_back = bound_receiving(&socket, asked)?;
    let ended = measured(asked, || (&socket).read(&mut [0]));
    Ok(Row { read_back, ..Row::new("recv", "SO_RCVTIMEO", "EAGAIN", ended) })
}

/// Where nobody connects. Who does so later gets a socket that has the option, too.
fn accept(_: &Peers, asked: Timeout) -> Result<Row, Error> {
    let (listener, local) = listen(1)?;
    let read_back = bound_receiving(&listener, asked)?;
    let ended = measured(asked, || listener.accept());
    let client = stream()?;
    client.connect(&local).attempt("connect to a listener of our own")?;
    // The client is connected a moment before it can be accepted, and the time may be short.
    ready(&listener, PollFlags::POLLIN, None)?;
    let (accepted, _) = listener.accept().attempt("accept")?;
    let inherited = accepted.read_timeout().map(Some).attempt("getsockopt SO_RCVTIMEO")?;
    let row = Row::new("accept", "SO_RCVTIMEO", "EAGAIN", ended);
    Ok(Row { read_back, inherited, ..row })
}

/// To a peer that reads nothing.
fn send(peers: &Peers, asked: Timeout) -> Result<Row, Error> {
    let (socket, _peer) = peers.connect()?;
    // A buffer that was set does not grow any more, and a small one is soon full.
    socket.set_send_buffer_size(4096).attempt("setsockopt SO_SNDBUF")?;
    let read_back = bound_sending(&socket, asked)?;
    loop {
        while socket.send_with_flags(&[0; 4096], MsgFlags::MSG_DONTWAIT.bits()).is_ok() {}
        match measured(asked, || socket.send(&[0])) {
            // The kernel had moved something on to the peer's buffer: there was room after all.
            Some((how, _)) if how == DONE => {}
            ended => {
                return Ok(Row { read_back, ..Row::new("send", "SO_SNDTIMEO", "EAGAIN", ended) });
            }
        }
    }
}

/// To a listener that does not answer. What sends the SYN is bounded like what sends bytes.
fn connect(peers: &Peers, asked: Timeout) -> Result<Row, Error> {
    let socket = stream()?;
    let read_back = bound_sending(&socket, asked)?;
    let ended = measured(asked, || socket.connect(&peers.silent));
    Ok(Row { read_back, ..Row::new("connect", "SO_SNDTIMEO", "EINPROGRESS", ended) })
}

/// poll(2) until a deadline. Whoever then still calls recv is told what he knows already.
fn poll_recv(peers: &Peers, asked: Timeout) -> Result<Row, Error> {
    let (socket, _peer) = peers.connect()?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let ended = polled(asked, &socket, PollFlags::POLLIN, || {
        Ok(format!("poll = 0, recv {}", how((&socket).read(&mut [0]))))
    })?;
    Ok(Row::new("recv", "poll", "poll = 0, recv EAGAIN", ended))
}

/// A connect that returns at once, and poll(2) until it is decided or the deadline is there.
/// SO_ERROR is 0 then: nothing has failed, it goes on until the socket is closed.
fn poll_connect(peers: &Peers, asked: Timeout) -> Result<Row, Error> {
    let socket = stream()?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let begun = how(socket.connect(&peers.silent));
    let ended = polled(asked, &socket, PollFlags::POLLOUT, || {
        let error = socket.take_error().attempt("getsockopt SO_ERROR")?;
        Ok(format!("{begun}, poll = 0, SO_ERROR {}", error.map_or("0".into(), |why| name(&why))))
    })?;
    Ok(Row::new("connect", "poll", "EINPROGRESS, poll = 0, SO_ERROR 0", ended))
}

/// Sets the bound of recv and accept, and reads it back. `None`, 0 to the kernel, is for ever.
fn bound_receiving(socket: &Socket, asked: Timeout) -> Result<Option<Option<Duration>>, Error> {
    let asked = asked.duration().map(in_micros);
    socket.set_read_timeout(asked).attempt("setsockopt SO_RCVTIMEO")?;
    socket.read_timeout().map(Some).attempt("getsockopt SO_RCVTIMEO")
}

/// The same for send and connect.
fn bound_sending(socket: &Socket, asked: Timeout) -> Result<Option<Option<Duration>>, Error> {
    let asked = asked.duration().map(in_micros);
    socket.set_write_timeout(asked).attempt("setsockopt SO_SNDTIMEO")?;
    socket.write_timeout().map(Some).attempt("getsockopt SO_SNDTIMEO")
}

/// Makes the call that waits, unless it would wait for ever.
fn measured<T>(asked: Timeout, call: impl FnOnce() -> io::Result<T>) -> Option<(String, Duration)> {
    asked.duration()?;
    let begun = Instant::now();
    let result = call();
    let after = begun.elapsed();
    Some((how(result), after))
}

/// Polls until the deadline, unless there is none; `then` says what a call after it says.
fn polled(
    asked: Timeout,
    socket: &Socket,
    events: PollFlags,
    then: impl FnOnce() -> Result<String, Error>,
) -> Result<Option<(String, Duration)>, Error> {
    if asked.duration().is_none() {
        return Ok(None);
    }
    let begun = Instant::now();
    let is_ready = ready(socket, events, asked.deadline())?;
    let after = begun.elapsed();
    Ok(Some((if is_ready { "poll = 1".to_owned() } else { then()? }, after)))
}

/// How a call ends that was not kept waiting.
const DONE: &str = "done";

fn how<T>(result: io::Result<T>) -> String {
    result.map_or_else(|why| name(&why), |_| DONE.to_owned())
}

/// `EAGAIN`: Rust's name for it, WouldBlock, stands in no man page.
fn name(why: &io::Error) -> String {
    format!("{:?}", Errno::from_raw(why.raw_os_error().unwrap_or_default()))
}
