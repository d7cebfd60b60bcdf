//! The interfaces of this machine and their addresses, as getifaddrs(3) lists them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use netcore::error::{Attempt, Error};
use netcore::text::{Json, escape};

/// One interface.
pub(crate) struct Interface {
    name: String,
    index: u32,
    flags: Vec<String>,
    /// With prefix and, where it means nothing without one, zone: `fe80::1%eth0/64`.
    addresses: Vec<String>,
}

impl Interface {
    /// All of them, in the order of their indices.
    pub(crate) fn all() -> Result<Vec<Interface>, Error> {
        let mut interfaces: BTreeMap<u32, Interface> = BTreeMap::new();
        // An entry for each address, and one for the link itself.
        for entry in getifaddrs().attempt("getifaddrs")? {
            // One that is gone since then has no index any more.
            let Ok(index) = if_nametoindex(entry.interface_name.as_str()) else { continue };
            let name = escape(entry.interface_name.as_bytes());
            let interface = interfaces.entry(index).or_insert_with(|| Interface {
                name: name.clone(),
                index,
                flags: names(entry.flags),
                addresses: Vec::new(),
            });
            if let Some(ip) = entry.address.as_ref().and_then(ip_of) {
                let prefix = entry.netmask.as_ref().and_then(ip_of).map(ones);
                let zone = match ip {
                    IpAddr::V6(v6) if v6.is_unicast_link_local() => format!("%{name}"),
                    _ => String::new(),
                };
                let prefix = prefix.map_or_else(String::new, |prefix| format!("/{prefix}"));
                interface.addresses.push(format!("{ip}{zone}{prefix}"));
            }
        }
        Ok(interfaces.into_values().collect())
    }

    pub(crate) fn lines(&self) -> String {
        let Interface { name, index, flags, addresses } = self;
        let mut text = format!("  {index} {name} <{}>\n", flags.join(","));
        for address in addresses {
            text += &format!("    {address}\n");
        }
        text
    }

    pub(crate) fn json(&self) -> Json {
        let json = Json::new("interface").text("name", &self.name).number("index", self.index);
        json.texts("flags", &self.flags).texts("addresses", &self.addresses)
    }
}

/// The flags by their names in netdevice(7), without IFF_.
fn names(flags: InterfaceFlags) -> Vec<String> {
    flags.iter_names().map(|(name, _)| name.trim_start_matches("IFF_").to_owned()).collect()
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
