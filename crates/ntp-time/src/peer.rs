//! One server: whether it is to be asked, is being asked, or has been.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use socket2::Socket;

use netcore::addr::unmap_ipv4;
use netcore::error::{Attempt, Error};
use netcore::ntp::Sample;
use netcore::ntp::refused::Refused;
use netcore::ntp::server::{Server, servers};
use netcore::ntp::time::Timestamp;
use netcore::ntp::validate::{Kiss, Request};
use netcore::output::Output;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::times;
use netcore::time::Timeout;

use crate::args::Args;

/// Where a server stands.
pub(crate) enum State {
    /// The next request leaves then.
    Due(Instant),
    /// A request is under way.
    Asked { socket: Socket, request: Request, deadline: Option<Instant> },
    /// It is not asked any more, and this is why, if it has no vote.
    Done(Option<Error>),
}

pub(crate) struct Peer {
    /// As it was typed.
    pub(crate) word: String,
    /// Its addresses, the one to ask first.
    addresses: Vec<SocketAddr>,
    pub(crate) state: State,
    pub(crate) samples: Vec<Sample>,
    /// What came that was no answer.
    pub(crate) refused: Refused,
    /// Those of all requests.
    pub(crate) nonces: Vec<Timestamp>,
    /// How many requests in a row had no answer.
    unanswered: u8,
    /// When the last request left.
    pub(crate) asked: Option<Instant>,
}

impl Peer {
    /// All servers of the command line, none of them asked yet.
    pub(crate) fn all(args: &Args, out: &Output) -> Result<Vec<Peer>, Error> {
        let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
        let servers = servers(&args.server)?;
        let resolved = resolve(&servers, family, args.timeout);
        let mut peers: Vec<Peer> = Vec::new();
        for ((word, _), resolved) in servers.into_iter().zip(resolved) {
            let mut addresses = match resolved {
                Ok(addresses) => addresses,
                Err(error @ Error::Usage(_)) => return Err(error),
                Err(error) => {
                    peers.push(Peer::new(word, Vec::new(), State::Done(Some(error))));
                    continue;
                }
            };
            // An address has one vote, or a server could be its own majority.
            let taken: Vec<SocketAddr> =
                peers.iter().flat_map(|peer| &peer.addresses).copied().map(unmap_ipv4).collect();
            if let Some(twice) = addresses.iter().find(|one| taken.contains(&unmap_ipv4(**one))) {
                out.note(format_args!("{word}: {twice} was given before, and has one vote"));
            }
            addresses.retain(|one| !taken.contains(&unmap_ipv4(*one)));
            let together = if args.all_addresses { 1 } else { addresses.len().max(1) };
            let due = Instant::now();
            for some in addresses.chunks(together) {
                peers.push(Peer::new(word.clone(), some.to_vec(), State::Due(due)));
            }
        }
        Ok(peers)
    }

    fn new(word: String, addresses: Vec<SocketAddr>, state: State) -> Peer {
        let (refused, nonces) = (Refused::default(), Vec::new());
        Peer {
            word,
            addresses,
            state,
            samples: Vec::new(),
            refused,
            nonces,
            unanswered: 0,
            asked: None,
        }
    }

    /// Whom it asks.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.state {
            State::Asked { socket, .. } => Some(socket),
            _ => None,
        }
    }

    /// When something is to be done about it, if nothing comes.
    pub(crate) fn next(&self) -> Option<Instant> {
        match &self.state {
            State::Due(at) => Some(*at),
            State::Asked { deadline, .. } => *deadline,
            State::Done(_) => None,
        }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Due(at) if at <= now)
    }

    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        matches!(self.state, State::Asked { deadline: Some(deadline), .. } if deadline <= now)
    }

    /// An answer: the next request leaves when the pause is over, or it was the last.
    pub(crate) fn has_answered(&mut self, sample: Sample, args: &Args) {
        self.samples.push(sample);
        self.unanswered = 0;
        let next = self.asked.and_then(|asked| asked.checked_add(args.interval.0));
        self.state = match next {
            Some(next) if self.samples.len() < args.count as usize => State::Due(next),
            _ => State::Done(None),
        };
    }

    /// No answer in time: the next request goes to its next address. After the last retry it is
    /// left alone; what it said before still counts.
    pub(crate) fn has_not_answered(&mut self, args: &Args) {
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered <= args.retries {
            let one = self.addresses.len().min(1);
            self.addresses.rotate_left(one);
            self.state = State::Due(Instant::now());
            return;
        }
        let silence = self.silence(args.timeout);
        self.state = State::Done(self.samples.is_empty().then_some(silence));
    }

    fn silence(&self, timeout: Timeout) -> Error {
        let peer = self.address().map_or_else(|| self.word.clone(), |address| address.to_string());
        if !self.refused.is_empty() {
            return Error::Protocol { peer, fault: format!("no answer; {}", self.refused) };
        }
        let tries = u32::try_from(self.nonces.len()).unwrap_or(u32::MAX);
        let attempt = format!("ask {peer}, {}", times(tries));
        Error::Timeout { attempt, after: timeout.duration().unwrap_or_default() }
    }

    /// A system call failed: that address is given up, and with the last one the server.
    pub(crate) fn has_failed(&mut self, error: Error) {
        if self.addresses.len() > 1 && self.samples.is_empty() {
            self.addresses.remove(0);
            self.state = State::Due(Instant::now());
            return;
        }
        self.state = State::Done(self.samples.is_empty().then_some(error));
    }

    /// It does not serve us: it is not asked again, and has no vote.
    pub(crate) fn has_kissed(&mut self, kiss: Kiss) {
        let peer = self.address().map_or_else(|| self.word.clone(), |address| address.to_string());
        self.samples.clear();
        self.state = State::Done(Some(kiss.error(peer)));
    }
}

/// The addresses of all of them, asked for at the same time: a resolver that stays silent costs one
/// time-out, and not one for each name.
fn resolve<'a>(
    servers: &'a [(String, Server)],
    family: AddressFamily,
    timeout: Timeout,
) -> Vec<Result<Vec<SocketAddr>, Error>> {
    thread::scope(|scope| {
        let ask = |(_, Server { host, port }): &'a (String, Server)| {
            let resolve = move || addresses(host, port.0, family, timeout);
            thread::Builder::new().spawn_scoped(scope, resolve).attempt("start a thread")
        };
        let threads: Vec<_> = servers.iter().map(ask).collect();
        let join = |thread: ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        threads.into_iter().map(|thread| thread.and_then(join)).collect()
    })
}
