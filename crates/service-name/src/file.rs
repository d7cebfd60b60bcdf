//! The services file, read by ourselves: what the C library does for every question, seen from inside.
//!
//! It is stricter than glibc, which reads ports with strtoul(3), in base 0 and without a look at the
//! end: there 010 is port 8, 0x50 is 80, and 65537 is 1. Such a line is no entry here.

use std::fs;

use nix::errno::Errno;

use netcore::error::Error;
use netcore::output::Output;
use netcore::port;
use netcore::service::{Protocol, Service};
use netcore::text::{escape, shown};

use crate::question::What;

const PATH: &str = "/etc/services";

/// The entries of a services file, in its order.
pub(crate) struct Services(Vec<Service>);

impl Services {
    /// Reads /etc/services; with `verbose` each line that is no entry is said on standard error.
    pub(crate) fn read(verbose: bool, out: &mut Output) -> Result<Services, Error> {
        let bytes = fs::read(PATH).map_err(|why| Error::File {
            path: PATH.to_owned(),
            source: Errno::from_raw(why.raw_os_error().unwrap_or(Errno::EIO as i32)),
        })?;
        let (services, bad) = parse(&bytes);
        for (number, line) in bad.iter().filter(|_| verbose) {
            out.note(format_args!("{PATH}:{number}: no entry: {}", shown(line)));
        }
        Ok(Services(services))
    }

    /// The first entry with that port, or with that name or alias.
    pub(crate) fn find(&self, what: What<'_>, protocol: Protocol) -> Option<Service> {
        // Names are kept escaped, so they are compared escaped: one with a backslash has two of them.
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

/// A line that is no entry, with its number.
type Bad<'a> = (usize, &'a [u8]);

/// Reads a services file (services(5)): `name port/protocol aliases… # comment`.
fn parse(bytes: &[u8]) -> (Vec<Service>, Vec<Bad<'_>>) {
    let (mut services, mut bad) = (Vec::new(), Vec::new());
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let text = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let mut words = text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
        let Some(name) = words.next() else { continue };
        // To the C library a NUL is the end of the line, and of whatever follows in it.
        match words.next().filter(|_| !text.contains(&0)).and_then(port_and_protocol) {
            Some((port, protocol)) => {
                let aliases = words.map(escape).collect();
                services.push(Service { name: escape(name), port, protocol, aliases });
            }
            None => bad.push((at + 1, line.trim_ascii())),
        }
    }
    (services, bad)
}

/// isspace(3), which knows one character more than Rust: the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn port_and_protocol(word: &[u8]) -> Option<(u16, String)> {
    let (port, protocol) = std::str::from_utf8(word).ok()?.split_once('/')?;
    let port = port::number(port).ok()??;
    (!protocol.is_empty()).then(|| (port, escape(protocol.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &[u8] = b"# a comment\n\
        http\t\t80/tcp\t\twww www-http # and another\r\n\
        http 80/udp\n\
        \x20 indented 7/tcp\n\
        first 9/tcp\nsecond 9/tcp first\n\
        no-port\nhuge 65536/tcp\nsigned +7/tcp\nhalf 7\nhalf 7/\nletters x/tcp\n\
        \xff\xfe 1/tcp\n#only 1/tcp\n\nhex 0x50/tcp\noctal 010/tcp\n\
        nul\0 12/tcp\nhash#13/tcp\nback\\slash\x0b14/tcp\nlast 4/sctp";

    fn find(what: What<'_>, protocol: Protocol) -> Option<String> {
        Services(parse(FILE).0).find(what, protocol).map(|service| service.name)
    }

    #[test]
    fn comments_tabs_and_carriage_returns_are_no_part_of_an_entry() {
        let (services, _) = parse(FILE);
        assert_eq!(services[0].to_string(), "http                  80/tcp www www-http");
        assert_eq!(find(What::Name("www"), Protocol::Tcp).as_deref(), Some("http"));
        assert_eq!(find(What::Name("www"), Protocol::Udp), None);
        assert_eq!(find(What::Name("indented"), Protocol::Tcp).as_deref(), Some("indented"));
        assert_eq!(find(What::Port(4), Protocol::Sctp).as_deref(), Some("last"));
        assert_eq!(services.last().map(|service| service.port), Some(4));
    }

    #[test]
    fn the_first_of_duplicates_wins() {
        assert_eq!(find(What::Port(9), Protocol::Tcp).as_deref(), Some("first"));
        assert_eq!(find(What::Name("first"), Protocol::Tcp).as_deref(), Some("first"));
    }

    #[test]
    fn bad_lines_have_their_number() {
        let (services, bad) = parse(FILE);
        let numbers: Vec<usize> = bad.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [7, 8, 9, 10, 11, 12, 16, 17, 18, 19]);
        assert_eq!(bad.first().map(|(_, line)| *line), Some(&b"no-port"[..]));
        assert!(services.iter().any(|service| service.name == r"\xff\xfe"));
    }

    #[test]
    fn a_name_is_found_by_what_stands_in_the_file_and_not_by_how_it_is_shown() {
        let found = find(What::Name(r"back\slash"), Protocol::Tcp);
        assert_eq!(found.as_deref(), Some(r"back\\slash"));
        assert_eq!(find(What::Name(r"back\\slash"), Protocol::Tcp), None);
        assert_eq!(find(What::Name(r"\xff\xfe"), Protocol::Tcp), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn every_line_is_an_entry_or_bad_or_blank(
            line in "#?[ \t\r]?[a-c\\\\]{0,2}[ \t\x0b]{1,2}[0-9]{1,5}/[a-c]{0,2}( [a-c\\\\#]{0,3}){0,3}"
        ) {
            let (services, bad) = parse(line.as_bytes());
            let blank = line.trim_start().is_empty() || line.trim_start().starts_with('#');
            prop_assert_eq!(services.len() + bad.len(), usize::from(!blank));
            for service in services {
                // The same entry comes of its own line: what is read can be written.
                let again = parse(service.to_string().replace(r"\\", r"\").as_bytes()).0;
                prop_assert_eq!(again, [service]);
            }
        }
    }
}
