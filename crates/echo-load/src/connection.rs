//! One connection: what it has sent, what has come back, and whether that is the same.

use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};

use crate::bytes::Bytes;

/// Addresses of this machine that connections to itself come from, each in turn: 127.0.1.1 and so on.
const SOURCES: u32 = 200;

/// A connection to the server.
pub(crate) struct Connection {
    socket: Socket,
    peer: SocketAddr,
    /// It is this one of all that were opened, from 1 on.
    number: u32,
    /// Bytes that are to be sent in all, that were sent, and that have come back.
    pub(crate) goal: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// When its message was to be sent, when that began, and when a byte last came.
    pub(crate) due: Instant,
    pub(crate) begun: Instant,
    pub(crate) moved: Instant,
    /// Nothing more is to come but the end of the stream.
    ending: bool,
    /// What epoll watches it for, 0 before it does.
    watched: EpollFlags,
}

/// What a recv brought.
pub(crate) enum Received {
    Nothing,
    Bytes(u64),
    End,
}

impl Connection {
    /// A connection that has been made.
    pub(crate) fn new(socket: Socket, peer: SocketAddr, number: u32) -> Connection {
        let (now, watched) = (Instant::now(), EpollFlags::empty());
        let (due, begun, moved) = (now, now, now);
        let (goal, sent, received, ending) = (0, 0, 0, false);
        Connection {
            socket,
            peer,
            number,
            goal,
            sent,
            received,
            due,
            begun,
            moved,
            ending,
            watched,
        }
    }

    /// Begins to connect, and does not wait: a queue that is full for a while delays this one alone.
    pub(crate) fn begin(peer: SocketAddr, number: u32) -> Result<Connection, Error> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(peer), kind, None).attempt("socket")?;
        let source = source(peer, number);
        if let Some(source) = source {
            // The port is left to connect, which may then share it between peers.
            setsockopt(&socket, IpBindAddressNoPort, &true)
                .attempt("setsockopt IP_BIND_ADDRESS_NO_PORT")?;
            socket.bind(&source.into()).attempt(format_args!("bind {source}"))?;
        }
        let connect = || format!("connect to {peer}");
        match socket.connect(&peer.into()) {
            Err(why) if why.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                return Err(why).attempt(connect());
            }
            _ => {}
        }
        // A connection to oneself would be the fastest echo of all.
        if source.is_none() && socket.local_addr().is_ok_and(|own| own.as_socket() == Some(peer)) {
            return Err(Errno::ECONNREFUSED).attempt(connect());
        }
        Ok(Connection::new(socket, peer, number))
    }

    /// Sends each piece at once: the tail of a long message would wait for an ACK else (Nagle).
    pub(crate) fn without_delay(self) -> Result<Connection, Error> {
        self.socket.set_tcp_nodelay(true).attempt("setsockopt TCP_NODELAY")?;
        Ok(self)
    }

    /// Something is on its way, or to be sent.
    pub(crate) fn is_busy(&self) -> bool {
        self.received < self.goal || self.ending
    }

    /// Sends what the kernel takes in one go.
    pub(crate) fn send_some(&mut self, bytes: &Bytes) -> Result<(), Error> {
        let piece = bytes.of(self.number, self.sent, self.goal - self.sent);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), piece, flags) {
            Ok(sent) => self.sent += sent as u64,
            // EAGAIN: not connected yet, or its buffer is full.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // The server has closed. What it said before is still to be received, and tells more.
            Err(Errno::EPIPE) => {}
            Err(why) => return Err(why).attempt(self.attempt("send to")),
        }
        Ok(())
    }

    /// Receives what has come and compares it with what was sent.
    pub(crate) fn receive_some(
        &mut self,
        bytes: &Bytes,
        buffer: &mut [u8],
    ) -> Result<Received, Error> {
        let count = match recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) if self.ending && self.received == self.sent => return Ok(Received::End),
            Ok(0) => {
                let (echoed, missing) = (self.received, self.sent - self.received);
                let fault = format!("closed after {echoed} bytes, {missing} are missing");
                return Err(self.fault(&fault));
            }
            Ok(count) => count as u64,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
            Err(why) => return Err(why).attempt(self.attempt("receive from")),
        };
        let missing = self.sent - self.received;
        let expected = bytes.of(self.number, self.received, count.min(missing));
        let got = buffer.get(..expected.len()).unwrap_or_default();
        if got != expected {
            let mut places = expected.iter().zip(got).zip(self.received..);
            let at = places.find(|((sent, got), _)| sent != got);
            return Err(self.fault(&at.map_or_else(String::new, |((sent, got), at)| {
                format!("byte {at} was sent as {sent:#04x} and came back as {got:#04x}")
            })));
        }
        if count > missing {
            return Err(self.fault(&format!("{} bytes more than were sent", count - missing)));
        }
        self.received += count;
        Ok(Received::Bytes(count))
    }

    /// Says that nothing more is to come; the server's own end is then waited for.
    pub(crate) fn finish(&mut self) {
        (self.goal, self.ending) = (self.sent, true);
        // ENOTCONN: the server reset the connection meanwhile; recv has the reason.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Has epoll watch for what it waits for, which costs no call as long as that stays the same: room
    /// to send is asked for only when a send found too little of it.
    pub(crate) fn watch(&mut self, epoll: &Epoll, slot: u64) -> Result<(), Error> {
        let mut wanted = EpollFlags::EPOLLIN;
        wanted.set(EpollFlags::EPOLLOUT, self.sent < self.goal);
        if wanted == self.watched {
            return Ok(());
        }
        let mut event = EpollEvent::new(wanted, slot);
        let changed = match self.watched.is_empty() {
            true => epoll.add(&self.socket, event),
            false => epoll.modify(&self.socket, &mut event),
        };
        self.watched = wanted;
        changed.attempt("epoll_ctl")
    }

    /// What it waits for, in the words of an error.
    pub(crate) fn awaited(&self) -> String {
        self.attempt(if self.ending { "end of the stream from" } else { "echo from" })
    }

    /// What was attempted, in the words of an error.
    fn attempt(&self, what: &str) -> String {
        let Connection { peer, number, .. } = self;
        match (self.sent, number) {
            // Before the first byte was taken there is no connection.
            (0, _) => format!("connect to {peer}"),
            _ => format!("{what} {peer}, connection {number}"),
        }
    }

    fn fault(&self, fault: &str) -> Error {
        let Connection { peer, number, .. } = self;
        Error::Protocol { peer: peer.to_string(), fault: format!("connection {number}: {fault}") }
    }
}

/// Where a connection to this machine itself comes from.
///
/// The client closes first, as clients do, so TIME_WAIT is on its side: one source address would run
/// out of its 28,000 ports within seconds, and connect(2) would get slower and slower at finding a
/// free one long before. A reset (SO_LINGER 0) would avoid TIME_WAIT, but then the server meets an
/// error in place of an end of file. Over a real network there is one address, and that limit.
fn source(peer: SocketAddr, number: u32) -> Option<SocketAddr> {
    let IpAddr::V4(ip) = peer.ip() else { return None };
    let [.., third, _] = ip.octets();
    let last = u8::try_from(number % SOURCES + 1).ok()?;
    // The server is never at the source: a connection to oneself cannot happen.
    let third = if third == 1 { 2 } else { 1 };
    ip.is_loopback().then(|| SocketAddr::from((Ipv4Addr::new(127, 0, third, last), 0)))
}
