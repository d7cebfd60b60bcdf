//! Twelve errors, each made on this machine with no network and no privilege.
//!
//! Every function ends with the call that is to fail. The sockets before it are what brings that about.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn};
use nix::sys::socket::{accept4, bind, connect, getsockname, listen, recv, send};
use nix::sys::socket::{setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

use netcore::error::{Attempt, Error};
use netcore::time::{Timeout, millis};

use crate::stream::{Deadline, join, open};

/// The longest that any wait here takes.
const PATIENCE: Timeout = Timeout::seconds(4);

/// The most that a datagram over IPv4 carries: 65,535 less the headers of IP (20) and UDP (8).
const DATAGRAM: usize = 65_507;

/// What was done, and what the kernel said.
pub(crate) struct Seen {
    pub(crate) here: String,
    pub(crate) errno: Errno,
}

/// The error of the call that is to fail; that it worked is one of the experiment.
fn seen<T>(here: String, result: nix::Result<T>) -> Result<Seen, Error> {
    match result {
        Err(errno) => Ok(Seen { here, errno }),
        Ok(_) => Err(Error::No(format!("{here}: worked"))),
    }
}

pub(crate) fn refused() -> Result<Seen, Error> {
    // Bound, so that nobody else takes the port; not listening, so that nobody answers.
    let other = stream()?;
    let address = bound(&other)?;
    let result = connect(stream()?.as_raw_fd(), &address);
    seen(format!("connect to {address}, bound by a socket that does not listen"), result)
}

pub(crate) fn reset() -> Result<Seen, Error> {
    let (client, server) = pair()?;
    send(client.as_raw_fd(), b"unread", MsgFlags::MSG_NOSIGNAL).attempt("send")?;
    wait(&server, PollFlags::POLLIN)?;
    drop(server);
    wait(&client, PollFlags::POLLIN)?;
    let result = recv(client.as_raw_fd(), &mut [0; 8], MsgFlags::empty());
    seen("recv after the peer closed with 6 bytes of ours unread".to_owned(), result)
}

pub(crate) fn broken_pipe() -> Result<Seen, Error> {
    let (client, server) = pair()?;
    drop(server);
    wait(&client, PollFlags::POLLIN)?;
    send(client.as_raw_fd(), b"first", MsgFlags::MSG_NOSIGNAL).attempt("send")?;
    // The answer to the first is a reset; poll reports the hang-up unasked.
    wait(&client, PollFlags::empty())?;
    let result = send(client.as_raw_fd(), b"second", MsgFlags::MSG_NOSIGNAL);
    seen("send to a peer that has closed: the first worked, the second not".to_owned(), result)
}

pub(crate) fn timeout() -> Result<Seen, Error> {
    // A backlog of 0 holds one connection that nobody accepts; then each SYN is dropped.
    let listener = stream()?;
    let address = bound(&listener)?;
    listen(&listener, Backlog::new(0).attempt("listen")?).attempt("listen")?;
    let first = open(local(address))?;
    join(&first, local(address), Deadline::of(PATIENCE))?;
    let client = stream()?;
    // Else the kernel tries for a minute or two. It looks when it would send the SYN again, after a
    // second; should it look at nothing, SO_SNDTIMEO ends the wait, with another errno.
    setsockopt(&client, sockopt::TcpUserTimeout, &100).attempt("setsockopt TCP_USER_TIMEOUT")?;
    setsockopt(&client, sockopt::SendTimeout, &TimeVal::new(4, 0)).attempt("setsockopt")?;
    let begun = Instant::now();
    let result = connect(client.as_raw_fd(), &address);
    let took = millis(begun.elapsed());
    seen(format!("connect to a full backlog: given up by the kernel after {took}"), result)
}

pub(crate) fn address_in_use() -> Result<Seen, Error> {
    let other = stream()?;
    let address = bound(&other)?;
    let result = bind(stream()?.as_raw_fd(), &address);
    seen(format!("bind to {address}, which another socket has"), result)
}

pub(crate) fn address_not_available() -> Result<Seen, Error> {
    // Kept for documentation (RFC 5737): no machine has it.
    let result = bind(stream()?.as_raw_fd(), &SockaddrIn::new(192, 0, 2, 1, 0));
    seen("bind to 192.0.2.1, an address of no machine".to_owned(), result)
}

pub(crate) fn permission() -> Result<Seen, Error> {
    // Port 1 would do, but not for root. This needs the option SO_BROADCAST, whoever asks.
    let result = connect(datagram()?.as_raw_fd(), &SockaddrIn::new(127, 255, 255, 255, 9));
    seen("connect a datagram socket to the broadcast address 127.255.255.255".to_owned(), result)
}

pub(crate) fn would_block() -> Result<Seen, Error> {
    let (client, _server) = pair()?;
    let result = recv(client.as_raw_fd(), &mut [0; 8], MsgFlags::empty());
    seen("recv on a non-blocking socket to which nothing came".to_owned(), result)
}

pub(crate) fn message_too_long() -> Result<Seen, Error> {
    let receiver = datagram()?;
    let address = bound(&receiver)?;
    let sender = datagram()?;
    connect(sender.as_raw_fd(), &address).attempt("connect")?;
    send(sender.as_raw_fd(), &[0; DATAGRAM], MsgFlags::empty()).attempt("send")?;
    let result = send(sender.as_raw_fd(), &[0; DATAGRAM + 1], MsgFlags::empty());
    seen(format!("send {} bytes as one datagram; {DATAGRAM} went", DATAGRAM + 1), result)
}

pub(crate) fn not_connected() -> Result<Seen, Error> {
    let result = recv(stream()?.as_raw_fd(), &mut [0; 8], MsgFlags::empty());
    seen("recv on a stream socket that was never connected".to_owned(), result)
}

pub(crate) fn already_connected() -> Result<Seen, Error> {
    let listener = stream()?;
    let address = bound(&listener)?;
    listen(&listener, Backlog::MAXCONN).attempt("listen")?;
    let client = stream()?;
    connect(client.as_raw_fd(), &address).attempt("connect")?;
    seen("connect on a socket that is connected".to_owned(), connect(client.as_raw_fd(), &address))
}

pub(crate) fn too_many_files() -> Result<Seen, Error> {
    const LIMIT: u64 = 16;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).attempt("getrlimit")?;
    let limit = LIMIT.min(soft);
    // The soft limit is ours to lower, and to raise again up to the hard one.
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).attempt("setrlimit")?;
    let mut open = Vec::new();
    let result = loop {
        match socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None) {
            Ok(fd) => open.push(fd),
            Err(errno) => break Err::<(), _>(errno),
        }
    };
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).attempt("setrlimit")?;
    seen(format!("socket, again and again, until RLIMIT_NOFILE of {limit} is full"), result)
}

fn stream() -> Result<OwnedFd, Error> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Inet, SockType::Stream, flags, None).attempt("socket")
}

fn datagram() -> Result<OwnedFd, Error> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Inet, SockType::Datagram, flags, None).attempt("socket")
}

/// Binds to a free port of 127.0.0.1, and says which.
fn bound(fd: &OwnedFd) -> Result<SockaddrIn, Error> {
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).attempt("bind 127.0.0.1:0")?;
    getsockname(fd.as_raw_fd()).attempt("getsockname")
}

/// Both ends of a connection: a client, which does not block, and what accept returned for it.
fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    let listener = stream()?;
    let address = bound(&listener)?;
    listen(&listener, Backlog::MAXCONN).attempt("listen")?;
    let client = open(local(address))?;
    join(&client, local(address), Deadline::of(PATIENCE))?;
    Ok((client, accept4(&listener, SockFlag::SOCK_CLOEXEC).attempt("accept")?))
}

fn wait(fd: &OwnedFd, events: PollFlags) -> Result<(), Error> {
    Deadline::of(PATIENCE).wait(fd, events, "poll")
}

fn local(address: SockaddrIn) -> SocketAddr {
    SocketAddr::from((address.ip(), address.port()))
}
