//! A peer that is never silent for long, and never done: a byte now and then.

use std::io::{ErrorKind, Read};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use socket2::Socket;

use netcore::error::{Attempt, Error};
use netcore::time::{Timeout, in_micros};

use crate::peers::{Peers, ready};

/// How a peer drips.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drip {
    /// Between two bytes.
    pub(crate) every: Duration,
    /// How many bytes it sends.
    pub(crate) bytes: u64,
}

/// What a reader of it saw.
pub(crate) struct Seen {
    /// It stopped waiting before all had come.
    pub(crate) fired: bool,
    pub(crate) bytes: u64,
    pub(crate) after: Duration,
    /// The longest wait for one byte.
    pub(crate) longest: Duration,
}

impl Drip {
    /// One that takes three times as long as somebody is ready to wait: a byte every 100 ms, or
    /// twice in that time where it is shorter.
    pub(crate) fn slower_than(asked: Duration) -> Drip {
        let every = (asked / 2).clamp(Duration::from_millis(1), Duration::from_millis(100));
        let bytes = (3 * asked.as_nanos()).div_ceil(every.as_nanos());
        Drip { every, bytes: u64::try_from(bytes).unwrap_or(u64::MAX).max(3) }
    }

    /// Reads with SO_RCVTIMEO: each recv may wait as long as that, and none of them has to.
    pub(crate) fn read_with_timeout(self, peers: &Peers, asked: Duration) -> Result<Seen, Error> {
        self.read(peers, |socket| {
            let asked = in_micros(asked);
            socket.set_read_timeout(Some(asked)).attempt("setsockopt SO_RCVTIMEO")?;
            read_all(socket, || Ok(true))
        })
    }

    /// Reads with one deadline for all the bytes: each poll has what the one before it left.
    pub(crate) fn read_with_deadline(self, peers: &Peers, asked: Timeout) -> Result<Seen, Error> {
        self.read(peers, |socket| {
            socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
            read_until(socket, asked.deadline())
        })
    }

    fn read(
        self,
        peers: &Peers,
        reader: impl FnOnce(&Socket) -> Result<Seen, Error>,
    ) -> Result<Seen, Error> {
        let (socket, peer) = peers.connect()?;
        thread::scope(|scope| {
            let peer = scope.spawn(|| self.send(peer));
            let read = reader(&socket);
            // Closed, it tells the peer to stop.
            drop(socket);
            let sent = peer.join().unwrap_or(Ok(()));
            read.and_then(|read| sent.map(|()| read))
        })
    }

    /// The peer, until it has sent all or the reader has gone.
    fn send(self, peer: Socket) -> Result<(), Error> {
        let mut due = Instant::now();
        for _ in 0..self.bytes {
            due += self.every;
            // Readable is what a connection is whose other end was closed.
            if ready(&peer, PollFlags::POLLIN, Some(due))? || peer.send(b".").is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Receives until the end of the stream or the deadline.
fn read_until(socket: &Socket, deadline: Option<Instant>) -> Result<Seen, Error> {
    // A peer that is fast enough keeps poll ready, so the clock is looked at first.
    let is_over = || deadline.is_some_and(|deadline| deadline <= Instant::now());
    read_all(socket, || Ok(!is_over() && ready(socket, PollFlags::POLLIN, deadline)?))
}

/// Receives until the end of the stream, or until a wait ends without a byte.
fn read_all(
    mut socket: &Socket,
    mut may_read: impl FnMut() -> Result<bool, Error>,
) -> Result<Seen, Error> {
    let begun = Instant::now();
    let mut seen = Seen { fired: true, bytes: 0, after: Duration::ZERO, longest: Duration::ZERO };
    let mut last = begun;
    while may_read()? {
        match socket.read(&mut [0]) {
            Ok(0) => {
                seen.fired = false;
                break;
            }
            Ok(_) => seen.bytes += 1,
            Err(why) if why.kind() == ErrorKind::WouldBlock => break,
            Err(why) if why.kind() == ErrorKind::Interrupted => continue,
            Err(why) => return Err(why).attempt("recv"),
        }
        let now = Instant::now();
        seen.longest = seen.longest.max(now - last);
        last = now;
    }
    seen.after = begun.elapsed();
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn no_byte_is_late_and_all_of_them_are() {
        for asked in [1, 2, 10, 199, 200, 500, 1500, 60_000] {
            let asked = asked * MS;
            let drip = Drip::slower_than(asked);
            let all = drip.every.as_nanos() * u128::from(drip.bytes);
            assert!(all >= 3 * asked.as_nanos(), "{asked:?}: {drip:?}");
            assert!(drip.every * 2 <= asked.max(2 * MS) && drip.every <= 100 * MS, "{drip:?}");
        }
        assert_eq!(Drip::slower_than(200 * MS).every, 100 * MS);
    }

    #[test]
    fn the_longest_time_that_can_be_asked_for_and_the_shortest_have_a_drip() {
        Drip::slower_than(Duration::from_nanos(1));
        Drip::slower_than(Duration::from_secs(100 * 365 * 86_400));
        Drip::slower_than(Duration::MAX);
    }

    #[test]
    fn a_peer_that_has_sent_more_than_can_be_read_in_time_is_stopped_by_a_deadline_too() {
        let (socket, peer) = Peers::new().unwrap().connect().unwrap();
        let sent = peer.send(&[0; 400_000]).unwrap();
        // Far from enough for as many calls, a byte each.
        let deadline = Instant::now() + 20 * MS;
        let seen = read_until(&socket, Some(deadline)).unwrap();
        assert!(seen.fired && seen.bytes < sent as u64, "{} of {sent}", seen.bytes);
    }
}
