//! Peers that stay silent, each in its own way.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use socket2::{Domain, SockAddr, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::poll::timeout_until;

/// How long a kernel may take for what it does at once.
const SOON: Duration = Duration::from_secs(5);

/// A stream socket.
pub(crate) fn stream() -> Result<Socket, Error> {
    Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")
}

/// A listener on a free port of this machine, and where it is.
pub(crate) fn listen(backlog: i32) -> Result<(Socket, SockAddr), Error> {
    let listener = stream()?;
    let local = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)));
    listener.bind(&local).attempt("bind 127.0.0.1:0")?;
    listener.listen(backlog).attempt("listen")?;
    let local = listener.local_addr().attempt("getsockname")?;
    Ok((listener, local))
}

/// Those whom the sockets here connect to.
pub(crate) struct Peers {
    listener: Socket,
    local: SockAddr,
    _full: Socket,
    _queued: Socket,
    /// Of a listener that answers nobody: its queue is full.
    pub(crate) silent: SockAddr,
}

impl Peers {
    pub(crate) fn new() -> Result<Peers, Error> {
        let (listener, local) = listen(1)?;
        // A backlog of b admits b + 1. Whatever comes then is dropped, without a word.
        let (full, silent) = listen(0)?;
        let queued = stream()?;
        queued.connect(&silent).attempt("connect to a listener of our own")?;
        // The client is connected a moment before the listener has it in its queue.
        ready(&full, PollFlags::POLLIN, Instant::now().checked_add(SOON))?;
        Ok(Peers { listener, local, _full: full, _queued: queued, silent })
    }

    /// A connection, and its other end, which neither sends nor reads.
    pub(crate) fn connect(&self) -> Result<(Socket, Socket), Error> {
        let socket = stream()?;
        socket.connect(&self.local).attempt("connect to a listener of our own")?;
        let (peer, _) = self.listener.accept().attempt("accept")?;
        Ok((socket, peer))
    }
}

/// Waits with poll(2) until the socket is ready, false when the deadline comes first.
pub(crate) fn ready(
    socket: &Socket,
    events: PollFlags,
    deadline: Option<Instant>,
) -> Result<bool, Error> {
    loop {
        match poll(&mut [PollFd::new(socket.as_fd(), events)], timeout_until(deadline)) {
            Ok(0) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                return Ok(false);
            }
            // A signal, or the 24 days that poll can wait at most: the deadline has not moved.
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno).attempt("poll"),
        }
    }
}
