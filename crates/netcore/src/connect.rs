//! A client's connection, over every address of a name.
//!
//! One address after the other, each with the full time-out, would make a person wait for every
//! dead one. The attempts overlap instead (RFC 8305, "happy eyeballs"): the families alternate, the
//! next address is tried after 250 ms or as soon as all before it have failed, the first
//! connection wins and the others are closed.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use socket2::{Domain, Socket, Type};

use crate::error::{Attempt, Error};
use crate::poll::poll_until;
use crate::time::Timeout;

/// The head start of an address over the next one (RFC 8305 §5, "Connection Attempt Delay").
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first of the addresses that answers, and returns the socket (non-blocking)
/// with the address.
///
/// # Errors
/// The failures of all addresses, with the errno of the last; [`Error::Timeout`] when the time
/// is over before an address answered.
pub fn connect(addresses: &[SocketAddr], timeout: Timeout) -> Result<(Socket, SocketAddr), Error> {
    let deadline = timeout.deadline();
    let mut untried = interleave(addresses).into_iter().peekable();
    let mut pending: Vec<(Socket, SocketAddr)> = Vec::new();
    let mut failed: Vec<(SocketAddr, Errno)> = Vec::new();
    let mut next_start = Instant::now();
    loop {
        // Start the next attempt when its time has come, or when nothing else is under way.
        while pending.is_empty() || next_start <= Instant::now() {
            let Some(address) = untried.next() else { break };
            next_start = Instant::now() + HEAD_START;
            match begin(address) {
                Ok(socket) => pending.push((socket, address)),
                Err(errno) => failed.push((address, errno)),
            }
        }
        if pending.is_empty() {
            return Err(all_failed(&failed));
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let tried: Vec<String> =
                pending.iter().map(|(_, address)| address.to_string()).collect();
            let attempt = format!("connect to {}", tried.join(" and "));
            return Err(Error::Timeout { attempt, after: timeout.duration().unwrap_or_default() });
        }
        let until = match untried.peek() {
            Some(_) => Some(deadline.map_or(next_start, |deadline| deadline.min(next_start))),
            None => deadline,
        };
        let mut fds: Vec<PollFd> = pending
            .iter()
            .map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT))
            .collect();
        poll_until(&mut fds, until).attempt("poll")?;
        let done: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let mut done = done.into_iter();
        let (decided, waiting): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|_| done.next().unwrap_or(false));
        pending = waiting;
        for (socket, address) in decided {
            match outcome(&socket) {
                Ok(()) => return Ok((socket, address)),
                Err(errno) => failed.push((address, errno)),
            }
        }
    }
}

/// Begins to connect: EINPROGRESS is the answer of a non-blocking socket that works on it.
fn begin(address: SocketAddr) -> Result<Socket, Errno> {
    let raw = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).map_err(raw)?;
    socket.set_nonblocking(true).map_err(raw)?;
    match socket.connect(&address.into()).map_err(raw) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// How the attempt ended, once poll says that it did: writable means decided, not connected.
fn outcome(socket: &Socket) -> Result<(), Errno> {
    let raw = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    if let Some(error) = socket.take_error().map_err(raw)? {
        return Err(raw(error));
    }
    // The kernel may pick the very port that we connect to as our own; TCP's simultaneous open
    // then connects the socket to itself. There is no server.
    let (local, peer) = (socket.local_addr().map_err(raw)?, socket.peer_addr().map_err(raw)?);
    if local.as_socket() == peer.as_socket() { Err(Errno::ECONNREFUSED) } else { Ok(()) }
}

/// The families in turn, beginning with the resolver's first choice (RFC 8305 §4).
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let mut mixed = Vec::with_capacity(addresses.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while mixed.len() < addresses.len() {
        mixed.extend(first.next());
        mixed.extend(second.next());
    }
    mixed
}

/// One error for all the addresses, so that none is forgotten.
fn all_failed(failed: &[(SocketAddr, Errno)]) -> Error {
    let Some(((address, errno), before)) = failed.split_last() else {
        return Error::Usage("no address to connect to".to_owned());
    };
    let mut attempt = String::new();
    for (address, errno) in before {
        attempt += &format!("connect to {address}: {errno:?}, ");
    }
    attempt += &format!("connect to {address}");
    Error::Os { attempt, source: *errno }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn refused() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn the_families_alternate() {
        let of = |texts: [&str; 4]| texts.map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(
            interleave(&of(["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"])),
            of(["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
    }

    #[test]
    fn the_address_that_answers_wins_over_those_that_refuse() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let (_, peer) = connect(&[refused(), refused(), local], Timeout::seconds(5)).unwrap();
        assert_eq!(peer, local);
    }

    #[test]
    fn when_all_refuse_the_error_names_them_all() {
        let (one, two) = (refused(), refused());
        let error = connect(&[one, two], Timeout::seconds(5)).unwrap_err();
        assert_eq!(error.exit_code(), 69);
        let line = error.to_string();
        assert!(line.contains(&one.to_string()) && line.contains(&two.to_string()), "{line}");
    }

    #[test]
    fn a_silent_address_costs_the_head_start_and_no_more() {
        // Backlog 0 takes one connection; the next SYN is dropped.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        silent.listen(0).unwrap();
        let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
        let _fill = std::net::TcpStream::connect(silent_address).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let begun = Instant::now();
        let (_, peer) = connect(&[silent_address, local], Timeout::seconds(20)).unwrap();
        assert_eq!(peer, local);
        assert!(begun.elapsed() >= HEAD_START);
        let timeout: Timeout = "50ms".parse().unwrap();
        let error = connect(&[silent_address], timeout).unwrap_err();
        assert_eq!(error.exit_code(), 75);
    }

    #[test]
    fn a_socket_connected_to_itself_is_no_server() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        let own = socket.local_addr().unwrap();
        socket.connect(&own).unwrap();
        assert_eq!(outcome(&socket), Err(Errno::ECONNREFUSED));
    }
}
