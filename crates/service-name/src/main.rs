//! Show the name of a port, and the port of a name.
//!
//! # What it shows
//! A service has an official name, a port for each of its protocols, and aliases. The table is a
//! file, /etc/services, unless nsswitch.conf says otherwise. No packet is sent, and the table does not
//! say which program listens: port 80 is called http even if another service uses it.
//!
//! # System calls
//! None is the lesson: getservbyname(3) and getservbyport(3) are functions of the C library, which
//! opens the file, reads it from the start, and closes it, for every question.
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
//! - The port of a `servent` is in network order, and so is the argument of getservbyport: without
//!   `htons` the question for 80 is one for 20480, which has another name, or none.
//! - A port has a name for each protocol: 123 is ntp over UDP, and has none over TCP. The Python
//!   original asks for two ports that every system knows, and ends in a traceback for any other.
//! - Both functions return a pointer to one static buffer: a second thread overwrites it.
//! - getaddrinfo takes the service 70000 for port 4464: a port is checked before it is passed on. In
//!   the file it is the same: a line with 65537/tcp is port 1 to glibc, and one with 010/tcp port 8.
//!   `--source file -v` shows such lines.
//! - Names are case-sensitive: HTTP is unknown.
//!
//! # Next
//! `byte-order` shows the two bytes of a port; `remote-ip --port http` uses these names.
//!
//! # Source
//! getservbyname(3), services(5), nsswitch.conf(5); RFC 6335; UNP §11.5, TLPI §61.9; the Python
//! cookbook's recipe 1.4.

mod args;
mod report;

use std::fs;
use std::process::ExitCode;

use nix::errno::Errno;

use netcore::error::Error;
use netcore::input::each_word;
use netcore::output::Output;
use netcore::service::{getservbyname, getservbyport};
use netcore::text::{escape, shown};
use netcore::{cli, recipe};

use args::{Args, Question, Source, What};
use report::{Services, as_json};

const SERVICES: &str = "/etc/services";

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.service.is_empty() {
        return Err(Error::Usage("SERVICE: required".to_owned()));
    }
    // All are read before the first is looked up.
    for word in args.service.iter().filter(|word| *word != "-") {
        args.read(word)?;
    }
    let file = match args.source {
        Source::Nss => None,
        Source::File => Some(read_services(args.verbose, out)?),
    };
    each_word(&args.service, |word| {
        let known = match args.read(word) {
            Ok(question) => look_up(&question, file.as_ref(), args.json, out)?,
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

/// Prints each service as soon as it is found: a range of all ports is a quarter of a million
/// questions. Returns whether there was one.
fn look_up(
    question: &Question,
    file: Option<&Services>,
    json: bool,
    out: &mut Output,
) -> Result<bool, Error> {
    let mut known = false;
    for (what, protocol) in question.each() {
        let found = match (file, what) {
            (None, What::Port(port)) => getservbyport(port, protocol),
            (None, What::Name(name)) => getservbyname(name, protocol),
            (Some(file), what) => file.find(what, protocol),
        };
        let Some(service) = found else { continue };
        known = true;
        if json { out.line(as_json(&service))? } else { out.line(&service)? }
    }
    Ok(known)
}

/// Reads /etc/services; with `verbose` prints each line that is not an entry on standard error.
fn read_services(verbose: bool, out: &mut Output) -> Result<Services, Error> {
    let bytes = fs::read(SERVICES).map_err(|why| Error::File {
        path: SERVICES.to_owned(),
        source: Errno::from_raw(why.raw_os_error().unwrap_or(Errno::EIO as i32)),
    })?;
    let (services, bad) = Services::parse(&bytes);
    for (number, line) in bad.iter().filter(|_| verbose) {
        out.note(format_args!("{SERVICES}:{number}: not an entry: {}", shown(line)));
    }
    Ok(services)
}
