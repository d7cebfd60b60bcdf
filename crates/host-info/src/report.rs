//! The name, what it resolves to, and the interfaces, as lines for a person or for a program.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::InterfaceAddress;
use nix::net::if_::{InterfaceFlags, if_indextoname, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use netcore::error::Error;
use netcore::resolve::{Found, Reason};
use netcore::text::{Json, escape};

/// What the name of this machine resolves to.
pub(crate) enum Resolved {
    Found(Found),
    /// It cannot be the name of a host, so the resolver was not asked.
    NoHost(String),
    Failed(Error),
}

impl Resolved {
    pub(crate) fn lines(&self) -> String {
        let found = match self {
            Resolved::Found(found) => found,
            Resolved::NoHost(why) => return format!("  nothing: {why}\n"),
            Resolved::Failed(error) => return format!("  nothing: {error}\n"),
        };
        let mut text = String::new();
        if let Some(canonical) = &found.canonical {
            text += &format!("  canonical {canonical}\n");
        }
        for address in &found.addresses {
            text += &format!("  {}\n", without_port(*address));
        }
        if only_loopback(&found.addresses) {
            text += "  loopback only: other machines cannot reach this one by it\n";
        }
        text
    }

    pub(crate) fn json(&self) -> Json {
        let json = Json::new("resolved");
        let found = match self {
            Resolved::Found(found) => found,
            Resolved::NoHost(why) => return json.texts("addresses", &[]).text("error", why),
            Resolved::Failed(error) => {
                return json.texts("addresses", &[]).text("error", &error.to_string());
            }
        };
        let addresses: Vec<String> = found.addresses.iter().copied().map(without_port).collect();
        let loopback_only = only_loopback(&found.addresses);
        let json = json.texts("addresses", &addresses).flag("loopback_only", loopback_only);
        match &found.canonical {
            Some(canonical) => json.text("canonical", canonical),
            None => json,
        }
    }

    /// What `--strict` makes of it.
    pub(crate) fn or_fail(self, name: &str) -> Result<(), Error> {
        match self {
            Resolved::Found(_) => Ok(()),
            Resolved::NoHost(_) => {
                Err(Error::Resolve { name: name.to_owned(), reason: Reason::NO_SUCH_HOST })
            }
            Resolved::Failed(error) => Err(error),
        }
    }
}

fn only_loopback(addresses: &[SocketAddr]) -> bool {
    !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback())
}

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
    /// Collects the entries of getifaddrs(3), in the order of the indices of the interfaces.
    pub(crate) fn collect(entries: impl Iterator<Item = InterfaceAddress>) -> Vec<Interface> {
        // The entries of the links come first, then one for each address.
        let mut interfaces: BTreeMap<u32, Interface> = BTreeMap::new();
        for entry in entries {
            let name = escape(entry.interface_name.as_bytes());
            let Some(ip) = entry.address.as_ref().and_then(ip_of) else {
                if let Some(index) = index_of(&entry) {
                    let (flags, addresses) = (names(entry.flags), Vec::new());
                    interfaces.insert(index, Interface { name, index, flags, addresses });
                }
                continue;
            };
            let prefix = entry.netmask.as_ref().and_then(ip_of).map(ones);
            // An IPv4 address may have a label in place of the name of its interface, which begins
            // with that name: `eth0:1`.
            let labelled = interfaces.values_mut().filter(|one| name.starts_with(&one.name));
            if let Some(interface) = labelled.max_by_key(|one| one.name.len()) {
                interface.addresses.push(Address { ip, prefix });
            }
        }
        interfaces.into_values().collect()
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
    /// A link-local IPv6 address is unique only together with its interface (RFC 4007).
    fn zoned(&self, interface: &str) -> String {
        match self.ip {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => format!("{v6}%{interface}"),
            ip => ip.to_string(),
        }
    }
}

/// The index of a link. The entry of a link without a hardware address, such as a tunnel, has no
/// address; if the link was removed since then, it has no index.
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

/// Without port and brackets; the zone by the name that ip(8) shows.
pub(crate) fn without_port(address: SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            let index = v6.scope_id();
            // nix 0.32 takes the null pointer for success: an unknown index has an empty name.
            let name = if_indextoname(index).ok().filter(|name| !name.is_empty());
            let zone = name.map_or_else(|| index.to_string(), |name| escape(name.to_bytes()));
            format!("{}%{zone}", v6.ip())
        }
        _ => address.ip().to_string(),
    }
}

/// IPv4 or IPv6.
pub(crate) fn family_of(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
