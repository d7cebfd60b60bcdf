//! The interfaces of this machine and their addresses, as getifaddrs(3) lists them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use netcore::error::{Attempt, Error};
use netcore::text::{Json, escape};

use crate::address::family_of;

/// What netdevice(7) explains, but RUNNING.
const FLAGS: [(InterfaceFlags, &str); 18] = [
    (InterfaceFlags::IFF_LOOPBACK, "LOOPBACK"),
    (InterfaceFlags::IFF_BROADCAST, "BROADCAST"),
    (InterfaceFlags::IFF_POINTOPOINT, "POINTOPOINT"),
    (InterfaceFlags::IFF_MULTICAST, "MULTICAST"),
    (InterfaceFlags::IFF_NOARP, "NOARP"),
    (InterfaceFlags::IFF_ALLMULTI, "ALLMULTI"),
    (InterfaceFlags::IFF_PROMISC, "PROMISC"),
    (InterfaceFlags::IFF_MASTER, "MASTER"),
    (InterfaceFlags::IFF_SLAVE, "SLAVE"),
    (InterfaceFlags::IFF_DEBUG, "DEBUG"),
    (InterfaceFlags::IFF_DYNAMIC, "DYNAMIC"),
    (InterfaceFlags::IFF_AUTOMEDIA, "AUTOMEDIA"),
    (InterfaceFlags::IFF_PORTSEL, "PORTSEL"),
    (InterfaceFlags::IFF_NOTRAILERS, "NOTRAILERS"),
    (InterfaceFlags::IFF_UP, "UP"),
    (InterfaceFlags::IFF_LOWER_UP, "LOWER_UP"),
    (InterfaceFlags::IFF_DORMANT, "DORMANT"),
    (InterfaceFlags::IFF_ECHO, "ECHO"),
];

/// One interface.
pub(crate) struct Interface {
    name: String,
    index: u32,
    flags: Vec<String>,
    addresses: Vec<Address>,
}

/// One of its addresses.
struct Address {
    ip: IpAddr,
    prefix: Option<u32>,
}

impl Interface {
    /// All of them, in the order of their indices.
    pub(crate) fn all() -> Result<Vec<Interface>, Error> {
        // The entries of the links come first, then one for each address.
        let mut interfaces: BTreeMap<u32, Interface> = BTreeMap::new();
        for entry in getifaddrs().attempt("getifaddrs")? {
            let name = escape(entry.interface_name.as_bytes());
            let Some(ip) = entry.address.as_ref().and_then(ip_of) else {
                if let Some(index) = index_of(&entry) {
                    let (flags, addresses) = (names(entry.flags), Vec::new());
                    interfaces.insert(index, Interface { name, index, flags, addresses });
                }
                continue;
            };
            let prefix = entry.netmask.as_ref().and_then(ip_of).map(ones);
            // An IPv4 address may have a label in place of the name of its interface: that name with
            // something behind it, as a rule `eth0:1`.
            let labelled = interfaces.values_mut().filter(|one| name.starts_with(&one.name));
            if let Some(interface) = labelled.max_by_key(|one| one.name.len()) {
                interface.addresses.push(Address { ip, prefix });
            }
        }
        Ok(interfaces.into_values().collect())
    }

    pub(crate) fn lines(&self) -> String {
        let Interface { name, index, flags, addresses } = self;
        let mut text = format!("  {index} {name} <{}>\n", flags.join(","));
        for address in addresses {
            let prefix = address.prefix.map_or_else(String::new, |prefix| format!("/{prefix}"));
            text += &format!("    {}{prefix}\n", address.zoned(name));
        }
        text
    }

    /// A line for itself, and one for each address.
    pub(crate) fn json(&self) -> String {
        let Interface { name, index, flags, addresses } = self;
        let json = Json::new("interface").text("name", name).number("index", *index);
        let mut text = format!("{}\n", json.texts("flags", flags));
        for address in addresses {
            let json = Json::new("address").text("interface", name).number("index", *index);
            let json =
                json.text("family", family_of(address.ip)).text("address", &address.zoned(name));
            text += &match address.prefix {
                Some(prefix) => format!("{}\n", json.number("prefix", prefix)),
                None => format!("{json}\n"),
            };
        }
        text
    }
}

impl Address {
    /// A link-local IPv6 address is one only together with its interface (RFC 4007).
    fn zoned(&self, interface: &str) -> String {
        match self.ip {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => format!("{v6}%{interface}"),
            ip => ip.to_string(),
        }
    }
}

/// The index of a link. One without a hardware address, such as a tunnel, has an entry without any
/// address; if it is gone since then, it has no index any more.
fn index_of(link: &InterfaceAddress) -> Option<u32> {
    let listed = link.address.as_ref().and_then(SockaddrStorage::as_link_addr);
    match listed {
        Some(listed) => u32::try_from(listed.ifindex()).ok(),
        None => if_nametoindex(link.interface_name.as_str()).ok(),
    }
}

/// The flags in the order and by the names of ip(8), which shows where RUNNING is missing.
fn names(flags: InterfaceFlags) -> Vec<String> {
    let down =
        flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_RUNNING);
    let no_carrier = down.then_some("NO-CARRIER");
    let named = FLAGS.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name);
    no_carrier.into_iter().chain(named).map(str::to_owned).collect()
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

/// The length of the prefix that a mask has.
fn ones(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => u32::from(mask).leading_ones(),
        IpAddr::V6(mask) => u128::from(mask).leading_ones(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

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
}
