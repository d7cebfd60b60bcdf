//! One address: how it is read, and its forms.

use std::net::Ipv4Addr;

use netcore::addr::inet_aton;

use crate::form::{self, Form};
use crate::network::Network;
use crate::purpose::purpose;

/// What was typed, and what it means.
pub(crate) struct Item<'a> {
    pub(crate) text: &'a str,
    address: Ipv4Addr,
    network: Option<Network>,
    /// What the two parsers are asked: the text, and of a network what stands before its slash.
    asked: &'a str,
}

impl<'a> Item<'a> {
    /// Reads an address in one of its forms; with `aton` also what inet_aton(3) takes. The error says
    /// how each of the two parsers reads it.
    pub(crate) fn read(text: &'a str, aton: bool) -> Result<Item<'a>, String> {
        let aton = |text| if aton { inet_aton(text) } else { None };
        let dotted = |text: &str| text.parse().ok();
        // First the whole: inet_aton reads `192.0.2.1 /8`, and stops at the blank.
        let whole = dotted(text).or_else(|| number(text)).or_else(|| bytes(text));
        if let Some(address) = whole.or_else(|| aton(text)) {
            return Ok(Item { text, address, network: None, asked: text });
        }
        let Some((asked, length)) = text.split_once('/') else { return Err(readings(text)) };
        // Four numbers only: who writes 10/8 means 10.0.0.0/8, while the number 10 is 0.0.0.10.
        let address = dotted(asked).or_else(|| aton(asked)).ok_or_else(|| readings(asked))?;
        let network = Some(Network::read(address, length)?);
        Ok(Item { text, address, network, asked })
    }

    /// Its forms, the most used first.
    pub(crate) fn forms(&self) -> Vec<Form> {
        let number = u32::from(self.address);
        // In the order of their addresses: struct in_addr is in network order on every host.
        let octets @ [a, b, c, d] = self.address.octets();
        let mut forms = vec![
            form::text("dotted", "dotted", self.address),
            form::text("hex", "hex", format_args!("0x{number:08x}")),
            form::number("decimal", "decimal", number),
            form::text("binary", "binary", format_args!("{a:08b}.{b:08b}.{c:08b}.{d:08b}")),
            form::text("bytes", "bytes", format_args!("{a:02x} {b:02x} {c:02x} {d:02x}")),
            form::number("as a host's int", "host_order", u32::from_ne_bytes(octets)),
            form::text(
                "reverse name",
                "reverse_name",
                format_args!("{d}.{c}.{b}.{a}.in-addr.arpa"),
            ),
            form::text("mapped in IPv6", "mapped", self.address.to_ipv6_mapped()),
            form::text("purpose", "purpose", purpose(self.address)),
            form::text("inet_pton", "inet_pton", strict(self.asked)),
            form::text("inet_aton", "inet_aton", aton(self.asked)),
        ];
        forms.extend(self.network.iter().flat_map(|network| network.forms()));
        forms
    }
}

/// `0x7f000001` and `2130706433`, which is how inet_aton reads one number too.
fn number(text: &str) -> Option<Ipv4Addr> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
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
    if text.is_empty() {
        "empty"
    } else if text.contains(|c: char| c.is_ascii_whitespace()) {
        "a blank in it"
    } else if bytes(text).is_some() {
        "hexadecimal bytes"
    } else if parts.iter().any(|part| part.starts_with("0x") || part.starts_with("0X")) {
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
    use std::net::Ipv6Addr;

    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Ipv4Addr> {
        Item::read(text, false).ok().map(|item| item.address)
    }

    #[test]
    fn each_form_is_the_same_address() {
        for text in
            ["127.0.0.1", "0x7f000001", "0X7F000001", "2130706433", "7f:00:00:01", "127.0.0.1/8"]
        {
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
            ("1.2.3.4 foo", "strict: refused, a blank in it; inet_aton: 1.2.3.4"),
            ("256.1.1.1", "strict: refused, a number above 255; inet_aton: refused"),
            ("", "strict: refused, empty; inet_aton: refused"),
            ("10/8", "strict: refused, not four numbers; inet_aton: 0.0.0.10"),
            ("010.0.0.0/8", "strict: refused, leading zero; inet_aton: 8.0.0.0"),
            ("192.0.2.1/33", "a prefix has 0 to 32 bits"),
            ("7f:00:00", "strict: refused, not decimal numbers with dots; inet_aton: refused"),
        ] {
            assert_eq!(Item::read(text, false).err().as_deref(), Some(why), "{text}");
        }
        for text in ["4294967296", "08", "7f:00:00", "7f:00:00:001", "+1", "1.2.3.4/33", "::1"] {
            assert!(read(text).is_none(), "{text}");
        }
        assert_eq!(Item::read("127.1", true).map(|item| item.address), Ok(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn with_aton_a_slash_after_a_blank_is_not_looked_at() {
        let item = Item::read("192.0.2.1 /8", true).unwrap();
        assert!(item.network.is_none());
        let item = Item::read("010.0.0.0/8", true).unwrap();
        assert!(item.network.is_some() && item.address == Ipv4Addr::new(8, 0, 0, 0));
    }

    /// The value of a form.
    fn shown(item: &Item<'_>, key: &str) -> String {
        item.forms().iter().find(|form| form.key == key).unwrap().value.to_string()
    }

    proptest! {
        #[test]
        fn every_form_is_read_as_it_is_printed(address: Ipv4Addr, length in 0..=32) {
            let text = format!("{address}/{length}");
            let item = Item::read(&text, false).unwrap();
            for key in ["dotted", "hex", "decimal", "inet_pton", "inet_aton"] {
                prop_assert_eq!(read(&shown(&item, key)), Some(address), "{}", key);
            }
            prop_assert_eq!(read(&shown(&item, "bytes").replace(' ', ":")), Some(address));
            let network = shown(&item, "network");
            prop_assert_eq!(shown(&Item::read(&network, false).unwrap(), "network"), network);
        }

        #[test]
        fn what_is_only_printed_is_the_address_too(address: Ipv4Addr) {
            let text = address.to_string();
            let item = Item::read(&text, false).unwrap();
            let binary = shown(&item, "binary").replace('.', "");
            prop_assert_eq!(u32::from_str_radix(&binary, 2), Ok(address.into()));
            let mapped: Ipv6Addr = shown(&item, "mapped").parse().unwrap();
            prop_assert_eq!(mapped.to_ipv4_mapped(), Some(address));
            let name = shown(&item, "reverse_name");
            let backwards: Vec<&str> = name.strip_suffix(".in-addr.arpa").unwrap().rsplit('.').collect();
            prop_assert_eq!(backwards.join("."), text.as_str());
            let int: u32 = shown(&item, "host_order").parse().unwrap();
            prop_assert_eq!(int.to_ne_bytes(), address.octets());
        }

        #[test]
        fn with_aton_all_that_is_strict_means_the_same(text in "[0-9a-fxX. /:+-]{1,16}") {
            if let Some(address) = read(&text) {
                prop_assert_eq!(Item::read(&text, true).unwrap().address, address);
            }
            if let Some(address) = inet_aton(&text) {
                prop_assert_eq!(Item::read(&text, true).unwrap().address, address);
            }
        }

        #[test]
        fn no_text_panics(text: String, aton: bool) {
            let _ = Item::read(&text, aton).map(|item| item.forms());
        }
    }
}
