//! The forms of an address, as lines for a person or for a program.

use std::fmt::{self, Write};
use std::net::Ipv4Addr;

use netcore::text::{Json, escape};

use crate::args::refusal;

/// What was typed, and what it means.
pub(crate) struct Item<'a> {
    pub(crate) text: &'a str,
    pub(crate) address: Ipv4Addr,
    pub(crate) network: Option<Network>,
    /// Of the text, or of what stands before the slash of a network.
    pub(crate) readings: Readings<'a>,
}

/// A text, and the address that each parser reads.
pub(crate) struct Readings<'a> {
    pub(crate) text: &'a str,
    pub(crate) pton: Option<Ipv4Addr>,
    pub(crate) aton: Option<Ipv4Addr>,
}

impl Readings<'_> {
    fn pton(&self) -> String {
        let refused = || format!("refused, {}", refusal(self.text));
        self.pton.map_or_else(refused, |address| address.to_string())
    }

    fn aton(&self) -> String {
        self.aton.map_or_else(|| "refused".to_owned(), |address| address.to_string())
    }
}

/// Why an address is refused.
impl fmt::Display for Readings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "strict: {}; inet_aton: {}", self.pton(), self.aton())
    }
}

impl Item<'_> {
    /// Its forms, the most used first.
    fn forms(&self) -> Vec<Form> {
        let int = u32::from(self.address);
        // As they lie in memory: struct in_addr is in network order on every host.
        let octets @ [a, b, c, d] = self.address.octets();
        let mut forms = vec![
            text("dotted", "dotted", self.address),
            text("hex", "hex", format_args!("0x{int:08x}")),
            number("decimal", "decimal", int),
            text("binary", "binary", format_args!("{a:08b}.{b:08b}.{c:08b}.{d:08b}")),
            text("bytes", "bytes", format_args!("{a:02x} {b:02x} {c:02x} {d:02x}")),
            number("as a host's int", "host_order", u32::from_ne_bytes(octets)),
            text("reverse name", "reverse_name", format_args!("{d}.{c}.{b}.{a}.in-addr.arpa")),
            text("mapped in IPv6", "mapped", self.address.to_ipv6_mapped()),
            text("purpose", "purpose", purpose(self.address)),
            text("inet_pton", "inet_pton", self.readings.pton()),
            text("inet_aton", "inet_aton", self.readings.aton()),
        ];
        forms.extend(self.network.iter().flat_map(|network| network.forms()));
        forms
    }
}

pub(crate) fn lines(item: &Item<'_>, block: bool) -> String {
    let indent = if block { "  " } else { "" };
    let mut text = String::new();
    if block {
        // inet_aton ignores what follows a blank, so anything may stand there.
        text = escape(item.text.as_bytes()) + "\n";
    }
    for form in item.forms() {
        let _ = writeln!(text, "{indent}{:<15} {}", form.label, form.value);
    }
    text
}

pub(crate) fn json(item: &Item<'_>) -> String {
    let mut json = Json::new("address").text("input", &escape(item.text.as_bytes()));
    for form in item.forms() {
        json = match form.value {
            Value::Text(text) => json.text(form.key, &text),
            Value::Number(number) => json.number(form.key, number),
            Value::None => json,
        };
    }
    format!("{json}\n")
}

/// A form: what a person calls it, its key in JSON, and its value.
struct Form {
    label: &'static str,
    key: &'static str,
    value: Value,
}

/// What a form says.
enum Value {
    Text(String),
    Number(u64),
    /// There is no such thing here; in JSON the key is left out.
    None,
}

/// A form that is text.
fn text(label: &'static str, key: &'static str, value: impl ToString) -> Form {
    Form { label, key, value: Value::Text(value.to_string()) }
}

/// A form that is text, or that this address does not have.
fn perhaps(label: &'static str, key: &'static str, value: Option<impl ToString>) -> Form {
    let value = value.map_or(Value::None, |value| Value::Text(value.to_string()));
    Form { label, key, value }
}

/// A form that is a number, in JSON too.
fn number(label: &'static str, key: &'static str, value: impl Into<u64>) -> Form {
    Form { label, key, value: Value::Number(value.into()) }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => write!(f, "{number}"),
            Value::None => f.write_str("none"),
        }
    }
}

/// The network of an address, in CIDR notation (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: Ipv4Addr,
    /// 0 to 32.
    length: u32,
}

impl Network {
    /// Reads the length of a prefix, without sign or leading zero, or a netmask.
    pub(crate) fn read(address: Ipv4Addr, length: &str) -> Result<Network, String> {
        if let Ok(mask) = length.parse::<Ipv4Addr>() {
            let network = Network { address, length: u32::from(mask).leading_ones() };
            let is_one = network.mask() == u32::from(mask);
            return is_one
                .then_some(network)
                .ok_or_else(|| "a netmask is ones, then zeros".to_owned());
        }
        let plain = length.bytes().all(|byte| byte.is_ascii_digit())
            && (length == "0" || !length.starts_with('0'));
        let length = length.parse().ok().filter(|length| plain && *length <= 32);
        let length = length.ok_or_else(|| "a prefix has 0 to 32 bits".to_owned())?;
        Ok(Network { address, length })
    }

    fn mask(self) -> u32 {
        // A shift by all 32 bits shifts nothing on most processors.
        u32::MAX.checked_shl(32 - self.length).unwrap_or(0)
    }

    fn first(self) -> u32 {
        u32::from(self.address) & self.mask()
    }

    fn last(self) -> u32 {
        self.first() | !self.mask()
    }

    /// How many addresses it has: 2^(32 - length).
    fn addresses(self) -> u64 {
        1 << (32 - self.length)
    }

    /// The address of all hosts. A network of one or two addresses has none (RFC 3021).
    fn broadcast(self) -> Option<Ipv4Addr> {
        (self.length < 31).then(|| self.last().into())
    }

    /// The first and the last address that a host may have.
    fn hosts(self) -> (Ipv4Addr, Ipv4Addr) {
        // Otherwise no host has the network address or the broadcast address.
        let spare = u32::from(self.length < 31);
        ((self.first() + spare).into(), (self.last() - spare).into())
    }

    /// The bits of the address after the prefix, unless they are all 0.
    fn host_bits(self) -> Option<Ipv4Addr> {
        Some(u32::from(self.address) & !self.mask()).filter(|bits| *bits != 0).map(Ipv4Addr::from)
    }

    fn forms(self) -> [Form; 9] {
        let (first, last) = self.hosts();
        let hosts = u64::from(u32::from(last)) - u64::from(u32::from(first)) + 1;
        let network = format!("{}/{}", Ipv4Addr::from(self.first()), self.length);
        [
            text("network", "network", network),
            perhaps("host bits set", "host_bits", self.host_bits()),
            text("netmask", "netmask", Ipv4Addr::from(self.mask())),
            text("wildcard", "wildcard", Ipv4Addr::from(!self.mask())),
            perhaps("broadcast", "broadcast", self.broadcast()),
            text("first host", "first", first),
            text("last host", "last", last),
            number("hosts", "hosts", hosts),
            number("addresses", "addresses", self.addresses()),
        ]
    }
}

/// The IANA registry of special-purpose IPv4 addresses: prefix, length, purpose. A network inside
/// another one stands before it.
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
fn purpose(address: Ipv4Addr) -> &'static str {
    let is_in = |prefix: [u8; 4], length: u32| {
        (u32::from(address) ^ u32::from_be_bytes(prefix)).leading_zeros() >= length
    };
    let found = REGISTRY.iter().find(|(prefix, length, _)| is_in(*prefix, *length));
    found.map_or("public", |(_, _, what)| what)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
