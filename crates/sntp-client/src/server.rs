//! A server as people type it: `HOST`, `HOST:PORT`, `[IPV6]:PORT`.

use std::str::FromStr;

use netcore::addr::Host;
use netcore::port::Port;

/// Where NTP servers listen.
const NTP: Port = Port(123);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) port: Port,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Server, String> {
        // The colons of an IPv6 address without brackets are its own.
        let bare = text.matches(':').count() > 1 && !text.starts_with('[');
        let (host, port) = match text.rsplit_once(':').filter(|_| !bare && !text.ends_with(']')) {
            Some((host, port)) => (host, port.parse()?),
            None => (text, NTP),
        };
        Ok(Server { host: host.parse()?, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_follows_the_last_colon_unless_that_is_the_address() {
        for (text, host, port) in [
            ("192.0.2.1", "192.0.2.1", 123),
            ("192.0.2.1:7777", "192.0.2.1", 7777),
            ("ntp.example", "ntp.example", 123),
            ("ntp.example:1", "ntp.example", 1),
            ("::1", "::1", 123),
            ("fe80::1%lo", "fe80::1%lo", 123),
            ("[::1]", "::1", 123),
            ("[::1]:7777", "::1", 7777),
            ("[fe80::1%lo]:7", "fe80::1%lo", 7),
        ] {
            let expected = Server { host: host.parse().unwrap(), port: Port(port) };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in
            ["", ":", ":123", "a:", "a:0", "a:65536", "a:b:c", "[::1]7", "[::1", "127.1", "a b"]
        {
            assert!(text.parse::<Server>().is_err(), "{text:?}");
        }
    }
}
