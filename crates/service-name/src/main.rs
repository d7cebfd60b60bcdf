//! Show the name of a port, and the port of a name.
//!
//! # What it shows
//! A service has an official name, a port for each of its protocols, and aliases. The table is a
//! file, /etc/services, unless nsswitch.conf says otherwise; nothing is asked of the network, and
//! nothing is known of what really listens there: 80 is called http whoever serves it.
//!
//! # System calls
//! None is the lesson: getservbyname(3) and getservbyport(3) are functions of the C library, which
//! opens the file, reads it from its beginning, and closes it, for every question.
//!
//! # Try it
//! ```console
//! $ service-name 123/udp ntp/udp
//! ntp                   123/udp
//! ntp                   123/udp
//! $ service-name 080
//! service-name: 080: not a port: write 1 to 65535 without sign or leading zero
//! Try 'service-name --help'.
//! ```
//!
//! # What can go wrong
//! - The port of a `servent` is in network order, and getservbyport wants it so: without `htons` the
//!   question for 80 is one for 20480, which has another name, or none.
//! - A port alone is half of a name: 123 is ntp over UDP, and nothing over TCP. The Python original
//!   asks for two ports that every system knows, and ends in a traceback for any other.
//! - Both functions answer in one static buffer: of two threads, one reads the other's answer.
//! - getaddrinfo takes the service 70000 for port 4464: a port is checked before it is passed on. In
//!   the file it is the same: a line with 65537/tcp is port 1 to glibc, and one with 010/tcp port 8.
//!   `--source file -v` shows such lines.
//! - Names are compared as they are: HTTP is unknown.
//!
//! # Next
//! `byte-order` shows the two bytes of a port; `remote-ip --port http` uses these names.
//!
//! # Source
//! getservbyname(3), services(5), nsswitch.conf(5); RFC 6335; UNP §11.5, TLPI §61.9; the Python
//! cookbook's recipe 1.4.

mod file;
mod question;

use std::process::ExitCode;
use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use netcore::error::Error;
use netcore::input::each_word;
use netcore::output::Output;
use netcore::service::{Service, by_name, by_port};
use netcore::text::{Json, escape};
use netcore::{cli, recipe};

use file::Services;
use question::{Protocols, Question, What};

/// Show the name of a port, and the port of a name.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} 80/tcp")]
#[argh(example = "{command_name} --protocol udp 53 ntp 67-69")]
struct Args {
    /// tcp, udp, sctp, dccp or any, where a question names none (any)
    #[argh(option, arg_name = "name", default = "Protocols::Any")]
    protocol: Protocols,
    /// who is asked: nss, the C library, or file, /etc/services as it is read here (nss)
    #[argh(option, arg_name = "who", default = "Source::Nss")]
    source: Source,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// with --source file: show the lines that are no entry
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// ports, names, ranges (20-25), each also with its protocol (80/tcp); - reads them from
    /// standard input
    #[argh(positional)]
    service: Vec<String>,
}

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
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

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.service.is_empty() {
        return Err(Error::Usage("SERVICE: required".to_owned()));
    }
    // All are read before the first is looked up.
    for word in args.service.iter().filter(|word| *word != "-") {
        read(word, args)?;
    }
    let file = match args.source {
        Source::Nss => None,
        Source::File => Some(Services::read(args.verbose, out)?),
    };
    each_word(&args.service, |word| {
        let known = match read(word, args) {
            Ok(question) => answer(&question, file.as_ref(), args.json, out)?,
            Err(error) => {
                out.report(&error);
                return Ok(());
            }
        };
        if !known {
            out.report(&Error::No(format!("{}: unknown", escape(word.as_bytes()))));
        }
        Ok(())
    })
}

/// Shows each service as soon as it is found: a range of all ports is a quarter of a million questions.
/// Returns whether there was one.
fn answer(
    question: &Question,
    file: Option<&Services>,
    json: bool,
    out: &mut Output,
) -> Result<bool, Error> {
    let mut known = false;
    for (what, protocol) in question.each() {
        let found = match (file, what) {
            (None, What::Port(port)) => by_port(port, protocol),
            (None, What::Name(name)) => by_name(name, protocol),
            (Some(file), what) => file.find(what, protocol),
        };
        let Some(service) = found else { continue };
        known = true;
        if json { out.line(as_json(&service))? } else { out.line(&service)? }
    }
    Ok(known)
}

fn read(word: &str, args: &Args) -> Result<Question, Error> {
    let question = Question::read(word, args.protocol);
    question.map_err(|why| Error::Usage(format!("{}: {why}", escape(word.as_bytes()))))
}

fn as_json(service: &Service) -> Json {
    let json = Json::new("service").text("name", &service.name).number("port", service.port);
    json.text("protocol", &service.protocol).texts("aliases", &service.aliases)
}
