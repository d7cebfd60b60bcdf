//! What addresses are for: the IANA registry of special-purpose IPv4 addresses.

use std::net::Ipv4Addr;

/// Prefix, its length, and what it is for. A network inside of another stands before it.
const REGISTRY: [([u8; 4], u32, &str); 21] = [
    ([0, 0, 0, 0], 32, "this host, or any (RFC 1122)"),
    ([0, 0, 0, 0], 8, "this network (RFC 791)"),
    ([10, 0, 0, 0], 8, "private (RFC 1918)"),
    ([100, 64, 0, 0], 10, "shared by carriers (RFC 6598)"),
    ([127, 0, 0, 0], 8, "loopback (RFC 1122)"),
    ([169, 254, 0, 0], 16, "link-local (RFC 3927)"),
    ([172, 16, 0, 0], 12, "private (RFC 1918)"),
    ([192, 0, 0, 0], 24, "protocol assignments (RFC 6890)"),
    ([192, 0, 2, 0], 24, "documentation (RFC 5737)"),
    ([192, 88, 99, 0], 24, "once 6to4 relays (RFC 7526)"),
    ([192, 168, 0, 0], 16, "private (RFC 1918)"),
    ([198, 18, 0, 0], 15, "benchmarks (RFC 2544)"),
    ([198, 51, 100, 0], 24, "documentation (RFC 5737)"),
    ([203, 0, 113, 0], 24, "documentation (RFC 5737)"),
    ([224, 0, 0, 0], 24, "multicast, this link (RFC 5771)"),
    ([232, 0, 0, 0], 8, "multicast, one source (RFC 4607)"),
    ([233, 252, 0, 0], 24, "multicast, documentation (RFC 6676)"),
    ([239, 0, 0, 0], 8, "multicast, one site (RFC 2365)"),
    ([224, 0, 0, 0], 4, "multicast (RFC 5771)"),
    ([255, 255, 255, 255], 32, "broadcast on this link (RFC 919)"),
    ([240, 0, 0, 0], 4, "reserved (RFC 1112)"),
];

/// What an address is for; `public` where the registry says nothing else.
pub(crate) fn purpose(address: Ipv4Addr) -> &'static str {
    let is_in = |prefix: [u8; 4], length: u32| {
        (u32::from(address) ^ u32::from_be_bytes(prefix)).leading_zeros() >= length
    };
    let found = REGISTRY.iter().find(|(prefix, length, _)| is_in(*prefix, *length));
    found.map_or("public", |(_, _, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
