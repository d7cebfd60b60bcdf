//! The clients, and what is sent to those that are members.

mod leaving;

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollEvent};
use slab::Slab;

use netcore::chat::{ServerMessage, name};
use netcore::error::errno;
use netcore::idle::Idle;
use netcore::limits::{Limits, reserve_one_more};
use netcore::log::Log;
use netcore::text::Json;

use crate::args::Args;
use crate::client::Client;

use leaving::Reason;

/// Frames of one client that are served before those of the others.
const FRAMES: usize = 16;

/// Time for a client to send its name.
const NAME_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Room<'a> {
    pub(crate) epoll: Epoll,
    pub(crate) limits: Limits,
    pub(crate) idle: Idle,
    log: &'a Log,
    /// The longest queue of a client, in frames.
    max_queue: usize,
    /// What was said last, for new members.
    history: VecDeque<Rc<[u8]>>,
    max_history: usize,
    all: Slab<Client<'a>>,
    /// The names of the members.
    names: BTreeSet<Rc<str>>,
    /// Those that were just reported, and those that are not done.
    pub(crate) ready: BTreeSet<usize>,
    /// Those whose queue is no longer empty.
    unsent: Vec<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
}

impl<'a> Room<'a> {
    pub(crate) fn new(epoll: Epoll, log: &'a Log, args: &Args) -> Self {
        Room {
            epoll,
            limits: Limits::new(*log, args.max_clients, args.max_per_source),
            idle: Idle::new(args.idle_timeout),
            log,
            max_queue: args.queue,
            history: VecDeque::new(),
            max_history: args.history,
            all: Slab::new(),
            names: BTreeSet::new(),
            ready: BTreeSet::new(),
            unsent: Vec::new(),
            deadlines: BTreeSet::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The first deadline of a client.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Adds a client to the list. ENOSPC: the list of the whole system is full, epoll(7).
    pub(crate) fn add(&mut self, mut client: Client<'a>, now: Instant) {
        if reserve_one_more::<Client>(self.all.len(), self.all.capacity()).is_err() {
            self.limits.leave(client.peer);
            client.end = Some(Err("no memory for one more client".to_owned()));
            return client.close();
        }
        let key = self.all.insert(client);
        self.set_deadline(key, NAME_TIMEOUT, now);
        let Some(client) = self.all.get(key) else { return };
        if let Err(why) = self.epoll.add(client, EpollEvent::new(client.reported, key as u64)) {
            self.end(key, Reason::Failed(format!("epoll_ctl: {}", errno(why))), now);
        }
    }

    /// Serves every client that is ready.
    pub(crate) fn serve_ready(&mut self, buffer: &mut [u8], now: Instant) {
        for key in std::mem::take(&mut self.ready) {
            if let Err(why) = self.serve(key, buffer, now) {
                self.end_and_announce(key, why, now);
            }
            self.set_interest(key, now);
        }
    }

    /// Sends what is in the queue of a client, or receives once. The error is the reason to end it.
    fn serve(&mut self, key: usize, buffer: &mut [u8], now: Instant) -> Result<(), Reason> {
        let Some(client) = self.all.get_mut(key) else { return Ok(()) };
        client.send_some(now).map_err(Reason::Failed)?;
        if client.is_sending() {
            return Ok(());
        }
        let mut may_receive = true;
        for _ in 0..FRAMES {
            let Some(client) = self.all.get_mut(key) else { return Ok(()) };
            if client.end.is_some() {
                // What it sends does not count any more; only its FIN is waited for.
                match client.receive_some(buffer, now) {
                    Ok(Some([])) | Err(_) => client.fin_received = true,
                    Ok(Some(_)) => continue,
                    Ok(None) => {}
                }
                return Ok(());
            }
            if let Some(text) = client.frames.next_text().map_err(Reason::Refused)? {
                match client.name.clone() {
                    Some(name) => self.say(&name, text, now),
                    None => self.join(key, &text, now)?,
                }
            } else if std::mem::take(&mut may_receive) {
                match client.receive_some(buffer, now).map_err(Reason::Failed)? {
                    None => return Ok(()),
                    Some([]) => {
                        client.fin_received = true;
                        let inside = "end of stream inside a frame".to_owned();
                        return Err(match client.frames.is_inside() {
                            true => Reason::Refused(inside),
                            false => Reason::Left,
                        });
                    }
                    Some(bytes) => client
                        .frames
                        .push(bytes)
                        .map_err(|_| Reason::Failed("no memory for a frame".to_owned()))?,
                }
            } else {
                return Ok(());
            }
        }
        // The kernel does not report frames that were received already.
        self.ready.insert(key);
        Ok(())
    }

    /// A member has said something.
    fn say(&mut self, name: &str, text: String, now: Instant) {
        let frame: Rc<[u8]> = ServerMessage::Said(name.to_owned(), text).frame().into();
        self.history.push_back(Rc::clone(&frame));
        if self.history.len() > self.max_history {
            self.history.pop_front();
        }
        self.send_to_all(frame, now);
    }

    /// The first frame of a client: its name, with which it becomes a member.
    fn join(&mut self, key: usize, text: &str, now: Instant) -> Result<(), Reason> {
        let Some(client) = self.all.get_mut(key) else { return Ok(()) };
        let name: Rc<str> = name(text).map_err(Reason::Refused)?.into();
        if self.names.contains(&name) {
            return Err(Reason::Refused(format!("the name {name} is taken")));
        }
        let mut history = self.history.iter();
        history.try_for_each(|frame| client.push(Rc::clone(frame))).map_err(Reason::Failed)?;
        self.names.insert(Rc::clone(&name));
        let (log, peer) = (self.log, client.peer);
        log.event(
            || Json::new("joined").address(peer).text("name", &name),
            || format!("{peer} joined as {name}"),
        );
        client.name = Some(Rc::clone(&name));
        self.deadlines.remove(&(client.deadline.take().unwrap_or(now), key));
        self.send_to_all(ServerMessage::Joined(name.to_string()).frame().into(), now);
        // The history may have filled its queue before.
        self.unsent.push(key);
        Ok(())
    }

    /// Puts a frame into the queue of each member, in the same order for all. A member whose queue is
    /// full, even after another try to send, is ended.
    fn send_to_all(&mut self, frame: Rc<[u8]>, now: Instant) {
        let mut frames = VecDeque::from([frame]);
        while let Some(frame) = frames.pop_front() {
            let mut ended = Vec::new();
            for (key, client) in &mut self.all {
                if client.name.is_none() {
                    continue;
                }
                if client.queued() >= self.max_queue
                    && let Err(why) = client.send_some(now)
                {
                    ended.push((key, Reason::Failed(why)));
                } else if client.queued() >= self.max_queue {
                    ended.push((key, Reason::Slow));
                } else {
                    if !client.is_sending() {
                        self.unsent.push(key);
                    }
                    let pushed = client.push(Rc::clone(&frame));
                    ended.extend(pushed.err().map(|why| (key, Reason::Failed(why))));
                }
            }
            for (key, why) in ended {
                frames.extend(self.end(key, why, now));
            }
        }
    }

    /// Sends what was put into queues since the last time.
    pub(crate) fn flush(&mut self, now: Instant) {
        while let Some(key) = self.unsent.pop() {
            let Some(client) = self.all.get_mut(key) else { continue };
            if let Err(why) = client.send_some(now) {
                self.end_and_announce(key, Reason::Failed(why), now);
            }
            self.set_interest(key, now);
        }
    }

    /// Has the kernel report what there is to do for a client now, and closes one for which nothing
    /// is left to do.
    fn set_interest(&mut self, key: usize, now: Instant) {
        let Some(client) = self.all.get_mut(key) else { return };
        if client.end.is_some() && client.fin_received && !client.is_sending() {
            return self.close(key);
        }
        let interest = client.interest();
        if client.reported != interest {
            client.reported = interest;
            let mut event = EpollEvent::new(interest, key as u64);
            if let Err(why) = self.epoll.modify(client, &mut event) {
                let why = Reason::Failed(format!("epoll_ctl: {}", errno(why)));
                self.end_and_announce(key, why, now);
            }
        }
    }
}
