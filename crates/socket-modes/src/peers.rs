//! Peers of every kind: one that accepts, two that stay silent, one that is not there.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use socket2::{Domain, SockAddr, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::poll::timeout_until;
use netcore::time::Timeout;

/// Those whom the sockets here connect to.
pub(crate) struct Peers {
    listener: Socket,
    /// Of a listener that answers.
    pub(crate) local: SockAddr,
    /// Of a listener that answers nobody: its queue is full.
    pub(crate) silent: SockAddr,
    /// The same, of a unix socket.
    pub(crate) silent_unix: SockAddr,
    /// Of a port that is taken, and where nobody listens.
    pub(crate) refused: SockAddr,
    /// What has to stay open for all that to be true.
    _open: [Socket; 5],
}

impl Peers {
    pub(crate) fn new() -> Result<Peers, Error> {
        let loopback = loopback();
        let (listener, local) = listen(&loopback, 1)?;
        let (full, queued, silent) = listen_to_nobody(&loopback)?;
        // A unix socket without a path gets a name of the kernel's, that is no file.
        let nameless = SockAddr::unix("").attempt("an address without a path")?;
        let (full_unix, queued_unix, silent_unix) = listen_to_nobody(&nameless)?;
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
        bound.bind(&loopback).attempt("bind 127.0.0.1:0")?;
        let refused = bound.local_addr().attempt("getsockname")?;
        let _open = [full, queued, full_unix, queued_unix, bound];
        Ok(Peers { listener, local, silent, silent_unix, refused, _open })
    }

    /// A connection, and its other end, which neither sends nor reads.
    pub(crate) fn connect(&self) -> Result<(Socket, Socket), Error> {
        let socket = stream()?;
        socket.connect(&self.local).attempt("connect to a listener of our own")?;
        let (peer, _) = self.listener.accept().attempt("accept")?;
        Ok((socket, peer))
    }
}

/// A free port of this machine.
pub(crate) fn loopback() -> SockAddr {
    SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A stream socket, blocking as every new one.
pub(crate) fn stream() -> Result<Socket, Error> {
    Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")
}

/// A listener, and the address that the kernel gave it.
pub(crate) fn listen(local: &SockAddr, backlog: i32) -> Result<(Socket, SockAddr), Error> {
    let listener = Socket::new(local.domain(), Type::STREAM, None).attempt("socket")?;
    listener.bind(local).attempt("bind a free address")?;
    listener.listen(backlog).attempt("listen")?;
    let local = listener.local_addr().attempt("getsockname")?;
    Ok((listener, local))
}

/// A listener whose queue is full, and who stands in it: a backlog of b admits b + 1.
fn listen_to_nobody(local: &SockAddr) -> Result<(Socket, Socket, SockAddr), Error> {
    let (full, local) = listen(local, 0)?;
    let queued = Socket::new(local.domain(), Type::STREAM, None).attempt("socket")?;
    queued.connect(&local).attempt("connect to a listener of our own")?;
    // The client is connected a moment before the listener has it in its queue.
    ready(&full, PollFlags::POLLIN)?;
    Ok((full, queued, local))
}

/// Waits with poll(2) for what comes at once, and returns what it was.
pub(crate) fn ready(socket: &Socket, events: PollFlags) -> Result<PollFlags, Error> {
    let deadline = Timeout::seconds(5).deadline();
    loop {
        let mut fds = [PollFd::new(socket.as_fd(), events)];
        match poll(&mut fds, timeout_until(deadline)) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).attempt("poll"),
            Ok(_) => return Ok(fds.first().and_then(PollFd::revents).unwrap_or(events)),
        }
    }
}
