//! The clients, beside the kernel's list of them.

use std::collections::BTreeSet;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use slab::Slab;

use netcore::error::{Attempt, errno};
use netcore::limits::{Limits, reserve_one_more};
use netcore::time::Timeout;

use crate::connection::{Connection, Progress};
use crate::response::Site;

pub(crate) struct Clients<'a> {
    pub(crate) epoll: Epoll,
    pub(crate) limits: Limits,
    pub(crate) site: Site<'a>,
    pub(crate) all: Slab<Connection<'a>>,
    /// Those that were just reported, and those that are not done.
    pub(crate) ready: Vec<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(epoll: Epoll, limits: Limits, site: Site<'a>) -> Self {
        let (all, ready, deadlines) = (Slab::new(), Vec::new(), BTreeSet::new());
        Clients { epoll, limits, site, all, ready, deadlines }
    }

    /// The first deadline of a client.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// What the kernel is to report of a client.
    fn interest(key: usize, client: &Connection) -> EpollEvent {
        let flags = if client.is_sending() { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        EpollEvent::new(flags, key as u64)
    }

    /// Adds a client to the list. ENOSPC: the list of the whole system is full, epoll(7).
    pub(crate) fn add(&mut self, mut client: Connection<'a>) {
        let key = self.all.vacant_key();
        let interest = Self::interest(key, &client);
        let (entries, capacity) = (self.all.len(), self.all.capacity());
        let room = reserve_one_more::<Connection>(entries, capacity).attempt("one more client");
        let add = || self.epoll.add(&client, interest).attempt("epoll_ctl");
        match room.and_then(|()| client.set_options()).and_then(|()| add()) {
            Ok(()) => drop(self.all.insert(client)),
            Err(why) => {
                self.limits.leave(client.peer());
                client.end(&why.to_string());
            }
        }
    }

    /// Serves every client that is ready.
    pub(crate) fn serve_ready(&mut self, buffer: &mut [u8], now: Instant) {
        let mut ready = std::mem::take(&mut self.ready);
        // A client that was not done may have been reported too.
        ready.sort_unstable();
        ready.dedup();
        for key in ready.drain(..) {
            self.serve(key, |client, site| client.resume(site, buffer, now));
        }
    }

    /// Ends the clients that are idle.
    pub(crate) fn end_idle(&mut self, timeout: Timeout, now: Instant) {
        for key in self.keys() {
            self.serve(key, |client, site| client.end_if_idle(timeout, site, now));
        }
    }

    /// Ends the clients whose deadline has passed.
    pub(crate) fn end_late(&mut self, now: Instant) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, key)) = self.deadlines.pop_first() else { return };
            self.serve(key, |client, _| client.end_late(now));
        }
    }

    /// The server stops: from now on each response is the last of its connection.
    pub(crate) fn stop(&mut self, buffer: &mut [u8], now: Instant) {
        self.site.is_stopping = true;
        for key in self.keys() {
            self.serve(key, |client, site| client.stop(site, buffer, now));
        }
    }

    fn keys(&self) -> Vec<usize> {
        self.all.iter().map(|(key, _)| key).collect()
    }

    /// Does one step for a client, and changes the list as its result says.
    fn serve(&mut self, key: usize, step: impl FnOnce(&mut Connection, &mut Site) -> Progress) {
        let Some(client) = self.all.get_mut(key) else { return };
        let was_sending = client.is_sending();
        let progress = step(client, &mut self.site);
        let deadline = client.deadline().map(|deadline| (deadline, key));
        let mut ended = progress == Progress::Done;
        if !ended && client.is_sending() != was_sending {
            let mut interest = Self::interest(key, client);
            if let Err(why) = self.epoll.modify(&*client, &mut interest) {
                client.end(&format!("epoll_ctl: {}", errno(why)));
                ended = true;
            }
        }
        if ended {
            self.limits.leave(client.peer());
            self.all.remove(key); // the drop closes it, and a closed socket leaves the list
            deadline.map(|deadline| self.deadlines.remove(&deadline));
            return;
        }
        self.deadlines.extend(deadline);
        if progress == Progress::Ready {
            self.ready.push(key);
        }
    }
}
