use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

fn strict(text: &str) -> Option<Ipv4Addr> {
    read(text, false).ok().map(|item| item.address)
}

#[test]
fn each_form_is_the_same_address() {
    for text in
        ["127.0.0.1", "0x7f000001", "0X7F000001", "2130706433", "7f:00:00:01", "127.0.0.1/8"]
    {
        assert_eq!(strict(text), Some(Ipv4Addr::LOCALHOST), "{text}");
    }
    assert_eq!(strict("0"), Some(Ipv4Addr::UNSPECIFIED));
    assert_eq!(strict("4294967295"), Some(Ipv4Addr::BROADCAST));
}

#[test]
fn what_is_refused_has_both_readings() {
    for (text, why) in [
        ("010.0.0.1", "strict: refused, leading zero; inet_aton: 8.0.0.1"),
        ("127.1", "strict: refused, not four numbers; inet_aton: 127.0.0.1"),
        ("0x7f.1", "strict: refused, hexadecimal; inet_aton: 127.0.0.1"),
        ("1.2.3.4 foo", "strict: refused, contains a blank; inet_aton: 1.2.3.4"),
        ("256.1.1.1", "strict: refused, a number above 255; inet_aton: refused"),
        ("", "strict: refused, empty; inet_aton: refused"),
        ("10/8", "strict: refused, not four numbers; inet_aton: 0.0.0.10"),
        ("010.0.0.0/8", "strict: refused, leading zero; inet_aton: 8.0.0.0"),
        ("192.0.2.1/33", "a prefix has 0 to 32 bits"),
        ("192.0.2.1/255.0.255.0", "a netmask is ones, then zeros"),
        ("7f:00:00", "strict: refused, not decimal numbers with dots; inet_aton: refused"),
    ] {
        assert_eq!(read(text, false).err().as_deref(), Some(why), "{text}");
    }
    for text in ["4294967296", "08", "7f:00:00", "7f:00:00:001", "+1", "1.2.3.4/33", "::1"] {
        assert!(strict(text).is_none(), "{text}");
    }
    assert_eq!(read("127.1", true).map(|item| item.address), Ok(Ipv4Addr::LOCALHOST));
}

#[test]
fn with_aton_a_slash_after_a_blank_is_not_looked_at() {
    let item = read("192.0.2.1 /8", true).unwrap();
    assert!(item.network.is_none());
    let item = read("010.0.0.0/8", true).unwrap();
    assert!(item.network.is_some() && item.address == Ipv4Addr::new(8, 0, 0, 0));
}

/// The value of a form.
fn shown(item: &Item<'_>, key: &str) -> String {
    let json = report::json(item);
    let (_, rest) = json.split_once(&format!("\"{key}\":")).unwrap();
    let (value, _) = rest.split_once([',', '}']).unwrap();
    value.trim_matches('"').to_owned()
}

proptest! {
    #[test]
    fn every_form_is_read_as_it_is_printed(address: Ipv4Addr, length in 0..=32) {
        let text = format!("{address}/{length}");
        let item = read(&text, false).unwrap();
        for key in ["dotted", "hex", "decimal", "inet_pton", "inet_aton"] {
            prop_assert_eq!(strict(&shown(&item, key)), Some(address), "{}", key);
        }
        prop_assert_eq!(strict(&shown(&item, "bytes").replace(' ', ":")), Some(address));
        let network = shown(&item, "network");
        prop_assert_eq!(shown(&read(&network, false).unwrap(), "network"), network);
    }

    #[test]
    fn what_is_only_printed_is_the_address_too(address: Ipv4Addr) {
        let text = address.to_string();
        let item = read(&text, false).unwrap();
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
        if let Some(address) = strict(&text) {
            prop_assert_eq!(read(&text, true).unwrap().address, address);
        }
        if let Some(address) = inet_aton(&text) {
            prop_assert_eq!(read(&text, true).unwrap().address, address);
        }
    }

    #[test]
    fn no_text_panics(text: String, aton: bool) {
        let _ = read(&text, aton).map(|item| report::json(&item));
    }
}
