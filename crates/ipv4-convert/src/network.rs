//! A network in CIDR notation (RFC 4632): an address, and how many of its bits are the network's.

use std::net::Ipv4Addr;

use crate::form::{self, Form};

/// The network that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: Ipv4Addr,
    /// 0 to 32.
    length: u32,
}

impl Network {
    /// Reads the length of a prefix, without sign or leading zero.
    pub(crate) fn read(address: Ipv4Addr, length: &str) -> Result<Network, String> {
        let plain = length.bytes().all(|byte| byte.is_ascii_digit())
            && (length == "0" || !length.starts_with('0'));
        let length = length.parse().ok().filter(|length| plain && *length <= 32);
        let length = length.ok_or_else(|| "a prefix has 0 to 32 bits".to_owned())?;
        Ok(Network { address, length })
    }

    fn mask(self) -> u32 {
        // A shift by all 32 bits is none at all to the processor.
        u32::MAX.checked_shl(32 - self.length).unwrap_or(0)
    }

    fn first(self) -> u32 {
        u32::from(self.address) & self.mask()
    }

    fn last(self) -> u32 {
        self.first() | !self.mask()
    }

    /// How many addresses it has: 2^(32 - length).
    pub(crate) fn addresses(self) -> u64 {
        1 << (32 - self.length)
    }

    /// The address of all hosts. A network of two addresses has none (RFC 3021), nor has one of one.
    pub(crate) fn broadcast(self) -> Option<Ipv4Addr> {
        (self.length < 31).then(|| self.last().into())
    }

    /// The first and the last address that a host may have.
    pub(crate) fn hosts(self) -> (Ipv4Addr, Ipv4Addr) {
        // Else network and broadcast address are no host's.
        let spare = u32::from(self.length < 31);
        ((self.first() + spare).into(), (self.last() - spare).into())
    }

    /// The bits of the address that are not the network's, unless they are all 0.
    fn host_bits(self) -> Option<Ipv4Addr> {
        Some(u32::from(self.address) & !self.mask()).filter(|bits| *bits != 0).map(Ipv4Addr::from)
    }

    pub(crate) fn forms(self) -> [Form; 8] {
        let (first, last) = self.hosts();
        let hosts = u64::from(u32::from(last)) - u64::from(u32::from(first)) + 1;
        let network = format!("{}/{}", Ipv4Addr::from(self.first()), self.length);
        [
            form::text("network", "network", network),
            form::perhaps("host bits set", "host_bits", self.host_bits()),
            form::text("netmask", "netmask", Ipv4Addr::from(self.mask())),
            form::perhaps("broadcast", "broadcast", self.broadcast()),
            form::text("first host", "first", first),
            form::text("last host", "last", last),
            form::number("hosts", "hosts", hosts),
            form::number("addresses", "addresses", self.addresses()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipnet::Ipv4Net;
    use proptest::prelude::*;

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
            prop_assert_eq!(ours.host_bits().is_none(), theirs.trunc() == theirs);
            let (first, last) = ours.hosts();
            prop_assert_eq!(Some(first), theirs.hosts().next());
            prop_assert_eq!(Some(last), theirs.hosts().next_back());
        }
    }
}
