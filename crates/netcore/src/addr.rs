//! Hosts as people type them.
//!
//! Literals are read here: the C library's `getaddrinfo` would dial 8.0.0.1 for `010.0.0.1`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use crate::text::escape;

/// A host: a name, an IPv4 or IPv6 literal, `[::1]`, or with a zone (`fe80::1%eth0`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A literal, which no resolver ever sees.
    Literal {
        /// The address.
        ip: IpAddr,
        /// The interface of a link-local address as it was typed, a name or an index (RFC 4007).
        zone: Option<String>,
    },
    /// A name for the resolver.
    Name(String),
}

impl Host {
    /// Where a server listens when nothing else is said: serving the network is always explicit.
    pub const LOOPBACK: Host = Host::Literal { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), zone: None };

    /// The socket address of a literal, `None` for a name.
    ///
    /// # Errors
    /// A zone that is no interface of this machine.
    pub fn literal(&self, port: u16) -> Result<Option<SocketAddr>, String> {
        let Host::Literal { ip, zone } = self else { return Ok(None) };
        let address = SocketAddr::new(*ip, port);
        match (address, zone) {
            (SocketAddr::V6(v6), Some(zone)) => {
                let index = match zone.parse() {
                    Ok(index) => index,
                    Err(_) => nix::net::if_::if_nametoindex(zone.as_str())
                        .map_err(|_| format!("{self}: no interface {zone}"))?,
                };
                Ok(Some(SocketAddrV6::new(*v6.ip(), port, 0, index).into()))
            }
            _ => Ok(Some(address)),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Host, String> {
        let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let bare = inside.unwrap_or(text);
        let (address, zone) = match bare.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (bare, None),
        };
        if let Ok(ip) = address.parse::<Ipv6Addr>() {
            let zone = match zone {
                // An interface name has at most 15 bytes (IFNAMSIZ), none of them blank or a slash.
                Some(zone) if zone.is_empty() || zone.len() > 15 || !zone.bytes().all(is_zone) => {
                    return Err("the zone after % is not an interface".to_owned());
                }
                zone => zone.map(str::to_owned),
            };
            return Ok(Host::Literal { ip: ip.into(), zone });
        }
        if inside.is_some() || zone.is_some() || text.contains(':') {
            return Err(format!("{} is not an IPv6 address", escape(address.as_bytes())));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Host::Literal { ip: ip.into(), zone: None });
        }
        if let Some(ip) = inet_aton(text) {
            return Err(format!("not four decimal numbers (inet_aton would read it as {ip})"));
        }
        check_name(text)?;
        Ok(Host::Name(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Literal { ip, zone: None } => write!(f, "{ip}"),
            Host::Literal { ip, zone: Some(zone) } => write!(f, "{ip}%{zone}"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

fn is_zone(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'/' | b'%' | b']')
}

/// Whether the resolver may be asked for this name (RFC 1123 §2.1, RFC 1035 §2.3.4).
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() {
        return Err("a host name is not empty".to_owned());
    }
    if !name.is_ascii() {
        return Err("not an ASCII name: write its xn-- form (RFC 5891)".to_owned());
    }
    if let Some(byte) = name.bytes().find(|byte| !allowed(*byte)) {
        return Err(format!("a host name has no '{}'", escape(&[byte])));
    }
    let dotless = name.strip_suffix('.').unwrap_or(name);
    if dotless.len() > 253 {
        return Err("a host name has at most 253 characters".to_owned());
    }
    for label in dotless.split('.') {
        if label.is_empty() {
            return Err("a label of a host name is not empty".to_owned());
        }
        if label.len() > 63 {
            return Err("a label of a host name has at most 63 characters".to_owned());
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(
                "a label of a host name begins and ends with a letter or a digit".to_owned()
            );
        }
    }
    // No top-level domain is a number: 1.2.3.4.5 and 999.1.1.1 are mistyped addresses.
    let last = dotless.rsplit('.').next().unwrap_or(dotless);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")).unwrap_or("x");
    if last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Err("neither an IPv4 address nor a name".to_owned());
    }
    Ok(())
}

/// What `inet_aton(3)` would make of the text: one to four numbers, decimal, octal or hex, of
/// which the last fills all bytes that are left.
#[must_use]
pub fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    // inet_aton stops at white space and does not look at what follows.
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '\x0b').unwrap_or(text.len());
    let mut numbers = Vec::new();
    for part in text.get(..end)?.split('.') {
        let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
            Some(hex) => (hex, 16),
            None if part.len() > 1 && part.starts_with('0') => (part, 8),
            None => (part, 10),
        };
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return None;
        }
        numbers.push(u32::from_str_radix(digits, radix).ok()?);
    }
    let (last, leading) = numbers.split_last()?;
    let used = u32::try_from(leading.len()).ok().filter(|used| *used <= 3)?;
    if u64::from(*last) >= 1_u64 << (32 - 8 * used) {
        return None;
    }
    let mut value = *last;
    for (number, shift) in leading.iter().zip([24_u32, 16, 8]) {
        value |= u32::from(u8::try_from(*number).ok()?) << shift;
    }
    Some(value.into())
}

/// An address as a person knows it: the IPv4 peer of a dual-stack socket as IPv4.
#[must_use]
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(address.ip().to_canonical(), address.port())
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(text: &str) -> Result<Host, String> {
        text.parse()
    }

    #[test]
    fn literals_and_names_are_told_apart() {
        let literal = |ip: &str, zone: Option<&str>| {
            Ok(Host::Literal { ip: ip.parse().unwrap(), zone: zone.map(str::to_owned) })
        };
        assert_eq!(host("127.0.0.1"), literal("127.0.0.1", None));
        assert_eq!(host("::1"), literal("::1", None));
        assert_eq!(host("[::1]"), literal("::1", None));
        assert_eq!(host("fe80::1%eth0"), literal("fe80::1", Some("eth0")));
        assert_eq!(host("[fe80::1%2]"), literal("fe80::1", Some("2")));
        for name in
            ["localhost", "help", "example.org.", "_dns.example", "1.example", "a-b", "0xyz"]
        {
            assert_eq!(host(name), Ok(Host::Name(name.to_owned())));
        }
    }

    #[test]
    fn a_zone_is_an_interface_of_this_machine() {
        let named = host("fe80::1%lo").unwrap().literal(7).unwrap().unwrap();
        let counted = host("fe80::1%1").unwrap().literal(7).unwrap().unwrap();
        assert_eq!(named, counted);
        assert!(host("fe80::1%nosuch0").unwrap().literal(7).is_err());
    }

    #[test]
    fn what_only_inet_aton_takes_is_refused_with_what_it_would_have_meant() {
        for (text, meant) in [
            ("127.1", "127.0.0.1"),
            ("1", "0.0.0.1"),
            ("256", "0.0.1.0"),
            ("0x7f.1", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("010.0.0.1", "8.0.0.1"),
            ("1.2.65535", "1.2.255.255"),
            ("4294967295", "255.255.255.255"),
            ("1.2.3.4 foo", "1.2.3.4"),
        ] {
            let refusal = host(text).unwrap_err();
            assert!(refusal.ends_with(&format!("read it as {meant})")), "{text}: {refusal}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "x".repeat(64);
        let longer = ["x"; 200].join(".");
        for text in [
            "",
            "4294967296",
            "1.2.65536",
            "08.0.0.1",
            "0x",
            "1..2",
            " 1.2.3.4",
            "+1",
            "a b",
            "a/b",
            "a\0b",
            "\u{e9}t\u{e9}.example",
            "-a",
            "a-",
            ".",
            "..",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "::g",
            "fe80::1%",
            "1.2.3.4%lo",
            "localhost:80",
            "999.1.1.1",
            "1.2.3.4.5",
            &long,
            &longer,
            "a\nb",
        ] {
            assert!(host(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_socket_is_shown_as_ipv4() {
        let mapped = "[::ffff:192.0.2.1]:80".parse().unwrap();
        assert_eq!(plain(mapped).to_string(), "192.0.2.1:80");
        assert_eq!(plain("[::1]:80".parse().unwrap()).to_string(), "[::1]:80");
    }

    proptest! {
        #[test]
        fn an_address_survives_print_and_parse(ip: IpAddr, zone in proptest::option::of("[a-z]{1,8}[0-9]")) {
            let zone = zone.filter(|_| ip.is_ipv6());
            let host = Host::Literal { ip, zone };
            prop_assert_eq!(host.to_string().parse(), Ok(host));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = host(&text);
        }

        #[test]
        fn nothing_that_is_taken_means_something_else_to_inet_aton(text in "[0-9a-fxX.]{1,16}") {
            if let (Ok(Host::Literal { ip, .. }), Some(aton)) = (host(&text), inet_aton(&text)) {
                prop_assert_eq!(ip, IpAddr::from(aton));
            }
            if inet_aton(&text).is_some() {
                prop_assert!(!matches!(host(&text), Ok(Host::Name(_))));
            }
        }
    }
}
