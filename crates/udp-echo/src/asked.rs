//! Which address a datagram asked, and who gets no answer at all.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::ControlMessage;

/// The address that a datagram was sent to, as recvmsg(2) tells it and sendmsg(2) takes it.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// IP_PKTINFO
    V4(in_pktinfo),
    /// IPV6_PKTINFO
    V6(in6_pktinfo),
    /// The kernel did not say: the route picks our address.
    Unknown,
}

impl Asked {
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Asked::Unknown)
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Asked::V4(info) => Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into()),
            Asked::V6(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical()),
            Asked::Unknown => None,
        }
    }

    /// Whether it was sent to many: each of them would answer.
    fn is_group(&self) -> bool {
        match self {
            // Beside the address in the header stands the address of ours that an answer is to
            // leave from. For a broadcast the two differ, whatever the netmask is.
            Asked::V4(info) => info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr,
            Asked::V6(_) => self.address().is_some_and(|address| address.is_multicast()),
            Asked::Unknown => false,
        }
    }

    /// The same as where the answer leaves from. The interface is left to the route, which may lead
    /// back another way; only a link-local address means nothing without its own.
    pub(crate) fn as_source(&self) -> Asked {
        match *self {
            Asked::V4(info) => Asked::V4(in_pktinfo { ipi_ifindex: 0, ..info }),
            Asked::V6(info) if Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() => {
                *self
            }
            Asked::V6(info) => Asked::V6(in6_pktinfo { ipi6_ifindex: 0, ..info }),
            Asked::Unknown => Asked::Unknown,
        }
    }

    pub(crate) fn control(&self) -> Option<ControlMessage<'_>> {
        match self {
            Asked::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Asked::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
            Asked::Unknown => None,
        }
    }
}

/// The services that answer whatever they are sent, our answer too; and a port that is none.
const ANSWERING: [(u16, &str); 6] =
    [(0, "no port"), (7, "echo"), (13, "daytime"), (17, "qotd"), (19, "chargen"), (37, "time")];

/// Why a datagram gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It comes from one of the services that answer anything.
    Service(u16, &'static str),
    /// It comes from our own port: from a server like this one, or from ourselves.
    OwnPort(u16),
    /// It was sent to a broadcast or multicast address.
    Group(IpAddr),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Service(port, name) => write!(f, "port {port} is {name}"),
            Refusal::OwnPort(port) => write!(f, "port {port} is our own"),
            Refusal::Group(address) => write!(f, "{address} is not one host's"),
        }
    }
}

/// Why a datagram from that peer gets no answer, `None` if it gets one.
pub(crate) fn refusal(peer: SocketAddr, asked: &Asked, own_port: u16) -> Option<Refusal> {
    let service = ANSWERING.iter().find(|(port, _)| *port == peer.port());
    if let Some((port, name)) = service {
        return Some(Refusal::Service(*port, name));
    }
    if peer.port() == own_port {
        return Some(Refusal::OwnPort(own_port));
    }
    asked.address().filter(|_| asked.is_group()).map(Refusal::Group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{in_addr, in6_addr};

    fn v4(asked: [u8; 4], ours: [u8; 4]) -> Asked {
        let address = |octets| in_addr { s_addr: u32::from_ne_bytes(octets) };
        Asked::V4(in_pktinfo {
            ipi_ifindex: 3,
            ipi_addr: address(asked),
            ipi_spec_dst: address(ours),
        })
    }

    fn v6(asked: &str) -> Asked {
        let s6_addr = asked.parse::<Ipv6Addr>().unwrap().octets();
        Asked::V6(in6_pktinfo { ipi6_addr: in6_addr { s6_addr }, ipi6_ifindex: 3 })
    }

    const US: [u8; 4] = [192, 0, 2, 1];

    fn from(peer: &str) -> Option<Refusal> {
        refusal(peer.parse().unwrap(), &v4(US, US), 7777)
    }

    #[test]
    fn services_that_answer_anything_get_no_answer() {
        for port in [0, 7, 13, 17, 19, 37] {
            for host in ["192.0.2.9", "[2001:db8::9]"] {
                let refused = from(&format!("{host}:{port}"));
                assert!(matches!(refused, Some(Refusal::Service(p, _)) if p == port), "{port}");
            }
        }
        for port in [1, 6, 8, 36, 38, 53, 1024, 7776, 7778, 65535] {
            assert_eq!(from(&format!("192.0.2.9:{port}")), None, "{port}");
        }
    }

    #[test]
    fn our_own_port_gets_no_answer_wherever_it_is() {
        for peer in ["192.0.2.1:7777", "192.0.2.9:7777", "[::1]:7777"] {
            assert_eq!(from(peer), Some(Refusal::OwnPort(7777)));
        }
    }

    #[test]
    fn who_asks_many_gets_no_answer() {
        let peer = "192.0.2.9:40000".parse().unwrap();
        for (asked, refused) in [
            (v4([192, 0, 2, 255], US), true),
            (v4([255; 4], US), true),
            (v4([224, 0, 0, 1], US), true),
            (v4(US, US), false),
            (v6("ff02::1"), true),
            (v6("::1"), false),
            (v6("fe80::1"), false),
            (Asked::Unknown, false),
        ] {
            let address = asked.address();
            assert_eq!(refusal(peer, &asked, 7777).is_some(), refused, "{address:?}");
        }
    }

    #[test]
    fn the_interface_goes_with_a_link_local_address_only() {
        let interface = |asked: Asked| match asked.as_source() {
            Asked::V4(info) => info.ipi_ifindex.unsigned_abs(),
            Asked::V6(info) => info.ipi6_ifindex,
            Asked::Unknown => 0,
        };
        assert_eq!([v4(US, US), v6("2001:db8::1"), v6("fe80::1")].map(interface), [0, 0, 3]);
    }
}
