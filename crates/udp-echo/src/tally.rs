//! What became of the datagrams: counted always, told one by one with `-v` only.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use netcore::error::errno;
use netcore::log::Log;
use netcore::text::{Json, shown};

use crate::Args;
use crate::asked::Refusal;
use crate::datagram::Datagram;

/// Without `-v`, what goes wrong is told at most this often: whoever sends must not fill our disk.
const NOTE_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Tally {
    log: Log,
    verbose: bool,
    buffer: u16,
    received: u64,
    bytes: u64,
    pub(crate) echoed: u64,
    refused: u64,
    truncated: u64,
    failed: u64,
    /// As the kernel counted when the last datagram was put into the queue.
    dropped: u32,
    /// When something was noted, and how often nothing was since.
    noted: Option<Instant>,
    unsaid: u64,
}

impl Tally {
    pub(crate) fn new(args: &Args) -> Tally {
        let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
        let (verbose, buffer) = (args.verbose, args.buffer);
        let (received, bytes, echoed, refused, truncated, failed) = (0, 0, 0, 0, 0, 0);
        Tally {
            log,
            verbose,
            buffer,
            received,
            bytes,
            echoed,
            refused,
            truncated,
            failed,
            dropped: 0,
            noted: None,
            unsaid: 0,
        }
    }

    /// A datagram came; `bytes` are what the buffer has of it.
    pub(crate) fn received(&mut self, datagram: &Datagram, bytes: &[u8]) {
        let (peer, length) = (datagram.peer, datagram.length as u64);
        self.received += 1;
        self.bytes += length;
        self.dropped = datagram.dropped.unwrap_or(self.dropped);
        if self.verbose {
            let asked = datagram.asked.address().map_or("?".to_owned(), |asked| asked.to_string());
            self.log.event(
                || {
                    let json = Json::new("received").address(peer).text("asked", &asked);
                    json.number("bytes", length).text("payload", &shown(bytes))
                },
                || format!("{peer} sent {length} bytes to {asked}: {}", shown(bytes)),
            );
        }
    }

    pub(crate) fn refused(&mut self, peer: SocketAddr, why: Refusal) {
        self.refused += 1;
        self.not_echoed("refused", peer, why);
    }

    pub(crate) fn truncated(&mut self, datagram: &Datagram) {
        self.truncated += 1;
        let (length, buffer) = (datagram.length, self.buffer);
        let why = format_args!("{length} bytes, of which the buffer has {buffer}");
        self.not_echoed("truncated", datagram.peer, why);
    }

    fn not_echoed(&mut self, kind: &str, peer: SocketAddr, why: impl Display) {
        self.seldom(
            || Json::new(kind).address(peer).text("why", &why.to_string()),
            || format!("{peer} not answered: {why}"),
        );
    }

    /// A system call failed: one datagram is lost, and no more than that.
    pub(crate) fn failed(&mut self, attempt: impl Display, why: Errno) {
        self.failed += 1;
        let line = format!("{attempt}: {}", errno(why));
        self.seldom(|| Json::new("failed").text("text", &line), || line.clone());
    }

    fn seldom(&mut self, json: impl FnOnce() -> Json, line: impl FnOnce() -> String) {
        let now = Instant::now();
        if !self.verbose && self.noted.is_some_and(|last| now.duration_since(last) < NOTE_EVERY) {
            self.unsaid += 1;
            return;
        }
        let unsaid = std::mem::take(&mut self.unsaid);
        self.noted = Some(now);
        let more = if unsaid == 0 { String::new() } else { format!(" ({unsaid} more before)") };
        self.log.event(|| json().number("unsaid", unsaid), || line() + &more);
    }

    /// All counts, in one line.
    pub(crate) fn report(&self) {
        let Tally { received, bytes, echoed, refused, truncated, failed, dropped, .. } = *self;
        self.log.event(
            || {
                let json = Json::new("summary").number("received", received).number("bytes", bytes);
                let json = json.number("echoed", echoed).number("refused", refused);
                let json = json.number("truncated", truncated).number("failed", failed);
                json.number("dropped", dropped)
            },
            || {
                format!(
                    "datagrams: {received} received ({bytes} bytes), {echoed} echoed, {refused} \
                     refused, {truncated} truncated, {failed} failed, {dropped} dropped by the \
                     kernel from a full queue"
                )
            },
        );
    }
}
