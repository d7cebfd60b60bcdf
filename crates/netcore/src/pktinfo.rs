//! The address that a datagram was sent to, which is the source of the reply.
//!
//! A socket that is bound to all addresses learns it from IP_PKTINFO and IPV6_PKTINFO only: `udp-echo`
//! shows both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::libc::{in_pktinfo, in6_pktinfo};

/// The address that a datagram was sent to, as recvmsg(2) returns it and sendmsg(2) takes it.
#[derive(Clone, Copy)]
pub enum Destination {
    /// IP_PKTINFO
    V4(in_pktinfo),
    /// IPV6_PKTINFO
    V6(in6_pktinfo),
    /// Not returned.
    Unknown,
}

impl Destination {
    /// Whether recvmsg(2) did not return it.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Destination::Unknown)
    }

    /// The address itself; an IPv4 address that is mapped to IPv6 as IPv4.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Destination::V4(info) => {
                Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into())
            }
            Destination::V6(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical()),
            Destination::Unknown => None,
        }
    }

    /// Whether it is a broadcast or multicast address: many hosts would reply.
    #[must_use]
    pub fn is_group(&self) -> bool {
        match self {
            // ipi_addr is the destination, ipi_spec_dst the local address to reply from: they differ
            // for a broadcast, whatever the netmask is.
            Destination::V4(info) => info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr,
            Destination::V6(_) => self.address().is_some_and(|address| address.is_multicast()),
            Destination::Unknown => false,
        }
    }

    /// The same address as the source of a reply. The route picks the interface, which may be another
    /// one; only a link-local address needs its own.
    #[must_use]
    pub fn as_source(&self) -> Destination {
        match *self {
            Destination::V4(info) => Destination::V4(in_pktinfo { ipi_ifindex: 0, ..info }),
            Destination::V6(info)
                if Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() =>
            {
                *self
            }
            Destination::V6(info) => Destination::V6(in6_pktinfo { ipi6_ifindex: 0, ..info }),
            Destination::Unknown => Destination::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{in_addr, in6_addr};

    fn v4(octets: [u8; 4]) -> Destination {
        let address = in_addr { s_addr: u32::from_ne_bytes(octets) };
        Destination::V4(in_pktinfo { ipi_ifindex: 3, ipi_addr: address, ipi_spec_dst: address })
    }

    fn v6(to: &str) -> Destination {
        let s6_addr = to.parse::<Ipv6Addr>().unwrap().octets();
        Destination::V6(in6_pktinfo { ipi6_addr: in6_addr { s6_addr }, ipi6_ifindex: 3 })
    }

    #[test]
    fn the_interface_goes_with_a_link_local_address_only() {
        let interface = |destination: Destination| match destination.as_source() {
            Destination::V4(info) => info.ipi_ifindex.unsigned_abs(),
            Destination::V6(info) => info.ipi6_ifindex,
            Destination::Unknown => 0,
        };
        let destinations = [v4([192, 0, 2, 1]), v6("2001:db8::1"), v6("fe80::1")];
        assert_eq!(destinations.map(interface), [0, 0, 3]);
    }
}
