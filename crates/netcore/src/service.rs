//! Names of ports, as the C library knows them: from /etc/services, or wherever nsswitch.conf(5) says.

use std::ffi::CString;
use std::fmt;
use std::str::FromStr;

use crate::sys::{self, Servent};
use crate::text::escape;

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, RFC 9293
    Tcp,
    /// UDP, RFC 768
    Udp,
    /// SCTP, RFC 9260
    Sctp,
    /// DCCP, RFC 4340
    Dccp,
}

impl Protocol {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Dccp];

    /// Its name in services(5).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
            Protocol::Dccp => "dccp",
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocol, String> {
        let named = Protocol::ALL.into_iter().find(|protocol| protocol.name() == text);
        named.ok_or_else(|| "write tcp, udp, sctp or dccp".to_owned())
    }
}

/// A port with its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The official name, escaped.
    pub name: String,
    /// The port.
    pub port: u16,
    /// The protocol, escaped: `tcp`.
    pub protocol: String,
    /// Other names, escaped.
    pub aliases: Vec<String>,
}

/// `http 80/tcp www`, in the columns of services(5), as `getent services` prints it.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<21} {}/{}", self.name, self.port, self.protocol)?;
        self.aliases.iter().try_for_each(|alias| write!(f, " {alias}"))
    }
}

impl From<Servent> for Service {
    fn from(entry: Servent) -> Service {
        let text = |text: CString| escape(text.as_bytes());
        let (name, protocol) = (text(entry.name), text(entry.protocol));
        let aliases = entry.aliases.into_iter().map(text).collect();
        Service { name, port: entry.port, protocol, aliases }
    }
}

/// getservbyname(3): the service of that name or alias. Names are compared as they are: `HTTP` is not
/// `http`.
#[must_use]
pub fn getservbyname(name: &str, protocol: Protocol) -> Option<Service> {
    let name = CString::new(name).ok()?;
    let protocol = CString::new(protocol.name()).ok()?;
    sys::getservbyname(&name, &protocol).map(Service::from)
}

/// getservbyport(3): the service of that port.
#[must_use]
pub fn getservbyport(port: u16, protocol: Protocol) -> Option<Service> {
    let protocol = CString::new(protocol.name()).ok()?;
    sys::getservbyport(port, &protocol).map(Service::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn eight_threads_never_cross_their_results() {
        // What one thread alone is told.
        let ports: Vec<u16> = (1..200).collect();
        let alone: Vec<_> = ports.iter().map(|port| getservbyport(*port, Protocol::Tcp)).collect();
        thread::scope(|scope| {
            for first in 0..8 {
                let (ports, alone) = (&ports, &alone);
                scope.spawn(move || {
                    for turn in (first * 17..).take(10_000) {
                        let at = turn % ports.len();
                        let found = getservbyport(ports[at], Protocol::Tcp);
                        assert_eq!(found, alone[at]);
                        if let Some(service) = found.filter(|_| turn % 2 == 0) {
                            assert_eq!(getservbyname(&service.name, Protocol::Tcp), Some(service));
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn what_cannot_be_a_name_is_unknown() {
        for name in ["", "a\0b", "no such service", "HTTP"] {
            assert_eq!(getservbyname(name, Protocol::Tcp), None, "{name:?}");
        }
        assert!("TCP".parse::<Protocol>().is_err());
    }
}
