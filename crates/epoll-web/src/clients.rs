//! The clients, beside the list that the kernel has of them.

use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use slab::Slab;

use netcore::error::{Attempt, errno};
use netcore::limits::Limits;
use netcore::time::Timeout;

use crate::answer::Site;
use crate::connection::{Connection, Progress};

pub(crate) struct Clients<'a> {
    pub(crate) epoll: Epoll,
    pub(crate) limits: Limits,
    pub(crate) site: Site<'a>,
    pub(crate) all: Slab<Connection<'a>>,
    /// Who has something to do: those that were just reported, and those not done the last time.
    pub(crate) ready: Vec<usize>,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(epoll: Epoll, limits: Limits, site: Site<'a>) -> Self {
        Clients { epoll, limits, site, all: Slab::new(), ready: Vec::new() }
    }

    /// What the kernel is to report of a client.
    fn interest(key: usize, client: &Connection) -> EpollEvent {
        let flags = if client.is_sending() { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        EpollEvent::new(flags, key as u64)
    }

    /// Puts a client on the list. ENOSPC: there are too many in the whole system, epoll(7).
    pub(crate) fn welcome(&mut self, mut client: Connection<'a>) {
        let key = self.all.vacant_key();
        let interest = Self::interest(key, &client);
        let add = || self.epoll.add(&client, interest).attempt("epoll_ctl");
        match client.set_up().and_then(|()| add()) {
            Ok(()) => drop(self.all.insert(client)),
            Err(why) => {
                self.limits.leave(client.peer());
                client.end(&why.to_string());
            }
        }
    }

    /// Everybody who is ready has a turn. Who is closed is off the kernel's list too.
    pub(crate) fn go_on(&mut self, buffer: &mut [u8], now: Instant) {
        let mut ready = std::mem::take(&mut self.ready);
        // Who was not done may have been reported as well.
        ready.sort_unstable();
        ready.dedup();
        for key in ready.drain(..) {
            self.turn(key, |client, site| client.resume(site, buffer, now));
        }
    }

    /// Ends those that kept us waiting for too long.
    pub(crate) fn end_idle(&mut self, timeout: Timeout, now: Instant) {
        for key in self.keys() {
            self.turn(key, |client, site| client.wait(timeout, site, now));
        }
    }

    /// From now on each answer is the last of its connection.
    pub(crate) fn stop(&mut self, buffer: &mut [u8], now: Instant) {
        self.site.is_stopping = true;
        for key in self.keys() {
            self.turn(key, |client, site| client.stop(site, buffer, now));
        }
    }

    fn keys(&self) -> Vec<usize> {
        self.all.iter().map(|(key, _)| key).collect()
    }

    /// One client's turn, and what follows from it.
    fn turn(&mut self, key: usize, resume: impl FnOnce(&mut Connection, &mut Site) -> Progress) {
        let Some(client) = self.all.get_mut(key) else { return };
        let was_sending = client.is_sending();
        let progress = resume(client, &mut self.site);
        let mut over = progress == Progress::Done;
        // It has to be sent to where it was received from, or the other way round.
        if !over && client.is_sending() != was_sending {
            let mut interest = Self::interest(key, client);
            if let Err(why) = self.epoll.modify(&*client, &mut interest) {
                client.end(&format!("epoll_ctl: {}", errno(why)));
                over = true;
            }
        }
        if over {
            self.limits.leave(client.peer());
            self.all.remove(key);
        } else if progress == Progress::Ready {
            self.ready.push(key);
        }
    }
}
