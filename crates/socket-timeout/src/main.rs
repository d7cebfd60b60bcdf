//! Show four ways to stop waiting, and the peer that only one of them stops.
//!
//! # What it shows
//! A call on a socket waits without limit. SO_RCVTIMEO bounds `recv` and `accept`, SO_SNDTIMEO bounds
//! `send` and `connect`; with a non-blocking socket, `poll` waits for bytes or for a connection until
//! a deadline. The kernel rounds the two options up to clock ticks, and the call fails with `EAGAIN`
//! where one expects `ETIMEDOUT`. They bound a call and not a task: if a peer sends a byte now and
//! then, they never expire; a deadline does.
//!
//! # System calls
//! `socket` → `connect` → `setsockopt(SO_RCVTIMEO)` → `getsockopt(SO_RCVTIMEO)` → `recv` →
//! `socket` → `bind` → `listen` → `setsockopt(SO_RCVTIMEO)` → `accept` →
//! `socket` → `connect` → `setsockopt(SO_SNDTIMEO)` → `send` →
//! `socket` → `setsockopt(SO_SNDTIMEO)` → `connect` →
//! `socket` → `connect` → `fcntl(O_NONBLOCK)` → `poll` → `recv` →
//! `socket` → `fcntl(O_NONBLOCK)` → `connect` → `poll` → `getsockopt(SO_ERROR)`:
//! a line for each row below.
//!
//! # Try it
//! ```console
//! $ socket-timeout --timeout 500ms
//! a new socket: SO_RCVTIMEO none, SO_SNDTIMEO none
//!
//! call     bounded by   ended with                         asked, read back, measured
//! recv     SO_RCVTIMEO  EAGAIN                             500ms, 500.0 ms, 531.9 ms
//! accept   SO_RCVTIMEO  EAGAIN                             500ms, 500.0 ms, 507.9 ms
//! send     SO_SNDTIMEO  EAGAIN                             500ms, 500.0 ms, 531.9 ms
//! connect  SO_SNDTIMEO  EINPROGRESS                        500ms, 500.0 ms, 511.7 ms
//! recv     poll         poll = 0, recv EAGAIN              500ms, -, 500.6 ms
//! connect  poll         EINPROGRESS, poll = 0, SO_ERROR 0  500ms, -, 500.6 ms
//!
//! read back: whole clock ticks, of 4.00 ms here, rounded up;
//!   an accepted socket inherits SO_RCVTIMEO of its listener: 500.0 ms
//! measured: never less than asked; SO_*TIMEO late by up to two slots of the timer wheel,
//!   which are 32.0 ms wide for this time; poll has a finer clock
//! ended with: EAGAIN, as from a call that does not wait; ETIMEDOUT means that TCP gave up
//!
//! a peer that sends 15 bytes, one every 100.0 ms:
//! SO_RCVTIMEO of 500ms never expired: all received in 1501 ms, longest wait 101.6 ms
//! one deadline of 500ms expired after 501.5 ms
//! ```
//!
//! # What can go wrong
//! - 0 means no timeout to setsockopt, and no wait to poll: it is refused here. So is less than a
//!   microsecond, the unit of a timeval, which would be cut down to 0, and a time of more ticks than
//!   a long can count, which the kernel takes as no timeout without an error (`report.rs`).
//! - `EAGAIN` from `recv`: nothing has arrived yet, and it may still arrive. When the timeout ends a
//!   `send`, a part may have been sent: its count says how much, and only the next call fails with
//!   `EAGAIN`.
//! - `EINPROGRESS` from a blocking `connect` is a timeout, and the kernel goes on: close the socket.
//! - `EINTR`: with one of the options set, a stop and `fg` end the wait (signal(7)).
//! - `poll` returns when a connect has ended; SO_ERROR says how.
//! - The Python original sets 100 s and reads it back, and no call ever waits. Its timeout is not an
//!   option of the kernel: Python makes the socket non-blocking and polls before each call.
//!
//! # Next
//! `socket-modes` makes the same calls without waiting, `echo-client` bounds a whole exchange.
//!
//! # Source
//! socket(7), connect(2), poll(2), time(7); UNP §14.2, TLPI §63.2; the Python cookbook's recipe 1.6.

mod args;
mod report;

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, SockAddr, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::time::{Timeout, in_micros};
use netcore::{cli, recipe};

use args::Args;
use report::{DONE, Drip, Row, Seen, Tick, errno, how};

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let (asked, json) = (args.timeout, args.json);
    let tick = Tick::of_this_kernel()?;
    if asked.duration().is_some_and(|asked| asked > tick.longest()) {
        let longest = tick.longest().as_secs();
        let why = format!("the kernel takes more than {longest}s as no timeout: write none");
        return Err(Error::Usage(format!("--timeout {asked}: {why}")));
    }
    let socket = stream()?;
    let receiving = socket.read_timeout().attempt("getsockopt SO_RCVTIMEO")?;
    let sending = socket.write_timeout().attempt("getsockopt SO_SNDTIMEO")?;
    out.bytes(report::default(receiving, sending, json).as_bytes())?;

    let listener = listen(1)?;
    let (_full, silent) = full_listener()?;
    let mut show_row = |row: Row| -> Result<(), Error> {
        out.bytes(row.text(asked, json).as_bytes())?;
        if let Some(difference) = row.difference(asked, tick) {
            out.report(&Error::No(difference));
        }
        Ok(())
    };
    show_row(recv_bounded(&listener, asked)?)?;
    let (row, inherited) = accept_bounded(asked)?;
    show_row(row)?;
    show_row(send_bounded(&listener, asked)?)?;
    show_row(connect_bounded(&silent, asked)?)?;
    show_row(poll_then_recv(&listener, asked)?)?;
    show_row(connect_then_poll(&silent, asked)?)?;
    out.bytes(report::reasons(asked, inherited, tick, json).as_bytes())?;

    // Each wait is short, and all of them together are not.
    let Some(time) = asked.duration() else { return Ok(()) };
    let drip = Drip::slower_than(time);
    let timeout = read_drip(&listener, drip, |socket| read_with_timeout(socket, time))?;
    let deadline = |socket: &Socket| read_with_deadline(socket, asked.deadline());
    let deadline = read_drip(&listener, drip, deadline)?;
    out.bytes(report::drip(drip, &timeout, &deadline, asked, json).as_bytes())
}

/// From a peer that sends nothing.
fn recv_bounded(listener: &Socket, asked: Timeout) -> Result<Row, Error> {
    let (socket, _peer) = connection(listener)?;
    socket.set_read_timeout(micros(asked)).attempt("setsockopt SO_RCVTIMEO")?;
    let read_back = socket.read_timeout().map(Some).attempt("getsockopt SO_RCVTIMEO")?;
    let ended = measured(asked, || socket.recv(&mut [MaybeUninit::uninit()]));
    Ok(Row { call: "recv", bound: "SO_RCVTIMEO", read_back, documented: "EAGAIN", ended })
}

/// Where no client connects. A socket that is accepted later inherits the option.
fn accept_bounded(asked: Timeout) -> Result<(Row, Option<Duration>), Error> {
    let listener = listen(1)?;
    listener.set_read_timeout(micros(asked)).attempt("setsockopt SO_RCVTIMEO")?;
    let read_back = listener.read_timeout().map(Some).attempt("getsockopt SO_RCVTIMEO")?;
    let ended = measured(asked, || listener.accept());
    let row = Row { call: "accept", bound: "SO_RCVTIMEO", read_back, documented: "EAGAIN", ended };

    let client = stream()?;
    client.connect(&address(&listener)?).attempt("connect to a listener of our own")?;
    // The time may be shorter than what a client takes to arrive in the queue.
    wait_for_client(&listener)?;
    let (accepted, _) = listener.accept().attempt("accept")?;
    let inherited = accepted.read_timeout().attempt("getsockopt SO_RCVTIMEO")?;
    Ok((row, inherited))
}

/// To a peer that reads nothing.
fn send_bounded(listener: &Socket, asked: Timeout) -> Result<Row, Error> {
    let (socket, _peer) = connection(listener)?;
    // A buffer whose size was set does not grow any more, and a small one is soon full.
    socket.set_send_buffer_size(4096).attempt("setsockopt SO_SNDBUF")?;
    socket.set_write_timeout(micros(asked)).attempt("setsockopt SO_SNDTIMEO")?;
    let read_back = socket.write_timeout().map(Some).attempt("getsockopt SO_SNDTIMEO")?;
    let ended = loop {
        while socket.send_with_flags(&[0; 4096], MsgFlags::MSG_DONTWAIT.bits()).is_ok() {}
        match measured(asked, || socket.send(&[0])) {
            // The kernel had moved some bytes to the peer's buffer, so there was room after all.
            Some((how, _)) if how == DONE => {}
            ended => break ended,
        }
    };
    Ok(Row { call: "send", bound: "SO_SNDTIMEO", read_back, documented: "EAGAIN", ended })
}

/// To a listener that does not answer. The option bounds whatever sends, the SYN included.
fn connect_bounded(silent: &SockAddr, asked: Timeout) -> Result<Row, Error> {
    let socket = stream()?;
    socket.set_write_timeout(micros(asked)).attempt("setsockopt SO_SNDTIMEO")?;
    let read_back = socket.write_timeout().map(Some).attempt("getsockopt SO_SNDTIMEO")?;
    let ended = measured(asked, || socket.connect(silent));
    Ok(Row { call: "connect", bound: "SO_SNDTIMEO", read_back, documented: "EINPROGRESS", ended })
}

/// Waits in poll(2) until a deadline; a `recv` after it shows that nothing has arrived.
fn poll_then_recv(listener: &Socket, asked: Timeout) -> Result<Row, Error> {
    let (socket, _peer) = connection(listener)?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let documented = "poll = 0, recv EAGAIN";
    let row = Row { call: "recv", bound: "poll", read_back: None, documented, ended: None };
    if asked.duration().is_none() {
        return Ok(row);
    }
    let begun = Instant::now();
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut fds, asked.deadline()).attempt("poll")?;
    let after = begun.elapsed();
    let then = how(socket.recv(&mut [MaybeUninit::uninit()]));
    Ok(Row { ended: Some((format!("poll = {ready}, recv {then}"), after)), ..row })
}

/// The connect returns at once, and poll(2) waits until it has ended or the deadline has passed.
/// SO_ERROR is 0 then: the connect has not failed, and goes on until the socket is closed.
fn connect_then_poll(silent: &SockAddr, asked: Timeout) -> Result<Row, Error> {
    let socket = stream()?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let begun = how(socket.connect(silent));
    let documented = "EINPROGRESS, poll = 0, SO_ERROR 0";
    let row = Row { call: "connect", bound: "poll", read_back: None, documented, ended: None };
    if asked.duration().is_none() {
        return Ok(row);
    }
    let since = Instant::now();
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut fds, asked.deadline()).attempt("poll")?;
    let after = since.elapsed();
    let error = socket.take_error().attempt("getsockopt SO_ERROR")?;
    let error = error.map_or("0".to_owned(), |why| errno(&why));
    Ok(Row { ended: Some((format!("{begun}, poll = {ready}, SO_ERROR {error}"), after)), ..row })
}

/// Receives with SO_RCVTIMEO, until the peer has sent all or one `recv` has waited that long.
fn read_with_timeout(socket: &Socket, asked: Duration) -> Result<Seen, Error> {
    socket.set_read_timeout(Some(in_micros(asked))).attempt("setsockopt SO_RCVTIMEO")?;
    let mut seen = Seen::new();
    loop {
        match recv(socket.as_raw_fd(), &mut [0], MsgFlags::empty()) {
            Ok(0) => return Ok(seen.end(false)),
            Ok(_) => seen.received(),
            Err(Errno::EAGAIN) => return Ok(seen.end(true)),
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("recv"),
        }
    }
}

/// Receives with one deadline for all the bytes: each poll has the time that is left.
fn read_with_deadline(socket: &Socket, deadline: Option<Instant>) -> Result<Seen, Error> {
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let mut seen = Seen::new();
    loop {
        // A peer that is fast enough keeps poll ready, so the clock is looked at first.
        let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if is_over || poll(&mut fds, deadline).attempt("poll")? == 0 {
            return Ok(seen.end(true));
        }
        match recv(socket.as_raw_fd(), &mut [0], MsgFlags::empty()) {
            Ok(0) => return Ok(seen.end(false)),
            Ok(_) => seen.received(),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("recv"),
        }
    }
}

/// Runs a reader, and in another thread its peer, which sends a byte now and then.
fn read_drip(
    listener: &Socket,
    drip: Drip,
    reader: impl FnOnce(&Socket) -> Result<Seen, Error>,
) -> Result<Seen, Error> {
    let (socket, peer) = connection(listener)?;
    thread::scope(|scope| {
        let peer = scope.spawn(|| send_drip(peer, drip));
        let read = reader(&socket);
        drop(socket); // close: the peer stops
        let sent = peer.join().unwrap_or(Ok(()));
        read.and_then(|read| sent.map(|()| read))
    })
}

/// The peer, until it has sent all or the reader has closed its socket.
fn send_drip(peer: Socket, drip: Drip) -> Result<(), Error> {
    let mut due = Instant::now();
    for _ in 0..drip.bytes {
        due += drip.every;
        // A connection whose other end is closed is readable.
        let mut fds = [PollFd::new(peer.as_fd(), PollFlags::POLLIN)];
        let closed = poll(&mut fds, Some(due)).attempt("poll")? > 0;
        if closed || peer.send(b".").is_err() {
            break;
        }
    }
    Ok(())
}

fn stream() -> Result<Socket, Error> {
    Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")
}

/// A listener on a free port of this machine.
fn listen(backlog: i32) -> Result<Socket, Error> {
    let listener = stream()?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).attempt("bind 127.0.0.1:0")?;
    listener.listen(backlog).attempt("listen")?;
    Ok(listener)
}

fn address(listener: &Socket) -> Result<SockAddr, Error> {
    listener.local_addr().attempt("getsockname")
}

/// A listener that does not answer, and its address: a backlog of 0 admits one client, which is
/// here. Both sockets have to stay open.
fn full_listener() -> Result<([Socket; 2], SockAddr), Error> {
    let listener = listen(0)?;
    let silent = address(&listener)?;
    let queued = stream()?;
    queued.connect(&silent).attempt("connect to a listener of our own")?;
    wait_for_client(&listener)?;
    Ok(([listener, queued], silent))
}

/// A client is connected a moment before its listener has it in the queue.
fn wait_for_client(listener: &Socket) -> Result<(), Error> {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, Timeout::seconds(5).deadline()).map(drop).attempt("poll")
}

/// A connection, and its other end, which neither sends nor reads.
fn connection(listener: &Socket) -> Result<(Socket, Socket), Error> {
    let socket = stream()?;
    socket.connect(&address(listener)?).attempt("connect to a listener of our own")?;
    let (peer, _) = listener.accept().attempt("accept")?;
    Ok((socket, peer))
}

/// In whole microseconds, rounded up: a timeval has no finer unit. `None` is no timeout.
fn micros(timeout: Timeout) -> Option<Duration> {
    timeout.duration().map(in_micros)
}

/// Makes the call that waits, unless nothing would end it.
fn measured<T>(asked: Timeout, call: impl FnOnce() -> io::Result<T>) -> Option<(String, Duration)> {
    asked.duration()?;
    let begun = Instant::now();
    let result = call();
    let after = begun.elapsed();
    Some((how(result), after))
}

#[cfg(test)]
#[path = "main_tests.rs"]
mod tests;
