//! Many datagrams in one call: recvmmsg(2) and sendmmsg(2), with the control messages of each.
//!
//! nix has both calls, but its recvmmsg does not restore the lengths that the kernel has changed, and its
//! sendmmsg gives all datagrams one control message: each reply has a source address of its own.

mod sys;

use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::SockaddrStorage;

use crate::pktinfo::Destination;

pub use sys::{Batch, recvmmsg, sendmmsg};

/// A datagram of a [`Batch`] that recvmmsg(2) has filled.
pub struct Received<'a> {
    /// What lies in the buffer: all of it, or its start.
    pub bytes: &'a [u8],
    /// The length that the kernel reports: with MSG_TRUNC that of the whole datagram.
    pub length: usize,
    /// Its source.
    pub from: Option<SockaddrStorage>,
    /// Its control messages.
    pub control: sys::ControlMessages<'a>,
}

/// A control message (cmsg(3)).
#[derive(Clone, Copy)]
pub enum Control {
    /// IP_PKTINFO
    Ipv4PacketInfo(in_pktinfo),
    /// IPV6_PKTINFO
    Ipv6PacketInfo(in6_pktinfo),
}

/// A datagram for sendmmsg(2).
pub struct Outgoing<'a> {
    /// What is sent.
    pub bytes: &'a [u8],
    /// Where to; `None` if the socket is connected.
    pub to: Option<SockaddrStorage>,
    /// Where from; [`Destination::Unknown`] leaves it to the route.
    pub source: Destination,
}

#[cfg(test)]
#[path = "mmsg_tests.rs"]
mod tests;
