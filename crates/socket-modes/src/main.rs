//! Make the same calls blocking and non-blocking, and show what each of them returns and when.
//!
//! # What it shows
//! A call on a socket waits until it can be done, unless it is told not to: by O_NONBLOCK, a flag of
//! the socket, or by MSG_DONTWAIT, a flag of one `recv` or `send`. It then fails with `EAGAIN`. A TCP
//! `connect` fails with `EINPROGRESS` and goes on in the kernel. O_NONBLOCK belongs to the open file
//! description, which `dup` and `fork` share; a socket that `accept` returns has one of its own.
//!
//! # System calls
//! connect, TCP: `socket` → `setsockopt(SO_SNDTIMEO)` → `connect` → `socket` → `fcntl(O_NONBLOCK)` →
//! `connect`; unix: → `socket` → `setsockopt(SO_SNDTIMEO)` → `connect` → `socket` →
//! `fcntl(O_NONBLOCK)` → `connect`; accept: → `socket` → `bind` → `listen` →
//! `setsockopt(SO_RCVTIMEO)` → `fcntl(O_NONBLOCK)`; recv: → `socket` → `connect` →
//! `setsockopt(SO_RCVTIMEO)` → `recv` → `recv(MSG_DONTWAIT)` → `fcntl(O_NONBLOCK)` → `recv`;
//! send: → `socket` → `connect` → `setsockopt(SO_SNDTIMEO)` → `send` → `socket` → `connect` →
//! `send(MSG_DONTWAIT)` → `socket` → `connect` → `fcntl(O_NONBLOCK)` → `send`;
//! the flag: → `socket` → `fcntl(F_DUPFD_CLOEXEC)` → `fcntl(O_NONBLOCK)` → `socket` → `fork`,
//! in the child `fcntl(O_NONBLOCK)` → `_exit`,
//! in the parent `waitpid` → `fcntl(F_GETFL)` → `socket` → `bind` → `listen` → `fcntl(O_NONBLOCK)` →
//! `accept`
//!
//! # Try it
//! ```console
//! $ socket-modes | sed 's/[0-9]* bytes/N bytes/'
//! call           mode          errno        time
//! connect        blocking      EINPROGRESS  202.0 ms, ended by SO_SNDTIMEO
//! connect        MSG_DONTWAIT  the call has no flags
//! connect        O_NONBLOCK    EINPROGRESS  0.0451 ms
//! connect, unix  blocking      EAGAIN       203.9 ms, ended by SO_SNDTIMEO
//! connect, unix  MSG_DONTWAIT  the call has no flags
//! connect, unix  O_NONBLOCK    EAGAIN       0.0048 ms
//! accept         blocking      EAGAIN       203.9 ms, ended by SO_RCVTIMEO
//! accept         MSG_DONTWAIT  the call has no flags
//! accept         O_NONBLOCK    EAGAIN       0.0096 ms
//! recv           blocking      EAGAIN       203.9 ms, ended by SO_RCVTIMEO
//! recv           MSG_DONTWAIT  EAGAIN       0.0035 ms
//! recv           O_NONBLOCK    EAGAIN       0.0007 ms
//! send           blocking      EAGAIN       204.0 ms, ended by SO_SNDTIMEO, after N bytes
//! send           MSG_DONTWAIT  EAGAIN       0.0011 ms, after N bytes
//! send           O_NONBLOCK    EAGAIN       0.0009 ms, after N bytes
//!
//! dup           set on the copy: the original has it
//! fork          set on the child's descriptor, pid 15890: the parent's has it
//! accept        set on the listener: the accepted socket does not have it
//! MSG_DONTWAIT  set on one recv: the socket does not have it
//! ```
//!
//! # What can go wrong
//! - A loop that calls again at once after `EAGAIN` takes a whole core: wait in `poll`. The Python
//!   original does it with `listen`, which never waits.
//! - `EAGAIN` of a unix `connect`: the queue is full, and nothing goes on in the kernel. Call it again.
//! - A non-blocking `send` may take a part of what it is given, and a blocking one too when
//!   SO_SNDTIMEO ends it: look at the count.
//! - A standard stream that one program makes non-blocking is so for every process that shares its
//!   description, the shell included.
//! - On Linux an accepted socket blocks even if its listener does not (accept4 with SOCK_NONBLOCK sets
//!   the flag at once). On BSD it inherits the flag of its listener.
//! - A listener that blocks, and was readable, can still keep `accept` waiting: the client may have
//!   left. A server that polls makes its listener non-blocking.
//!
//! # Next
//! `connect-nonblocking` waits for a connect that is in progress, `socket-timeout` bounds the calls
//! that wait.
//!
//! # Source
//! socket(7), connect(2), fcntl(2), accept(2), unix(7); UNP §16, TLPI §5.4 and §63.2; the Python
//! cookbook's recipe 1.9.

mod args;
mod report;

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::MsgFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use socket2::{Domain, SockAddr, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::sys::_exit;
use netcore::time::{Timeout, in_micros};
use netcore::{cli, recipe};

use args::Args;
use report::{Case, Ended, Mode, Report, Row, errno};

const DONTWAIT: i32 = MsgFlags::MSG_DONTWAIT.bits();

/// What each `send` is given; after enough of them the buffers are full.
const CHUNK: [u8; 4096] = [0; 4096];

const NO_FLAGS: &str = "the call has no flags";
const NOT_MADE: &str = "not made: it would wait forever";

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74, moved "--cancel" = "connect-nonblocking"), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let mut report = Report { out, json: args.json };
    report.heading()?;
    let (listener, _) = listen(&loopback(), 1)?;
    let (_full, silent) = full_listener(&loopback())?;
    // A unix socket without a path gets an abstract name from the kernel, which is no file.
    let nameless = SockAddr::unix("").attempt("an address without a path")?;
    let (_full, silent_unix) = full_listener(&nameless)?;
    report.rows(connect("connect", "EINPROGRESS", &silent, args.timeout)?)?;
    report.rows(connect("connect, unix", "EAGAIN", &silent_unix, args.timeout)?)?;
    report.rows(accept(args.timeout)?)?;
    report.rows(recv(&listener, args.timeout)?)?;
    report.rows(send(&listener, args.timeout)?)?;
    report.text("")?;
    report.case(&flag_and_dup()?)?;
    report.case(&flag_and_fork()?)?;
    report.case(&flag_and_accept()?)?;
    report.case(&flag_and_dontwait(&listener)?)
}

/// To a listener that does not answer. A TCP connect goes on in the kernel, a unix one does not.
fn connect(
    call: &'static str,
    documented: &'static str,
    silent: &SockAddr,
    timeout: Timeout,
) -> Result<[Row; 3], Error> {
    let row = |mode, ended| Row { call, mode, documented, ended };
    let socket = Socket::new(silent.domain(), Type::STREAM, None).attempt("socket")?;
    socket.set_write_timeout(micros(timeout)).attempt("setsockopt SO_SNDTIMEO")?;
    let blocking = bounded(timeout, || timed(|| socket.connect(silent)));

    let socket = Socket::new(silent.domain(), Type::STREAM, None).attempt("socket")?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let nonblocking = timed(|| socket.connect(silent));
    Ok([
        row(Mode::Blocking("SO_SNDTIMEO"), blocking),
        row(Mode::DontWait, Err(NO_FLAGS)),
        row(Mode::NonBlocking, Ok(nonblocking)),
    ])
}

/// Where no client connects.
fn accept(timeout: Timeout) -> Result<[Row; 3], Error> {
    let row = |mode, ended| Row { call: "accept", mode, documented: "EAGAIN", ended };
    let (listener, _) = listen(&loopback(), 1)?;
    listener.set_read_timeout(micros(timeout)).attempt("setsockopt SO_RCVTIMEO")?;
    let blocking = bounded(timeout, || timed(|| listener.accept()));
    listener.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let nonblocking = timed(|| listener.accept());
    Ok([
        row(Mode::Blocking("SO_RCVTIMEO"), blocking),
        // accept4 has flags, but they are for the socket that it returns.
        row(Mode::DontWait, Err(NO_FLAGS)),
        row(Mode::NonBlocking, Ok(nonblocking)),
    ])
}

/// From a peer that sends nothing, three times on one socket.
fn recv(listener: &Socket, timeout: Timeout) -> Result<[Row; 3], Error> {
    let row = |mode, ended| Row { call: "recv", mode, documented: "EAGAIN", ended };
    let (socket, _peer) = connection(listener)?;
    let mut byte = [MaybeUninit::uninit()];
    socket.set_read_timeout(micros(timeout)).attempt("setsockopt SO_RCVTIMEO")?;
    let blocking = bounded(timeout, || timed(|| socket.recv(&mut byte)));
    let dontwait = timed(|| socket.recv_with_flags(&mut byte, DONTWAIT));
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let nonblocking = timed(|| socket.recv(&mut byte));
    Ok([
        row(Mode::Blocking("SO_RCVTIMEO"), blocking),
        row(Mode::DontWait, Ok(dontwait)),
        row(Mode::NonBlocking, Ok(nonblocking)),
    ])
}

/// To a peer that reads nothing, until the buffers of both are full.
fn send(listener: &Socket, timeout: Timeout) -> Result<[Row; 3], Error> {
    let row = |mode, ended| Row { call: "send", mode, documented: "EAGAIN", ended };
    let (socket, _peer) = connection(listener)?;
    socket.set_write_timeout(micros(timeout)).attempt("setsockopt SO_SNDTIMEO")?;
    let blocking = bounded(timeout, || fill(|| socket.send(&CHUNK)));
    let (socket, _peer) = connection(listener)?;
    let dontwait = fill(|| socket.send_with_flags(&CHUNK, DONTWAIT));
    let (socket, _peer) = connection(listener)?;
    socket.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let nonblocking = fill(|| socket.send(&CHUNK));
    Ok([
        row(Mode::Blocking("SO_SNDTIMEO"), blocking),
        row(Mode::DontWait, Ok(dontwait)),
        row(Mode::NonBlocking, Ok(nonblocking)),
    ])
}

/// Two descriptors, one description.
fn flag_and_dup() -> Result<Case, Error> {
    let socket = stream()?;
    let copy = socket.try_clone().attempt("fcntl F_DUPFD_CLOEXEC")?;
    copy.set_nonblocking(true).attempt("fcntl F_SETFL O_NONBLOCK")?;
    let is_set = socket.nonblocking().attempt("fcntl F_GETFL")?;
    let set_on = "the copy".to_owned();
    Ok(Case { by: "dup", set_on, seen_on: "the original", is_set, documented: true })
}

/// Two processes, one description: a flag that the child sets, its parent has.
fn flag_and_fork() -> Result<Case, Error> {
    let socket = stream()?;
    // SAFETY: this process has one thread, and the child makes two system calls and no more.
    #[expect(unsafe_code, reason = "what fork shares is a part of what this recipe shows")]
    let child = match unsafe { fork() }.attempt("fork")? {
        ForkResult::Child => _exit(socket.set_nonblocking(true).is_err().into()),
        ForkResult::Parent { child } => child,
    };
    let ended = loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            ended => break ended,
        }
    };
    // ECHILD: SIGCHLD was ignored when this program was started, and the kernel has reaped.
    if !matches!(ended, Ok(WaitStatus::Exited(_, 0)) | Err(Errno::ECHILD)) {
        return Err(Errno::EIO).attempt("fcntl F_SETFL O_NONBLOCK in the child");
    }
    let is_set = socket.nonblocking().attempt("fcntl F_GETFL")?;
    let set_on = format!("the child's descriptor, pid {child}");
    Ok(Case { by: "fork", set_on, seen_on: "the parent's", is_set, documented: true })
}

/// A new socket, and a new description: it blocks, whatever its listener does.
fn flag_and_accept() -> Result<Case, Error> {
    let (listener, local) = listen(&loopback(), 1)?;
    listener.set_nonblocking(true).attempt("fcntl F_SETFL O_NONBLOCK")?;
    let client = stream()?;
    client.connect(&local).attempt("connect to a listener of our own")?;
    wait_for_client(&listener)?;
    let (accepted, _) = listener.accept().attempt("accept")?;
    let is_set = accepted.nonblocking().attempt("fcntl F_GETFL")?;
    let set_on = "the listener".to_owned();
    Ok(Case { by: "accept", set_on, seen_on: "the accepted socket", is_set, documented: false })
}

/// A flag of one call, which the socket does not keep.
fn flag_and_dontwait(listener: &Socket) -> Result<Case, Error> {
    let (socket, _peer) = connection(listener)?;
    // It fails with EAGAIN, as one of the rows shows.
    let _ = socket.recv_with_flags(&mut [MaybeUninit::uninit()], DONTWAIT);
    let is_set = socket.nonblocking().attempt("fcntl F_GETFL")?;
    let set_on = "one recv".to_owned();
    Ok(Case { by: "MSG_DONTWAIT", set_on, seen_on: "the socket", is_set, documented: false })
}

/// A free port of this machine.
fn loopback() -> SockAddr {
    SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A stream socket, which blocks like every new one.
fn stream() -> Result<Socket, Error> {
    Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")
}

/// A listener, and the address that the kernel gave it.
fn listen(local: &SockAddr, backlog: i32) -> Result<(Socket, SockAddr), Error> {
    let listener = Socket::new(local.domain(), Type::STREAM, None).attempt("socket")?;
    listener.bind(local).attempt("bind a free address")?;
    listener.listen(backlog).attempt("listen")?;
    let local = listener.local_addr().attempt("getsockname")?;
    Ok((listener, local))
}

/// A listener that does not answer, and its address: a backlog of 0 admits one client, which is
/// here. Both sockets have to stay open.
fn full_listener(local: &SockAddr) -> Result<([Socket; 2], SockAddr), Error> {
    let (listener, local) = listen(local, 0)?;
    let queued = Socket::new(local.domain(), Type::STREAM, None).attempt("socket")?;
    queued.connect(&local).attempt("connect to a listener of our own")?;
    wait_for_client(&listener)?;
    Ok(([listener, queued], local))
}

/// A client is connected a moment before its listener has it in the queue.
fn wait_for_client(listener: &Socket) -> Result<(), Error> {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, Timeout::seconds(5).deadline()).map(drop).attempt("poll")
}

/// A connection, and its other end, which neither sends nor reads. Its buffer is small: it is full
/// after a few sends, and not after four megabytes.
fn connection(listener: &Socket) -> Result<(Socket, Socket), Error> {
    let local = listener.local_addr().attempt("getsockname")?;
    let socket = stream()?;
    socket.set_send_buffer_size(4096).attempt("setsockopt SO_SNDBUF")?;
    socket.connect(&local).attempt("connect to a listener of our own")?;
    let (peer, _) = listener.accept().attempt("accept")?;
    Ok((socket, peer))
}

/// In whole microseconds, rounded up: a timeval has no finer unit.
fn micros(timeout: Timeout) -> Option<Duration> {
    timeout.duration().map(in_micros)
}

/// Makes a call that waits, unless nothing would end it.
fn bounded(timeout: Timeout, call: impl FnOnce() -> Ended) -> Result<Ended, &'static str> {
    if timeout.duration().is_some() { Ok(call()) } else { Err(NOT_MADE) }
}

fn timed<T>(call: impl FnOnce() -> io::Result<T>) -> Ended {
    let begun = Instant::now();
    let result = call();
    let after = begun.elapsed();
    let errno = result.map_or_else(|why| errno(&why), |_| "0".to_owned());
    Ended { errno, after, bytes: None }
}

/// Sends until a call fails; the time is that of the last one.
fn fill(mut send: impl FnMut() -> io::Result<usize>) -> Ended {
    let mut bytes = 0;
    loop {
        let begun = Instant::now();
        match send() {
            // It may have taken a part of what it was given: the count says how much.
            Ok(sent) => bytes += sent as u64,
            Err(why) => {
                let after = begun.elapsed();
                return Ended { errno: errno(&why), after, bytes: Some(bytes) };
            }
        }
    }
}
