//! Two sockets that want one address, in every situation that there is a rule for.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};

use crate::holder::in_time_wait;
use crate::{Reuse, open};

/// What came of it, in a few words, for two sockets with these options.
pub(crate) type Probe = fn(Reuse, Reuse) -> Result<String, Error>;

/// Every address of this machine.
const ALL: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How long something may take that loopback does at once.
const SOON: Duration = Duration::from_secs(2);

pub(crate) fn one_address(old: Reuse, new: Reuse) -> Result<String, Error> {
    two_listeners(ONE, ONE, old, new)
}

pub(crate) fn wildcard_first(old: Reuse, new: Reuse) -> Result<String, Error> {
    two_listeners(ALL, ONE, old, new)
}

pub(crate) fn wildcard_second(old: Reuse, new: Reuse) -> Result<String, Error> {
    two_listeners(ONE, ALL, old, new)
}

pub(crate) fn two_addresses(old: Reuse, new: Reuse) -> Result<String, Error> {
    two_listeners(ONE, TWO, old, new)
}

fn two_listeners(
    first: Ipv4Addr,
    second: Ipv4Addr,
    old: Reuse,
    new: Reuse,
) -> Result<String, Error> {
    let old = listening((first, 0).into(), old)?;
    Ok(came_of(listening((second, port(&old)?).into(), new)))
}

/// Neither listens yet.
pub(crate) fn bound_only(old: Reuse, new: Reuse) -> Result<String, Error> {
    let old = bound(Type::STREAM, (ONE, 0).into(), old)?;
    Ok(came_of(bound(Type::STREAM, (ONE, port(&old)?).into(), new)))
}

/// Both were bound before either listens.
pub(crate) fn second_listen(old: Reuse, new: Reuse) -> Result<String, Error> {
    let old = bound(Type::STREAM, (ONE, 0).into(), old)?;
    let new = bound(Type::STREAM, (ONE, port(&old)?).into(), new)?;
    old.listen(1).attempt("listen")?;
    Ok(came_of(new.listen(1).attempt("listen")))
}

/// The old server is gone; it closed its last connection first, which is in TIME_WAIT.
pub(crate) fn time_wait(old: Reuse, new: Reuse) -> Result<String, Error> {
    let (local, accepted, client) = connection(old)?;
    drop(accepted);
    // The client closes second, or it would have the TIME_WAIT.
    client.set_read_timeout(Some(SOON)).attempt("setsockopt SO_RCVTIMEO")?;
    recv(client.as_raw_fd(), &mut [0; 1], MsgFlags::empty()).attempt("recv")?;
    drop(client);
    let deadline = Instant::now() + SOON;
    while in_time_wait(local) == 0 {
        if Instant::now() >= deadline {
            return Ok("no TIME_WAIT".to_owned());
        }
        poll(&mut [], PollTimeout::from(1_u8)).attempt("poll")?;
    }
    Ok(came_of(listening(local, new)))
}

/// The old server's listener is gone; a connection that it accepted lives, as a child's may.
pub(crate) fn live(old: Reuse, new: Reuse) -> Result<String, Error> {
    let (local, _accepted, _client) = connection(old)?;
    Ok(came_of(listening(local, new)))
}

/// An address, and a connection that was accepted there by a listener that is closed.
fn connection(option: Reuse) -> Result<(SocketAddr, Socket, Socket), Error> {
    let listener = listening((ONE, 0).into(), option)?;
    let local = SocketAddr::from((ONE, port(&listener)?));
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    client.connect(&local.into()).attempt(format_args!("connect to {local}"))?;
    let (accepted, _) = listener.accept().attempt("accept")?;
    Ok((local, accepted, client))
}

pub(crate) fn datagrams(old: Reuse, new: Reuse) -> Result<String, Error> {
    let old = bound(Type::DGRAM, (ONE, 0).into(), old)?;
    Ok(came_of(bound(Type::DGRAM, (ONE, port(&old)?).into(), new)))
}

/// Both are bound, and a datagram comes.
pub(crate) fn takeover(old: Reuse, new: Reuse) -> Result<String, Error> {
    let old = bound(Type::DGRAM, (ONE, 0).into(), old)?;
    let local = SocketAddr::from((ONE, port(&old)?));
    let (old, new) = (UdpSocket::from(old), bound(Type::DGRAM, local, new)?.into());
    let sender = UdpSocket::bind((ONE, 0)).attempt("bind 127.0.0.1:0")?;
    sender.send_to(b"whose?", local).attempt(format_args!("send to {local}"))?;
    // On loopback a datagram is there when its send returns.
    let receives = |socket: &UdpSocket| {
        socket.set_nonblocking(true).attempt("ioctl FIONBIO")?;
        match socket.recv(&mut [0; 8]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            received => received.attempt("recv").map(|_| true),
        }
    };
    Ok(match (receives(&old)?, receives(&new)?) {
        (true, false) => "the old gets it",
        (false, true) => "the new gets it",
        (true, true) => "both get it",
        (false, false) => "nobody gets it",
    }
    .to_owned())
}

pub(crate) fn dual_stack(old: Reuse, new: Reuse) -> Result<String, Error> {
    let old = listening((Ipv6Addr::UNSPECIFIED, 0).into(), old)?;
    Ok(came_of(listening((ALL, port(&old)?).into(), new)))
}

pub(crate) fn only_v6(old: Reuse, new: Reuse) -> Result<String, Error> {
    let (old, ..) = open(Domain::IPV6, Type::STREAM, old)?;
    old.set_only_v6(true).attempt("setsockopt IPV6_V6ONLY")?;
    bind_and_listen(&old, (Ipv6Addr::UNSPECIFIED, 0).into())?;
    Ok(came_of(listening((ALL, port(&old)?).into(), new)))
}

/// What a dual-stack listener calls a peer that came over IPv4.
pub(crate) fn mapped_peer(old: Reuse, _: Reuse) -> Result<String, Error> {
    let listener = listening((Ipv6Addr::UNSPECIFIED, 0).into(), old)?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    let local = SocketAddr::from((ONE, port(&listener)?));
    client.connect(&local.into()).attempt(format_args!("connect to {local}"))?;
    let (_, peer) = listener.accept().attempt("accept")?;
    Ok(peer.as_socket().map_or("no address".to_owned(), |peer| peer.ip().to_string()))
}

/// `socket`, the option, `bind`.
fn bound(kind: Type, local: SocketAddr, option: Reuse) -> Result<Socket, Error> {
    let (socket, ..) = open(Domain::for_address(local), kind, option)?;
    socket.bind(&local.into()).attempt("bind")?;
    Ok(socket)
}

fn listening(local: SocketAddr, option: Reuse) -> Result<Socket, Error> {
    let (socket, ..) = open(Domain::for_address(local), Type::STREAM, option)?;
    bind_and_listen(&socket, local)?;
    Ok(socket)
}

fn bind_and_listen(socket: &Socket, local: SocketAddr) -> Result<(), Error> {
    socket.bind(&local.into()).attempt("bind")?;
    socket.listen(1).attempt("listen")
}

fn port(socket: &Socket) -> Result<u16, Error> {
    let local = socket.local_addr().attempt("getsockname")?;
    let local = local.as_socket().ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")?;
    Ok(local.port())
}

/// `allowed`, or the call that was refused and its errno: `bind EADDRINUSE`.
fn came_of<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "allowed".to_owned(),
        Err(Error::Os { attempt, source }) => format!("{attempt} {source:?}"),
        Err(other) => other.to_string(),
    }
}
