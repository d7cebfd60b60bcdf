//! Whom to ask, how often, and when to give up.

use std::net::SocketAddr;
use std::time::Instant;

use nix::poll::poll;

use netcore::error::Error;
use netcore::ntp::Sample;
use netcore::ntp::refused::Refused;
use netcore::ntp::server::servers;
use netcore::ntp::time::{Timestamp, Utc};
use netcore::ntp::validate::Kiss;
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::times;
use netcore::time::Timeout;

use crate::answer::Answer;
use crate::args::Args;
use crate::exchange;

pub(crate) fn ask(args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    for (word, server) in servers(&args.server)? {
        match addresses(&server.host, server.port.0, family, args.timeout) {
            Ok(addresses) => ask_server(&word, &addresses, args, out)?,
            Err(error) => out.report(&error),
        }
    }
    Ok(())
}

/// Asks the addresses of a server in their order, up to the first that answers, or all of them.
fn ask_server(
    word: &str,
    addresses: &[SocketAddr],
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    let mut failures = Vec::new();
    for address in addresses {
        let mut asked = Asked::new(*address);
        let end = asked.measure(args);
        let answer = Answer::of(word, &asked, args);
        let answered = answer.is_some();
        match answer.map(|answer| answer.judge().map(|()| answer.text())) {
            Some(Ok(text)) => out.bytes(text.as_bytes())?,
            Some(Err(error)) => out.report(&error),
            None => {}
        }
        if answered && !args.all_addresses {
            // Of those before it that did not answer nobody needs to know.
            failures.clear();
        }
        // A kiss is the word of the whole server, not of one of its addresses.
        let last = answered && !args.all_addresses || matches!(end, Err(Unanswered::Kiss(_)));
        failures.extend(end.err().map(|end| asked.error(end, args.timeout)));
        if last {
            break;
        }
    }
    failures.iter().for_each(|failure| out.report(failure));
    Ok(())
}

/// What came of one try.
pub(crate) struct Got {
    pub(crate) sample: Sample,
    /// T4 as this program read it, some time after the datagram had come.
    pub(crate) user: Utc,
    /// Whether the kernel noted it too.
    pub(crate) stamped: bool,
}

/// Why nothing came of it.
pub(crate) enum Unanswered {
    /// No answer before the deadline.
    Silence,
    /// The server will not tell us the time.
    Kiss(Kiss),
    /// A system call failed.
    Failed(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Unanswered {
        Unanswered::Failed(error)
    }
}

/// All that happened with one address.
pub(crate) struct Asked {
    pub(crate) server: SocketAddr,
    /// How many requests were sent.
    pub(crate) tries: u32,
    /// The nonces of all of them, the last one first.
    pub(crate) nonces: Vec<Timestamp>,
    /// What came that was no answer.
    pub(crate) refused: Refused,
    pub(crate) samples: Vec<Got>,
}

impl Asked {
    fn new(server: SocketAddr) -> Asked {
        let refused = Refused::default();
        Asked { server, tries: 0, nonces: Vec::new(), refused, samples: Vec::new() }
    }

    /// Takes the samples. A kiss or an error ends it; so does silence, unless there are samples.
    fn measure(&mut self, args: &Args) -> Result<(), Unanswered> {
        for turn in 0..args.count {
            if turn > 0 {
                let pause = Instant::now().checked_add(args.interval.0);
                while pause.is_some_and(|end| Instant::now() < end) {
                    let _ = poll(&mut [], timeout_until(pause));
                }
            }
            match self.sample(args) {
                Ok(got) => self.samples.push(got),
                Err(Unanswered::Silence) if turn > 0 => {}
                Err(end) => return Err(end),
            }
        }
        Ok(())
    }

    /// One sample, with a new nonce and a new port for each try: an answer that comes too late is
    /// an answer to nobody.
    fn sample(&mut self, args: &Args) -> Result<Got, Unanswered> {
        for _ in 0..=args.retries {
            self.tries = self.tries.saturating_add(1);
            match exchange(self, args) {
                Err(Unanswered::Silence) => {}
                end => return end,
            }
        }
        Err(Unanswered::Silence)
    }

    /// The end as an error: what kind of no it was decides the exit code.
    fn error(&self, end: Unanswered, timeout: Timeout) -> Error {
        let peer = self.server.to_string();
        match end {
            Unanswered::Failed(error) => error,
            Unanswered::Kiss(kiss) => kiss.error(peer),
            Unanswered::Silence if self.refused.is_empty() => {
                let attempt = format!("ask {peer}, {}", times(self.tries));
                Error::Timeout { attempt, after: timeout.duration().unwrap_or_default() }
            }
            Unanswered::Silence => {
                Error::Protocol { peer, fault: format!("no answer; {}", self.refused) }
            }
        }
    }
}
