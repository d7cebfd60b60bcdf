//! Sockets to ask, and pairs of them to send through.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};

use crate::wanted::{Buffer, Wanted};

/// What is sent in one call.
pub(crate) static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// More than this is sent into no buffer: a forced one may be larger than the memory.
const ENOUGH: usize = 64 * 1024 * 1024;

/// A buffer is full when it took nothing for so many milliseconds.
const STILL: u8 = 200;

/// The three kinds of sockets that have buffers of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Unix,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Tcp, Kind::Udp, Kind::Unix];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Tcp => "TCP",
            Kind::Udp => "UDP",
            Kind::Unix => "unix",
        }
    }

    /// A new socket, on which nothing was set.
    pub(crate) fn socket(self) -> Result<Socket, Error> {
        let (domain, kind) = match self {
            Kind::Tcp => (Domain::IPV4, Type::STREAM),
            Kind::Udp => (Domain::IPV4, Type::DGRAM),
            Kind::Unix => (Domain::UNIX, Type::STREAM),
        };
        Socket::new(domain, kind, None).attempt("socket")
    }
}

/// A TCP socket with an address, which does not listen yet.
pub(crate) fn bound(kind: Kind) -> Result<Socket, Error> {
    let socket = kind.socket()?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    Ok(socket)
}

/// Connects a new socket, with the send buffer that is wanted, to a listener or a receiver.
pub(crate) fn connected(kind: Kind, to: &Socket, wanted: Wanted) -> Result<Socket, Error> {
    let socket = kind.socket()?;
    wanted.set(&socket, Buffer::Send)?;
    let address = to.local_addr().attempt("getsockname")?;
    socket.connect(&address).attempt("connect to 127.0.0.1")?;
    Ok(socket)
}

/// A sender and a receiver, each with the buffer that is wanted, set before the two connect.
pub(crate) fn pair(kind: Kind, wanted: Wanted) -> Result<(Socket, Socket), Error> {
    match kind {
        Kind::Tcp => {
            let listener = bound(kind)?;
            wanted.set(&listener, Buffer::Receive)?;
            listener.listen(1).attempt("listen")?;
            let sender = connected(kind, &listener, wanted)?;
            Ok((sender, listener.accept().attempt("accept")?.0))
        }
        Kind::Udp => {
            let receiver = bound(kind)?;
            wanted.set(&receiver, Buffer::Receive)?;
            Ok((connected(kind, &receiver, wanted)?, receiver))
        }
        Kind::Unix => {
            let (sender, receiver) =
                Socket::pair(Domain::UNIX, Type::STREAM, None).attempt("socketpair")?;
            wanted.set(&sender, Buffer::Send)?;
            wanted.set(&receiver, Buffer::Receive)?;
            Ok((sender, receiver))
        }
    }
}

/// Sends until nothing more is taken, while nobody reads; the number of bytes that were taken.
pub(crate) fn fill(sender: &Socket) -> Result<usize, Error> {
    let mut taken = 0;
    while taken < ENOUGH {
        match send(sender.as_raw_fd(), &CHUNK, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(more) => taken += more,
            // The peer's kernel may still be taking them off: full is what stays full.
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(sender.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut fds, PollTimeout::from(STILL)).attempt("poll")? == 0 {
                    break;
                }
            }
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("send"),
        }
    }
    Ok(taken)
}

/// How many of `taken` bytes wait in the receive buffer, unread: looked at, and left there.
pub(crate) fn unread(receiver: &Socket, taken: usize) -> Result<usize, Error> {
    let mut bytes = vec![0; taken];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match recv(receiver.as_raw_fd(), &mut bytes, flags) {
        Err(Errno::EAGAIN) => Ok(0),
        peeked => peeked.attempt("recv MSG_PEEK"),
    }
}
