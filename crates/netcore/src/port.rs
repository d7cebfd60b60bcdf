//! Ports as they are typed.
//!
//! They are read here and never handed on as strings: `getaddrinfo` turns the service `70000` into
//! port 4464.

use std::str::FromStr;

use crate::addr::inet_aton;
use crate::service::{self, Protocol};

/// The port of a peer: 1 to 65535, or a service name such as `http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Port, String> {
        match text.parse()? {
            ListenPort(0) => Err("port 0 cannot be connected to: write 1 to 65535".to_owned()),
            ListenPort(port) => Ok(Port(port)),
        }
    }
}

/// The port of a server: as [`Port`], and 0 for one that the kernel picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenPort(pub u16);

impl FromStr for ListenPort {
    type Err = String;

    fn from_str(text: &str) -> Result<ListenPort, String> {
        if let Some(number) = number(text)? {
            return Ok(ListenPort(number));
        }
        // Some services, `ntp` among them, have no entry for TCP.
        service::getservbyname(text, Protocol::Tcp)
            .or_else(|| service::getservbyname(text, Protocol::Udp))
            .map(|service| ListenPort(service.port))
            .ok_or_else(|| "neither a port (1 to 65535) nor the name of a service".to_owned())
    }
}

/// A port as a number, `None` for what can only be a name.
///
/// # Errors
/// A number that is no port: above 65535, or with a sign, a leading zero or `0x`.
pub fn number(text: &str) -> Result<Option<u16>, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (text == "0" || !text.starts_with('0')) {
        return text.parse().map(Some).map_err(|_| "a port is at most 65535".to_owned());
    }
    // RFC 6335 §5.1: letters, digits and hyphens, at least one letter; older names also have
    // the rest. A sign, a leading zero or 0x is a mistyped number.
    let mistyped = text.starts_with(|c: char| c.is_ascii_digit()) && inet_aton(text).is_some();
    if digits || mistyped || text.starts_with(['-', '+']) {
        return Err("not a port: write 1 to 65535 without sign or leading zero".to_owned());
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ports_are_numbers_or_services() {
        assert_eq!("80".parse(), Ok(Port(80)));
        assert_eq!("65535".parse(), Ok(Port(65535)));
        assert_eq!("0".parse(), Ok(ListenPort(0)));
        for text in [
            "0",
            "65536",
            "70000",
            "-1",
            "+1",
            "0x50",
            "080",
            "00",
            "",
            "80 ",
            "nosuchservice",
            "99999999999",
        ] {
            assert!(text.parse::<Port>().is_err(), "{text:?}");
        }
        // A machine without /etc/services knows no names.
        if std::fs::read_to_string("/etc/services").is_ok_and(|file| file.contains("\nhttp\t")) {
            assert_eq!("http".parse(), Ok(Port(80)));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Port>();
        }

        #[test]
        fn every_port_is_read_as_it_is_printed(port: u16) {
            prop_assert_eq!(port.to_string().parse(), Ok(ListenPort(port)));
        }
    }
}
