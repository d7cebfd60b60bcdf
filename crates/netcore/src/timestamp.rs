//! A datagram with the instant of its arrival, by the kernel's reading of the clock: a program
//! that is woken late would read a later one (`SO_TIMESTAMPNS`, socket(7)).

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg as nix_recvmsg};

use crate::addr::socket_address;
use crate::ntp::time::Utc;

/// What recvmsg(2) says of a datagram besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of the buffer it has filled.
    pub length: usize,
    /// Who sent it.
    pub from: Option<SocketAddr>,
    /// When it arrived; `None` where the kernel was not asked to note that, or cannot.
    pub stamp: Option<Utc>,
}

/// Takes the next datagram, and does not wait for one (recvmsg(2), MSG_DONTWAIT).
///
/// # Errors
/// EAGAIN when there is none; the error of an earlier send, such as ECONNREFUSED.
pub fn recvmsg(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<Datagram> {
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message =
        nix_recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let stamp = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::ScmTimestampns(time) => Some(Utc::from_nanos(
            i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()),
        )),
        _ => None,
    });
    let from = message.address.as_ref().and_then(socket_address);
    Ok(Datagram { length: message.bytes, from, stamp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, poll};
    use nix::sys::socket::{setsockopt, sockopt::ReceiveTimestampns};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn a_datagram_has_its_sender_and_the_instant_at_which_it_came() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(recvmsg(socket.as_fd(), &mut buffer), Err(Errno::EAGAIN));
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        setsockopt(&socket, ReceiveTimestampns, &true).unwrap();
        let before = Utc::now();
        peer.send_to(b"now", socket.local_addr().unwrap()).unwrap();
        // On a busy machine the datagram may be under way when `send_to` has returned.
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 10_000_u16), Ok(1));
        let got = recvmsg(socket.as_fd(), &mut buffer).unwrap();
        let after = Utc::now();
        assert_eq!((got.length, got.from), (3, peer.local_addr().ok()));
        let stamp = got.stamp.unwrap();
        assert!(before <= stamp && stamp <= after, "{before} {stamp} {after}");
    }
}
