//! A client's connection, over every address of a name; the recipe `echo-client` writes it out.
//!
//! One address after the other, each with the full timeout, would make a person wait for every
//! dead one. The attempts overlap instead (RFC 8305, "happy eyeballs"): the families alternate, the
//! next address is tried after 250 ms or as soon as all before it have failed, the first
//! connection wins and the others are closed.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use socket2::{Domain, Socket, Type};

use crate::error::{Attempt, Error, to_errno};
use crate::poll::poll_until;
use crate::time::Timeout;

/// How long an attempt has before the next begins (RFC 8305 §5, "Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of the addresses that answers, and returns the socket (non-blocking)
/// with the address.
///
/// # Errors
/// [`all_failed`] and [`timed_out`]; those of poll(2).
pub fn connect(addresses: &[SocketAddr], timeout: Timeout) -> Result<(Socket, SocketAddr), Error> {
    let deadline = timeout.deadline();
    let mut untried = alternate_families(addresses).into_iter().peekable();
    let mut pending: Vec<(Socket, SocketAddr)> = Vec::new();
    let mut failed: Vec<(SocketAddr, Errno)> = Vec::new();
    let mut next_attempt = Instant::now();
    loop {
        // An attempt begins after the delay, or when all before it have failed.
        while let Some(address) =
            untried.next_if(|_| pending.is_empty() || next_attempt <= Instant::now())
        {
            match begin_to_connect(address) {
                Ok(socket) => pending.push((socket, address)),
                Err(why) => failed.push((address, why)),
            }
            next_attempt = Instant::now() + ATTEMPT_DELAY;
        }
        if pending.is_empty() {
            return Err(all_failed(&failed));
        }
        let until = untried.peek().map(|_| next_attempt).into_iter().chain(deadline).min();
        let mut fds: Vec<PollFd> = pending
            .iter()
            .map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT))
            .collect();
        poll_until(&mut fds, until).attempt("poll")?;
        if let Some(decided) = fds.iter().position(|fd| fd.any().unwrap_or(true)) {
            let (socket, address) = pending.remove(decided);
            match connected(&socket) {
                Ok(()) => return Ok((socket, address)), // the drop of the others closes them
                Err(why) => failed.push((address, why)),
            }
        } else if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(timed_out(pending.iter().map(|(_, address)| address), timeout));
        }
    }
}

/// Sends a SYN, and does not wait for the answer.
fn begin_to_connect(address: SocketAddr) -> Result<Socket, Errno> {
    let (family, kind) = (Domain::for_address(address), Type::STREAM.nonblocking());
    let socket = Socket::new(family, kind, None).map_err(to_errno)?;
    match socket.connect(&address.into()).map_err(to_errno) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(why) => Err(why),
    }
}

/// How the attempt ended. Writable means that it has, not that it succeeded.
fn connected(socket: &Socket) -> Result<(), Errno> {
    // SO_ERROR is the errno that `connect` would have returned, had it waited.
    if let Some(error) = socket.take_error().map_err(to_errno)? {
        return Err(to_errno(error));
    }
    // The kernel may pick the very port that we connect to as our own; TCP's simultaneous open then
    // connects the socket to itself. There is no server.
    let (local, peer) = (socket.local_addr(), socket.peer_addr());
    let (local, peer) = (local.map_err(to_errno)?, peer.map_err(to_errno)?);
    if local.as_socket() == peer.as_socket() { Err(Errno::ECONNREFUSED) } else { Ok(()) }
}

/// The families in turn, beginning with the resolver's first choice (RFC 8305 §4).
#[must_use]
pub fn alternate_families(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
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

/// One error for all the addresses, so that none is forgotten; its errno is that of the last.
#[must_use]
pub fn all_failed(failed: &[(SocketAddr, Errno)]) -> Error {
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

/// The timeout is over, and none of these addresses has answered.
#[must_use]
pub fn timed_out<'a>(pending: impl Iterator<Item = &'a SocketAddr>, timeout: Timeout) -> Error {
    let tried: Vec<String> = pending.map(SocketAddr::to_string).collect();
    let attempt = format!("connect to {}", tried.join(" and "));
    Error::Timeout { attempt, after: timeout.duration().unwrap_or_default() }
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
            alternate_families(&of(["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"])),
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
    fn a_silent_address_costs_the_delay_and_no_more() {
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
        assert!(begun.elapsed() >= ATTEMPT_DELAY);
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
        assert_eq!(connected(&socket), Err(Errno::ECONNREFUSED));
    }
}
