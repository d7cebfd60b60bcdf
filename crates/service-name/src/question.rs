//! What is asked: a port, a range of ports or a name, and the protocols that it is asked of.

use std::ops::RangeInclusive;
use std::str::FromStr;

use netcore::port;
use netcore::service::Protocol;

/// The protocols of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocols {
    Any,
    One(Protocol),
}

impl FromStr for Protocols {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocols, String> {
        if text == "any" {
            return Ok(Protocols::Any);
        }
        let one = text.parse().map(Protocols::One);
        one.map_err(|_| "write tcp, udp, sctp, dccp or any".to_owned())
    }
}

/// One thing to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Port(u16),
    Name(&'a str),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    subject: Subject,
    protocols: Protocols,
}

#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Ports(RangeInclusive<u16>),
    Name(String),
}

impl Question {
    /// Reads `80`, `20-25`, `http`, each with or without `/tcp`.
    pub(crate) fn read(text: &str, default: Protocols) -> Result<Question, String> {
        let (subject, protocols) = match text.split_once('/') {
            Some((subject, protocol)) => (subject, protocol.parse()?),
            None => (text, default),
        };
        let subject = match subject.split_once('-') {
            // A name may have a hyphen too. On both sides of a range stand numbers, and one that is
            // mistyped makes it no name: 20-0x50 is refused, not looked up.
            Some((first, last)) if is_number(first) && is_number(last) => {
                let (first, last) = (at_least_1(first)?, at_least_1(last)?);
                if first > last {
                    return Err(format!("a range goes up: write {last}-{first}"));
                }
                Subject::Ports(first..=last)
            }
            _ => match port::number(subject)? {
                Some(0) => return Err(NO_PORT_0.to_owned()),
                Some(port) => Subject::Ports(port..=port),
                None if !subject.contains(char::is_alphabetic) => return Err(NO_NAME.to_owned()),
                None => Subject::Name(subject.to_owned()),
            },
        };
        Ok(Question { subject, protocols })
    }

    /// What is looked up: port by port, of each protocol in the order of [`Protocol::ALL`].
    pub(crate) fn each(&self) -> impl Iterator<Item = (What<'_>, Protocol)> {
        let (ports, name) = match &self.subject {
            Subject::Ports(ports) => (Some(ports.clone()), None),
            Subject::Name(name) => (None, Some(What::Name(name))),
        };
        let asked = move |one: &Protocol| match self.protocols {
            Protocols::Any => true,
            Protocols::One(protocol) => *one == protocol,
        };
        let subjects = ports.into_iter().flatten().map(What::Port).chain(name);
        subjects.flat_map(move |what| {
            Protocol::ALL.into_iter().filter(asked).map(move |protocol| (what, protocol))
        })
    }
}

const NO_PORT_0: &str = "port 0 has no name: write 1 to 65535";

/// RFC 6335 §5.1 wants a letter in each name, so that it is never taken for a port.
const NO_NAME: &str = "neither a port, nor a range such as 20-25, nor a name, which has a letter";

/// Whether it is meant as a number, well or badly written.
fn is_number(text: &str) -> bool {
    port::number(text) != Ok(None)
}

fn at_least_1(text: &str) -> Result<u16, String> {
    port::number(text)?.filter(|port| *port > 0).ok_or_else(|| NO_PORT_0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subject(text: &str) -> Result<Subject, String> {
        Question::read(text, Protocols::Any).map(|question| question.subject)
    }

    #[test]
    fn ports_ranges_and_names_are_told_apart() {
        assert_eq!(subject("80"), Ok(Subject::Ports(80..=80)));
        assert_eq!(subject("20-25/tcp"), Ok(Subject::Ports(20..=25)));
        for name in ["http", "iso-tsap", "3com-tsmux", "x11-1", "80-http", "x-080"] {
            assert_eq!(subject(name), Ok(Subject::Name(name.to_owned())), "{name}");
        }
        let udp = Question::read("80/udp", Protocols::Any).unwrap();
        assert_eq!(udp.protocols, Protocols::One(Protocol::Udp));
    }

    #[test]
    fn what_is_no_question_is_refused() {
        for text in [
            "",
            "0",
            "65536",
            "-1",
            "+1",
            "0x50",
            "080",
            "25-20",
            "0-5",
            "1-65536",
            "1-080",
            "20-0x50",
            "0x50-0x60",
            "20--1",
            "-1-5",
            "20-",
            "1-2-3",
            "-",
            "\u{fffd}",
            "/tcp",
            "80/",
            "80/TCP",
            "80/icmp",
            "80/tcp/udp",
        ] {
            assert!(subject(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_port_of_a_range_is_asked_of_every_protocol_in_their_order() {
        let question = Question::read("65534-65535", Protocols::Any).unwrap();
        let all: Vec<_> = [65534, 65535]
            .into_iter()
            .flat_map(|port| Protocol::ALL.map(|protocol| (What::Port(port), protocol)))
            .collect();
        assert_eq!(question.each().collect::<Vec<_>>(), all);
        let whole = Question::read("1-65535", Protocols::Any).unwrap();
        assert_eq!(whole.each().count(), 4 * 65535);
        let one = Question::read("http", Protocols::One(Protocol::Dccp)).unwrap();
        assert_eq!(one.each().collect::<Vec<_>>(), [(What::Name("http"), Protocol::Dccp)]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = subject(&text);
        }
    }
}
