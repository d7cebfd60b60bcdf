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
    for name in ["localhost", "help", "example.org.", "_dns.example", "1.example", "a-b", "0xyz"] {
        assert_eq!(host(name), Ok(Host::Name(name.to_owned())));
    }
}

#[test]
fn a_zone_is_an_interface_of_this_machine() {
    let named = host("fe80::1%lo").unwrap().literal(7).unwrap().unwrap();
    let counted = host("fe80::1%1").unwrap().literal(7).unwrap().unwrap();
    assert_eq!(named, counted);
    assert!(host("ff02::1%lo").unwrap().literal(7).is_ok());
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
        "::1%lo",
        "2001:db8::1%eth0",
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
    assert_eq!(unmap_ipv4(mapped).to_string(), "192.0.2.1:80");
    assert_eq!(unmap_ipv4("[::1]:80".parse().unwrap()).to_string(), "[::1]:80");
}

proptest! {
    #[test]
    fn an_address_survives_print_and_parse(ip: IpAddr, zone in proptest::option::of("[a-z]{1,8}[0-9]")) {
        let ip = match (ip, &zone) {
            // Only a link-local address has a zone.
            (IpAddr::V6(v6), Some(_)) => {
                IpAddr::V6((u128::from(v6) >> 64 | 0xfe80 << 112).into())
            }
            _ => ip,
        };
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
