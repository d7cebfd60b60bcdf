//! One address: how it is read, and its forms.

use std::net::Ipv4Addr;

use netcore::addr::inet_aton;

use crate::network::Network;
use crate::purpose::purpose;

/// What was typed, and what it means.
pub(crate) struct Item<'a> {
    pub(crate) text: &'a str,
    pub(crate) address: Ipv4Addr,
    network: Option<Network>,
}

impl<'a> Item<'a> {
    /// Reads an address in one of its forms; with `aton` also what inet_aton(3) takes. The error says
    /// how each of the two parsers reads it.
    pub(crate) fn read(text: &'a str, aton: bool) -> Result<Item<'a>, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address = address.parse().ok().or_else(|| number(address)).or_else(|| bytes(address));
        let address = match address {
            Some(address) => address,
            None if aton && length.is_none() => inet_aton(text).ok_or_else(|| readings(text))?,
            None => return Err(readings(text)),
        };
        let network = length.map(|length| Network::read(address, length)).transpose()?;
        Ok(Item { text, address, network })
    }

    /// Its forms: what each is called by a person and in JSON, and its value.
    pub(crate) fn forms(&self) -> Vec<(&'static str, &'static str, String)> {
        let number = u32::from(self.address);
        let [a, b, c, d] = self.address.octets();
        let mut forms = vec![
            ("dotted", "dotted", self.address.to_string()),
            ("hex", "hex", format!("0x{number:08x}")),
            ("decimal", "decimal", number.to_string()),
            ("binary", "binary", format!("{a:08b}.{b:08b}.{c:08b}.{d:08b}")),
            // In the order of their addresses: struct in_addr is in network order on every host.
            ("bytes", "bytes", format!("{a:02x} {b:02x} {c:02x} {d:02x}")),
            ("as a host's int", "host_order", u32::from_ne_bytes([a, b, c, d]).to_string()),
            ("reverse name", "reverse_name", format!("{d}.{c}.{b}.{a}.in-addr.arpa")),
            ("mapped in IPv6", "mapped", self.address.to_ipv6_mapped().to_string()),
            ("purpose", "purpose", purpose(self.address).to_owned()),
        ];
        match &self.network {
            Some(network) => forms.extend(network.forms()),
            None => {
                forms.push(("strict", "strict", strict(self.text)));
                forms.push(("inet_aton", "inet_aton", aton(self.text)));
            }
        }
        forms
    }
}

/// `0x7f000001` and `2130706433`, which is how inet_aton reads one number too.
fn number(text: &str) -> Option<Ipv4Addr> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let octal = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    u32::from_str_radix(digits, radix).ok().filter(|_| plain && !octal).map(Ipv4Addr::from)
}

/// `7f:00:00:01`, as the bytes are printed by many tools; no parser of the C library takes it.
fn bytes(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2)?;
        let hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
        *octet = u8::from_str_radix(part, 16).ok().filter(|_| hex)?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// Both readings of what is refused.
fn readings(text: &str) -> String {
    format!("strict: {}; inet_aton: {}", strict(text), aton(text))
}

/// What inet_pton(3) makes of a text, or why it refuses.
fn strict(text: &str) -> String {
    text.parse::<Ipv4Addr>()
        .map_or_else(|_| format!("refused, {}", refusal(text)), |a| a.to_string())
}

fn aton(text: &str) -> String {
    inet_aton(text).map_or_else(|| "refused".to_owned(), |address| address.to_string())
}

/// Why a text is not four decimal numbers.
fn refusal(text: &str) -> &'static str {
    let parts: Vec<&str> = text.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.iter().any(|part| part.starts_with("0x") || part.starts_with("0X")) {
        "hexadecimal"
    } else if !parts.iter().all(digits) {
        "not decimal numbers with dots"
    } else if parts.len() != 4 {
        "not four numbers"
    } else if parts.iter().any(|part| part.len() > 1 && part.starts_with('0')) {
        "leading zero"
    } else {
        "a number above 255"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Ipv4Addr> {
        Item::read(text, false).ok().map(|item| item.address)
    }

    #[test]
    fn each_form_is_the_same_address() {
        for text in ["127.0.0.1", "0x7f000001", "2130706433", "7f:00:00:01", "127.0.0.1/8"] {
            assert_eq!(read(text), Some(Ipv4Addr::LOCALHOST), "{text}");
        }
        assert_eq!(read("0"), Some(Ipv4Addr::UNSPECIFIED));
        assert_eq!(read("4294967295"), Some(Ipv4Addr::BROADCAST));
    }

    #[test]
    fn what_is_refused_has_both_readings() {
        for (text, why) in [
            ("010.0.0.1", "strict: refused, leading zero; inet_aton: 8.0.0.1"),
            ("127.1", "strict: refused, not four numbers; inet_aton: 127.0.0.1"),
            ("0x7f.1", "strict: refused, hexadecimal; inet_aton: 127.0.0.1"),
            ("1.2.3.4 foo", "strict: refused, not decimal numbers with dots; inet_aton: 1.2.3.4"),
            ("256.1.1.1", "strict: refused, a number above 255; inet_aton: refused"),
            ("", "strict: refused, not decimal numbers with dots; inet_aton: refused"),
        ] {
            assert_eq!(Item::read(text, false).err().as_deref(), Some(why), "{text}");
        }
        for text in ["4294967296", "08", "7f:00:00", "7f:00:00:001", "+1", "1.2.3.4/33", "::1"] {
            assert!(read(text).is_none(), "{text}");
        }
        assert_eq!(Item::read("127.1", true).map(|item| item.address), Ok(Ipv4Addr::LOCALHOST));
    }

    proptest! {
        #[test]
        fn every_form_is_read_as_it_is_printed(address: Ipv4Addr) {
            let text = address.to_string();
            let item = Item::read(&text, false).unwrap();
            for (label, _, value) in item.forms() {
                if ["dotted", "hex", "decimal", "strict", "inet_aton"].contains(&label) {
                    prop_assert_eq!(read(&value), Some(address), "{}", label);
                }
                if label == "bytes" {
                    prop_assert_eq!(read(&value.replace(' ', ":")), Some(address));
                }
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = Item::read(&text, true).map(|item| item.forms());
        }
    }
}
