//! Datagrams, each with the time at which the kernel received it: a harness that is scheduled late does not make
//! it later (SO_TIMESTAMPNS, socket(7)).

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;

/// In bytes: longer than any datagram.
const LONGEST: usize = 65_536;

/// A datagram that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its source.
    pub from: SocketAddr,
    /// When the kernel received it.
    pub at: SystemTime,
}

/// A socket of 127.0.0.1.
#[derive(Debug)]
pub struct Arrivals(UdpSocket);

impl Arrivals {
    /// Binds it; port 0 is any that is free.
    ///
    /// # Errors
    /// EADDRINUSE where the port is taken.
    pub fn bind(port: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        Ok(Self(socket))
    }

    /// The next datagram; `None` if there is none yet.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub fn next(&self) -> io::Result<Option<Arrival>> {
        let mut bytes = vec![0; LONGEST];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!(TimeSpec);
        let (flags, fd) = (MsgFlags::MSG_DONTWAIT, self.0.as_raw_fd());
        let message = match recvmsg::<SockaddrIn>(fd, &mut parts, Some(&mut control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(UNIX_EPOCH + Duration::from(time)),
            _ => None,
        });
        let from = message.address.map(SocketAddrV4::from).ok_or(Errno::EAFNOSUPPORT)?;
        let (length, at) = (message.bytes, stamp.unwrap_or_else(SystemTime::now));
        bytes.truncate(length);
        Ok(Some(Arrival { bytes, from: from.into(), at }))
    }

    /// The socket itself, to send from.
    pub fn socket(&self) -> &UdpSocket {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::wait_until;

    #[test]
    fn a_datagram_has_its_source_and_the_time_at_which_it_arrived() {
        let arrivals = Arrivals::bind(0).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(arrivals.next().unwrap(), None);
        let before = SystemTime::now();
        sender.send_to(b"now", arrivals.socket().local_addr().unwrap()).unwrap();
        let arrived = || arrivals.next().unwrap();
        let arrival = wait_until(Duration::from_secs(10), arrived).unwrap();
        let after = SystemTime::now();
        assert_eq!(
            (arrival.bytes.as_slice(), arrival.from),
            (&b"now"[..], sender.local_addr().unwrap())
        );
        assert!(before <= arrival.at && arrival.at <= after);
    }
}
