//! Echo what each peer sends, a process for each connection.
//!
//! # What it shows
//! `fork` copies the process, descriptors included. The parent waits for the next client; the child
//! serves this one, with calls that block, since it has nothing else to do. Each has a copy of both
//! sockets and closes the one that it does not need: the child the listener, the parent the
//! connection. A child that ends is a zombie until the parent has called `waitpid` for it. SIGCHLD
//! says that some have ended, not how many.
//! `fork` copies page tables, and the child faults its pages in again: the cost of a connection
//! grows with the address space, and a static build, which has fewer mappings, pays less.
//!
//! # System calls
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! (`accept` → `fork`)*, in the child `close` → (`recv` → `send`)* → `_exit`, in the parent
//! `close` → `waitpid`
//!
//! # Try it
//! ```console
//! $ forking-echo --port 7777 --show-pid &
//! listening on 127.0.0.1:7777, pid 5120
//! $ forking-client --port 7777 --clients 2
//! client 1 <- pid 5123   19 bytes   0.52 ms
//! client 2 <- pid 5124   19 bytes   0.61 ms
//! 2 clients, 2 processes, each its own bytes
//! ```
//!
//! # What can go wrong
//! - The parent keeps the connection open: the client never sees the end of the stream.
//! - The child keeps the listener open: once the parent has ended, a restart fails with
//!   `EADDRINUSE`, and new clients connect to a socket that no process accepts from.
//! - One `waitpid` for each SIGCHLD: signals merge, and zombies stay. Call it until none is left.
//! - The program was started with SIGCHLD ignored: the kernel reaps, and `waitpid` fails with
//!   `ECHILD`. So its action is set to the default first.
//! - `EAGAIN` from `fork`: the limit of processes is reached. That client is closed, the server
//!   serves the others.
//! - Memory is short: the kernel kills a process, by SIGKILL, perhaps a child. Its client hears FIN, as if all
//!   had been sent; the log names the signal, and the others are served.
//! - A service manager may signal the children too: tell it not to (systemd: `KillMode=mixed`).
//!
//! # Next
//! `echo-server` is this program without the fork; `threaded-echo` has a thread in place of the
//! process; `prefork-echo` forks before the clients come. `forking-client` is the other end.
//!
//! # Source
//! fork(2), waitpid(2), signalfd(2), prctl(2); UNP §5.8 to §5.10, TLPI §60.3; the Python
//! cookbook's recipe 2.1, ForkingMixIn.

mod args;
mod report;

use std::mem::take;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::signal::kill;
use nix::sys::socket::{MsgFlags, send};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};
use socket2::Socket;

use netcore::echo::Buffer;
use netcore::error::{Attempt, Error, errno};
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log, Record};
use netcore::output::Output;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGCHLD, SIGINT, SIGKILL, SIGTERM, SIGUSR1};
use netcore::signal::{Signal, Signals, Woken, sigaction_for_children};
use netcore::sys::_exit;
use netcore::time::{Timeout, in_micros};
use netcore::{cli, recipe};

use args::{Args, WhenFull};
use report::Children;

/// How long a child has to end after SIGTERM, before it is sent SIGKILL.
const TERM_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77, alias "--max-children" = "--max-clients"), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    // Blocked before there is a child, so that the SIGCHLD of the first is not lost.
    let signals = Signals::catch(&[SIGCHLD, SIGINT, SIGTERM, SIGUSR1])?.with_log(&log);
    sigaction_for_children()?;

    let socket = listen(local, args.backlog)?; // echo-server writes these calls out
    set_timeouts(&socket, args.idle_timeout)?;
    let mut listener = Listener::new(socket)?;
    let mut clients = Children::new(log, args.max_clients, args.max_per_source);
    // The parent never writes to these pages, so fork copies none; a child touches what it fills.
    let mut buffer = Buffer::untouched().attempt("allocate the buffer")?;
    log::ready(listener.local()?, args.json, &args.shown_pid(), out)?;
    let parent = getpid();
    loop {
        // A full server waits for signals only: new clients wait in the kernel's queue.
        let accepting = args.when_full == WhenFull::Refuse || !clients.limits.is_full();
        match signals.wait(accepting.then(|| listener.as_fd()), PollFlags::POLLIN, None)? {
            Woken::Signal(SIGCHLD) => reap(&mut clients)?,
            Woken::Signal(SIGUSR1) => clients.report(),
            Woken::Signal(_) => break,
            Woken::Deadline => {}
            Woken::Ready => {
                let Some((stream, peer)) = listener.accept(&log)? else { continue };
                if !clients.limits.admit(peer) {
                    continue; // the drop of `stream` closes it
                }
                let record = log.open(peer);
                // SAFETY: this process has one thread, so no other holds a lock, and nothing is
                // buffered that both would write: the child may do all that the parent may.
                #[expect(unsafe_code, reason = "fork is what this recipe shows")]
                match unsafe { fork() } {
                    Ok(ForkResult::Child) => {
                        drop(listener); // close: otherwise the address stays taken by this child
                        serve_client(&stream, record, &mut buffer, parent, &signals, args)
                    }
                    Ok(ForkResult::Parent { child }) => {
                        clients.forked(child, peer);
                        drop(stream); // close: otherwise the client never sees the end of the stream
                    }
                    Err(why) => clients.fork_failed(record, peer, why),
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

/// What a child does: it serves one client and ends.
fn serve_client(
    stream: &Socket,
    mut record: Record,
    buffer: &mut Buffer,
    parent: Pid,
    signals: &Signals,
    args: &Args,
) -> ! {
    if let Err(why) = signals.unblock_with_pdeathsig(parent) {
        record.close(Err(format!("prctl: {}", errno(why))));
        _exit(1);
    }
    let prefix = if args.show_pid { format!("{}: ", getpid()) } else { String::new() };
    let end = echo(stream, buffer, &prefix, args.idle_timeout, &mut record);
    record.close(end);
    _exit(0) // not `exit`, which would flush what the parent had buffered
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

/// Waits for every child that has ended: fifty that end together may be a single SIGCHLD.
fn reap(children: &mut Children) -> Result<(), Error> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            // None that has ended, or none at all.
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(status) => children.reaped(status),
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("waitpid"),
        }
    }
}

/// Lets the children finish, and ends those that have not when the grace period expires. A second
/// SIGTERM or SIGINT kills them at once.
fn drain(signals: &Signals, children: &mut Children, grace: Duration) -> Result<(), Error> {
    let second_signal = wait_for_all(signals, children, grace)?;
    children.ending = true;
    if !second_signal {
        send_to_all(children, SIGTERM);
        wait_for_all(signals, children, TERM_TIMEOUT)?;
    }
    // A stopped process obeys no other signal.
    send_to_all(children, SIGKILL);
    wait_for_all(signals, children, TERM_TIMEOUT)?;
    children.report();
    Ok(())
}

/// Waits until no child is left or the time is over; true if SIGTERM or SIGINT cut it short.
fn wait_for_all(signals: &Signals, children: &mut Children, time: Duration) -> Result<bool, Error> {
    let deadline = Instant::now().checked_add(time);
    while children.alive().next().is_some() {
        match signals.wait(None, PollFlags::empty(), deadline)? {
            Woken::Signal(SIGCHLD) => reap(children)?,
            Woken::Signal(SIGUSR1) => children.report(),
            Woken::Signal(_) => return Ok(true),
            Woken::Ready | Woken::Deadline => return Ok(false),
        }
    }
    Ok(false)
}

fn send_to_all(children: &Children, signal: Signal) {
    for child in children.alive() {
        // It cannot be another process's pid: a child that was not reaped keeps its own.
        let _ = kill(child, signal);
    }
}
