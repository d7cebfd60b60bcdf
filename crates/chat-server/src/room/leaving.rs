//! How a client leaves the room.

use std::rc::Rc;
use std::time::{Duration, Instant};

use netcore::chat::ServerMessage;
use netcore::text::counted;

use super::{NAME_TIMEOUT, Room};
use crate::client::Client;

/// Time for a client to receive its last frame and close. If the server closed at once, with bytes of
/// the client unread, the connection would be reset, and the reset may overtake the frame.
const LINGER: Duration = Duration::from_secs(2);

/// Why a client leaves.
pub(super) enum Reason {
    /// Its FIN came.
    Left,
    /// The connection failed.
    Failed(String),
    /// It sent what is not accepted.
    Refused(String),
    /// The server's own reason.
    Closed(String),
    /// It does not read.
    Slow,
}

impl Room<'_> {
    /// Ends a client, and announces it to the members.
    pub(super) fn end_and_announce(&mut self, key: usize, why: Reason, now: Instant) {
        if let Some(frame) = self.end(key, why, now) {
            self.send_to_all(frame, now);
        }
    }

    /// Ends a client: its last frame is put into its queue. Returns the frame for the members.
    pub(super) fn end(&mut self, key: usize, why: Reason, now: Instant) -> Option<Rc<[u8]>> {
        let client = self.all.get_mut(key)?;
        let name = client.name.take();
        let frame = |message: ServerMessage| -> Rc<[u8]> { message.frame().into() };
        let left = name.as_ref().map(|name| frame(ServerMessage::Left(name.to_string())));
        if let Some(name) = name {
            self.names.remove(&name);
        }
        let closed = |why: &String| Some(frame(ServerMessage::Closed(why.clone())));
        let (last, end) = match why {
            Reason::Failed(why) => {
                // Where there is a reason already, that is the reason.
                client.end.get_or_insert(Err(why));
                self.close(key);
                return left;
            }
            Reason::Left => (left.clone(), Ok(())),
            Reason::Refused(why) => {
                let last = frame(ServerMessage::Refused(why.clone()));
                (Some(last), Err(format!("refused: {why}")))
            }
            Reason::Closed(why) => (closed(&why), Err(why)),
            Reason::Slow => {
                let why = format!("too slow: {} waiting", counted(client.queued(), "message"));
                client.drop_queue();
                (closed(&why), Err(why))
            }
        };
        client.end = Some(end);
        // A frame for which there is no room is not waited for.
        last.map(|frame| client.push(frame));
        self.unsent.push(key);
        self.set_deadline(key, LINGER, now);
        left
    }

    pub(super) fn set_deadline(&mut self, key: usize, time: Duration, now: Instant) {
        let Some(client) = self.all.get_mut(key) else { return };
        let old = std::mem::replace(&mut client.deadline, now.checked_add(time));
        old.map(|old| self.deadlines.remove(&(old, key)));
        self.deadlines.extend(client.deadline.map(|deadline| (deadline, key)));
    }

    pub(super) fn close(&mut self, key: usize) {
        let Some(client) = self.all.try_remove(key) else { return };
        self.deadlines.remove(&(client.deadline.unwrap_or(client.last), key));
        self.limits.leave(client.peer);
        client.close();
    }

    /// Ends the clients whose deadline has passed, and those that are idle.
    pub(crate) fn end_late(&mut self, now: Instant) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, key)) = self.deadlines.pop_first() else { return };
            if self.all.get(key).is_some_and(|client| client.end.is_none()) {
                let why = format!("no name within {}s", NAME_TIMEOUT.as_secs());
                self.end_and_announce(key, Reason::Closed(why), now);
            } else {
                self.close(key);
            }
        }
        if self.idle.is_due(now) {
            let why = |one: &Client| self.idle.expired(one.last, one.is_sending(), now);
            let open = self.all.iter().filter(|(_, client)| client.end.is_none());
            let idle = open.filter_map(|(key, client)| Some((key, why(client)?)));
            let idle: Vec<(usize, String)> = idle.collect();
            for (key, why) in idle {
                self.end_and_announce(key, Reason::Closed(why), now);
            }
        }
    }

    /// The server stops: ends every client. They are closed when they have received that, or at the end
    /// of the grace period.
    pub(crate) fn end_all(&mut self, why: &str, grace: Duration, now: Instant) {
        let open = self.all.iter().filter(|(_, client)| client.end.is_none());
        for key in open.map(|(key, _)| key).collect::<Vec<_>>() {
            self.end(key, Reason::Closed(why.to_owned()), now);
            self.set_deadline(key, grace, now);
        }
    }

    /// Closes the clients that are left.
    pub(crate) fn close_all(mut self, why: &str) {
        for mut client in self.all.drain() {
            client.end = Some(Err(why.to_owned()));
            client.close();
        }
    }
}
