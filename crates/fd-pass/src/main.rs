//! Hand a live connection to another process, which serves it.
//!
//! # What it shows
//! A message over a unix socket can carry descriptors. The receiver gets a number of its own for the same
//! open connection, as after `fork`; the sender closes its copy, and the client notices nothing. The
//! front accepts, and hands each connection to the worker before it has received a byte: what was received
//! stays with the process that received it. A stream glues messages together, so that nothing says to which
//! bytes a descriptor belongs; SOCK_SEQPACKET keeps them apart.
//!
//! # System calls
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! (`accept` → `socket` → `connect` → `getsockopt(SO_PEERCRED)` → `sendmsg(SCM_RIGHTS)` → `close`)*
//! The worker: accept(2), getsockopt(SO_PEERCRED), recvmsg(MSG_CMSG_CLOEXEC), getpeername(2), then an
//! echo.
//!
//! # Try it
//! ```console
//! $ fd-pass @worker &
//! listening on unix:@worker
//! $ fd-pass @worker --port 7777 &
//! listening on 127.0.0.1:7777
//! $ echo-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   0.27 ms
//! ```
//!
//! # What can go wrong
//! - Room for one descriptor has room for two: the space of a control message is rounded up. Close those
//!   that you did not ask for, or each hostile message leaves one open.
//! - MSG_CTRUNC: there was no room, or the limit of descriptors is reached (RLIMIT_NOFILE). The message
//!   arrives, the descriptor is closed, and the client hears the end. Close what came all the same.
//! - What arrives may be a file, or a socket that is not connected: `getpeername` says so.
//! - Anybody may connect to an abstract name: both sides ask for the uid of the other.
//! - In flight a connection lives although the sender has closed it. If the worker dies, the client
//!   hears the end. If the worker does not accept, the front is held up when the queue is full.
//! - O_NONBLOCK belongs to the open connection, and is set for both processes; FD_CLOEXEC to the number.
//!
//! # Next
//! `unix-echo` has a name in the file system, and its lock; `socket-pair` has none; `prefork-echo` shares
//! the listener by `fork`.
//!
//! # Source
//! unix(7), cmsg(3), sendmsg(2), recvmsg(2); UNP §15.7, TLPI §61.13.3.

mod args;
mod report;

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::sockopt::{PeerCredentials, SockType};
use nix::sys::socket::{ControlMessage, MsgFlags, getsockopt, recv, send, sendmsg};
use nix::unistd::geteuid;
use socket2::{Domain, Socket, Type};

use netcore::echo::BUFFER;
use netcore::error::{Attempt, Error, errno, to_errno};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log, Record};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::port::ListenPort;
use netcore::signal::Signal::{SIGINT, SIGTERM};
use netcore::signal::{Signals, Woken};
use netcore::stop::Stop;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::Args;

/// Connections that the kernel may queue, of clients and of the front.
const BACKLOG: i32 = 64;

/// How long the front waits for the worker, and the worker for the message of the front.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 71 74 77), |args: &Args, out| {
        let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, false, args.json);
        let signals = Signals::catch(&[SIGINT, SIGTERM])?.with_log(&log);
        match args.port {
            Some(ListenPort(port)) => hand_over_all(port, signals, log, args, out),
            None => serve(signals, log, args, out),
        }
    })
}

/// The front: accepts, and hands each connection to the worker.
fn hand_over_all(
    port: u16,
    signals: Signals,
    log: Log,
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut listener = Listener::new(listen(local, BACKLOG)?)?;
    log::ready(listener.local()?, args.json, "", out)?;
    while let Woken::Ready = signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, None)? {
        let Some((stream, peer)) = listener.accept(&log)? else { continue };
        match hand_over(&stream, args) {
            Ok(pid) => log.note(format_args!("{peer} handed to pid {pid}")),
            Err(error) => log.note(format_args!("{peer} lost: {error}")),
        }
        drop(stream); // close: the worker has a copy, or the client is to hear the end
    }
    Ok(())
}

/// Hands a connection to the worker, and returns its pid.
fn hand_over(stream: &Socket, args: &Args) -> Result<i32, Error> {
    let worker = Socket::new(Domain::UNIX, Type::SEQPACKET, None).attempt("socket")?;
    // `connect` waits for room in the queue of the worker.
    worker.set_write_timeout(Some(PATIENCE)).attempt("setsockopt SO_SNDTIMEO")?;
    let attempt = format!("connect to {}", args.name);
    worker.connect(&args.name.address()?).attempt(&attempt)?;
    let pid = is_ours(&worker).attempt(&attempt)?;
    // A message has to have a byte: on a stream an empty one is not sent, and its descriptor is lost.
    let fds = [stream.as_raw_fd()];
    let (bytes, rights) = ([IoSlice::new(b"c")], [ControlMessage::ScmRights(&fds)]);
    sendmsg::<()>(worker.as_raw_fd(), &bytes, &rights, MsgFlags::MSG_NOSIGNAL, None)
        .attempt("sendmsg SCM_RIGHTS")?;
    Ok(pid)
}

/// The pid of the peer, if it is root's or of the same user as this process.
fn is_ours(peer: &Socket) -> nix::Result<i32> {
    let peer = getsockopt(peer, PeerCredentials)?;
    if peer.uid() == 0 || peer.uid() == geteuid().as_raw() {
        Ok(peer.pid())
    } else {
        Err(Errno::EPERM)
    }
}

/// The worker: takes connections from the front, and serves one at a time.
fn serve(signals: Signals, log: Log, args: &Args, out: &mut Output) -> Result<(), Error> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).attempt("socket")?;
    socket.bind(&args.name.address()?).attempt(format_args!("bind {}", args.name))?;
    socket.listen(BACKLOG).attempt(format_args!("listen on {}", args.name))?;
    let listener = Listener::new(socket)?;
    let mut buffer = vec![0; BUFFER];
    out.line(report::ready(&args.name, args.json))?;
    let mut stop = Stop::new(signals, listener, args.grace.0);
    while let Some(listener) = &mut stop.listener {
        match stop.signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, None)? {
            Woken::Signal(_) => break,
            Woken::Deadline => {}
            Woken::Ready => {
                let Some(front) = listener.accept_unix(&log)? else { continue };
                let taken = take_over(&front);
                drop(front); // close: each connection has a message of its own
                match taken {
                    Ok((stream, peer)) => {
                        let mut record = log.open(peer);
                        let idle = args.idle_timeout;
                        let end = echo(&stream, &mut buffer, idle, &mut stop, &mut record);
                        record.close(end);
                    } // the drop of `stream` closes it
                    Err(why) => log.note(format_args!("nothing taken over: {why}")),
                }
            }
        }
    }
    Ok(())
}

/// Takes a connection from the front: one descriptor, of a stream that has a peer.
fn take_over(front: &Socket) -> Result<(Socket, SocketAddr), String> {
    is_ours(front).map_err(|_| "not a process of this user".to_owned())?;
    front.set_read_timeout(Some(PATIENCE)).map_err(|why| why.to_string())?;
    let mut fds = receive(front).map_err(|why| format!("recvmsg: {}", errno(why)))?;
    let (Some(fd), true) = (fds.pop(), fds.is_empty()) else {
        return Err("not one descriptor".to_owned()); // the drop of the others closes them
    };
    let stream = Socket::from(fd);
    let peer =
        stream.peer_addr().map_err(|why| format!("getpeername: {}", errno(to_errno(why))))?;
    let is_stream = getsockopt(&stream, SockType) == Ok(nix::sys::socket::SockType::Stream);
    match peer.as_socket().filter(|_| is_stream) {
        Some(peer) => Ok((stream, peer)),
        None => Err("not a connection of TCP".to_owned()),
    }
}

/// The descriptors of the next message. They are taken whatever the kernel says of the rest
/// (MSG_CTRUNC): one that is in this process and unknown to it would never be closed.
#[expect(unsafe_code, reason = "recvmsg with SCM_RIGHTS is what this recipe shows")]
fn receive(front: &Socket) -> nix::Result<Vec<OwnedFd>> {
    let mut byte = [0_u8; 1];
    let mut bytes = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // CMSG_SPACE of one descriptor, aligned as the header; it has room for two.
    let mut control = [0_usize; 3];
    // SAFETY: msghdr is integers and pointers, for which all zeros is a value.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = fit(size_of_val(&control))?;
    // SAFETY: the pointers of `message` are valid for the lengths beside them.
    let result =
        unsafe { libc::recvmsg(front.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    Errno::result(result)?;
    // SAFETY: `message` is as the kernel left it, and `control` lives.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: null, or a header in `control`, which is aligned for it.
    let Some(header) = (unsafe { header.as_ref() }) else { return Ok(Vec::new()) };
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return Ok(Vec::new());
    }
    // SAFETY: the length of an empty message is a number.
    let empty = unsafe { libc::CMSG_LEN(0) };
    let length: usize = fit(header.cmsg_len)?;
    let count = length.saturating_sub(fit(empty)?) / size_of::<libc::c_int>();
    // SAFETY: the data begin behind the header, in `control`.
    let data = unsafe { libc::CMSG_DATA(header) }.cast::<libc::c_int>();
    let one = |at: usize| {
        // SAFETY: the kernel wrote `count` numbers there; read_unaligned needs no alignment.
        let fd = unsafe { data.wrapping_add(at).read_unaligned() };
        // SAFETY: the kernel has just made it for this process, and nothing else knows it.
        unsafe { OwnedFd::from_raw_fd(fd) }
    };
    Ok((0..count).map(one).collect())
}

/// The lengths of these structures have other types with another C library.
fn fit<A, B: TryFrom<A>>(length: A) -> nix::Result<B> {
    B::try_from(length).map_err(|_| Errno::EINVAL)
}

/// Sends back what the peer sends, until the end. The error is the reason to end before it.
#[expect(clippy::indexing_slicing, reason = "recv and send return at most the length they got")]
fn echo(
    stream: &Socket,
    buffer: &mut [u8],
    idle: Timeout,
    stop: &mut Stop,
    record: &mut Record,
) -> Result<(), String> {
    let fd = stream.as_raw_fd();
    loop {
        wait_for_peer(stream, PollFlags::POLLIN, idle, stop)?;
        let received = match recv(fd, buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Ok(()),
            Ok(received) => received,
            // What poll reported may be gone again: without MSG_DONTWAIT this call would block.
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(why) => return Err(format!("recv: {}", errno(why))),
        };
        let mut rest = &buffer[..received];
        record.received(rest);
        // The kernel takes what it has room for, which may be less than there is.
        while !rest.is_empty() {
            // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
            match send(fd, rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => {
                    record.sent(sent);
                    rest = &rest[sent..];
                }
                Err(Errno::EAGAIN) => wait_for_peer(stream, PollFlags::POLLOUT, idle, stop)?,
                Err(Errno::EINTR) => {}
                Err(why) => return Err(format!("send: {}", errno(why))),
            }
        }
    }
}

/// Waits until the peer has sent (POLLIN) or has taken (POLLOUT) bytes. The error is the reason to
/// wait no longer.
fn wait_for_peer(
    stream: &Socket,
    events: PollFlags,
    idle: Timeout,
    stop: &mut Stop,
) -> Result<(), String> {
    // The silence is counted from here: only a peer that does something gets a new deadline.
    let idle_end = idle.deadline();
    loop {
        let mut fds = [
            PollFd::new(stop.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stream.as_fd(), events),
        ];
        match poll(&mut fds, timeout_until(stop.deadline(idle_end))) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(why) => return Err(format!("poll: {}", errno(why))),
        }
        let [signal, ready] = fds.map(|fd| fd.any().unwrap_or(true));
        let now = Instant::now();
        if signal {
            stop.next_signal(now).map_err(|error| error.to_string())?;
        }
        if let Some(why) = stop.is_over(now) {
            return Err(why.to_owned());
        }
        if ready {
            return Ok(());
        }
        if idle_end.is_some_and(|end| end <= now) {
            let what = if events == PollFlags::POLLIN { "timed out" } else { "send timed out" };
            return Err(format!("{what} after {idle}"));
        }
    }
}
