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
use crate::poll::poll;
use crate::time::Timeout;

/// How long an attempt has before the next begins (RFC 8305 §5, "Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of the addresses that answers, and returns the socket (non-blocking)
/// with the address. The deadline is that of the request, which began with the name and has the
/// length `timeout`.
///
/// # Errors
/// [`all_failed`] and [`timed_out`]; those of poll(2).
pub fn connect(
    addresses: &[SocketAddr],
    timeout: Timeout,
    deadline: Option<Instant>,
) -> Result<(Socket, SocketAddr), Error> {
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
        poll(&mut fds, until).attempt("poll")?;
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

    /// With a deadline that begins now.
    fn connect_within(addresses: &[SocketAddr], timeout: &str) -> Result<SocketAddr, Error> {
        let timeout: Timeout = timeout.parse().unwrap();
        connect(addresses, timeout, timeout.deadline()).map(|(_, peer)| peer)
    }

    /// A listener that answers no SYN: its queue is full. `None` where there is no such family.
    fn silent(ip: &str) -> Option<(SocketAddr, Socket, std::net::TcpStream)> {
        let local = SocketAddr::new(ip.parse().unwrap(), 0);
        let socket = Socket::new(Domain::for_address(local), Type::STREAM, None).ok()?;
        socket.bind(&local.into()).ok()?;
        // Backlog 0 takes one connection.
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let fill = std::net::TcpStream::connect(address).unwrap();
        Some((address, socket, fill))
    }

    #[test]
    fn the_address_that_answers_wins_over_those_that_refuse() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let mut addresses = vec![refused(), refused()];
        if let Ok(ipv6) = TcpListener::bind("[::1]:0") {
            // Closed again at once: it refuses.
            addresses.insert(0, ipv6.local_addr().unwrap());
        }
        addresses.push(local);
        let begun = Instant::now();
        assert_eq!(connect_within(&addresses, "20s").unwrap(), local);
        // What refuses has answered, and no delay is waited for: it would be three of them.
        assert!(begun.elapsed() < 2 * ATTEMPT_DELAY, "{:?}", begun.elapsed());
    }

    #[test]
    fn when_all_refuse_the_error_names_them_all() {
        let (one, two) = (refused(), refused());
        let error = connect_within(&[one, two], "5s").unwrap_err();
        assert_eq!(error.exit_code(), 69);
        let line = error.to_string();
        assert!(line.contains(&one.to_string()) && line.contains(&two.to_string()), "{line}");
    }

    #[test]
    fn a_silent_address_costs_the_delay_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        for ip in ["::1", "127.0.0.1"] {
            let Some((silent, _listener, _fill)) = silent(ip) else { continue };
            let begun = Instant::now();
            assert_eq!(connect_within(&[silent, local], "20s").unwrap(), local);
            let took = begun.elapsed();
            assert!(ATTEMPT_DELAY <= took && took < 4 * ATTEMPT_DELAY, "{ip}: {took:?}");
        }
    }

    #[test]
    fn all_addresses_together_have_one_timeout() {
        let listeners: Vec<_> = ["::1", "127.0.0.1", "127.0.0.2"].map(silent).into();
        let silent: Vec<_> = listeners.iter().flatten().map(|(address, ..)| *address).collect();
        let begun = Instant::now();
        let error = connect_within(&silent, "1s").unwrap_err();
        let took = begun.elapsed().as_secs_f64();
        assert!((1.0..1.5).contains(&took), "{took} s");
        assert_eq!(error.exit_code(), 75);
        let line = error.to_string();
        assert!(silent.iter().all(|address| line.contains(&address.to_string())), "{line}");
        assert!(line.ends_with(": timed out after 1s"), "{line}");
    }

    #[test]
    fn what_the_name_has_taken_is_missing_for_the_addresses() {
        let (silent, _listener, _fill) = silent("127.0.0.1").unwrap();
        let (timeout, begun) = (Timeout::seconds(20), Instant::now());
        let left = begun.checked_add(Duration::from_millis(300));
        let error = connect(&[silent], timeout, left).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(error.to_string().ends_with(": timed out after 20s"), "{error}");
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
