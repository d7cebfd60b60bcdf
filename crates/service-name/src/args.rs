//! The command line, and what is looked up: a port, a range of ports or a name, of which protocols.

use std::ops::RangeInclusive;
use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use netcore::error::Error;
use netcore::port;
use netcore::service::Protocol;
use netcore::text::escape;

/// Show the name of a port, and the port of a name.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} 80/tcp")]
#[argh(example = "{command_name} --protocol udp 53 ntp 67-69")]
pub(crate) struct Args {
    /// tcp, udp, sctp, dccp or any, if the argument names none (any)
    #[argh(option, arg_name = "name", default = "Protocols::Any")]
    pub(crate) protocol: Protocols,
    /// where to look: nss, with the C library, or file, /etc/services as this program reads it (nss)
    #[argh(option, arg_name = "where", default = "Source::Nss")]
    pub(crate) source: Source,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// with --source file: show the lines that are not entries
    #[argh(switch, short = 'v')]
    pub(crate) verbose: bool,
    /// ports, names, ranges (20-25), each also with its protocol (80/tcp); - reads them from
    /// standard input
    #[argh(positional)]
    pub(crate) service: Vec<String>,
}

/// Where services are looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Nss,
    File,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        match text {
            "nss" => Ok(Source::Nss),
            "file" => Ok(Source::File),
            _ => Err("write nss or file".to_owned()),
        }
    }
}

impl Args {
    pub(crate) fn read(&self, word: &str) -> Result<Question, Error> {
        let question = Question::read(word, self.protocol);
        question.map_err(|why| Error::Usage(format!("{}: {why}", escape(word.as_bytes()))))
    }
}

/// The protocols to look up.
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
            // A name may have a hyphen too. A range has a number on both sides, and a mistyped one
            // does not make it a name: 20-0x50 is refused, not looked up.
            Some((first, last)) if is_number(first) && is_number(last) => {
                let (first, last) = (at_least_1(first)?, at_least_1(last)?);
                if first > last {
                    return Err(format!(
                        "the first port of a range is the lower one: write {last}-{first}"
                    ));
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

/// RFC 6335 §5.1 requires a letter in each name, so that it is never taken for a port.
const NO_NAME: &str = "not a port, not a range such as 20-25, and not a name, which has a letter";

/// Whether it is a number, well or badly written.
fn is_number(text: &str) -> bool {
    port::number(text) != Ok(None)
}

fn at_least_1(text: &str) -> Result<u16, String> {
    port::number(text)?.filter(|port| *port > 0).ok_or_else(|| NO_PORT_0.to_owned())
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
