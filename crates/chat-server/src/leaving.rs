//! The ways out of the room.

use std::rc::Rc;
use std::time::{Duration, Instant};

use netcore::chat::ServerMessage;

use super::{NAME_WITHIN, Room};
use crate::client::Client;

/// Time for a client to take its last frame and close. Closed at once, with bytes of its own
/// unread, it would get a reset, which may overtake the frame.
const LINGER: Duration = Duration::from_secs(2);

/// Why a client takes part no longer.
pub(super) enum Why {
    /// It said so: its FIN came.
    Left,
    /// The connection failed.
    Failed(String),
    /// What it sent is not taken.
    Refused(String),
    /// The server's own reason.
    Closed(String),
    /// It does not read.
    Slow,
}

impl Room<'_> {
    /// Ends a client's part, and tells the others.
    pub(super) fn end(&mut self, key: usize, why: Why, now: Instant) {
        if let Some(frame) = self.part(key, why, now) {
            self.tell_all(frame, now);
        }
    }

    /// Ends a client's part; returns what the others are to be told of it.
    pub(super) fn part(&mut self, key: usize, why: Why, now: Instant) -> Option<Rc<[u8]>> {
        let client = self.all.get_mut(key)?;
        let name = client.name.take();
        let left =
            name.as_ref().map(|name| Rc::from(ServerMessage::Left(name.to_string()).frame()));
        if let Some(name) = name {
            self.names.remove(&name);
        }
        let (last, end) = match why {
            Why::Failed(why) => {
                // A client that is told why already fails of nothing else.
                client.end.get_or_insert(Err(why));
                self.close(key);
                return left;
            }
            Why::Left => (left.clone(), Ok(())),
            Why::Refused(why) => (
                Some(ServerMessage::Refused(why.clone()).frame().into()),
                Err(format!("refused: {why}")),
            ),
            Why::Closed(why) => (Some(ServerMessage::Closed(why.clone()).frame().into()), Err(why)),
            Why::Slow => {
                let why = format!("too slow: {} messages were waiting", client.waiting());
                client.give_up();
                (Some(ServerMessage::Closed(why.clone()).frame().into()), Err(why))
            }
        };
        client.end = Some(end);
        last.into_iter().for_each(|frame| client.queue(frame));
        self.owed.push(key);
        self.give_time(key, LINGER, now);
        left
    }

    pub(super) fn give_time(&mut self, key: usize, time: Duration, now: Instant) {
        let Some(client) = self.all.get_mut(key) else { return };
        let old = std::mem::replace(&mut client.until, now.checked_add(time));
        old.map(|old| self.deadlines.remove(&(old, key)));
        self.deadlines.extend(client.until.map(|until| (until, key)));
    }

    pub(super) fn close(&mut self, key: usize) {
        let Some(client) = self.all.try_remove(key) else { return };
        self.deadlines.remove(&(client.until.unwrap_or(client.last), key));
        self.limits.leave(client.peer);
        client.close();
    }

    /// Ends those whose time is over, and those on whose connection nothing went for too long.
    pub(crate) fn end_late(&mut self, now: Instant) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, key)) = self.deadlines.pop_first() else { return };
            if self.all.get(key).is_some_and(|client| client.end.is_none()) {
                let why = format!("no name for {}s", NAME_WITHIN.as_secs());
                self.end(key, Why::Closed(why), now);
            } else {
                self.close(key);
            }
        }
        if self.idle.is_due(now) {
            let open = self.all.iter().filter(|(_, client)| client.end.is_none());
            let why = |one: &Client| self.idle.expired(one.last, one.is_owed(), now);
            let idle = open.filter_map(|(key, client)| Some((key, why(client)?)));
            let idle: Vec<(usize, String)> = idle.collect();
            idle.into_iter().for_each(|(key, why)| self.end(key, Why::Closed(why), now));
        }
    }

    /// Tells everybody that it is over. They are closed when they have taken that, or by the
    /// end of the grace.
    pub(crate) fn end_all(&mut self, why: &str, grace: Duration, now: Instant) {
        let open = self.all.iter().filter(|(_, client)| client.end.is_none());
        for key in open.map(|(key, _)| key).collect::<Vec<_>>() {
            self.part(key, Why::Closed(why.to_owned()), now);
            self.give_time(key, grace, now);
        }
    }

    /// Closes those who are still there.
    pub(crate) fn cut_off(mut self, why: &str) {
        for mut client in self.all.drain() {
            client.end = Some(Err(why.to_owned()));
            client.close();
        }
    }
}
