//! One server: when the next request is due, and what it has replied.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use socket2::Socket;

use netcore::addr::unmap_ipv4;
use netcore::error::{Attempt, Error};
use netcore::ntp::Sample;
use netcore::ntp::rejected::Rejected;
use netcore::ntp::server::{Server, servers};
use netcore::ntp::time::Timestamp;
use netcore::ntp::validate::{Kiss, Request};
use netcore::output::Output;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::times;
use netcore::time::{Timeout, share};

use crate::args::Args;

/// What is to be done next about a server.
pub(crate) enum State {
    /// The next request is due then.
    Due(Instant),
    /// A request was sent, and has no reply yet.
    Waiting { socket: Socket, request: Request, deadline: Option<Instant> },
    /// Nothing; the error if there is no sample.
    Done(Option<Error>),
}

pub(crate) struct Peer {
    /// As it was typed.
    pub(crate) name: String,
    /// Its addresses; the next request goes to the first.
    addresses: Vec<SocketAddr>,
    pub(crate) state: State,
    pub(crate) samples: Vec<Sample>,
    /// The datagrams that were not a valid reply.
    pub(crate) rejected: Rejected,
    /// The nonces of all requests.
    pub(crate) nonces: Vec<Timestamp>,
    /// When the next sample has to be there.
    deadline: Option<Instant>,
    /// How many requests may still be sent for it.
    tries: usize,
    /// When the last request was sent.
    pub(crate) last_request: Option<Instant>,
}

impl Peer {
    /// All servers of the command line.
    pub(crate) fn all(args: &Args, out: &Output) -> Result<Vec<Peer>, Error> {
        let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
        let servers = servers(&args.server)?;
        let resolved = resolve(&servers, family, args.timeout);
        let mut peers: Vec<Peer> = Vec::new();
        let due = Instant::now();
        for ((name, _), (resolved, took)) in servers.into_iter().zip(resolved) {
            // Its own name is a part of its first sample, and another's is not.
            let deadline = args.timeout.deadline_of(due.checked_sub(took).unwrap_or(due));
            let mut addresses = match resolved {
                Ok(addresses) => addresses,
                Err(error @ Error::Usage(_)) => return Err(error),
                Err(error) => {
                    peers.push(Peer::new(name, &[], State::Done(Some(error)), deadline, args));
                    continue;
                }
            };
            // An address counts once: otherwise one server could be the majority.
            let taken: Vec<SocketAddr> =
                peers.iter().flat_map(|peer| &peer.addresses).copied().map(unmap_ipv4).collect();
            if let Some(twice) = addresses.iter().find(|one| taken.contains(&unmap_ipv4(**one))) {
                out.note(format_args!("{name}: {twice} is given twice, and counts once"));
            }
            addresses.retain(|one| !taken.contains(&unmap_ipv4(*one)));
            let together = if args.all_addresses { 1 } else { addresses.len().max(1) };
            for some in addresses.chunks(together) {
                peers.push(Peer::new(name.clone(), some, State::Due(due), deadline, args));
            }
        }
        Ok(peers)
    }

    /// The deadline is that of its first sample, whose tries are for all of its addresses.
    fn new(
        name: String,
        addresses: &[SocketAddr],
        state: State,
        deadline: Option<Instant>,
        args: &Args,
    ) -> Peer {
        let (rejected, nonces) = (Rejected::default(), Vec::new());
        Peer {
            name,
            addresses: addresses.to_vec(),
            state,
            samples: Vec::new(),
            rejected,
            nonces,
            deadline,
            tries: addresses.len() * (usize::from(args.retries) + 1),
            last_request: None,
        }
    }

    /// Where the next request goes to.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    fn address_or_name(&self) -> String {
        self.address().map_or_else(|| self.name.clone(), |address| address.to_string())
    }

    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.state {
            State::Waiting { socket, .. } => Some(socket),
            _ => None,
        }
    }

    /// The next deadline: of a request, or of a reply.
    pub(crate) fn next(&self) -> Option<Instant> {
        match &self.state {
            State::Due(at) => Some(*at),
            State::Waiting { deadline, .. } => *deadline,
            State::Done(_) => None,
        }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Due(at) if at <= now)
    }

    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        matches!(self.state, State::Waiting { deadline: Some(deadline), .. } if deadline <= now)
    }

    /// It replied: the next request is due after the interval, unless this was the last.
    pub(crate) fn replied(&mut self, sample: Sample, args: &Args) {
        self.samples.push(sample);
        let next = self.last_request.and_then(|last| last.checked_add(args.interval.0));
        self.state = match next {
            Some(next) if self.samples.len() < args.count as usize => {
                self.deadline = args.timeout.deadline_of(next);
                self.tries = usize::from(args.retries) + 1;
                State::Due(next)
            }
            _ => State::Done(None),
        };
    }

    /// A request is sent: the end of its share of the time that is left for the sample.
    pub(crate) fn begin_try(&mut self) -> Option<Instant> {
        let share = share(self.deadline, self.tries);
        self.tries = self.tries.saturating_sub(1);
        share
    }

    /// No reply before the deadline: the next request goes to its next address. After the last try
    /// it is done; its earlier samples count.
    pub(crate) fn timed_out(&mut self, args: &Args) {
        if self.tries > 0 {
            let one = self.addresses.len().min(1);
            self.addresses.rotate_left(one);
            self.state = State::Due(Instant::now());
            return;
        }
        let error = self.timeout_error(args.timeout);
        self.state = State::Done(self.samples.is_empty().then_some(error));
    }

    fn timeout_error(&self, timeout: Timeout) -> Error {
        let peer = self.address_or_name();
        if !self.rejected.is_empty() {
            return Error::Protocol { peer, fault: format!("no valid reply; {}", self.rejected) };
        }
        let tries = u32::try_from(self.nonces.len()).unwrap_or(u32::MAX);
        let attempt = format!("query {peer}, {}", times(tries));
        Error::Timeout { attempt, after: timeout.duration().unwrap_or_default() }
    }

    /// A system call failed: the address is dropped, and with the last one the server.
    pub(crate) fn failed(&mut self, error: Error) {
        if self.addresses.len() > 1 && self.samples.is_empty() {
            self.addresses.remove(0);
            self.state = State::Due(Instant::now());
            return;
        }
        self.state = State::Done(self.samples.is_empty().then_some(error));
    }

    /// It sent a kiss-o'-death: it is done, and its samples do not count.
    pub(crate) fn kissed(&mut self, kiss: Kiss) {
        let peer = self.address_or_name();
        self.samples.clear();
        self.state = State::Done(Some(kiss.error(peer)));
    }
}

/// Resolves all names at the same time: a resolver that does not reply costs one timeout, and not one
/// for each name. Each with the time that it took.
fn resolve<'a>(
    servers: &'a [(String, Server)],
    family: AddressFamily,
    timeout: Timeout,
) -> Vec<(Result<Vec<SocketAddr>, Error>, Duration)> {
    let begun = Instant::now();
    thread::scope(|scope| {
        let start = |(_, Server { host, port }): &'a (String, Server)| {
            let resolve = move || (addresses(host, port.0, family, timeout), begun.elapsed());
            thread::Builder::new().spawn_scoped(scope, resolve).attempt("start a thread")
        };
        let threads: Vec<_> = servers.iter().map(start).collect();
        let join = |thread: ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        let failed = |error| (Err(error), begun.elapsed());
        threads.into_iter().map(|thread| thread.map_or_else(failed, join)).collect()
    })
}
