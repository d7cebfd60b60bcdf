//! The clients. Each has exactly one request under way, from the first to its end: so its buffer is
//! either the kernel's or ours, and its result tells which client it is about.

use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use nix::errno::Errno;
use slab::Slab;
use socket2::Socket;

use netcore::error::{Error, errno};
use netcore::idle::Idle;
use netcore::limits::Limits;
use netcore::log::{Log, Record};

use crate::ring::Ring;

/// Bytes that one request receives at most. A silent client has a request under way too, and so a
/// buffer: a small one, until a message has filled it.
const SMALL: usize = 512;
const LARGE: usize = 64 * 1024;

/// Large buffers of clients that have gone, kept for the next.
const SPARE: usize = 64;

struct Client<'a> {
    stream: Socket,
    peer: SocketAddr,
    record: Record<'a>,
    /// On the heap: it stays where it is when the client is moved.
    buffer: Box<[u8]>,
    /// How much of it was received, and how much of that is sent: all, when a recv is under way.
    received: usize,
    sent: usize,
    last: Instant,
    /// Why we end it, once its connection is shut down.
    over: Option<String>,
}

pub(crate) struct Clients<'a> {
    log: &'a Log,
    pub(crate) limits: Limits,
    all: Slab<Client<'a>>,
    spare: Vec<Box<[u8]>>,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(log: &'a Log, limits: Limits) -> Self {
        Clients { log, limits, all: Slab::new(), spare: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A connection that was accepted: its first recv is asked for.
    pub(crate) fn welcome(
        &mut self,
        stream: Socket,
        peer: SocketAddr,
        now: Instant,
        ring: &mut Ring,
    ) -> Result<(), Error> {
        if !self.limits.admit(peer) {
            return Ok(()); // Dropping the stream closes it.
        }
        let record = self.log.open(peer);
        let buffer = vec![0; SMALL].into();
        let (received, sent, last, over) = (0, 0, now, None);
        let client = Client { stream, peer, record, buffer, received, sent, last, over };
        let key = self.all.insert(client);
        self.ask(key, ring)
    }

    /// Asks for the next step of a client: the rest to be sent, or more to be received.
    fn ask(&mut self, key: usize, ring: &mut Ring) -> Result<(), Error> {
        let Some(client) = self.all.get_mut(key) else { return Ok(()) };
        let Client { stream, buffer, received, sent, .. } = client;
        let rest = buffer.get(*sent..*received).unwrap_or_default();
        // The buffer stays as long as the client, whom only `go_on` removes, and it is called with
        // the result of this request. Until then nobody reads or writes it.
        #[expect(unsafe_code, reason = "requests are what this recipe shows")]
        if rest.is_empty() {
            // SAFETY: the buffer is the kernel's until the result, as said above.
            unsafe { ring.recv(key, stream, buffer) }
        } else {
            // SAFETY: the buffer is the kernel's until the result, as said above.
            unsafe { ring.send(key, stream, rest) }
        }
    }

    /// The request of a client has its result.
    pub(crate) fn go_on(
        &mut self,
        key: usize,
        result: Result<u32, Errno>,
        now: Instant,
        ring: &mut Ring,
    ) -> Result<(), Error> {
        let Some(client) = self.all.get_mut(key) else { return Ok(()) };
        let sending = client.sent < client.received;
        let count = result.map(|count| usize::try_from(count).unwrap_or_default());
        match (count, client.over.take()) {
            (_, Some(why)) => self.close(key, Err(why)),
            (Ok(0), None) if !sending => self.close(key, Ok(())),
            (Ok(count), None) => {
                client.last = now;
                if sending {
                    client.record.sent(count);
                    client.sent += count;
                    // It comes in longer pieces than that; the small buffer is ours again here.
                    if client.sent == SMALL && client.buffer.len() == SMALL {
                        let spare = self.spare.pop();
                        client.buffer = spare.unwrap_or_else(|| vec![0; LARGE].into());
                        (client.received, client.sent) = (0, 0);
                    }
                } else {
                    client.record.received(client.buffer.get(..count).unwrap_or_default());
                    (client.received, client.sent) = (count, 0);
                }
                return self.ask(key, ring);
            }
            (Err(Errno::EINTR | Errno::EAGAIN), None) => return self.ask(key, ring),
            (Err(why), None) => {
                let call = if sending { "send" } else { "recv" };
                self.close(key, Err(format!("{call}: {}", errno(why))));
            }
        }
        Ok(())
    }

    /// Only with no request under way: the stream is closed, and the buffer can be lent again.
    fn close(&mut self, key: usize, why: Result<(), String>) {
        let Client { peer, record, buffer, .. } = self.all.remove(key);
        self.limits.leave(peer);
        record.close(why);
        if buffer.len() == LARGE && self.spare.len() < SPARE {
            self.spare.push(buffer);
        }
    }

    /// Ends those on whose connection nothing went for too long.
    pub(crate) fn end_idle(&mut self, idle: &Idle, now: Instant) {
        for (_, client) in &mut self.all {
            if let Some(why) = idle.expired(client.last, client.sent < client.received, now) {
                client.end(&why);
            }
        }
    }

    pub(crate) fn end_all(&mut self, why: &str) {
        self.all.iter_mut().for_each(|(_, client)| client.end(why));
    }
}

/// An error of the ring ends the program with requests under way: what they point to is left to the
/// kernel, until the process is gone.
impl Drop for Clients<'_> {
    fn drop(&mut self) {
        std::mem::forget(std::mem::take(&mut self.all));
    }
}

impl Client<'_> {
    /// Shuts the connection down: its request has a result then, which closes it.
    fn end(&mut self, why: &str) {
        if self.over.is_none() {
            self.over = Some(why.to_owned());
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}
