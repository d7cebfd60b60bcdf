//! The datagrams: which get no reply, what is counted, and what is logged.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::SockaddrStorage;

use netcore::addr::{socket_address, unmap_ipv4};
use netcore::error::errno;
use netcore::log::Log;
use netcore::pktinfo::Destination;
use netcore::text::{Json, counted, shown};

use crate::args::Args;

/// Without `-v` what fails is logged at most once in this time: a flood must not fill the disk.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// What recvmmsg(2) returns of a datagram besides the bytes.
pub(crate) struct Datagram {
    /// The length of the datagram, which may be greater than that of the buffer.
    pub(crate) length: usize,
    /// Its source, as it is shown: the IPv4 peer of an IPv6 socket as IPv4.
    pub(crate) peer: SocketAddr,
    /// Its source, as sendmmsg(2) takes it.
    pub(crate) from: SockaddrStorage,
    pub(crate) destination: Destination,
}

/// The services that reply to any datagram, and the port that no socket has.
const SERVICES: [(u16, &str); 6] =
    [(0, "reserved"), (7, "echo"), (13, "daytime"), (17, "qotd"), (19, "chargen"), (37, "time")];

/// Why a datagram gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its source is a service that replies to any datagram.
    Service(u16, &'static str),
    /// Its source has our port: a server like this one, or this one.
    OwnPort(u16),
    /// It was sent to a broadcast or multicast address.
    Group(IpAddr),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Service(port, name) => write!(f, "port {port} is {name}"),
            Refusal::OwnPort(port) => write!(f, "port {port} is that of this server"),
            Refusal::Group(address) => write!(f, "{address} is a broadcast or multicast address"),
        }
    }
}

/// Why a datagram gets no reply, `None` if it gets one.
pub(crate) fn refusal(datagram: &Datagram, own_port: u16) -> Option<Refusal> {
    let Datagram { peer, destination, .. } = datagram;
    let service = SERVICES.iter().find(|(port, _)| *port == peer.port());
    if let Some((port, name)) = service {
        return Some(Refusal::Service(*port, name));
    }
    if peer.port() == own_port {
        return Some(Refusal::OwnPort(own_port));
    }
    destination.address().filter(|_| destination.is_group()).map(Refusal::Group)
}

pub(crate) struct Counts {
    log: Log,
    verbose: bool,
    buffer: u16,
    /// Where the socket is bound.
    local: IpAddr,
    received: u64,
    bytes: u64,
    pub(crate) echoed: u64,
    refused: u64,
    truncated: u64,
    failed: u64,
    /// When a failure was logged last, and how many were not logged since.
    noted: Option<Instant>,
    omitted: u64,
}

impl Counts {
    pub(crate) fn new(log: Log, args: &Args, local: IpAddr) -> Counts {
        let (verbose, buffer) = (args.verbose, args.buffer);
        let (received, bytes, echoed, refused, truncated, failed) = (0, 0, 0, 0, 0, 0);
        Counts {
            log,
            verbose,
            buffer,
            local,
            received,
            bytes,
            echoed,
            refused,
            truncated,
            failed,
            noted: None,
            omitted: 0,
        }
    }

    /// Counts a datagram; `bytes` are the part of it in the buffer.
    pub(crate) fn received(&mut self, datagram: &Datagram, bytes: &[u8]) {
        let (peer, length) = (datagram.peer, datagram.length as u64);
        self.received += 1;
        self.bytes += length;
        if self.verbose {
            let to = datagram.destination.address().unwrap_or(self.local).to_string();
            self.log.event(
                || {
                    let json = Json::new("received").address(peer).text("asked", &to);
                    json.number("bytes", length).text("payload", &shown(bytes))
                },
                || format!("{peer} sent {} to {to}: {}", counted(length, "byte"), shown(bytes)),
            );
        }
    }

    pub(crate) fn refused(&mut self, datagram: &Datagram, why: Refusal) {
        self.refused += 1;
        self.not_echoed("refused", datagram.peer, why);
    }

    pub(crate) fn truncated(&mut self, datagram: &Datagram) {
        self.truncated += 1;
        let (length, buffer) = (datagram.length, self.buffer);
        let why = format!("{length} bytes do not fit into the buffer of {buffer}");
        self.not_echoed("truncated", datagram.peer, why);
    }

    fn not_echoed(&mut self, kind: &str, peer: SocketAddr, why: impl Display) {
        self.note(
            || Json::new(kind).address(peer).text("why", &why.to_string()),
            || format!("{peer} not answered: {why}"),
        );
    }

    /// sendmmsg(2) failed for the datagram to this peer: it is lost.
    pub(crate) fn failed(&mut self, to: Option<&SockaddrStorage>, why: Errno) {
        self.failed += 1;
        let peer = to.and_then(socket_address).map(unmap_ipv4);
        let peer = peer.map_or("?".to_owned(), |peer| peer.to_string());
        let line = format!("echo to {peer}: {}", errno(why));
        self.note(|| Json::new("failed").text("text", &line), || line.clone());
    }

    /// recvmmsg(2) failed, and may fail until there is memory again: no line for each, with `-v` neither.
    pub(crate) fn receive_failed(&mut self, why: Errno) {
        self.failed += 1;
        let line = format!("receive: {}", errno(why));
        self.note_seldom(|| Json::new("failed").text("text", &line), || line.clone());
    }

    fn note(&mut self, json: impl FnOnce() -> Json, line: impl FnOnce() -> String) {
        if self.verbose {
            self.noted = None;
        }
        self.note_seldom(json, line);
    }

    fn note_seldom(&mut self, json: impl FnOnce() -> Json, line: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.noted.is_some_and(|last| now.duration_since(last) < NOTE_INTERVAL) {
            self.omitted += 1;
            return;
        }
        let omitted = std::mem::take(&mut self.omitted);
        self.noted = Some(now);
        let lines = counted(omitted, "line");
        let more = if omitted == 0 { String::new() } else { format!(" ({lines} omitted before)") };
        self.log.event(|| json().number("unsaid", omitted), || line() + &more);
    }

    /// All counts, in one line, with that of the datagrams which the kernel has dropped.
    pub(crate) fn report(&self, dropped: nix::Result<u32>) {
        let Counts { received, bytes, echoed, refused, truncated, failed, .. } = *self;
        let dropped = dropped.unwrap_or_default();
        self.log.event(
            || {
                let json = Json::new("summary").number("received", received).number("bytes", bytes);
                let json = json.number("echoed", echoed).number("refused", refused);
                let json = json.number("truncated", truncated).number("failed", failed);
                json.number("dropped", dropped)
            },
            || {
                let bytes = counted(bytes, "byte");
                format!(
                    "datagrams: {received} received ({bytes}), {echoed} echoed, {refused} \
                     refused, {truncated} truncated, {failed} failed, {dropped} dropped by the \
                     kernel from a full queue"
                )
            },
        );
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
