//! The clients and their buffers. A client has exactly one request under way, from the first to its
//! end: so its buffer belongs either to the kernel or to the server, and the result of the request
//! says which client it is about.

use std::net::SocketAddr;
use std::time::Instant;

use io_uring::IoUring;
use slab::Slab;
use socket2::Socket;

use netcore::limits::{Limits, reserve, reserve_one_more};
use netcore::log::Record;

use crate::RESULTS;

/// Bytes that one request receives at most. A silent client has a request under way too, and so a
/// buffer: a small one, until a message has filled it.
const SMALL: usize = 512;
const LARGE: usize = 64 * 1024;

/// Large buffers of closed connections that are kept for later clients.
const SPARE: usize = 64;

pub(crate) struct Client<'a> {
    pub(crate) stream: Socket,
    peer: SocketAddr,
    pub(crate) record: Record<'a>,
    /// On the heap: it stays where it is when the client is moved.
    pub(crate) buffer: Box<[u8]>,
    /// How much of it was received, and how much of that was sent: all, while a recv is under way.
    pub(crate) received: usize,
    pub(crate) sent: usize,
    /// When bytes last went either way.
    pub(crate) last: Instant,
    /// Why the server ends it, once its connection is shut down.
    pub(crate) over: Option<String>,
}

impl Client<'_> {
    pub(crate) fn is_sending(&self) -> bool {
        self.sent < self.received
    }
}

pub(crate) struct Clients<'a> {
    pub(crate) ring: IoUring,
    /// Whether a request for a signal is under way, and one for a connection.
    pub(crate) signal_requested: bool,
    pub(crate) listener_requested: bool,
    pub(crate) limits: Limits,
    pub(crate) all: Slab<Client<'a>>,
    /// Those whose request has completed, with its result.
    pub(crate) ready: Vec<(usize, i32)>,
    spare: Vec<Box<[u8]>>,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(ring: IoUring, limits: Limits) -> Self {
        let (signal_requested, listener_requested) = (false, false);
        // So many results are read at once at most; these lists never grow.
        let ready = Vec::with_capacity(RESULTS as usize);
        let (all, spare) = (Slab::new(), Vec::with_capacity(SPARE));
        Clients { ring, signal_requested, listener_requested, limits, all, ready, spare }
    }

    /// A connection that was accepted; its key. Without memory for it, only this client is closed.
    pub(crate) fn insert(
        &mut self,
        stream: Socket,
        peer: SocketAddr,
        record: Record<'a>,
        now: Instant,
    ) -> Option<usize> {
        let mut buffer = Vec::new();
        let reserved = reserve_one_more::<Client>(self.all.len(), self.all.capacity())
            .and_then(|()| reserve(|| buffer.try_reserve_exact(SMALL)));
        if reserved.is_err() {
            self.spare.clear(); // room for the next one
            self.limits.leave(peer);
            record.close(Err("no memory for one more client".to_owned()));
            return None;
        }
        buffer.resize(SMALL, 0);
        let buffer = buffer.into_boxed_slice();
        let (received, sent, last, over) = (0, 0, now, None);
        Some(self.all.insert(Client { stream, peer, record, buffer, received, sent, last, over }))
    }

    /// A message that filled the small buffer has more to come: after it was sent, the client gets a
    /// large one. Only with no request under way.
    pub(crate) fn grow(&mut self, key: usize) {
        let Some(client) = self.all.get_mut(key) else { return };
        if client.sent == SMALL && client.buffer.len() == SMALL {
            let large = self.spare.pop().or_else(|| {
                let mut large = Vec::new();
                reserve(|| large.try_reserve_exact(LARGE)).ok()?;
                large.resize(LARGE, 0);
                Some(large.into_boxed_slice())
            });
            // Without memory for a large one it keeps the small one.
            if let Some(large) = large {
                client.buffer = large;
                (client.received, client.sent) = (0, 0);
            }
        }
    }

    /// Only with no request under way: the stream is closed, and the buffer is free.
    pub(crate) fn close(&mut self, key: usize, end: Result<(), String>) {
        let client = self.all.remove(key);
        self.limits.leave(client.peer);
        client.record.close(end);
        if client.buffer.len() == LARGE && self.spare.len() < SPARE {
            self.spare.push(client.buffer);
        }
    }
}

/// An error of the ring ends the program with requests under way: what they point to is not freed
/// before the process ends.
impl Drop for Clients<'_> {
    fn drop(&mut self) {
        std::mem::forget(std::mem::take(&mut self.all));
    }
}
