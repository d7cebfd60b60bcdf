//! Several clients at once, each with its own bytes.
//!
//! # What it shows
//! Whether a server really serves several clients at the same time: all connect, wait for each
//! other, and send at the same instant. The kernel completes a connection before the server
//! accepts it, so `connect` proves nothing; a reply does. A server that puts its pid before
//! its reply (`forking-echo --show-pid`) shows that each client had a process of its own.
//!
//! # System calls
//! In `netcore::connect::connect`: `socket` → `connect` → `poll` → `getsockopt(SO_ERROR)`, for each client
//! `pthread_create` for each client, in it `send` → `poll` → `recv` → `shutdown(SHUT_WR)` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ forking-echo --port 7777 --show-pid &
//! listening on 127.0.0.1:7777, pid 5120
//! $ forking-client --port 7777
//! client 1 <- pid 5123   19 bytes   0.52 ms
//! client 2 <- pid 5124   19 bytes   0.61 ms
//! client 3 <- pid 5125   19 bytes   0.70 ms
//! 3 clients, 3 processes, each its own bytes
//! ```
//!
//! # What can go wrong
//! - `ECONNREFUSED`: no program listens there.
//! - `ECONNRESET`: the server was full and refused the client.
//! - A timeout: more clients than the server has children and the kernel has places in its queue.
//! - A timeout of each `recv`, in place of a deadline for the reply: a server that sends a byte now
//!   and then is waited for without end.
//! - The Python original takes the reply from its sixth byte on, which is right for pids of four
//!   digits only; it does not check whose bytes came back, and its clients run one by one.
//!
//! # Next
//! `forking-echo` is the other end; `echo-client` sends more, over one connection, and writes out how to
//! connect.
//!
//! # Source
//! connect(2), shutdown(2), poll(2), pthreads(7); UNP §26.3, TLPI §60.3; the Python cookbook's recipe
//! 2.1, ForkingClient.

mod args;
mod report;

use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::Socket;

use netcore::connect::connect;
use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::shown;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::Args;
use report::{Reply, Served};

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 65 68 69 71 74 75 77 130), run)
}

fn run(args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let deadline = args.timeout.deadline(); // of all clients together
    let addresses = addresses(&args.host, args.port.0, family, args.timeout)?;
    // All connect before any sends: the threads then wait for nothing but each other.
    let mut clients = Vec::new();
    for number in 1..=args.clients {
        let (stream, peer) = connect(&addresses, args.timeout, deadline)?; // as in echo-client
        let message = format!("Hello from client {number}");
        clients.push(Client { stream, peer, message, timeout: args.timeout, deadline });
    }
    let start = &Barrier::new(clients.len());
    let results = thread::scope(|scope| {
        let serve = |client: Client| scope.spawn(move || client.exchange(start, args.hold.0));
        let threads: Vec<_> = clients.into_iter().map(serve).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    report::print(results, args, out)
}

/// A client that is connected.
struct Client {
    stream: Socket,
    peer: SocketAddr,
    message: String,
    timeout: Timeout,
    deadline: Option<Instant>,
}

impl Client {
    /// Waits for the others, sends, receives, and stays connected for the time `hold`.
    fn exchange(self, start: &Barrier, hold: Duration) -> Result<Served, Error> {
        start.wait();
        let begun = Instant::now();
        // So few bytes always fit into an empty send buffer.
        send(self.stream.as_raw_fd(), self.message.as_bytes(), MsgFlags::MSG_NOSIGNAL)
            .attempt(format_args!("send to {}", self.peer))?;

        let mut reply = Vec::new();
        let pid = loop {
            match Reply::parse(&reply, &self.message) {
                Reply::Complete(pid) => break pid,
                Reply::Incomplete if self.receive(&mut reply, self.deadline)? > 0 => {}
                // The end of the stream before the first byte: the server has refused this client.
                Reply::Incomplete if reply.is_empty() => return Err(self.refused()),
                // Wrong, or the end of the stream before it was complete.
                _ => return Err(self.fault(&reply)),
            }
        };
        let time = begun.elapsed();

        // A server that closes meanwhile is noticed after it.
        poll(&mut [], Instant::now().checked_add(hold)).attempt("poll")?;
        // ENOTCONN: the server has reset the connection; `recv` has the reason.
        let _ = self.stream.shutdown(Shutdown::Write);
        let deadline = self.deadline.and_then(|deadline| deadline.checked_add(hold));
        if self.receive(&mut reply, deadline)? > 0 {
            return Err(self.fault(&reply));
        }
        Ok(Served { pid, bytes: self.message.len(), time }) // the drop of `stream` closes it
    }

    /// Receives once, and returns how many bytes; 0 is the end of the stream. A server that sends a byte
    /// now and then does not move the deadline.
    #[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it got")]
    fn receive(&self, reply: &mut Vec<u8>, deadline: Option<Instant>) -> Result<usize, Error> {
        let mut buffer = [0; 1024];
        loop {
            let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, deadline).attempt("poll")? == 0 {
                return Err(Error::Timeout {
                    attempt: format!("reply from {}", self.peer),
                    after: self.timeout.duration().unwrap_or_default(),
                });
            }
            match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(received) => {
                    reply.extend_from_slice(&buffer[..received]);
                    return Ok(received);
                }
                // What poll reported may be gone again; the socket is non-blocking.
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(why) => return Err(why).attempt(format_args!("receive from {}", self.peer)),
            }
        }
    }

    fn refused(&self) -> Error {
        let why = "closed without a reply".to_owned();
        Error::Gone { peer: self.peer.to_string(), why }
    }

    fn fault(&self, reply: &[u8]) -> Error {
        let (message, reply) = (shown(self.message.as_bytes()), shown(reply));
        let fault = format!("{message} was answered with {reply}");
        Error::Protocol { peer: self.peer.to_string(), fault }
    }
}
