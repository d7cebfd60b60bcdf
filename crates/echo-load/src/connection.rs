//! One connection: what it has sent, what has come back, and whether they are the same.

use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error, to_errno};
use netcore::pattern::first_difference;
use netcore::text::counted;
use netcore::time::Timeout;

use crate::args::Args;
use crate::bytes::Bytes;

/// Source addresses of connections to this machine itself, used in turn: 127.0.1.1 and so on.
const SOURCES: u32 = 200;

/// A connection to the server.
pub(crate) struct Connection {
    socket: Socket,
    peer: SocketAddr,
    /// Its number among all that were opened, from 1 on.
    number: u32,
    /// Bytes to send in all, bytes sent, and bytes that have come back.
    pub(crate) goal: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Bytes sent before its message.
    pub(crate) start: u64,
    /// When its message was due, and when it was sent.
    pub(crate) due: Instant,
    pub(crate) begun: Instant,
    /// A first message has come back: until then `deadline` is that of --timeout, and fixed, afterwards that
    /// of --idle-timeout.
    pub(crate) is_open: bool,
    pub(crate) deadline: Option<Instant>,
    /// FIN was sent, and only the server's is to come.
    shut_down: bool,
    /// The server has closed: nothing more can be sent.
    is_broken: bool,
    /// What epoll reports of it; nothing before it is on the list.
    interest: EpollFlags,
}

/// The result of a `recv`.
pub(crate) enum Received {
    Nothing,
    Bytes(u64),
    End,
}

impl Connection {
    /// A connected socket. The first message has to have come back before the deadline.
    pub(crate) fn new(
        socket: Socket,
        peer: SocketAddr,
        number: u32,
        deadline: Option<Instant>,
    ) -> Connection {
        let now = Instant::now();
        Connection {
            socket,
            peer,
            number,
            goal: 0,
            sent: 0,
            received: 0,
            start: 0,
            due: now,
            begun: now,
            is_open: false,
            deadline,
            shut_down: false,
            is_broken: false,
            interest: EpollFlags::empty(),
        }
    }

    /// Sends a SYN, and does not wait for the answer: a queue that is full delays this connection only.
    pub(crate) fn begin_to_connect(
        peer: SocketAddr,
        number: u32,
        deadline: Option<Instant>,
    ) -> Result<Connection, Error> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(peer), kind, None).attempt("socket")?;
        let source = source(peer, number);
        if let Some(source) = source {
            // The port is left to connect, which may then share it between peers.
            setsockopt(&socket, IpBindAddressNoPort, &true)
                .attempt("setsockopt IP_BIND_ADDRESS_NO_PORT")?;
            socket.bind(&source.into()).attempt(format_args!("bind {source}"))?;
        }
        let attempt = format_args!("connect to {peer}");
        match socket.connect(&peer.into()).map_err(to_errno) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(why) => return Err(why).attempt(attempt),
        }
        // A socket that is connected to itself would be the fastest echo of all.
        if source.is_none() && socket.local_addr().is_ok_and(|own| own.as_socket() == Some(peer)) {
            return Err(Errno::ECONNREFUSED).attempt(attempt);
        }
        Ok(Connection::new(socket, peer, number, deadline))
    }

    /// Sends each piece at once: otherwise the tail of a long message waits for an ACK (Nagle).
    pub(crate) fn with_nodelay(self) -> Result<Connection, Error> {
        self.socket.set_tcp_nodelay(true).attempt("setsockopt TCP_NODELAY")?;
        Ok(self)
    }

    /// Whether bytes, or the server's FIN, are still to come.
    pub(crate) fn is_busy(&self) -> bool {
        self.received < self.goal || self.shut_down
    }

    /// Sends what the kernel has room for.
    pub(crate) fn send_some(&mut self, bytes: &Bytes) -> Result<(), Error> {
        let piece = bytes.slice(self.number, self.sent, self.goal - self.sent);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), piece, flags) {
            Ok(sent) => self.sent += sent as u64,
            // EAGAIN: not connected yet, or its buffer is full.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // The server has closed. What it sent before is still to be received, and says more.
            Err(Errno::EPIPE) => self.is_broken = true,
            Err(why) => return Err(why).attempt(self.attempt("send to")),
        }
        Ok(())
    }

    /// Receives what has come and compares it with what was sent.
    #[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it got")]
    pub(crate) fn receive_some(
        &mut self,
        bytes: &Bytes,
        buffer: &mut [u8],
    ) -> Result<Received, Error> {
        let count = match recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) if self.shut_down && self.received == self.sent => return Ok(Received::End),
            Ok(0) => return Err(self.closed_early()),
            Ok(count) => count as u64,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
            Err(why) => return Err(why).attempt(self.attempt("receive from")),
        };
        let missing = self.sent - self.received;
        let expected = bytes.slice(self.number, self.received, count.min(missing));
        let received = &buffer[..expected.len()];
        // The comparison of slices is fast; only a difference is looked for byte by byte.
        if received != expected
            && let Some(difference) = first_difference(expected, received, self.received)
        {
            return Err(self.fault(&difference));
        }
        if count > missing {
            let more = counted(count - missing, "byte");
            return Err(self.fault(&format!("{more} more than were sent")));
        }
        self.received += count;
        Ok(Received::Bytes(count))
    }

    /// Sends FIN; the server's is then waited for.
    pub(crate) fn shut_down(&mut self) {
        (self.goal, self.shut_down) = (self.sent, true);
        // ENOTCONN: the server has reset the connection; `recv` has the reason.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Has epoll report what the connection waits for, which makes no call while that stays the same:
    /// room to send is waited for only when a `send` has found too little of it.
    pub(crate) fn set_interest(&mut self, epoll: &Epoll, slot: u64) -> Result<(), Error> {
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, self.sent < self.goal && !self.is_broken);
        if interest == self.interest {
            return Ok(());
        }
        let mut event = EpollEvent::new(interest, slot);
        let changed = match self.interest.is_empty() {
            true => epoll.add(&self.socket, event),
            false => epoll.modify(&self.socket, &mut event),
        };
        self.interest = interest;
        changed.attempt("epoll_ctl")
    }

    /// Its deadline has passed.
    pub(crate) fn timed_out(&self, args: &Args) -> Error {
        let what = if self.shut_down { "end of the stream from" } else { "echo from" };
        let (attempt, of) =
            (self.attempt(what), |timeout: Timeout| timeout.duration().unwrap_or_default());
        match self.is_open {
            true => Error::Idle { attempt, after: of(args.idle_timeout) },
            false => Error::Timeout { attempt, after: of(args.timeout) },
        }
    }

    /// The server has closed the connection: within a message it breaks the protocol, between two it has
    /// gone, whether or not the next one is on its way already.
    fn closed_early(&self) -> Error {
        let (echoed, missing) = (counted(self.received, "byte"), self.sent - self.received);
        let why = format!("closed after {echoed}, {missing} missing");
        if self.start < self.received && self.received < self.goal {
            return self.fault(&why);
        }
        let Connection { peer, number, .. } = self;
        Error::Gone { peer: peer.to_string(), why: format!("connection {number}: {why}") }
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
/// The client closes first, so TIME_WAIT is on its side: one source address would run out of its
/// 28,000 ports within seconds, and long before that connect(2) would need longer and longer to find
/// a free one. A reset (SO_LINGER 0) would avoid TIME_WAIT, but then the server has an error in place
/// of an end of file. Over a real network there is one address, and that limit.
fn source(peer: SocketAddr, number: u32) -> Option<SocketAddr> {
    let IpAddr::V4(ip) = peer.ip() else { return None };
    let [.., third, _] = ip.octets();
    let last = u8::try_from(number % SOURCES + 1).ok()?;
    // The server is never at the source: a connection to oneself cannot happen.
    let third = if third == 1 { 2 } else { 1 };
    ip.is_loopback().then(|| SocketAddr::from((Ipv4Addr::new(127, 0, third, last), 0)))
}
