//! A connect that does not wait: how it is found out what became of it, and how it is called off.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::signal::raise;
use socket2::{SockAddr, Socket};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::signal::{Signal, Signals, Woken};
use netcore::time::Timeout;

use crate::matrix::errno;
use crate::peers::{Peers, ready, stream};
use crate::report;

/// What became of a connect.
pub(crate) struct Outcome {
    pub(crate) to: &'static str,
    /// What connect said.
    pub(crate) begun: String,
    /// What poll said, and when.
    pub(crate) events: PollFlags,
    pub(crate) after: Duration,
    /// What SO_ERROR said, and what it said when it was asked again.
    pub(crate) error: String,
    pub(crate) again: String,
    /// What SO_ERROR is by the man page.
    pub(crate) documented: &'static str,
}

/// Both ends that a connect has on one machine.
pub(crate) fn outcomes(peers: &Peers) -> Result<[Outcome; 2], Error> {
    Ok([
        outcome("a listener", &peers.local, "0")?,
        outcome("a port that nobody listens on", &peers.refused, "ECONNREFUSED")?,
    ])
}

fn outcome(to: &'static str, peer: &SockAddr, documented: &'static str) -> Result<Outcome, Error> {
    let socket = stream()?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let begun = begin(&socket, peer);
    let since = Instant::now();
    // Writable is what a socket is that has connected, and what it is when that has failed.
    let events = ready(&socket, PollFlags::POLLOUT)?;
    let after = since.elapsed();
    let error = so_error(&socket)?;
    let again = so_error(&socket)?;
    Ok(Outcome { to, begun, events, after, error, again, documented })
}

/// EINPROGRESS is no failure: the SYN is on its way.
fn begin(socket: &Socket, peer: &SockAddr) -> String {
    socket.connect(peer).map_or_else(|why| errno(&why), |()| "0".to_owned())
}

/// The error that waits in the socket; whoever reads it takes it away.
fn so_error(socket: &Socket) -> Result<String, Error> {
    let error = socket.take_error().attempt("getsockopt SO_ERROR")?;
    Ok(error.map_or_else(|| "0".to_owned(), |why| errno(&why)))
}

/// Connects to a listener that does not answer, and waits until somebody calls it off, or until
/// TCP gives up (net.ipv4.tcp_syn_retries, two minutes as a rule).
pub(crate) fn wait_for_ctrl_c(
    timeout: Option<Timeout>,
    json: bool,
    out: &mut Output,
) -> Result<(), Error> {
    // Before the connect: a signal that came between the two would be one too early.
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    let peers = Peers::new()?;
    let socket = stream()?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let begun = begin(&socket, &peers.silent);
    let since = Instant::now();
    let peer = peers.silent.as_socket().ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")?;
    out.bytes(report::connecting(peer, &begun, json).as_bytes())?;

    let deadline = timeout.and_then(Timeout::deadline);
    match signals.wait(Some(socket.as_fd()), PollFlags::POLLOUT, deadline)? {
        Woken::Signal(signal) => {
            // Closed, the socket sends no SYN any more.
            drop(socket);
            out.bytes(report::cancelled(signal, since.elapsed(), json).as_bytes())?;
            // Ended by the signal itself, so that a shell that runs a script stops too.
            signals.unblock()?;
            raise(signal).attempt(format_args!("raise {signal}"))
        }
        Woken::Deadline => {
            let after = timeout.and_then(Timeout::duration).unwrap_or_default();
            Err(Error::Timeout { attempt: format!("connect to {peer}"), after })
        }
        Woken::Ready => {
            let error = socket.take_error().attempt("getsockopt SO_ERROR")?;
            let why =
                error.and_then(|why| why.raw_os_error()).map_or(Errno::EISCONN, Errno::from_raw);
            Err(why).attempt(format_args!("connect to {peer}"))
        }
    }
}
