//! The load of a UDP server: one socket, and so many datagrams under way at every moment. One that does not
//! come back in time is lost; another one takes its place.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;
use socket2::Socket;

use netcore::error::{Attempt, Error};
use netcore::mmsg::{Batch, Outgoing, recvmmsg, sendmmsg};
use netcore::pattern::first_difference;
use netcore::pktinfo::Destination;
use netcore::signal::{Signal, Signals, Woken};
use netcore::text::counted;

use crate::args::{Args, NUMBER};
use crate::bytes::Bytes;
use crate::tally::Tally;

/// After this time a datagram is lost; between two looks at which are.
const LOST: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(50);

/// Datagrams of one call.
const BATCH: usize = 64;

/// The load, and its results.
pub(crate) struct Datagrams<'a> {
    args: &'a Args,
    pub(crate) peer: SocketAddr,
    socket: Socket,
    batch: Batch,
    bytes: Bytes,
    /// One for each datagram under way.
    places: Vec<Place>,
    /// Places whose datagram has come back, or is lost.
    free: Vec<usize>,
    now: Instant,
    next_look: Instant,
    pub(crate) signals: Signals,
    pub(crate) stopped: Option<Signal>,
    pub(crate) tally: Tally,
}

/// The datagrams of a place have the numbers `place`, `place + count`, `place + 2 * count`, …
struct Place {
    /// That of its last datagram.
    number: u64,
    sent: Instant,
    under_way: bool,
    message: Vec<u8>,
}

impl<'a> Datagrams<'a> {
    pub(crate) fn new(
        args: &'a Args,
        peer: SocketAddr,
        signals: Signals,
    ) -> Result<Datagrams<'a>, Error> {
        let any: SocketAddr = if peer.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let socket = UdpSocket::bind(any).attempt("socket")?;
        socket.connect(peer).attempt(format_args!("connect to {peer}"))?;
        let (count, now) = (args.connections as usize, Instant::now());
        let place = |number: usize| {
            let number = number as u64;
            Place { number, sent: now, under_way: false, message: vec![0; args.size as usize] }
        };
        Ok(Datagrams {
            args,
            peer,
            socket: socket.into(),
            batch: Batch::new(BATCH, args.size as usize + 1).attempt("allocate the buffers")?,
            bytes: Bytes::new(args.seed),
            places: (0..count).map(place).collect(),
            free: (0..count).collect(),
            now,
            next_look: now,
            signals,
            stopped: None,
            tally: Tally::new(false)?,
        })
    }

    /// One datagram there and back, which shows that there is an echo. It is sent again until the deadline.
    pub(crate) fn open(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        let all = std::mem::replace(&mut self.free, vec![0]);
        while self.stopped.is_none() && self.tally.round_trips == 0 {
            if deadline.is_some_and(|deadline| self.now >= deadline) {
                let after = self.args.timeout.duration().unwrap_or_default();
                return Err(Error::Timeout { attempt: format!("echo from {}", self.peer), after });
            }
            self.send_free()?;
            self.wait_and_receive(deadline.into_iter().chain(self.now.checked_add(LOOK)).min())?;
        }
        // What was counted until here is not measured.
        (self.free, self.tally) = (all, Tally::new(false)?);
        Ok(())
    }

    /// Loads the server for the duration. What is under way at its end is waited for.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        let end = self.args.duration.duration().and_then(|time| start.checked_add(time));
        self.now = start;
        self.tally.start(start);
        let result = self.load(end);
        let now = Instant::now();
        self.tally.failed = result.is_err();
        let complete = result.is_ok() && self.stopped.is_none();
        self.tally.stop(end.filter(|_| complete).unwrap_or(now));
        result
    }

    fn load(&mut self, end: Option<Instant>) -> Result<(), Error> {
        while self.stopped.is_none() && end.is_none_or(|end| self.now < end) {
            self.send_free()?;
            let until = self.next_look.min(end.unwrap_or(self.next_look));
            self.wait_and_receive(Some(until))?;
            self.check_silence()?;
        }
        while self.stopped.is_none() && self.places.iter().any(|place| place.under_way) {
            self.wait_and_receive(self.now.checked_add(LOOK))?;
        }
        Ok(())
    }

    /// A datagram for each free place.
    fn send_free(&mut self) -> Result<(), Error> {
        for &free in &self.free {
            let Some(place) = self.places.get_mut(free) else { continue };
            (place.sent, place.under_way) = (self.now, true);
            let (number, rest) = place.message.split_at_mut(NUMBER as usize);
            number.copy_from_slice(&place.number.to_be_bytes());
            let position = place.number.wrapping_mul(u64::from(self.args.size));
            rest.copy_from_slice(self.bytes.slice(1, position, rest.len() as u64));
        }
        let messages = self.free.iter().filter_map(|&free| self.places.get(free));
        let all: Vec<Outgoing<'_>> = messages
            .map(|place| Outgoing { bytes: &place.message, to: None, source: Destination::Unknown })
            .collect();
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            match sendmmsg(&self.socket, rest, MsgFlags::empty()) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(why).attempt(format_args!("send to {}", self.peer)),
            }
        }
        self.free.clear();
        Ok(())
    }

    fn wait_and_receive(&mut self, until: Option<Instant>) -> Result<(), Error> {
        let readable = Some(self.socket.as_fd());
        match self.signals.wait(readable, PollFlags::POLLIN, until)? {
            Woken::Signal(signal) => self.stopped = Some(signal),
            Woken::Deadline => self.now = Instant::now(),
            Woken::Ready => self.receive()?,
        }
        if self.now >= self.next_look {
            self.give_up_lost();
            self.next_look = self.now + LOOK;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Error> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        match recvmmsg(&self.socket, &mut self.batch, flags) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            // ECONNREFUSED: no socket has that port.
            Err(why) => return Err(why).attempt(format_args!("receive from {}", self.peer)),
        }
        self.now = Instant::now();
        let count = self.places.len() as u64;
        for received in self.batch.datagrams() {
            let fault = |fault: String| Error::Protocol { peer: self.peer.to_string(), fault };
            let size = self.args.size as usize;
            let number = received.bytes.first_chunk().copied().map(u64::from_be_bytes);
            let Some(number) = number.filter(|_| received.length == size) else {
                let length = counted(received.length as u64, "byte");
                return Err(fault(format!("{length} came back of {size}")));
            };
            let place = usize::try_from(number % count).unwrap_or_default();
            let Some(slot) = self.places.get_mut(place) else { continue };
            if number < slot.number || number == slot.number && !slot.under_way {
                self.tally.late += 1; // it was given up, or came twice
                continue;
            }
            if received.bytes != slot.message
                && let Some(difference) = first_difference(&slot.message, received.bytes, 0)
            {
                return Err(fault(format!("datagram {number}: {difference}")));
            }
            self.tally.bytes += u64::from(self.args.size);
            self.tally.count(self.now, slot.sent, slot.sent);
            (slot.under_way, slot.number) = (false, number + count);
            self.free.push(place);
        }
        Ok(())
    }

    /// Counts those that were under way for too long as lost, and frees their places.
    fn give_up_lost(&mut self) {
        let count = self.places.len() as u64;
        for (index, place) in self.places.iter_mut().enumerate() {
            if place.under_way && self.now.duration_since(place.sent) >= LOST {
                (place.under_way, place.number) = (false, place.number + count);
                self.free.push(index);
                self.tally.lost += 1;
            }
        }
    }

    /// Fails if nothing at all has come back for `--idle-timeout`.
    fn check_silence(&self) -> Result<(), Error> {
        let idle = self.args.idle_timeout;
        if idle.is_over(self.tally.last) {
            let after = idle.duration().unwrap_or_default();
            return Err(Error::Idle { attempt: format!("echo from {}", self.peer), after });
        }
        Ok(())
    }
}
