//! The clients, beside the list that the kernel has of them.

use std::collections::VecDeque;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;

use netcore::conversation::{Conversation, Step};
use netcore::error::errno;
use netcore::idle::Idle;
use netcore::limits::Limits;

/// Steps that a client has before the others have their turn, where it is not told of the rest.
const STEPS: usize = 16;

pub(crate) struct Clients<'a> {
    pub(crate) epoll: Epoll,
    edge: bool,
    pub(crate) limits: Limits,
    pub(crate) all: Slab<Conversation<'a>>,
    /// Who has something to do: those that were just reported, and with --edge those not done.
    pub(crate) ready: VecDeque<usize>,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(epoll: Epoll, edge: bool, limits: Limits) -> Self {
        Clients { epoll, edge, limits, all: Slab::new(), ready: VecDeque::new() }
    }

    /// Whoever is not done goes on after a look at the others; without, there is nothing to do.
    pub(crate) fn timeout(&self) -> EpollTimeout {
        if self.ready.is_empty() { EpollTimeout::NONE } else { EpollTimeout::ZERO }
    }

    /// What the kernel is to report of a client. Edge-triggered that never has to be changed.
    fn interest(&self, key: usize, client: &Conversation) -> EpollEvent {
        let flags = match (self.edge, client.is_sending()) {
            (true, _) => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET,
            (false, true) => EpollFlags::EPOLLOUT,
            (false, false) => EpollFlags::EPOLLIN,
        };
        EpollEvent::new(flags, key as u64)
    }

    /// Puts a client on the list. ENOSPC: there are too many in the whole system, epoll(7).
    pub(crate) fn welcome(&mut self, mut client: Conversation<'a>) {
        let key = self.all.vacant_key();
        match self.epoll.add(&client, self.interest(key, &client)) {
            Ok(()) => drop(self.all.insert(client)),
            Err(why) => {
                self.limits.leave(client.peer());
                client.end(&format!("epoll_ctl: {}", errno(why)));
            }
        }
    }

    /// Everybody who is ready has a turn. Who is closed is off the kernel's list too.
    pub(crate) fn go_on(&mut self, buffer: &mut [u8], now: Instant) {
        let steps = if self.edge { STEPS } else { 1 };
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(client) = self.all.get_mut(key) else { continue };
            let was_sending = client.is_sending();
            let step =
                (0..steps).map(|_| client.step(buffer, now)).find(|step| *step != Step::Again);
            let turned = client.is_sending() != was_sending;
            match step {
                Some(Step::Ended) => {
                    self.limits.leave(client.peer());
                    self.all.remove(key);
                }
                None if self.edge => self.ready.push_back(key),
                _ if turned && !self.edge => self.turn(key),
                _ => {}
            }
        }
    }

    /// Ends those on whose connection nothing went for too long.
    pub(crate) fn end_idle(&mut self, idle: &Idle, now: Instant) {
        self.all.retain(|_, client| {
            let ended = client.end_if_idle(idle, now);
            if ended {
                self.limits.leave(client.peer());
            }
            !ended
        });
    }

    /// A client has to be sent to where it was received from, or the other way round.
    fn turn(&mut self, key: usize) {
        let Some(client) = self.all.get(key) else { return };
        let mut interest = self.interest(key, client);
        if let Err(why) = self.epoll.modify(client, &mut interest) {
            let mut client = self.all.remove(key);
            self.limits.leave(client.peer());
            client.end(&format!("epoll_ctl: {}", errno(why)));
        }
    }
}
