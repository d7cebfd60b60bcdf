//! Those who are connected, and what is told to those who take part.

#[path = "leaving.rs"]
mod leaving;

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollEvent};
use slab::Slab;

use netcore::chat::{ServerMessage, name};
use netcore::error::{Error, errno};
use netcore::idle::Idle;
use netcore::limits::Limits;
use netcore::listener::Listener;
use netcore::log::Log;
use netcore::text::Json;

use crate::args::Args;
use crate::client::Client;

use leaving::Why;

/// Clients that are let in before those inside have their turn.
const WELCOMES: usize = 64;

/// Frames of one client before the others have their turn.
const TURN: usize = 16;

/// Time for a client to say its name.
const NAME_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct Room<'a> {
    pub(crate) epoll: Epoll,
    pub(crate) limits: Limits,
    pub(crate) idle: Idle,
    log: &'a Log,
    /// Frames that may wait for a client.
    most: usize,
    /// What was said last, for those who join.
    history: VecDeque<Rc<[u8]>>,
    remembered: usize,
    all: Slab<Client<'a>>,
    names: BTreeSet<Rc<str>>,
    /// Who has something to do: those that were just reported, or whose turn was over too early.
    pub(crate) ready: BTreeSet<usize>,
    /// Whose queue is no longer empty.
    owed: Vec<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
}

impl<'a> Room<'a> {
    pub(crate) fn new(epoll: Epoll, log: &'a Log, args: &Args) -> Self {
        Room {
            epoll,
            limits: Limits::new(*log, args.max_clients, args.max_per_source),
            idle: Idle::new(args.idle_timeout),
            log,
            most: args.queue,
            history: VecDeque::new(),
            remembered: args.history,
            all: Slab::new(),
            names: BTreeSet::new(),
            ready: BTreeSet::new(),
            owed: Vec::new(),
            deadlines: BTreeSet::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// When somebody's time is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Accepts several at once: each of them is told to all, and many frames take one `sendmsg`.
    pub(crate) fn let_in(&mut self, listener: &mut Listener, now: Instant) -> Result<(), Error> {
        for _ in 0..WELCOMES {
            if self.limits.is_full() {
                break;
            }
            let Some((stream, peer)) = listener.accept(self.log)? else { break };
            if self.limits.admit(peer) {
                self.welcome(Client::new(stream, peer, self.log.open(peer), now), now);
            }
        }
        Ok(())
    }

    /// Puts a client on the list. ENOSPC: there are too many in the whole system, epoll(7).
    fn welcome(&mut self, client: Client<'a>, now: Instant) {
        let key = self.all.insert(client);
        self.give_time(key, NAME_WITHIN, now);
        let Some(client) = self.all.get(key) else { return };
        if let Err(why) = self.epoll.add(client, EpollEvent::new(client.asked, key as u64)) {
            self.part(key, Why::Failed(format!("epoll_ctl: {}", errno(why))), now);
        }
    }

    /// Everybody who is ready has a turn.
    pub(crate) fn go_on(&mut self, buffer: &mut [u8], now: Instant) {
        for key in std::mem::take(&mut self.ready) {
            if let Err(why) = self.turn(key, buffer, now) {
                self.end(key, why, now);
            }
            self.ask(key, now);
        }
    }

    fn turn(&mut self, key: usize, buffer: &mut [u8], now: Instant) -> Result<(), Why> {
        let Some(client) = self.all.get_mut(key) else { return Ok(()) };
        client.flush(now).map_err(Why::Failed)?;
        if client.is_owed() {
            return Ok(());
        }
        let mut may_receive = true;
        for _ in 0..TURN {
            let Some(client) = self.all.get_mut(key) else { return Ok(()) };
            if client.end.is_some() {
                // Nothing of it counts any more; its FIN is the last thing to wait for.
                match client.receive(buffer, now) {
                    Ok(Some([])) | Err(_) => client.is_silent = true,
                    Ok(Some(_)) => continue,
                    Ok(None) => {}
                }
                return Ok(());
            }
            match client.frames.next_text().map_err(Why::Refused)? {
                Some(text) => self.take(key, &text, now)?,
                None if may_receive => match client.receive(buffer, now).map_err(Why::Failed)? {
                    None => return Ok(()),
                    Some([]) => {
                        client.is_silent = true;
                        let inside = "the end of the stream inside a frame".to_owned();
                        return Err(match client.frames.is_inside() {
                            true => Why::Refused(inside),
                            false => Why::Left,
                        });
                    }
                    Some(bytes) => {
                        client.frames.push(bytes);
                        may_receive = false;
                    }
                },
                None => return Ok(()),
            }
        }
        // Frames that are here already are not reported by the kernel.
        self.ready.insert(key);
        Ok(())
    }

    /// A whole frame: the first is a name.
    fn take(&mut self, key: usize, text: &str, now: Instant) -> Result<(), Why> {
        let Some(client) = self.all.get_mut(key) else { return Ok(()) };
        if let Some(name) = &client.name {
            let frame = ServerMessage::Said(name.to_string(), text.to_owned()).frame().into();
            self.history.push_back(Rc::clone(&frame));
            if self.history.len() > self.remembered {
                self.history.pop_front();
            }
            self.tell_all(frame, now);
            return Ok(());
        }
        let name: Rc<str> = name(text).map_err(Why::Refused)?.into();
        if !self.names.insert(Rc::clone(&name)) {
            return Err(Why::Refused(format!("the name {name} is taken")));
        }
        let (log, peer) = (self.log, client.peer);
        log.event(
            || Json::new("joined").address(peer).text("name", &name),
            || format!("{peer} joined as {name}"),
        );
        client.name = Some(Rc::clone(&name));
        self.history.iter().for_each(|frame| client.queue(Rc::clone(frame)));
        self.deadlines.remove(&(client.until.take().unwrap_or(now), key));
        self.tell_all(ServerMessage::Joined(name.to_string()).frame().into(), now);
        // The history alone may have filled an empty queue before.
        self.owed.push(key);
        Ok(())
    }

    /// Puts a frame into the queue of everybody who takes part, in the same order for all. Those
    /// whose queue is full, even after another try to send, take part no longer.
    fn tell_all(&mut self, frame: Rc<[u8]>, now: Instant) {
        let mut untold = VecDeque::from([frame]);
        while let Some(frame) = untold.pop_front() {
            let mut ends = Vec::new();
            for (key, client) in &mut self.all {
                if client.name.is_none() {
                    continue;
                }
                if client.waiting() >= self.most
                    && let Err(why) = client.flush(now)
                {
                    ends.push((key, Why::Failed(why)));
                } else if client.waiting() >= self.most {
                    ends.push((key, Why::Slow));
                } else {
                    if !client.is_owed() {
                        self.owed.push(key);
                    }
                    client.queue(Rc::clone(&frame));
                }
            }
            for (key, why) in ends {
                untold.extend(self.part(key, why, now));
            }
        }
    }

    /// Sends what was put into queues since the last time.
    pub(crate) fn flush(&mut self, now: Instant) {
        while let Some(key) = self.owed.pop() {
            let Some(client) = self.all.get_mut(key) else { continue };
            if let Err(why) = client.flush(now) {
                self.end(key, Why::Failed(why), now);
            }
            self.ask(key, now);
        }
    }

    /// Has the kernel report of a client what there is to do for it now. One that has nothing
    /// left to do is closed.
    fn ask(&mut self, key: usize, now: Instant) {
        let Some(client) = self.all.get_mut(key) else { return };
        if client.end.is_some() && client.is_silent && !client.is_owed() {
            return self.close(key);
        }
        let interest = client.interest();
        if client.asked != interest {
            client.asked = interest;
            let mut event = EpollEvent::new(interest, key as u64);
            if let Err(why) = self.epoll.modify(client, &mut event) {
                self.end(key, Why::Failed(format!("epoll_ctl: {}", errno(why))), now);
            }
        }
    }
}
