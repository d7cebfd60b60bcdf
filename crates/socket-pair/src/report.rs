//! What the parent saw of a pair, and how it is printed.

use nix::errno::Errno;
use nix::sys::socket::SockType;

use netcore::text::{Json, counted, escape, shown};
use netcore::time::Timeout;

/// What the parent received, and what became of what it sent then.
pub(crate) struct Pair {
    pub(crate) socket_type: SockType,
    /// One for each `recv` that returned bytes.
    pub(crate) received: Vec<Vec<u8>>,
    pub(crate) end: End,
    /// What `send` returned after that.
    pub(crate) sent: Result<usize, Errno>,
}

/// Why the parent stopped to receive.
pub(crate) enum End {
    /// `recv` returned 0.
    Heard,
    /// `recv` waited in vain.
    TimedOut(Timeout),
}

impl Pair {
    pub(crate) fn line(&self, json: bool) -> String {
        if json { self.json().to_string() } else { self.text() }
    }

    fn text(&self) -> String {
        let received: Vec<String> = self.received.iter().map(|bytes| shown(bytes)).collect();
        let received = format!("received {}", received.join(" "));
        let end = match self.end {
            End::Heard => "then the end".to_owned(),
            End::TimedOut(after) => format!("no end in {after}"),
        };
        let sent = match self.sent {
            Ok(count) => counted(count, "byte"),
            Err(why) => format!("{why:?}"),
        };
        let name = self.name();
        format!("{name:<10}  {:<20}  {end:<16}  send after it: {sent}", received.trim_end())
    }

    fn json(&self) -> Json {
        let received: Vec<String> = self.received.iter().map(|bytes| escape(bytes)).collect();
        let json = Json::new("pair").text("socket", self.name()).texts("messages", &received);
        let json = json.flag("end", matches!(self.end, End::Heard));
        match self.sent {
            Ok(count) => json.number("sent", count as u64),
            Err(why) => json.text("errno", &format!("{why:?}")),
        }
    }

    fn name(&self) -> &'static str {
        match self.socket_type {
            SockType::SeqPacket => "seqpacket",
            SockType::Datagram => "datagram",
            _ => "stream",
        }
    }
}
