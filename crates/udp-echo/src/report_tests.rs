use super::*;
use std::net::Ipv6Addr;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};

fn v4(to: [u8; 4], ours: [u8; 4]) -> Destination {
    let address = |octets| in_addr { s_addr: u32::from_ne_bytes(octets) };
    Destination::V4(in_pktinfo {
        ipi_ifindex: 3,
        ipi_addr: address(to),
        ipi_spec_dst: address(ours),
    })
}

fn v6(to: &str) -> Destination {
    let s6_addr = to.parse::<Ipv6Addr>().unwrap().octets();
    Destination::V6(in6_pktinfo { ipi6_addr: in6_addr { s6_addr }, ipi6_ifindex: 3 })
}

const US: [u8; 4] = [192, 0, 2, 1];

fn datagram(peer: &str, destination: Destination) -> Datagram {
    let peer = peer.parse().unwrap();
    Datagram { length: 0, peer, from: peer.into(), destination }
}

fn from(peer: &str) -> Option<Refusal> {
    refusal(&datagram(peer, v4(US, US)), 7777)
}

#[test]
fn services_that_reply_to_anything_get_no_reply() {
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
fn our_own_port_gets_no_reply_wherever_it_is() {
    for peer in ["192.0.2.1:7777", "192.0.2.9:7777", "[::1]:7777"] {
        assert_eq!(from(peer), Some(Refusal::OwnPort(7777)));
    }
}

#[test]
fn a_datagram_to_a_group_gets_no_reply() {
    for (destination, refused) in [
        (v4([192, 0, 2, 255], US), true),
        (v4([255; 4], US), true),
        (v4([224, 0, 0, 1], US), true),
        (v4(US, US), false),
        (v6("ff02::1"), true),
        (v6("::1"), false),
        (v6("fe80::1"), false),
        (Destination::Unknown, false),
    ] {
        let address = destination.address();
        assert_eq!(
            refusal(&datagram("192.0.2.9:40000", destination), 7777).is_some(),
            refused,
            "{address:?}"
        );
    }
}
