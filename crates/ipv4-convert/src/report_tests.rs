use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::*;

fn network(address: &str, length: &str) -> Network {
    Network::read(address.parse().unwrap(), length).unwrap()
}

#[test]
fn the_smallest_and_the_largest_network() {
    let two = network("192.0.2.7", "31");
    assert_eq!((two.addresses(), two.broadcast()), (2, None));
    assert_eq!(two.hosts(), ([192, 0, 2, 6].into(), [192, 0, 2, 7].into()));
    let one = network("192.0.2.7", "32");
    assert_eq!((one.addresses(), one.broadcast()), (1, None));
    assert_eq!(one.hosts(), ([192, 0, 2, 7].into(), [192, 0, 2, 7].into()));
    let all = network("192.0.2.7", "0");
    assert_eq!((all.addresses(), all.broadcast()), (1 << 32, Some(Ipv4Addr::BROADCAST)));
    assert_eq!(all.hosts().0, Ipv4Addr::new(0, 0, 0, 1));
}

#[test]
fn a_length_is_0_to_32() {
    for length in ["33", "-1", "+8", "08", "", "8 ", "x", "4294967296"] {
        assert!(Network::read(Ipv4Addr::LOCALHOST, length).is_err(), "{length}");
    }
}

#[test]
fn a_netmask_is_a_length() {
    for length in 0..=32 {
        let mask = Ipv4Addr::from(network("192.0.2.7", &length.to_string()).mask());
        assert_eq!(network("192.0.2.7", &mask.to_string()).length, length, "{mask}");
    }
    // The wildcard of a /24, a hole, and what inet_aton would read.
    for mask in ["0.0.0.255", "255.0.255.0", "255.255.255.1", "255.255", "0xffffff00"] {
        assert!(Network::read(Ipv4Addr::LOCALHOST, mask).is_err(), "{mask}");
    }
}

#[test]
fn bits_beyond_the_prefix_are_said() {
    assert_eq!(network("192.0.2.8", "29").host_bits(), None);
    assert_eq!(network("192.0.2.9", "29").host_bits(), Some([0, 0, 0, 1].into()));
    assert_eq!(network("192.0.2.9", "32").host_bits(), None);
    assert_eq!(network("192.0.2.9", "0").host_bits(), Some([192, 0, 2, 9].into()));
}

proptest! {
    #[test]
    fn the_arithmetic_is_that_of_ipnet(address: Ipv4Addr, length in 0_u8..=32) {
        let ours = network(&address.to_string(), &length.to_string());
        let theirs = Ipv4Net::new(address, length).unwrap();
        prop_assert_eq!(Ipv4Addr::from(ours.first()), theirs.network());
        prop_assert_eq!(Ipv4Addr::from(ours.last()), theirs.broadcast());
        prop_assert_eq!(Ipv4Addr::from(ours.mask()), theirs.netmask());
        prop_assert_eq!(Ipv4Addr::from(!ours.mask()), theirs.hostmask());
        prop_assert_eq!(ours.host_bits().is_none(), theirs.trunc() == theirs);
        let (first, last) = ours.hosts();
        prop_assert_eq!(Some(first), theirs.hosts().next());
        prop_assert_eq!(Some(last), theirs.hosts().next_back());
    }
}

#[test]
fn the_edges_of_the_registry() {
    for (text, what) in [
        ("0.0.0.0", "this host"),
        ("0.0.0.1", "this network"),
        ("9.255.255.255", "public"),
        ("10.0.0.0", "private"),
        ("11.0.0.0", "public"),
        ("100.63.255.255", "public"),
        ("100.127.255.255", "shared"),
        ("100.128.0.0", "public"),
        ("127.255.255.255", "loopback"),
        ("169.254.1.1", "link-local"),
        ("172.15.255.255", "public"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "protocol"),
        ("192.0.2.255", "documentation"),
        ("192.0.3.0", "public"),
        ("198.19.255.255", "benchmarks"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast, this link"),
        ("224.0.1.1", "multicast (RFC 5771)"),
        ("239.255.255.255", "multicast, one site"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
    ] {
        let found = purpose(text.parse().unwrap());
        assert!(found.starts_with(what), "{text}: {found}");
    }
}
