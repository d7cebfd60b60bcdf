//! The addresses of a host, as lines for a person or for a program.

use std::net::SocketAddr;

use netcore::text::Json;

use crate::args::Args;

/// What the resolver answered about a host.
pub(crate) struct Answer {
    pub(crate) canonical: Option<String>,
    pub(crate) addresses: Vec<(SocketAddr, Name)>,
}

/// The name of an address.
pub(crate) enum Name {
    NotAsked,
    None,
    /// The resolver failed.
    Unknown,
    Is {
        name: String,
        /// Whether the name has that address.
        confirmed: bool,
    },
}

impl Answer {
    pub(crate) fn text(&self, host: &str, args: &Args) -> String {
        let block = args.several();
        if args.json {
            return self.json(host, args);
        }
        let indent = if block { "  " } else { "" };
        let mut text = if block { format!("{host}\n") } else { String::new() };
        if let Some(canonical) = self.canonical.as_ref().filter(|_| args.canonical) {
            text += &format!("{indent}canonical {canonical}\n");
        }
        for (address, name) in &self.addresses {
            text += &format!("{indent}{} {}", family_of(*address), shown(*address, args));
            text += &match name {
                Name::NotAsked => "\n".to_owned(),
                Name::None => " has no name\n".to_owned(),
                Name::Unknown => " name unknown\n".to_owned(),
                Name::Is { name, confirmed: true } => format!(" {name} (confirmed)\n"),
                Name::Is { name, confirmed: false } => format!(" {name} (not confirmed)\n"),
            };
        }
        text
    }

    fn json(&self, host: &str, args: &Args) -> String {
        let mut text = String::new();
        for (address, name) in &self.addresses {
            let mut json = Json::new("address").text("host", host);
            json =
                json.text("family", family_of(*address)).text("address", &without_port(*address));
            if let Some(port) = args.port {
                json = json.number("port", port.0);
            }
            if let Some(canonical) = self.canonical.as_ref().filter(|_| args.canonical) {
                json = json.text("canonical", canonical);
            }
            if let Name::Is { name, confirmed } = name {
                json = json.text("name", name).flag("confirmed", *confirmed);
            }
            text += &format!("{json}\n");
        }
        text
    }
}

fn family_of(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// With its port where one was asked for, as a client would write it.
fn shown(address: SocketAddr, args: &Args) -> String {
    if args.port.is_some() { address.to_string() } else { without_port(address) }
}

/// Without port and brackets; the zone of a link-local address stays.
fn without_port(address: SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => address.ip().to_string(),
    }
}
