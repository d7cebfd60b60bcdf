//! Echo what each peer sends, a thread for each connection.
//!
//! # What it shows
//! A thread shares with its process all that a forked child has copies of: one table of descriptors,
//! so there is no second copy to close; one address space, so no page is copied. A crash of one ends
//! all. A thread costs less to start than a process; `pthread_join` is for a thread what `waitpid` is for a
//! child. A thread cannot be killed: to end one that waits in `recv`, its connection is shut down.
//!
//! # System calls
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! (`accept` → `pthread_create`)*, in the thread (`recv` → `send`)* → `close` → `write`; at the end
//! shutdown of the connections that are left
//!
//! # Try it
//! ```console
//! $ threaded-echo --port 7777 --show-tid &
//! listening on 127.0.0.1:7777, pid 5120
//! $ forking-client --port 7777 --clients 2
//! client 1 <- pid 5123   19 bytes   0.52 ms
//! client 2 <- pid 5124   19 bytes   0.61 ms
//! 2 clients, 2 processes, each its own bytes
//! ```
//! The ids that the client prints are those of two threads.
//!
//! # What can go wrong
//! - A descriptor is a number, and free again once it is closed: the next `accept` returns the same.
//!   A thread that shuts down a connection of another must know that the number still means it.
//! - Libraries open files in any thread: glibc's malloc once reads how many processors there are.
//!   So the descriptor that was closed to make room may be taken before it is needed: try again.
//! - A thread that is not joined keeps its stack. A detached thread cannot be waited for: the
//!   process ends before its reply is sent.
//! - `EAGAIN` from `pthread_create`: the limit of threads is reached, or there is no memory for a stack
//!   (RLIMIT_AS, `vm.overcommit_memory=2`). That client is closed, the server serves the others. But
//!   stacks take the last of the memory, and then any allocation ends the process: a limit has to fit
//!   `--max-clients` times 384 KiB. With `memory.max` of a control group no call fails: the kernel kills
//!   the process.
//! - A fault in one thread ends the process with all connections; a forked child dies alone.
//!
//! # Next
//! `forking-echo` has a process in place of the thread; `poll-echo` has neither.
//!
//! # Source
//! pthread_create(3), clone(2), shutdown(2), pipe(7); UNP §26.2 to §26.4, TLPI §29; the Python
//! cookbook's recipe 2.2, ThreadingMixIn.

mod args;
mod report;

use std::io::{Read, Write};
use std::mem::take;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, send};
use nix::unistd::gettid;
use socket2::Socket;

use netcore::echo::Buffer;
use netcore::error::{Attempt, Error, errno};
use netcore::limits::raise_rlimit_nofile;
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log, Record};
use netcore::output::Output;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGINT, SIGTERM, SIGUSR1};
use netcore::signal::{Signals, Woken};
use netcore::sys::{pthread_create, pthread_join};
use netcore::time::{Timeout, in_micros};
use netcore::{cli, recipe};

use args::Args;
use report::{Client, Threads};

/// Bytes of a thread's stack. Only the pages that it touches take memory.
const STACK: usize = 128 * 1024;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    // Blocked before there is a thread: each inherits the mask, and none is interrupted.
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1])?.with_log(&log);
    raise_rlimit_nofile(args.max_clients);

    let socket = listen(local, args.backlog)?; // echo-server writes these calls out
    set_timeouts(&socket, args.idle_timeout)?;
    let mut listener = Listener::new(socket)?;
    let mut clients = Threads::new(log, args.max_clients, args.max_per_source)?;
    log::ready(listener.local()?, args.json, &args.shown_pid(), out)?;
    loop {
        // A full server waits for a thread to end: new clients wait in the kernel's queue.
        let full = clients.limits.is_full();
        let fd = if full { clients.ends.as_fd() } else { listener.as_fd() };
        match signals.wait(Some(fd), PollFlags::POLLIN, None)? {
            Woken::Signal(SIGUSR1) => clients.report(),
            Woken::Signal(_) => break,
            Woken::Deadline => {}
            Woken::Ready => {
                join_ended(&mut clients);
                let Some((stream, peer)) = listener.accept(&log)? else { continue };
                if !clients.limits.admit(peer) {
                    continue; // the drop of `stream` closes it
                }
                let (stream, number) = (Arc::new(stream), clients.next_number());
                let weak = Arc::downgrade(&stream);
                let client = Client::new(stream, peer, number, &clients, log, args);
                match pthread_create(STACK, move || serve_client(client)) {
                    Ok(handle) => clients.started(number, peer, weak, handle),
                    Err(why) => clients.start_failed(peer, why),
                }
            }
        }
    }
    drop(listener); // from here on the kernel refuses new clients
    drain(&signals, &mut clients, args.grace.0)
}

/// The sockets that `accept` returns inherit both timeouts, which end `recv` and `send` with EAGAIN.
fn set_timeouts(listener: &Socket, idle: Timeout) -> Result<(), Error> {
    listener.set_read_timeout(idle.duration()).attempt("setsockopt SO_RCVTIMEO")?;
    // A send that took some bytes before its time ended returns their number, and the next one waits
    // anew: with an eighth of the time for each, a peer that does not read is closed in time.
    let part = idle.duration().map(|time| in_micros(time / 8));
    listener.set_write_timeout(part).attempt("setsockopt SO_SNDTIMEO")
}

/// What a thread does: it serves one client, and writes that it ends.
fn serve_client(client: Client) {
    let Client { stream, peer, number, ends, log, idle, show_tid } = client;
    let mut record = log.open(peer);
    let prefix = if show_tid { format!("{}: ", gettid()) } else { String::new() };
    let end = match Buffer::untouched() {
        Ok(mut buffer) => echo(&stream, &mut buffer, &prefix, idle, &mut record),
        Err(why) => Err(format!("no buffer: {}", errno(why))),
    };
    // A shutdown by `drop` looks like the peer's end of the stream.
    let cut = ends.cut.load(Ordering::Relaxed);
    record.close(if cut { Err("grace period expired".to_owned()) } else { end });
    drop(stream); // close: the one descriptor of the connection, so nothing else has to close it
    // Eight bytes are written whole, or not at all (pipe(7)).
    let _ = (&ends.write).write_all(&number.to_ne_bytes());
}

/// Sends back what the peer sends, until its FIN. The error is the reason to end before it.
#[expect(clippy::indexing_slicing, reason = "send returns at most the length that it was given")]
fn echo(
    stream: &Socket,
    buffer: &mut Buffer,
    mut prefix: &str,
    idle: Timeout,
    record: &mut Record,
) -> Result<(), String> {
    loop {
        let received = match buffer.recv(stream) {
            Ok([]) => return Ok(()), // FIN: the peer has sent all that it wanted to send
            Ok(received) => received,
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => return Err(format!("timed out after {idle}")), // SO_RCVTIMEO
            Err(why) => return Err(format!("recv: {}", errno(why))),
        };
        record.received(received);
        let mut moved = Instant::now(); // when bytes last went
        for mut rest in [take(&mut prefix).as_bytes(), received] {
            // The kernel takes what it has room for, which may be less than there is.
            while !rest.is_empty() {
                // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
                match send(stream.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                    Ok(sent) => {
                        record.sent(sent);
                        rest = &rest[sent..];
                        if !rest.is_empty() {
                            moved = Instant::now();
                        }
                    }
                    // SO_SNDTIMEO
                    Err(Errno::EAGAIN) if idle.is_over(moved) => {
                        return Err(format!("send timed out after {idle}"));
                    }
                    Err(Errno::EAGAIN | Errno::EINTR) => {}
                    Err(why) => return Err(format!("send: {}", errno(why))),
                }
            }
        }
    }
}

/// Joins every thread that has ended: until then its stack is kept for its result.
#[expect(clippy::indexing_slicing, reason = "read returns at most the length that it was given")]
fn join_ended(threads: &mut Threads) {
    let mut numbers = [0; 512];
    while let Ok(length) = (&threads.ends.read).read(&mut numbers) {
        for number in numbers[..length].as_chunks().0 {
            if let Some((peer, handle)) = threads.ended(u64::from_ne_bytes(*number)) {
                pthread_join(handle); // after its write the thread does nothing more
                threads.limits.leave(peer);
            }
        }
        if length < numbers.len() {
            return; // that was all
        }
    }
}

/// Lets the clients finish, until the grace period expires or a second signal arrives.
fn drain(signals: &Signals, threads: &mut Threads, grace: Duration) -> Result<(), Error> {
    let deadline = Instant::now().checked_add(grace);
    while !threads.is_empty() {
        match signals.wait(Some(threads.ends.as_fd()), PollFlags::POLLIN, deadline)? {
            Woken::Ready => join_ended(threads),
            Woken::Signal(SIGUSR1) => threads.report(),
            Woken::Signal(_) | Woken::Deadline => break,
        }
    }
    Ok(())
}

/// Whatever ends the server, it leaves no thread behind.
impl Drop for Threads {
    fn drop(&mut self) {
        self.ends.cut.store(true, Ordering::Relaxed);
        for stream in self.open_streams() {
            // Its `recv` returns 0 now, and its `send` fails with EPIPE.
            let _ = stream.shutdown(Shutdown::Both);
        }
        for handle in self.take_all() {
            pthread_join(handle);
        }
    }
}
