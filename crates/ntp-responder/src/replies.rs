//! The queue of replies: what each contains, and when it is sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::SockaddrStorage;

use netcore::error::{Error, errno};
use netcore::log::Log;
use netcore::ntp::packet::{CLIENT, Packet, SERVER, Short, UNSYNCHRONISED};
use netcore::ntp::time::{Timestamp, Utc};
use netcore::pktinfo::Destination;
use netcore::text::{Json, counted};

use crate::args::{Args, Code, SignedSpan};
use crate::faults::{Datagram, Exchange, Fault};
use crate::path::Path;

/// The longest queue of replies. More requests are lost, as in a real network.
const MAX_PENDING: usize = 10_000;

/// The number of requests that are remembered, so that none is replied to twice: more than are on
/// their way between two servers, in their queues and in their sockets.
const MAX_SEEN: usize = 2 * MAX_PENDING;

/// The ports below are those of services: each replies to what it does not understand, or is harmed.
const FIRST_CLIENT_PORT: u16 = 1024;

/// A failed recvmsg(2) is logged at most once in this time.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// The error of a clock that is not set: a millisecond, in units of 2^-16 s.
const DISPERSION: Short = Short(66);

pub(crate) struct Replies {
    path: Path,
    /// The time of our clock minus this machine's, in nanoseconds.
    offset: i128,
    stratum: u8,
    kiss: Option<Code>,
    fault: Option<Fault>,
    lie_to_network: bool,
    /// The transmit timestamps of the last requests, if the fault sends requests.
    seen: VecDeque<Timestamp>,
    /// When our clock was set: at the start.
    reference: Timestamp,
    pending: Vec<Pending>,
    /// The last request, and its reply.
    previous: Option<(Packet, Packet)>,
    /// When a failed recvmsg(2) was logged last.
    noted: Option<Instant>,
}

/// Who sent a request, and to which of our addresses.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    /// As sendmsg(2) takes it.
    pub(crate) from: SockaddrStorage,
    /// As it is shown: the IPv4 peer of an IPv6 socket as IPv4.
    pub(crate) peer: SocketAddr,
    pub(crate) asked: Destination,
}

/// A request whose reply is not due yet.
pub(crate) struct Pending {
    due: Instant,
    /// The delay of the reply.
    back: Duration,
    pub(crate) asker: Asker,
    request: Packet,
    /// T2 of our clock.
    received: Utc,
}

impl Replies {
    pub(crate) fn new(args: &Args) -> Result<Replies, Error> {
        let SignedSpan(mut offset) = args.offset;
        let now = Utc::now();
        if let Some(era) = args.era {
            offset += Utc::start_of_era(era).since(now);
        }
        Ok(Replies {
            path: Path::new(args)?,
            offset,
            stratum: args.stratum,
            kiss: args.kiss,
            fault: args.lie.clone(),
            lie_to_network: args.lie_to_network,
            seen: VecDeque::new(),
            reference: Timestamp::from_utc(now.plus(offset)),
            pending: Vec::new(),
            previous: None,
            noted: None,
        })
    }

    /// When the next reply is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.due).min()
    }

    /// Adds a datagram that was received, if it is a request, is not refused, and is not lost.
    pub(crate) fn add(&mut self, bytes: &[u8], asker: Asker, own_port: u16, log: &Log) {
        let (now, instant, peer) = (Utc::now(), Instant::now(), asker.peer);
        let request = Packet::from_bytes(bytes)
            .filter(|packet| packet.mode == CLIENT && (1..=4).contains(&packet.version));
        let Some(request) = request else {
            let count = bytes.len() as u64;
            log.event(
                || Json::new("ignored").address(peer).number("bytes", count),
                || format!("{peer} sent {}, not a request", counted(count, "byte")),
            );
            return;
        };
        if let Some(why) = self.refusal(&request, &asker, own_port) {
            log.event(
                || Json::new("refused").address(peer).text("why", &why),
                || format!("{peer} gets no reply: {why}"),
            );
            return;
        }
        let delays = self.path.next_delays().filter(|_| self.pending.len() < MAX_PENDING);
        log.event(
            || {
                let json = Json::new("request").address(peer).number("version", request.version);
                json.flag("lost", delays.is_none())
            },
            || {
                let lost = if delays.is_none() { ", lost" } else { "" };
                format!("{peer} sent a request, version {}{lost}", request.version)
            },
        );
        let Some((there, back)) = delays else { return };
        let back = back + self.fault.as_ref().map_or(Duration::ZERO, Fault::late);
        let received = now.plus(there.as_nanos().cast_signed() + self.offset);
        // Never `None`: the delays are at most two centuries.
        let Some(due) = instant.checked_add(there + back) else { return };
        self.pending.push(Pending { due, back, asker, request, received });
    }

    /// recvmsg(2) failed, and may fail until there is memory again: a line in a second.
    pub(crate) fn receive_failed(&mut self, why: Errno, log: &Log) {
        if self.noted.is_none_or(|last| last.elapsed() >= NOTE_INTERVAL) {
            self.noted = Some(Instant::now());
            log.note(format_args!("receive: {}", errno(why)));
        }
    }

    /// Why a request gets no reply, `None` if it gets one. Its source may be forged: two servers must
    /// not be set against each other, nor this one against itself.
    fn refusal(&mut self, request: &Packet, asker: &Asker, own_port: u16) -> Option<String> {
        let (peer, asked) = (asker.peer, asker.asked.address());
        if peer.port() == own_port && asked.is_none_or(|asked| asked == peer.ip()) {
            return Some("that is the address of this server".to_owned());
        }
        let fault = self.fault.as_ref().filter(|fault| fault.is_for_loopback())?;
        let name = fault.name();
        if peer.port() < FIRST_CLIENT_PORT {
            return Some(format!("--lie {name} is not for a port below {FIRST_CLIENT_PORT}"));
        }
        if !self.lie_to_network && !peer.ip().is_loopback() {
            return Some(format!("--lie {name} is for loopback without --lie-to-network"));
        }
        if !fault.sends_requests() {
            return None;
        }
        // Both are what a server with such a fault sends: mode 3 with the origin timestamp of a
        // reply, or a copy of our request.
        if request.origin != Timestamp::NONE || self.seen.contains(&request.transmit) {
            return Some(format!("--lie {name} is not for a reply or a copy of a request"));
        }
        self.seen.push_back(request.transmit);
        if self.seen.len() > MAX_SEEN {
            self.seen.pop_front();
        }
        None
    }

    /// Removes the requests whose replies are due from the queue, in the order of their deadlines.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Pending> {
        let mut due: Vec<Pending> =
            self.pending.extract_if(.., |pending| pending.due <= now).collect();
        due.sort_by_key(|pending| pending.due);
        due
    }

    /// The faulty datagrams that are sent before a reply.
    pub(crate) fn faults(&self, pending: &Pending) -> Vec<Datagram> {
        let Some(fault) = &self.fault else { return Vec::new() };
        let (request, reply) = (&pending.request, &self.packet(pending));
        fault.datagrams(&Exchange { request, reply, previous: self.previous.as_ref() })
    }

    /// The valid reply; `None` if the fault is that there is none.
    pub(crate) fn reply(&mut self, pending: Pending) -> Option<Packet> {
        let reply = self.packet(&pending);
        self.previous = Some((pending.request, reply.clone()));
        self.fault.as_ref().is_none_or(Fault::has_valid_reply).then_some(reply)
    }

    /// The valid reply as a packet: the time, or the kiss code.
    fn packet(&self, pending: &Pending) -> Packet {
        // T3 is the time at which the simulated delay of the reply begins. It is computed from the time
        // of now, so that it stays right when this program runs late.
        let back = pending.back.as_nanos().cast_signed();
        let sent = Utc::now().plus(self.offset - back).max(pending.received);
        let reply = Packet {
            version: pending.request.version,
            mode: SERVER,
            stratum: self.stratum,
            poll: pending.request.poll,
            precision: -20,
            root_dispersion: DISPERSION,
            reference_id: if self.stratum == 1 { *b"LOCL" } else { [127, 0, 0, 1] },
            reference: self.reference,
            origin: pending.request.transmit,
            receive: Timestamp::from_utc(pending.received),
            transmit: Timestamp::from_utc(sent),
            ..Packet::default()
        };
        match self.kiss {
            None => reply,
            Some(Code(reference_id)) => {
                Packet { leap: UNSYNCHRONISED, stratum: 0, reference_id, ..reply }
            }
        }
    }
}
