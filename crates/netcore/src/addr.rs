//! Hosts as they are typed.
//!
//! Literals are read here: the C library's `getaddrinfo` would dial 8.0.0.1 for `010.0.0.1`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use nix::sys::socket::SockaddrStorage;

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
                // RFC 4007 §6: every other address means the same on all interfaces.
                Some(_) if !ip.is_unicast_link_local() && !is_multicast_link_local(ip) => {
                    return Err(format!("{ip} needs no zone: it is not link-local"));
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

/// ff02::/16 and its kin: the low four bits of the second byte are the scope (RFC 4291 §2.7).
fn is_multicast_link_local(ip: Ipv6Addr) -> bool {
    matches!(ip.octets(), [0xff, scope, ..] if scope & 0xf == 2)
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

/// The address that recvmsg(2) returned, `None` for a family without ports.
#[must_use]
pub fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddrV4::from(*v4).into()),
        (_, Some(v6)) => Some(SocketAddrV6::from(*v6).into()),
        _ => None,
    }
}

/// An address as a person knows it: the IPv4 peer of a dual-stack socket as IPv4.
#[must_use]
pub fn unmap_ipv4(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(address.ip().to_canonical(), address.port())
        }
        _ => address,
    }
}

#[cfg(test)]
#[path = "addr_tests.rs"]
mod tests;
