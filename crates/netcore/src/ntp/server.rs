//! Servers as people type them: `HOST`, `HOST:PORT`, `[IPV6]:PORT`.

use std::str::FromStr;

use crate::addr::Host;
use crate::error::Error;
use crate::number::whole;
use crate::port::Port;
use crate::text::escape;
use crate::time::Span;

/// Where NTP servers listen.
const NTP: Port = Port(123);

/// A server to query.
#[derive(Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: Port,
}

/// Parses all servers of a command line, each with its argument escaped for output. A mistyped one is
/// found before any request is sent.
///
/// # Errors
/// A usage error: no server, or an argument that is not a server.
pub fn servers(words: &[String]) -> Result<Vec<(String, Server)>, Error> {
    if words.is_empty() {
        return Err(Error::Usage("SERVER: required".to_owned()));
    }
    let read = |word: &String| {
        let shown = escape(word.as_bytes());
        let server = word.parse().map_err(|why| Error::Usage(format!("{shown}: {why}")))?;
        Ok((shown, server))
    };
    words.iter().map(read).collect()
}

/// Parses the version of a request.
///
/// # Errors
/// What is accepted.
pub fn version(text: &str) -> Result<u8, String> {
    let version = whole(text).ok().filter(|version| matches!(version, 3 | 4));
    version.ok_or_else(|| "write a whole number from 3 to 4".to_owned())
}

/// Parses the pause between two requests to one server. Servers with a rate limit allow at least one
/// request a second.
///
/// # Errors
/// Why less than a second is not accepted.
pub fn interval(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.0 < Span::seconds(1).0 {
        return Err("less than 1s: servers may deny more frequent requests".to_owned());
    }
    Ok(span)
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Server, String> {
        // Several colons without brackets are those of an IPv6 address.
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
    fn all_servers_are_parsed_before_the_first_request() {
        let read = |words: &[&str]| {
            servers(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(read(&["a", "::1"]).unwrap().len(), 2);
        assert_eq!(read(&[]).unwrap_err().to_string(), "SERVER: required");
        let said = read(&["a", "b\u{1b}"]).unwrap_err().to_string();
        assert!(said.starts_with("b\\u{1b}: "), "{said}");
    }

    #[test]
    fn a_version_is_3_or_4() {
        assert_eq!((version("3"), version("4")), (Ok(3), Ok(4)));
        for text in ["2", "5", "", "04x"] {
            assert_eq!(version(text), Err("write a whole number from 3 to 4".to_owned()));
        }
        assert!(interval("1s").is_ok() && interval("999ms").is_err());
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
