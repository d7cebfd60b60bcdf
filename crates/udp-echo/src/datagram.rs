//! What recvmsg(2) tells of a datagram besides its bytes.

use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned as Told, RecvMsg, SockaddrStorage};

use netcore::addr::{socket_address, unmap_ipv4};

use crate::asked::Asked;

pub(crate) struct Datagram {
    /// Its own length, however much of it the buffer has.
    pub(crate) length: usize,
    /// Who sent it, as a person knows it.
    pub(crate) peer: SocketAddr,
    /// The same as the socket has it: IPv4 mapped, a link-local address with its zone.
    pub(crate) from: SockaddrStorage,
    /// The address that it was sent to.
    pub(crate) asked: Asked,
    /// How many datagrams the kernel had dropped when it put this one into the queue.
    pub(crate) dropped: Option<u32>,
}

impl Datagram {
    pub(crate) fn of(message: &RecvMsg<'_, '_, SockaddrStorage>) -> nix::Result<Datagram> {
        let (mut asked, mut dropped) = (Asked::Unknown, None);
        for told in message.cmsgs()? {
            match told {
                Told::RxqOvfl(count) => dropped = Some(count),
                // Of IPv4 on a socket of IPv6 both tell; this one knows a broadcast.
                Told::Ipv4PacketInfo(info) => asked = Asked::V4(info),
                Told::Ipv6PacketInfo(info) if asked.is_unknown() => asked = Asked::V6(info),
                _ => {}
            }
        }
        let from = message.address.ok_or(Errno::EAFNOSUPPORT)?;
        let peer = socket_address(&from).map(unmap_ipv4).ok_or(Errno::EAFNOSUPPORT)?;
        Ok(Datagram { length: message.bytes, peer, from, asked, dropped })
    }
}
