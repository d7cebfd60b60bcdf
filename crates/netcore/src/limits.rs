//! How many clients may be connected at once, and how many of them from one address.

use std::collections::{BTreeMap, TryReserveError};
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::log::Log;
use crate::text::{Json, counted};

/// That the limit is reached is logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Counts the clients of a server, and refuses those that are too many.
pub struct Limits {
    log: Log,
    most: usize,
    most_per_source: usize,
    inside: usize,
    most_at_once: usize,
    admitted: u64,
    /// How many of them are from which address; empty without a limit for one address.
    sources: BTreeMap<IpAddr, usize>,
    refused: u64,
    /// When the log last said that the limit is reached.
    logged: Option<Instant>,
}

impl Limits {
    /// At most `most` clients, and at most `most_per_source` of one address; `usize::MAX` is none.
    #[must_use]
    pub fn new(log: Log, most: usize, most_per_source: usize) -> Limits {
        let (inside, most_at_once, admitted, refused) = (0, 0, 0, 0);
        let (sources, logged) = (BTreeMap::new(), None);
        Limits {
            log,
            most,
            most_per_source,
            inside,
            most_at_once,
            admitted,
            sources,
            refused,
            logged,
        }
    }

    /// Whether the limit is reached. If the server then does not accept, new clients wait in the
    /// kernel's queue.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.inside >= self.most
    }

    /// Admits a client, or logs why not; the caller then closes the connection.
    pub fn admit(&mut self, peer: SocketAddr) -> bool {
        let of_source = self.sources.get(&peer.ip()).copied().unwrap_or_default();
        let why = if self.is_full() {
            format!("limit of {} reached", counted(self.most, "client"))
        } else if of_source >= self.most_per_source {
            format!("limit of {} of {} reached", counted(of_source, "client"), peer.ip())
        } else {
            self.inside += 1;
            self.most_at_once = self.most_at_once.max(self.inside);
            self.admitted += 1;
            if self.most_per_source < usize::MAX {
                self.sources.insert(peer.ip(), of_source + 1);
            }
            self.log_full();
            return true;
        };
        self.refused += 1;
        self.log.note(format_args!("{peer} refused: {why}"));
        false
    }

    /// Says that the limit is reached: without a word, a server that lets clients wait looks hung. One
    /// that serves a single client is always full.
    fn log_full(&mut self) {
        let due = |last: Instant| last.elapsed() >= LOG_EVERY;
        if self.is_full() && self.most > 1 && self.logged.is_none_or(due) {
            self.log.note(format_args!("limit of {} reached", counted(self.most, "client")));
            self.logged = Some(Instant::now());
        }
    }

    /// An admitted client has left.
    pub fn leave(&mut self, peer: SocketAddr) {
        self.inside = self.inside.saturating_sub(1);
        if let Some(count) = self.sources.get_mut(&peer.ip()) {
            *count -= 1;
            if *count == 0 {
                // An address that connects once must not take memory from then on.
                self.sources.remove(&peer.ip());
            }
        }
    }

    /// Logs the counts: what SIGUSR1 asks for.
    pub fn report(&self) {
        let Limits { admitted, refused, inside, most_at_once, .. } = self;
        let accepted = admitted + refused;
        self.log.event(
            || {
                let json = Json::new("counts").number("accepted", accepted);
                let json = json.number("refused", *refused).number("clients", *inside as u64);
                json.number("most_at_once", *most_at_once as u64)
            },
            || {
                format!(
                    "accepted {accepted}, refused {refused}, clients {inside}, \
                     most at once {most_at_once}"
                )
            },
        );
    }

    /// How many were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// Raises the soft limit of descriptors (RLIMIT_NOFILE, setrlimit(2)) so that there is one for each
/// client, up to the hard limit: the soft limit is 1024 on most machines. It is no error if that is
/// not enough: the listener closes the connections beyond it.
pub fn raise_rlimit_nofile(clients: usize) {
    /// The standard streams, the listener, its reserve, the signals, and what a recipe has.
    const OWN: u64 = 16;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = u64::try_from(clients).unwrap_or(u64::MAX).saturating_add(OWN).min(hard);
    if wanted > soft {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
    }
}

/// Makes a reservation for one client, if there is memory beside it for what all clients need: a line of
/// the log, a list that grows. There an allocation that fails would abort the program.
///
/// # Errors
/// ENOMEM: only this client cannot be served.
pub fn reserve(for_client: impl FnOnce() -> Result<(), TryReserveError>) -> nix::Result<()> {
    /// Bytes that have to be left.
    const SPARE: usize = 32 * 1024;
    let mut spare: Vec<u8> = Vec::new();
    let reserved = spare.try_reserve_exact(SPARE).and_then(|()| for_client());
    // The compiler may leave out an allocation that nobody looks at.
    black_box(&spare);
    reserved.map_err(|_| Errno::ENOMEM)
}

/// The same for one more entry in a list that has no `try_reserve`. A list that is full moves to a place
/// of twice its size.
///
/// # Errors
/// As [`reserve`].
pub fn reserve_one_more<T>(entries: usize, capacity: usize) -> nix::Result<()> {
    // Beside an entry may stand whether it is in use.
    let mut larger: Vec<(T, usize)> = Vec::new();
    let more = if entries < capacity { 0 } else { 2 * capacity + 4 };
    let reserved = reserve(|| larger.try_reserve_exact(more));
    black_box(&larger);
    reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_count_of_its_own_which_goes_with_its_last_client() {
        let mut limits = Limits::new(Log::new("test", true, false, false), 3, 2);
        let [one, other]: [SocketAddr; 2] =
            ["192.0.2.1:1", "192.0.2.2:1"].map(|text| text.parse().unwrap());
        assert!(limits.admit(one) && limits.admit(one) && !limits.admit(one));
        assert!(!limits.is_full() && limits.admit(other) && limits.is_full());
        assert!(!limits.admit(other));
        limits.leave(one);
        assert!(limits.admit(one));
        (0..2).for_each(|_| limits.leave(one));
        limits.leave(other);
        assert_eq!((limits.inside, limits.refused(), limits.sources.len()), (0, 2, 0));
    }
}
