//! The services file: what the C library does for every question, seen from inside; and what is
//! printed of a service.
//!
//! This parser is stricter than glibc, which reads ports with strtoul(3), in base 0 and without a check
//! of the end: there 010 is port 8, 0x50 is 80, and 65537 is 1. Such a line is not an entry here.

use netcore::port;
use netcore::service::{Protocol, Service};
use netcore::text::{Json, escape};

use crate::args::What;

/// The entries of a services file, in its order.
pub(crate) struct Services(Vec<Service>);

/// A line that is not an entry, with its number.
type Bad<'a> = (usize, &'a [u8]);

impl Services {
    /// Reads a services file (services(5)): `name port/protocol aliases… # comment`.
    pub(crate) fn parse(bytes: &[u8]) -> (Services, Vec<Bad<'_>>) {
        let (mut services, mut bad) = (Vec::new(), Vec::new());
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let text = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let mut words = text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
            let Some(name) = words.next() else { continue };
            // To the C library a NUL is the end of the line.
            match words.next().filter(|_| !text.contains(&0)).and_then(port_and_protocol) {
                Some((port, protocol)) => {
                    let aliases = words.map(escape).collect();
                    services.push(Service { name: escape(name), port, protocol, aliases });
                }
                None => bad.push((at + 1, line.trim_ascii())),
            }
        }
        (Services(services), bad)
    }

    /// The first entry with that port, or with that name or alias.
    pub(crate) fn find(&self, what: What<'_>, protocol: Protocol) -> Option<Service> {
        // The names in the table are escaped, so an escaped name is looked for.
        let asked = match what {
            What::Port(_) => String::new(),
            What::Name(name) => escape(name.as_bytes()),
        };
        let is_it = |service: &&Service| {
            service.protocol == protocol.name()
                && match what {
                    What::Port(port) => service.port == port,
                    What::Name(_) => service.name == asked || service.aliases.contains(&asked),
                }
        };
        self.0.iter().find(is_it).cloned()
    }
}

/// isspace(3), which has one character more than Rust: the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn port_and_protocol(word: &[u8]) -> Option<(u16, String)> {
    let (port, protocol) = std::str::from_utf8(word).ok()?.split_once('/')?;
    let port = port::number(port).ok()??;
    (!protocol.is_empty()).then(|| (port, escape(protocol.as_bytes())))
}

pub(crate) fn as_json(service: &Service) -> Json {
    let json = Json::new("service").text("name", &service.name).number("port", service.port);
    json.text("protocol", &service.protocol).texts("aliases", &service.aliases)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
