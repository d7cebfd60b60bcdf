//! Addresses as they are typed, and as they are shown.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nix::net::if_::if_indextoname;

use netcore::addr::Host;
use netcore::error::Error;
use netcore::text::escape;

/// The address of the peer of `--route-to`.
pub(crate) fn literal(peer: &Host, port: u16) -> Result<SocketAddr, Error> {
    let usage = |why: &str| Error::Usage(format!("--route-to {why}"));
    let address = peer.literal(port).map_err(|why| usage(&why))?;
    match address {
        None => Err(usage(&format!("{peer}: write an address; remote-ip shows those of a name"))),
        // The kernel would only say EINVAL.
        Some(SocketAddr::V6(v6)) if is_of_a_link(*v6.ip()) && v6.scope_id() == 0 => {
            Err(usage(&format!("{peer}: on which interface? Write {peer}%eth0")))
        }
        Some(address) => Ok(address),
    }
}

/// Whether it means something else on each link: link-local, unicast or multicast (RFC 4007 §4).
fn is_of_a_link(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || matches!(ip.octets(), [0xff, scope, ..] if scope & 0xf == 2)
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_zone_is_shown_by_the_name_of_its_interface() {
        for (index, shown) in [(0, "fe80::1"), (1, "fe80::1%lo"), (u32::MAX, "fe80::1%4294967295")]
        {
            let address = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, index);
            assert_eq!(without_port(address.into()), shown);
        }
    }

    #[test]
    fn a_peer_on_a_link_needs_its_zone() {
        for text in ["fe80::1", "febf::", "ff02::1", "ff12::1", "localhost"] {
            let error = literal(&text.parse().unwrap(), 9).unwrap_err();
            assert!(matches!(error, Error::Usage(_)), "{text}: {error}");
        }
        for text in ["fe80::1%1", "ff02::1%1", "fec0::1", "ff0e::1", "127.0.0.1"] {
            assert!(literal(&text.parse().unwrap(), 9).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(ip: IpAddr) {
            let peer = without_port(SocketAddr::new(ip, 9)).parse().unwrap();
            if let Ok(address) = literal(&peer, 9) {
                prop_assert_eq!(address, SocketAddr::new(ip, 9));
            }
        }
    }
}
