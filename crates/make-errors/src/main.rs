//! Make twelve socket errors on this machine, and say what each one means.
//!
//! # What it shows
//! An errno says why a system call failed. Here twelve of them are caused on purpose, with sockets of
//! this process on loopback, without network or privilege: one short function an errno, whose last
//! socket call is the one that fails. What the errno means, and what a program should do about it, is
//! printed below it.
//!
//! # System calls
//! `socket` → `bind` → `listen` → `socket` → `connect` → `send` → `recv`
//!
//! # Try it
//! ```console
//! $ make-errors --case reset
//! reset                  ECONNRESET     Connection reset by peer
//!   call   recv after the peer closed without reading our 6 bytes
//!   means  the peer closed with bytes unread, or died: data may be lost
//!   do     close; send a request again only where twice does no harm
//! ```
//! Without `--case` it makes all twelve. Run it under strace to see each call fail.
//!
//! # What can go wrong
//! - `EMFILE` from `socket`; `EADDRINUSE` and `EADDRNOTAVAIL` from `bind`; `EACCES`, `ECONNREFUSED`,
//!   `ETIMEDOUT` and `EISCONN` from `connect`; `EMSGSIZE` and `EPIPE` from `send`; `ENOTCONN`,
//!   `EAGAIN` and `ECONNRESET` from `recv`: all on purpose.
//! - A sandbox or a firewall rule may change an errno. A case that ends with another errno, or with
//!   none, is reported, and the others are made all the same (exit 1).
//! - The first `send` after the peer has closed works: the kernel takes the bytes, the peer answers
//!   with a reset, and only the second `send` fails. An error may belong to an earlier call.
//! - The kernel repeats a SYN for a minute or two before `ETIMEDOUT`. TCP_USER_TIMEOUT shortens that.
//! - There are more: connect(2), send(2) and recv(2) list those of each call, `errno -l` lists all.
//!
//! # Next
//! `socket-errors` tells in which stage of a request an error occurred, `socket-timeout` waits with a
//! limit.
//!
//! # Source
//! socket(2), bind(2), connect(2), send(2), recv(2), tcp(7), errno(3); RFC 5737; UNP §5.11 to §5.15,
//! TLPI §56.5; the Python cookbook's recipe 1.7.

mod args;
mod report;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::AddressFamily::Inet;
use nix::sys::socket::SockType::{Datagram, Stream};
use nix::sys::socket::{Backlog, MsgFlags, SockFlag, SockaddrIn, sockopt};
use nix::sys::socket::{accept4, bind, connect, getsockname, listen, recv, send};
use nix::sys::socket::{setsockopt, socket};
use nix::sys::time::TimeVal;

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::time::millis;
use netcore::{cli, recipe};

use args::{Args, Wanted};
use report::{CASES, Failed};

const CLOEXEC: SockFlag = SockFlag::SOCK_CLOEXEC;

/// The longest wait for an event on loopback.
const WAIT: Duration = Duration::from_secs(4);

/// The most that a datagram over IPv4 carries: 65,535 less the headers of IP (20) and UDP (8).
const DATAGRAM: usize = 65_507;

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 69 71 74 75 77, alias "--provoke" = "--case"), make_errors)
}

fn make_errors(args: &Args, out: &mut Output) -> Result<(), Error> {
    let cases = match &args.case {
        Wanted::List => return CASES.iter().try_for_each(|case| case.list(args.json, out)),
        Wanted::All => CASES.as_slice(),
        Wanted::One(case) => std::slice::from_ref(*case),
    };
    for case in cases {
        let begun = Instant::now();
        match make(case.errno) {
            Ok(failed) => case.print(&failed, begun.elapsed(), args.json, out)?,
            // One that can't be made here does not hide the others.
            Err(error) => out.report(&error),
        }
    }
    Ok(())
}

fn make(errno: Errno) -> Result<Failed, Error> {
    match errno {
        Errno::EMFILE => emfile(),
        Errno::EADDRINUSE => eaddrinuse(),
        Errno::EADDRNOTAVAIL => eaddrnotavail(),
        Errno::EACCES => eacces(),
        Errno::ECONNREFUSED => econnrefused(),
        Errno::ETIMEDOUT => etimedout(),
        Errno::EISCONN => eisconn(),
        Errno::ENOTCONN => enotconn(),
        Errno::EAGAIN => eagain(),
        Errno::EMSGSIZE => emsgsize(),
        Errno::EPIPE => epipe(),
        Errno::ECONNRESET => econnreset(),
        other => Err(Error::No(format!("{other:?}: nothing here makes it"))),
    }
}

fn emfile() -> Result<Failed, Error> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).attempt("getrlimit")?;
    let limit = soft.min(16);
    // A process may lower its soft limit, and raise it again up to the hard one.
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).attempt("setrlimit")?;
    let mut open = Vec::new();
    let result = loop {
        match socket(Inet, Stream, CLOEXEC, None) {
            Ok(fd) => open.push(fd),
            Err(errno) => break Err::<(), _>(errno),
        }
    };
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).attempt("setrlimit")?;
    failed(format!("socket, until RLIMIT_NOFILE of {limit} is reached"), result)
}

fn eaddrinuse() -> Result<Failed, Error> {
    let first = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    let address = bind_loopback(&first)?;
    let second = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    let result = bind(second.as_raw_fd(), &address);
    failed(format!("bind to {address}, which another socket has"), result)
}

fn eaddrnotavail() -> Result<Failed, Error> {
    let fd = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    // Reserved for documentation (RFC 5737): no machine has it.
    let result = bind(fd.as_raw_fd(), &SockaddrIn::new(192, 0, 2, 1, 0));
    failed("bind to 192.0.2.1, which no machine has", result)
}

fn eacces() -> Result<Failed, Error> {
    let fd = socket(Inet, Datagram, CLOEXEC, None).attempt("socket")?;
    // Port 1 would do, but not for root. This needs the option SO_BROADCAST, for every user.
    let result = connect(fd.as_raw_fd(), &SockaddrIn::new(127, 255, 255, 255, 9));
    failed("connect a datagram socket to the broadcast address 127.255.255.255", result)
}

fn econnrefused() -> Result<Failed, Error> {
    // Bound, so that nobody else takes the port; not listening, so that the kernel refuses.
    let other = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    let address = bind_loopback(&other)?;
    let client = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    let result = connect(client.as_raw_fd(), &address);
    failed(format!("connect to {address}, bound by a socket that does not listen"), result)
}

fn etimedout() -> Result<Failed, Error> {
    let listener = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    let address = bind_loopback(&listener)?;
    // A backlog of 0 holds one connection that nobody accepts; then each SYN is dropped.
    listen(&listener, Backlog::new(0).attempt("listen")?).attempt("listen")?;
    let _first = connect_nonblocking(&address)?;
    wait(&listener, PollFlags::POLLIN)?;
    let client = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    // Otherwise the kernel tries for a minute or two. It looks at this option when it would send the SYN
    // again, after a second. If it ignored it, SO_SNDTIMEO would end the wait, with another errno.
    setsockopt(&client, sockopt::TcpUserTimeout, &100).attempt("setsockopt TCP_USER_TIMEOUT")?;
    let limit = TimeVal::new(4, 0);
    setsockopt(&client, sockopt::SendTimeout, &limit).attempt("setsockopt SO_SNDTIMEO")?;
    let begun = Instant::now();
    let result = connect(client.as_raw_fd(), &address);
    let took = millis(begun.elapsed());
    failed(format!("connect to a full backlog: the kernel gave up after {took}"), result)
}

fn eisconn() -> Result<Failed, Error> {
    let listener = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    let address = bind_loopback(&listener)?;
    listen(&listener, Backlog::MAXCONN).attempt("listen")?;
    let client = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    connect(client.as_raw_fd(), &address).attempt(format_args!("connect to {address}"))?;
    let result = connect(client.as_raw_fd(), &address);
    failed("connect on a socket that is connected already", result)
}

fn enotconn() -> Result<Failed, Error> {
    let fd = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    let result = recv(fd.as_raw_fd(), &mut [0; 8], MsgFlags::empty());
    failed("recv on a stream socket that was never connected", result)
}

fn eagain() -> Result<Failed, Error> {
    let (client, _server) = connection()?;
    let result = recv(client.as_raw_fd(), &mut [0; 8], MsgFlags::empty());
    failed("recv on a non-blocking socket that has received nothing", result)
}

fn emsgsize() -> Result<Failed, Error> {
    let receiver = socket(Inet, Datagram, CLOEXEC, None).attempt("socket")?;
    let address = bind_loopback(&receiver)?;
    let sender = socket(Inet, Datagram, CLOEXEC, None).attempt("socket")?;
    connect(sender.as_raw_fd(), &address).attempt(format_args!("connect to {address}"))?;
    send(sender.as_raw_fd(), &[0; DATAGRAM], MsgFlags::empty()).attempt("send")?;
    let result = send(sender.as_raw_fd(), &[0; DATAGRAM + 1], MsgFlags::empty());
    failed(format!("send {} bytes as one datagram; {DATAGRAM} fit", DATAGRAM + 1), result)
}

fn epipe() -> Result<Failed, Error> {
    let (client, server) = connection()?;
    drop(server); // close: FIN
    wait(&client, PollFlags::POLLIN)?;
    send(client.as_raw_fd(), b"first", MsgFlags::MSG_NOSIGNAL).attempt("send")?;
    // The answer to the first is a reset; poll reports POLLHUP without being asked.
    wait(&client, PollFlags::empty())?;
    let result = send(client.as_raw_fd(), b"second", MsgFlags::MSG_NOSIGNAL);
    failed("send for the second time to a peer that has closed", result)
}

fn econnreset() -> Result<Failed, Error> {
    let (client, server) = connection()?;
    send(client.as_raw_fd(), b"unread", MsgFlags::MSG_NOSIGNAL).attempt("send")?;
    wait(&server, PollFlags::POLLIN)?;
    drop(server); // close with bytes unread: RST in place of FIN
    wait(&client, PollFlags::POLLIN)?;
    let result = recv(client.as_raw_fd(), &mut [0; 8], MsgFlags::empty());
    failed("recv after the peer closed without reading our 6 bytes", result)
}

/// The error of the call that has to fail. If it succeeds, the experiment has failed.
fn failed<T>(here: impl Into<String>, result: nix::Result<T>) -> Result<Failed, Error> {
    let here = here.into();
    match result {
        Err(errno) => Ok(Failed { here, errno }),
        Ok(_) => Err(Error::No(format!("{here}: succeeded"))),
    }
}

/// Binds to a free port of 127.0.0.1, and returns the address.
fn bind_loopback(fd: &OwnedFd) -> Result<SockaddrIn, Error> {
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).attempt("bind 127.0.0.1:0")?;
    getsockname(fd.as_raw_fd()).attempt("getsockname")
}

/// Both ends of a connection: a client, which does not block, and the socket that `accept` returned.
fn connection() -> Result<(OwnedFd, OwnedFd), Error> {
    let listener = socket(Inet, Stream, CLOEXEC, None).attempt("socket")?;
    let address = bind_loopback(&listener)?;
    listen(&listener, Backlog::MAXCONN).attempt("listen")?;
    let client = connect_nonblocking(&address)?;
    wait(&listener, PollFlags::POLLIN)?;
    Ok((client, accept4(&listener, CLOEXEC).attempt("accept")?))
}

/// EINPROGRESS is no failure: the handshake is under way.
fn connect_nonblocking(address: &SockaddrIn) -> Result<OwnedFd, Error> {
    let client = socket(Inet, Stream, CLOEXEC | SockFlag::SOCK_NONBLOCK, None).attempt("socket")?;
    match connect(client.as_raw_fd(), address) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(client),
        Err(why) => Err(why).attempt(format_args!("connect to {address}")),
    }
}

/// Waits until the socket is ready for these events, or has failed.
fn wait(fd: &OwnedFd, events: PollFlags) -> Result<(), Error> {
    let mut fds = [PollFd::new(fd.as_fd(), events)];
    match poll(&mut fds, Some(Instant::now() + WAIT)).attempt("poll")? {
        0 => Err(Error::Timeout { attempt: "poll".to_owned(), after: WAIT }),
        _ => Ok(()),
    }
}
