//! The system calls of a request, in the order in which it makes them. Each may fail, none may wait
//! for ever: the sockets do not block, and `poll` waits until the deadline.

use std::fmt::Display;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage};
use nix::sys::socket::{connect, getsockname, getsockopt, recv, send, socket, sockopt};

use netcore::error::{Attempt, Error};
use netcore::poll::timeout_until;
use netcore::time::Timeout;

/// A stream socket for an address. `EAFNOSUPPORT`: this machine has no such family; `EMFILE`: this
/// process has no descriptor left.
pub(crate) fn open(address: SocketAddr) -> Result<OwnedFd, Error> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(family, SockType::Stream, flags, None).attempt(format_args!("socket for {address}"))
}

/// Connects it. On a socket that does not block, `EINPROGRESS` means that the handshake is under way.
pub(crate) fn join(fd: &OwnedFd, address: SocketAddr, deadline: Deadline) -> Result<(), Error> {
    let what = format!("connect to {address}");
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(why) => return Err(why).attempt(what),
    }
    deadline.wait(fd, PollFlags::POLLOUT, &what)?;
    // Writable means decided, not connected: a refused socket is writable too.
    match getsockopt(fd, sockopt::SocketError).attempt("getsockopt SO_ERROR")? {
        0 => {}
        errno => return Err(Errno::from_raw(errno)).attempt(what),
    }
    // The kernel may pick the very port that we connect to as our own, and the socket is then
    // connected to itself. Nobody listens there.
    match getsockname(fd.as_raw_fd()) == Ok(SockaddrStorage::from(address)) {
        true => Err(Errno::ECONNREFUSED).attempt(what),
        false => Ok(()),
    }
}

/// Sends all of it. A server that has closed may have answered first: then its answer counts.
pub(crate) fn send_all(
    fd: &OwnedFd,
    bytes: &[u8],
    peer: SocketAddr,
    deadline: Deadline,
) -> Result<(), Error> {
    let what = format!("send to {peer}");
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        // Without MSG_NOSIGNAL a closed peer is SIGPIPE, which ends a program that expects an errno.
        match send(fd.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => deadline.wait(fd, PollFlags::POLLOUT, &what)?,
            Err(Errno::EPIPE | Errno::ECONNRESET)
                if recv(fd.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK)
                    .is_ok_and(|seen| seen > 0) =>
            {
                return Ok(());
            }
            Err(why) => return Err(why).attempt(what),
        }
    }
    Ok(())
}

/// Receives what there is, and waits for it if need be; 0 is the end of the stream.
pub(crate) fn receive(
    fd: &OwnedFd,
    buffer: &mut [u8],
    what: impl Display,
    deadline: Deadline,
) -> Result<usize, Error> {
    // A server that never stops sending must not outlast the deadline either.
    while !deadline.is_over() {
        match recv(fd.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(count) => return Ok(count),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => deadline.wait(fd, PollFlags::POLLIN, &what)?,
            Err(why) => return Err(why).attempt(what),
        }
    }
    Err(deadline.missed(what))
}

/// The instant until which the whole may take, and how long that was from the start.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    after: Duration,
}

impl Deadline {
    pub(crate) fn of(timeout: Timeout) -> Deadline {
        Deadline { at: timeout.deadline(), after: timeout.duration().unwrap_or_default() }
    }

    /// The part of one of so many addresses, in whole milliseconds: a silent one must not eat the
    /// time of those behind it. The last has all that is left.
    pub(crate) fn share(self, addresses: u32) -> Deadline {
        let Some(at) = self.at.filter(|_| addresses > 1) else { return self };
        let left = at.saturating_duration_since(Instant::now()) / addresses;
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        self.within(Duration::from_millis(millis))
    }

    /// The same, or earlier: so long from now.
    pub(crate) fn within(self, after: Duration) -> Deadline {
        let own = Instant::now().checked_add(after);
        match self.at {
            Some(at) if own.is_none_or(|own| at <= own) => self,
            _ => Deadline { at: own, after },
        }
    }

    fn is_over(self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    fn missed(self, what: impl Display) -> Error {
        Error::Timeout { attempt: what.to_string(), after: self.after }
    }

    /// Waits until the socket is ready for these events, or has failed.
    pub(crate) fn wait(
        self,
        fd: &OwnedFd,
        events: PollFlags,
        what: impl Display,
    ) -> Result<(), Error> {
        loop {
            match poll(&mut [PollFd::new(fd.as_fd(), events)], timeout_until(self.at)) {
                Ok(0) if self.is_over() => return Err(self.missed(what)),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(why) => return Err(why).attempt("poll"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{SockaddrIn, bind};

    #[test]
    fn a_socket_connected_to_itself_is_refused() {
        let fd = open("127.0.0.1:0".parse().unwrap()).unwrap();
        bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let own: SockaddrIn = getsockname(fd.as_raw_fd()).unwrap();
        let own = SocketAddr::from((own.ip(), own.port()));
        let error = join(&fd, own, Deadline::of(Timeout::seconds(5))).unwrap_err();
        assert!(error.to_string().ends_with("(ECONNREFUSED)"), "{error}");
    }

    #[test]
    fn a_share_leaves_time_for_the_others() {
        let whole = Deadline::of("9s".parse().unwrap());
        let share = whole.share(3);
        assert!(share.at < whole.at && share.after <= Duration::from_secs(3));
        assert!(share.after > Duration::from_millis(2900));
        assert_eq!(whole.share(1).at, whole.at);
        assert_eq!(Deadline::of("none".parse().unwrap()).share(3).at, None);
    }

    #[test]
    fn a_bound_is_never_later_than_the_deadline() {
        let whole = Deadline::of("1s".parse().unwrap());
        assert_eq!(whole.within(Duration::from_secs(2)).at, whole.at);
        assert!(whole.within(Duration::ZERO).is_over());
        let never = Deadline::of("none".parse().unwrap());
        assert!(never.within(Duration::from_secs(2)).at.is_some());
        assert_eq!(never.within(Duration::MAX).at, None);
    }
}
