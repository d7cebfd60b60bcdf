//! A listening socket, and what to do about each error of `accept`.

use std::fmt::Display;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::addr::unmap_ipv4;
use crate::error::{Attempt, Error, errno};
use crate::log::Log;

/// How long the server pauses when it can neither accept nor refuse, in milliseconds.
const PAUSE: u8 = 50;

/// So many errors of single connections in a row are an error of the listener, which may pass.
const IN_A_ROW: u32 = 16;

/// An error of accept is logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// `socket`, `setsockopt(SO_REUSEADDR)`, `bind`, `listen`: the four calls that the recipe
/// `echo-server` spells out and explains.
///
/// # Errors
/// EADDRINUSE, EADDRNOTAVAIL, EACCES and the others of bind(2) and listen(2).
pub fn listen(local: SocketAddr, backlog: i32) -> Result<Socket, Error> {
    listen_with(local, backlog, |_| Ok(()))
}

/// The same, with an option that has to be set before `bind`.
///
/// # Errors
/// As [`listen`], and what `set` says.
pub fn listen_with(
    local: SocketAddr,
    backlog: i32,
    set: impl FnOnce(&Socket) -> Result<(), Error>,
) -> Result<Socket, Error> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, None).attempt("socket")?;
    socket.set_reuse_address(true).attempt("setsockopt SO_REUSEADDR")?;
    if local.is_ipv6() {
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
    }
    set(&socket)?;
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    socket.listen(backlog).attempt(format_args!("listen on {local}"))?;
    Ok(socket)
}

/// Where a socket is bound (getsockname(2)).
///
/// # Errors
/// The error of getsockname(2).
pub fn local_address(socket: &Socket) -> Result<SocketAddr, Error> {
    let local = socket.local_addr().attempt("getsockname")?;
    local.as_socket().ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")
}

/// A listening socket. Errors of accept(2) that concern one connection, or pass, do not end it.
pub struct Listener {
    socket: Socket,
    /// A descriptor to spend. With none left, accept fails, and a pending connection keeps the
    /// listener ready: the server would spin. Closing this one makes room to accept the
    /// connection and close it, which informs the client and removes the connection from the queue. `None`
    /// while another thread has taken the descriptor.
    reserve: Option<EventFd>,
    /// Connections that were closed unserved so far.
    shed: u64,
    /// Errors of single connections, one after the other.
    failed: u32,
    /// When the log last named an error.
    logged: Option<Instant>,
    /// Whether another process has it too, which is to go on listening.
    shared: bool,
}

impl Listener {
    /// Takes over a listening socket and makes it non-blocking: between a poll that says ready and
    /// the accept, the connection may be gone (UNP §16.6), and a blocking accept would then wait
    /// for the next one, without looking at signals.
    ///
    /// # Errors
    /// The error of fcntl(2), or of eventfd(2) for the reserve.
    pub fn new(socket: Socket) -> Result<Listener, Error> {
        socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
        Listener::blocking(socket)
    }

    /// Takes over a listening socket for a process that does nothing but wait in accept.
    ///
    /// # Errors
    /// That of eventfd(2) for the reserve.
    pub fn blocking(socket: Socket) -> Result<Listener, Error> {
        let reserve = open_reserve().attempt("eventfd")?;
        Ok(Listener {
            socket,
            reserve: Some(reserve),
            shed: 0,
            failed: 0,
            logged: None,
            shared: false,
        })
    }

    /// The same for one that was passed by another process, which is to go on listening: to
    /// [`Listener::close`] it is no more than close(2).
    ///
    /// # Errors
    /// As [`Listener::new`].
    pub fn shared(socket: Socket) -> Result<Listener, Error> {
        Ok(Listener { shared: true, ..Listener::new(socket)? })
    }

    /// Where it listens (getsockname(2)): `--port 0` has become a real port.
    ///
    /// # Errors
    /// The error of getsockname(2).
    pub fn local(&self) -> Result<SocketAddr, Error> {
        local_address(&self.socket)
    }

    /// The next connection and its peer (accept4(2)), `None` where there is none to be had.
    /// The connection is blocking, whatever the listener is: Linux does not hand O_NONBLOCK on.
    ///
    /// # Errors
    /// Only an error of the listener itself (EBADF, EINVAL, …), which does not pass.
    pub fn accept(&mut self, log: &Log) -> Result<Option<(Socket, SocketAddr)>, Error> {
        let accepted = self.accept_any(log)?;
        Ok(accepted.and_then(|(stream, peer)| Some((stream, unmap_ipv4(peer.as_socket()?)))))
    }

    /// The same for a unix socket: the address of its peer says nothing.
    ///
    /// # Errors
    /// As [`Listener::accept`].
    pub fn accept_unix(&mut self, log: &Log) -> Result<Option<Socket>, Error> {
        Ok(self.accept_any(log)?.map(|(stream, _)| stream))
    }

    fn accept_any(&mut self, log: &Log) -> Result<Option<(Socket, SockAddr)>, Error> {
        // Another thread may have opened a file between its close and its open, or libc in a thread
        // (malloc reads how many processors there are). It is taken back before a client gets it.
        if self.reserve.is_none() {
            self.reserve = open_reserve().ok();
        }
        let error = match self.socket.accept() {
            Ok(accepted) => {
                self.failed = 0;
                return Ok(Some(accepted));
            }
            Err(error) => error,
        };
        match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
            // No connection is there, or it has gone.
            Errno::EAGAIN => self.failed = 0,
            Errno::EINTR => {}
            // The connection failed before we took it; accept(2) lists these under "Error
            // handling" and asks to treat them like EAGAIN. EPERM: a firewall's rule.
            why @ (Errno::ECONNABORTED | Errno::ENETDOWN | Errno::EPROTO | Errno::ENOPROTOOPT)
            | why @ (Errno::EHOSTDOWN | Errno::ENONET | Errno::EHOSTUNREACH | Errno::EOPNOTSUPP)
            | why @ (Errno::ENETUNREACH | Errno::ETIMEDOUT | Errno::EPERM)
            | why @ (Errno::ENOSR | Errno::ESOCKTNOSUPPORT | Errno::EPROTONOSUPPORT) => {
                self.failed += 1;
                // Not one connection but every one: the listener stays ready, and would spin.
                if self.failed >= IN_A_ROW {
                    self.log_each_second(log, format_args!("{}, again and again", errno(why)));
                    let _ = poll(&mut [], PollTimeout::from(PAUSE));
                }
            }
            // Too many descriptors, here or in the whole system, or no memory for one more.
            why @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                self.shed(why, log);
            }
            fatal => return Err(fatal).attempt("accept"),
        }
        Ok(None)
    }

    /// Ends the listening, even where something else still has the socket open, a request in a
    /// ring for one: shutdown(2), and then close.
    ///
    /// # Errors
    /// That of shutdown(2).
    pub fn close(self) -> Result<(), Error> {
        if self.shared {
            return Ok(());
        }
        self.socket.shutdown(Shutdown::Both).attempt("shutdown the listener")
    }

    /// Accepts one connection with the reserve descriptor and closes it at once.
    fn shed(&mut self, why: Errno, log: &Log) {
        // Dropping the reserve closes it.
        let spent = self.reserve.take().is_some();
        // Where accept blocks, it fails before it waits: there may be no connection to refuse.
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let pending = poll(&mut fds, PollTimeout::from(PAUSE)).is_ok_and(|ready| ready > 0);
        let refused = pending
            && self.socket.accept().is_ok_and(|(stream, _)| {
                drop(stream);
                true
            });
        self.reserve = open_reserve().ok();
        self.shed += u64::from(refused);
        let (why, shed) = (errno(why), self.shed);
        self.log_each_second(
            log,
            format_args!("{why}: connections closed unserved so far: {shed}"),
        );
        if pending && (!refused || !spent) {
            // Not even that helped: without a pause the next poll would return at once.
            let _ = poll(&mut [], PollTimeout::from(PAUSE));
        }
    }

    fn log_each_second(&mut self, log: &Log, what: impl Display) {
        if self.logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            log.note(format_args!("accept: {what}"));
            self.logged = Some(Instant::now());
        }
    }
}

/// Any descriptor will do; this one needs no file.
fn open_reserve() -> nix::Result<EventFd> {
    EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
