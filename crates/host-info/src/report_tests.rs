use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::args::literal;

#[test]
fn a_zone_is_shown_by_the_name_of_its_interface() {
    for (index, shown) in [(0, "fe80::1"), (1, "fe80::1%lo"), (u32::MAX, "fe80::1%4294967295")] {
        let address = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, index);
        assert_eq!(without_port(address.into()), shown);
    }
}

#[test]
fn a_peer_on_a_link_needs_its_zone() {
    for text in ["fe80::1", "febf::", "ff02::1", "ff12::1"] {
        let error = literal(&text.parse().unwrap(), 9).unwrap_err();
        assert!(matches!(error, Error::Usage(_)), "{text}: {error}");
    }
    assert!(matches!(literal(&"localhost".parse().unwrap(), 9), Ok(None)));
    for text in ["fe80::1%1", "ff02::1%1", "fec0::1", "ff0e::1", "127.0.0.1"] {
        assert!(literal(&text.parse().unwrap(), 9).is_ok(), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_shown_is_read_again(ip: IpAddr) {
        let peer = without_port(SocketAddr::new(ip, 9)).parse().unwrap();
        if let Ok(address) = literal(&peer, 9) {
            prop_assert_eq!(address, Some(SocketAddr::new(ip, 9)));
        }
    }
}

#[test]
fn flags_are_shown_as_by_ip() {
    use InterfaceFlags as F;
    let loopback = F::IFF_UP | F::IFF_LOOPBACK | F::IFF_RUNNING | F::IFF_LOWER_UP;
    assert_eq!(names(loopback), ["LOOPBACK", "UP", "LOWER_UP"]);
    let unplugged = F::IFF_UP | F::IFF_BROADCAST | F::IFF_MULTICAST;
    assert_eq!(names(unplugged), ["NO-CARRIER", "BROADCAST", "MULTICAST", "UP"]);
    assert!(names(F::empty()).is_empty());
}

proptest! {
    #[test]
    fn a_mask_is_as_long_as_its_prefix(v4 in 0_u32..=32, v6 in 0_u32..=128) {
        let mask = u32::MAX.checked_shl(32 - v4).unwrap_or(0);
        prop_assert_eq!(ones(Ipv4Addr::from(mask).into()), v4);
        let mask = u128::MAX.checked_shl(128 - v6).unwrap_or(0);
        prop_assert_eq!(ones(Ipv6Addr::from(mask).into()), v6);
    }
}
