//! Fill the queue of a listener, and show what becomes of the clients that found it full.
//!
//! # What it shows
//! The kernel makes connections before the server calls `accept`, and queues them: one more than the
//! backlog. It drops every further SYN and says so to nobody. The client sends its SYN again, after a
//! second at first, and only then finds the place that `accept` has made. If many come at once, the
//! kernel answers with SYN cookies, and remembers nothing: the clients are connected, and the server
//! has never heard of them. It does when they send.
//!
//! # System calls
//! `socket` → `bind` → `listen` → (`socket` → `connect`)* → `poll` → `getsockopt(TCP_INFO)` →
//! `send` → `accept`
//!
//! # Try it
//! ```console
//! $ backlog --backlog 5 --clients 40
//! connect  6 of 40 connected, 6 of 5 + 1 places in the queue taken
//! accept   6 accepted, 0 left in the queue
//! wait     1103 ms: 40 clients say that they are connected, the server has 12
//! send     40 of 40 accepted, the last after 3296 ms
//! ```
//! What the clients send is sent again, with pauses that double, until the queue has room.
//!
//! # What can go wrong
//! - The clients wait for the server to speak first (SSH, SMTP, MySQL), here with `--silent`: those that
//!   the server does not know wait until they give up.
//! - The mean hides it: most connections are fast, and a few take a second or more. `nstat -az
//!   TcpExtListenOverflows` counts the SYNs, `ss -ltn` shows queue (Recv-Q) and backlog (Send-Q).
//! - `listen` cuts the backlog to `sysctl net.core.somaxconn` without a word. To raise that changes
//!   nothing where the program asks for less: the lesser of the two holds.
//! - `sysctl net.ipv4.tcp_syncookies` 0: a client is connected only if the server has it. It is slow, and
//!   honest.
//! - `sysctl net.ipv4.tcp_abort_on_overflow` 1 changes nothing here: it is the SYN that is dropped.
//! - `EMFILE`: both ends are in this process, and each client takes two descriptors.
//!
//! # Next
//! `connect-nonblocking` connects without waiting; `echo-load --churn` measures what a short queue costs;
//! `prefork-echo` has many processes that take connections from one queue.
//!
//! # Source
//! listen(2), tcp(7), ss(8); RFC 9293 §3.8.1, RFC 6298, RFC 4987; UNP §4.5, TLPI §56.5.

mod args;
mod report;

use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, send};
use socket2::{Domain, SockAddr, Socket, Type};

use netcore::error::{Attempt, Error, to_errno};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::{cli, recipe};

use args::Args;
use report::{Count, Queue};

/// Loopback connects at once: what has not happened after this time waits for the next SYN.
const QUIET: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 69 71 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into()).attempt("bind 127.0.0.1:0")?;
    listener.listen(args.backlog.into()).attempt("listen")?;
    listener.set_nonblocking(true).attempt("fcntl O_NONBLOCK")?;
    let local = listener.local_addr().attempt("getsockname")?;

    let deadline = args.timeout.deadline();
    let begun = Instant::now();
    let mut clients = Clients::default();
    for _ in 0..args.clients {
        clients.waiting.push(connect(&local)?);
    }
    clients.settle(&listener, deadline)?;
    out.line(report::connected(clients.count(), queue(&listener)?, args.json))?;

    clients.accept_all(&listener)?;
    out.line(report::accepted(clients.count(), queue(&listener)?, args.json))?;

    clients.settle(&listener, deadline)?;
    out.line(report::again(clients.count(), queue(&listener)?, begun.elapsed(), args.json))?;

    let begun = Instant::now();
    let mut last = Duration::ZERO;
    loop {
        if !args.silent {
            clients.send_all()?;
        }
        if clients.accept_all(&listener)? {
            last = begun.elapsed();
        }
        let is_done = clients.accepted.len() == args.clients;
        if is_done || clients.wait(Some(&listener), deadline)? == 0 {
            break;
        }
    }
    out.line(report::last(clients.count(), args.silent, last, args.json))
}

/// Sends a SYN, and does not wait for the answer.
fn connect(local: &SockAddr) -> Result<Socket, Error> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).attempt("socket")?;
    match socket.connect(local).map_err(to_errno) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(why) => Err(why).attempt("connect"),
    }
}

/// Both ends of the connections.
#[derive(Default)]
struct Clients {
    /// Whose `connect` is in progress.
    waiting: Vec<Socket>,
    /// Who has the answer to the SYN.
    connected: Vec<Socket>,
    /// How many of them have sent.
    sent: usize,
    /// The ends that the server has.
    accepted: Vec<Socket>,
}

impl Clients {
    /// Waits until the queue is full, or all clients are connected, and nothing more happens.
    fn settle(&mut self, listener: &Socket, deadline: Option<Instant>) -> Result<(), Error> {
        loop {
            // Asked before the wait: a queue that fills just as the wait ends has not been quiet.
            let is_settled = self.waiting.is_empty() || queue(listener)?.is_full();
            let soon = Instant::now() + QUIET;
            let ready = self.wait(None, Some(soon))?;
            let is_over = deadline.is_some_and(|deadline| deadline <= soon);
            if ready == 0 && (is_settled || is_over) {
                return Ok(());
            }
        }
    }

    /// Waits until clients are connected, or the listener has a connection; 0 if nothing happens.
    fn wait(&mut self, listener: Option<&Socket>, until: Option<Instant>) -> Result<i32, Error> {
        let waiting = self.waiting.iter();
        let waiting = waiting.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLOUT));
        let listening = listener.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<PollFd> = waiting.chain(listening).collect();
        let ready = poll(&mut fds, until).attempt("poll")?;
        let writable: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        for at in (0..self.waiting.len()).rev().filter(|at| writable.get(*at) == Some(&true)) {
            let client = self.waiting.swap_remove(at);
            // Writable: the connection was made, or could not be made.
            client.take_error().and_then(|why| why.map_or(Ok(()), Err)).attempt("connect")?;
            self.connected.push(client);
        }
        Ok(ready)
    }

    /// Accepts until the queue is empty; whether there was a connection.
    fn accept_all(&mut self, listener: &Socket) -> Result<bool, Error> {
        let before = self.accepted.len();
        loop {
            match listener.accept().map_err(to_errno) {
                Ok((stream, _)) => self.accepted.push(stream),
                Err(Errno::EAGAIN) => return Ok(self.accepted.len() > before),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(why).attempt("accept"),
            }
        }
    }

    /// A client that says that it is connected can send, whatever the server knows.
    fn send_all(&mut self) -> Result<(), Error> {
        for client in self.connected.iter().skip(self.sent) {
            send(client.as_raw_fd(), b"hello", MsgFlags::MSG_NOSIGNAL).attempt("send")?;
        }
        self.sent = self.connected.len();
        Ok(())
    }

    fn count(&self) -> Count {
        let connected = self.connected.len();
        Count { all: self.waiting.len() + connected, connected, accepted: self.accepted.len() }
    }
}

/// For a listener two fields of TCP_INFO have another meaning than for a connection.
fn queue(listener: &Socket) -> Result<Queue, Error> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap_or_default();
    // SAFETY: the kernel writes at most `length` bytes, the size of what the pointer points to.
    #[expect(unsafe_code, reason = "getsockopt(TCP_INFO) is what this recipe shows")]
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(result).attempt("getsockopt TCP_INFO")?;
    // SAFETY: zeros were written everywhere, and for these integers every value is one.
    #[expect(unsafe_code, reason = "getsockopt(TCP_INFO) is what this recipe shows")]
    let info = unsafe { info.assume_init() };
    Ok(Queue { length: info.tcpi_unacked, backlog: info.tcpi_sacked })
}
