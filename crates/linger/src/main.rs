//! Close a TCP connection in five ways, and show what its peer still receives.
//!
//! # What it shows
//! `close` returns before the peer has received anything. The kernel sends what is queued, then FIN,
//! and the side that closes first is in TIME_WAIT for a minute. If bytes of the peer were not
//! received, or SO_LINGER is 0, it sends RST instead. With a longer SO_LINGER `close` waits until the
//! peer has acknowledged everything, or until that time is over, and does not say which.
//! That all has arrived is known from the peer only: `shutdown`, `recv` until 0, then `close`.
//!
//! # System calls
//! `socket` → `bind` → `listen` → `socket` → `connect` → `setsockopt(SO_LINGER)` → `send` →
//! `shutdown` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ linger
//! close                   FIN, as documented
//!   close  returned 0 after 0.07 ms
//!   here   FIN_WAIT1, then TIME_WAIT
//!   peer   received 3910656 bytes of 3910656 sent, then the end
//! close, bytes unread     RST, as documented
//!   close  returned 0 after 0.01 ms
//!   here   CLOSED
//!   peer   received 5 bytes of 5 sent, then ECONNRESET
//! linger 0, queue full    RST, as documented
//!   close  returned 0 after 0.13 ms
//!   here   CLOSED
//!   peer   received 113152 bytes of 3910656 sent, then ECONNRESET
//! linger 1 s, peer idle   FIN, as documented
//!   close  returned 0 after 1020 ms
//!   here   FIN_WAIT1, then TIME_WAIT
//!   peer   received 3910656 bytes of 3910656 sent, then the end
//! shutdown, drain, close  FIN, as documented
//!   close  returned 0 after 0.00 ms
//!   here   TIME_WAIT
//!   peer   received 3910656 bytes of 3910656 sent, then the end
//! ```
//! `here` is the state of the side that closes, after its `close` and after that of the peer (CLOSED: the
//! kernel has forgotten the connection). It ends with 1 where this kernel does something else.
//!
//! # What can go wrong
//! - The time of SO_LINGER is over: `close` returns 0, although nothing was acknowledged. What was
//!   sent may still arrive, as here.
//! - `close` with SO_LINGER waits on a non-blocking socket too, as here: a server of one thread stands
//!   still meanwhile.
//! - SO_LINGER 0 throws away what was sent and not yet acknowledged: it is no cure for TIME_WAIT.
//! - Closed with bytes unread, which a server does that refuses a request before it has read it all:
//!   the RST may overtake the reply. On Linux the peer can still receive what has arrived.
//! - To read until the end needs a limit of time and of bytes: the peer may never close.
//! - Sockets that `accept` returns inherit SO_LINGER from the listener. It counts whole seconds.
//!
//! # Next
//! `reuse-addr` binds under TIME_WAIT; `make-errors` has ECONNRESET and EPIPE; `echo-server` reads until
//! the end before it closes.
//!
//! # Source
//! socket(7), tcp(7), shutdown(2), close(2); RFC 9293 §3.6, RFC 1122 §4.2.2.13; UNP §7.5, TLPI §61.6.

mod args;
mod report;

use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::close;
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::poll::poll;
use netcore::{cli, recipe};

use args::Args;
use report::{Closing, Ends, Outcome};

/// How long something may take that loopback does at once.
const SOON: Duration = Duration::from_secs(5);

/// The queue is full when nothing was taken for so long.
const FULL: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74 75), |args: &Args, out| {
        args.case.0.iter().try_for_each(|case| {
            let outcome = match case.closing {
                Closing::Full(linger) => close_full(linger),
                Closing::Unread => close_unread(),
                Closing::Drain => shut_down_and_drain(),
            };
            case.print(&outcome?, args.json, out)
        })
    })
}

/// Closes while the kernel still has bytes that the peer does not take.
fn close_full(linger: Option<Duration>) -> Result<Outcome, Error> {
    let Connection { client, peer, ends } = connection()?;
    client.set_linger(linger).attempt("setsockopt SO_LINGER")?;
    let sent = fill(&client)?;
    let closed = timed_close(client);
    let after = ends.state()?;
    let (received, error) = receive_all(&peer)?;
    drop(peer); // close
    Ok(Outcome { sent, received, error, closed, states: (after, ends.last_state()?) })
}

/// Closes with bytes in the queue that this side has not received.
fn close_unread() -> Result<Outcome, Error> {
    let Connection { client, peer, ends } = connection()?;
    send(peer.as_raw_fd(), b"unread", MsgFlags::MSG_NOSIGNAL).attempt("send")?;
    wait(&client, PollFlags::POLLIN)?;
    let sent = send(client.as_raw_fd(), b"hello", MsgFlags::MSG_NOSIGNAL).attempt("send")?;
    let closed = timed_close(client);
    let after = ends.state()?;
    let (received, error) = receive_all(&peer)?;
    drop(peer); // close
    Ok(Outcome { sent, received, error, closed, states: (after, ends.last_state()?) })
}

/// Sends FIN, and closes when the peer has closed: then it has received everything.
fn shut_down_and_drain() -> Result<Outcome, Error> {
    let Connection { client, peer, ends } = connection()?;
    let sent = fill(&client)?;
    client.shutdown(Shutdown::Write).attempt("shutdown")?;
    let (received, error) = receive_all(&peer)?;
    drop(peer); // close
    let (_, unheard) = receive_all(&client)?;
    unheard.map_or(Ok(()), Err).attempt("recv until the peer has closed")?;
    let closed = timed_close(client);
    let after = ends.state()?;
    Ok(Outcome { sent, received, error, closed, states: (after, ends.last_state()?) })
}

/// Both ends of a connection over loopback.
struct Connection {
    client: Socket,
    peer: Socket,
    ends: Ends,
}

fn connection() -> Result<Connection, Error> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into()).attempt("bind 127.0.0.1:0")?;
    listener.listen(1).attempt("listen")?;
    let local = listener.local_addr().attempt("getsockname")?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    client.connect(&local).attempt("connect")?;
    let (peer, address) = listener.accept().attempt("accept")?;
    let ends = address.as_socket_ipv4().zip(local.as_socket_ipv4());
    let ends = ends.ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")?;
    Ok(Connection { client, peer, ends: Ends(ends.0, ends.1) })
}

/// Sends until the kernel takes no more. The socket does not block from here on.
fn fill(client: &Socket) -> Result<usize, Error> {
    client.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let mut sent = 0;
    loop {
        match send(client.as_raw_fd(), &[b'x'; 64 * 1024], MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut fds, Some(Instant::now() + FULL)).attempt("poll")? == 0 {
                    return Ok(sent);
                }
            }
            Err(why) => return Err(why).attempt("send"),
        }
    }
}

/// Receives until the end, or until an error, and returns how many bytes that were.
fn receive_all(socket: &Socket) -> Result<(usize, Option<Errno>), Error> {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    loop {
        wait(socket, PollFlags::POLLIN)?;
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) => return Ok((received, None)), // FIN
            Ok(count) => received += count,
            Err(Errno::EINTR) => {}
            Err(why) => return Ok((received, Some(why))), // ECONNRESET: RST
        }
    }
}

fn timed_close(client: Socket) -> (Result<(), Errno>, Duration) {
    let begun = Instant::now();
    (close(client), begun.elapsed())
}

fn wait(socket: &Socket, events: PollFlags) -> Result<(), Error> {
    let mut fds = [PollFd::new(socket.as_fd(), events)];
    match poll(&mut fds, Some(Instant::now() + SOON)).attempt("poll")? {
        0 => Err(Error::Timeout { attempt: "receive over loopback".to_owned(), after: SOON }),
        _ => Ok(()),
    }
}
