//! Echo what each peer sends, with processes that were forked before the clients came.
//!
//! # What it shows
//! The listener is open in all workers, and each waits in `accept` on it: the kernel wakes one for
//! each connection, the one that has waited longest. No client waits for a `fork`; in return the
//! number of workers is the number of clients at once. With `--reuse-port` each worker has its own
//! listener: the kernel distributes connections by a hash of their addresses, and a client waits for
//! its worker though others are idle.
//! The parent serves no client. It starts a worker again that has died, and ends them all. With
//! `--clients-per-worker 1` each client has a process for itself, as in `forking-echo`, and that was
//! forked before the client came.
//!
//! # System calls
//! In `netcore::listener::listen_with`: `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen`
//! `fork`, in the child (`accept` → (`recv` → `send`)* → `close`)*, in the parent `waitpid`, at the
//! end shutdown of the listener
//!
//! # Try it
//! ```console
//! $ prefork-echo --port 7777 --workers 2 --show-pid &
//! listening on 127.0.0.1:7777, pid 5120
//! $ forking-client --port 7777 --clients 2 --hold 500ms
//! client 1 <- pid 5121   19 bytes   0.52 ms
//! client 2 <- pid 5122   19 bytes   0.61 ms
//! 2 clients, 2 processes, each its own bytes
//! ```
//!
//! # What can go wrong
//! - As many silent clients as workers: no other client is served until `--idle-timeout`.
//! - Workers that wait in `poll` or `epoll_wait` before `accept` are all woken by one connection, and
//!   all but one find nothing. Those that wait in `accept` itself are woken one at a time.
//! - A signal cannot stop a worker that waits in `accept`: one that comes just before the call is
//!   lost. `shutdown` on the listener ends every `accept` on it with EINVAL, later ones too.
//! - A worker that dies at once and is started again at once takes a whole core: there is a pause
//!   between, longer each time.
//! - `EADDRINUSE` after `kill -9`: the workers are killed a moment after their parent, and have the
//!   listener open. Start again after a pause (systemd: `RestartSec=100ms`, its default).
//! - With `--reuse-port` the connections in the queue of a listener are lost when it is closed: the
//!   parent keeps all listeners open, for the next worker.
//!
//! # Next
//! `forking-echo` forks after `accept`; `poll-echo` has one process for everybody.
//!
//! # Source
//! fork(2), accept(2), shutdown(2), socket(7) on SO_REUSEPORT; UNP §30.6 to §30.8, TLPI §60.4; the
//! Python cookbook's recipe 2.1, ForkingMixIn.

mod args;
mod report;

use std::mem::take;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
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
use netcore::listener::{Listener, listen_with, local_address};
use netcore::log::{self, Log, Record};
use netcore::output::Output;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGCHLD, SIGINT, SIGKILL, SIGTERM, SIGUSR1};
use netcore::signal::{Signal, Signals, Woken, sigaction_for_children};
use netcore::sys::_exit;
use netcore::time::{Timeout, in_micros};
use netcore::{cli, recipe};

use args::Args;
use report::Children;

/// How long a child has to end after SIGTERM, before it is sent SIGKILL.
const TERM_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    // Blocked before there is a child, so that the SIGCHLD of the first is not lost.
    let signals = Signals::catch(&[SIGCHLD, SIGINT, SIGTERM, SIGUSR1])?.with_log(&log);
    sigaction_for_children()?;

    let (local, listeners) = open_listeners(local, args)?;
    let mut children = Children::new(log, args.workers);
    log::ready(local, args.json, &args.shown_pid(), out)?;
    let parent = getpid();
    loop {
        while let Some(place) = children.wanted() {
            // SAFETY: this process has one thread, so no other holds a lock, and nothing is
            // buffered that both would write: the child may do all that the parent may.
            #[expect(unsafe_code, reason = "fork is what this recipe shows")]
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    serve_clients(listeners, place, log, parent, &signals, args)
                }
                Ok(ForkResult::Parent { child }) => children.forked(child, place),
                Err(why) => children.fork_failed(place, why),
            }
        }
        match signals.wait(None, PollFlags::empty(), children.next_start())? {
            Woken::Signal(SIGCHLD) => reap(&mut children)?,
            Woken::Signal(SIGUSR1) => children.report(),
            Woken::Signal(_) => break,
            Woken::Deadline => {}
            Woken::Ready => {}
        }
    }
    children.ending = true;
    for listener in listeners {
        // The workers have it open too, so a close would end nothing. This ends their `accept`, and
        // from here on the kernel refuses new clients.
        listener.shutdown(Shutdown::Both).attempt("shutdown the listener")?;
    }
    drain(&signals, &mut children, args.grace.0)
}

/// One listener for all workers, or with --reuse-port one for each; and where they are bound.
fn open_listeners(local: SocketAddr, args: &Args) -> Result<(SocketAddr, Vec<Socket>), Error> {
    let open = |local| {
        let socket = listen_with(local, args.backlog, |socket| {
            // Every one of them needs it, the first too, and before bind.
            socket.set_reuse_port(args.reuse_port).attempt("setsockopt SO_REUSEPORT")
        })?;
        set_timeouts(&socket, args.idle_timeout)?;
        Ok(socket)
    };
    let first = open(local)?;
    // Port 0 has become a real one, which the others share.
    let local = local_address(&first)?;
    let others = if args.reuse_port { 1..args.workers } else { 0..0 };
    let all = std::iter::once(Ok(first)).chain(others.map(|_| open(local)));
    Ok((local, all.collect::<Result<_, _>>()?))
}

/// The sockets that `accept` returns inherit both timeouts, which end `recv` and `send` with EAGAIN.
fn set_timeouts(listener: &Socket, idle: Timeout) -> Result<(), Error> {
    listener.set_read_timeout(idle.duration()).attempt("setsockopt SO_RCVTIMEO")?;
    // A send that took some bytes before its time ended returns their number, and the next one waits
    // anew: with an eighth of the time for each, a peer that does not read is closed in time.
    let part = idle.duration().map(|time| in_micros(time / 8));
    listener.set_write_timeout(part).attempt("setsockopt SO_SNDTIMEO")
}

/// What a worker does: it serves one client after the other, until it has served `--clients-per-worker`, or the
/// listener is shut down.
fn serve_clients(
    mut listeners: Vec<Socket>,
    place: u16,
    log: Log,
    parent: Pid,
    signals: &Signals,
    args: &Args,
) -> ! {
    // The listener of this worker, or the common one; those of the others are closed here.
    let own = usize::from(place) % listeners.len().max(1);
    let listener = Listener::blocking(listeners.swap_remove(own));
    drop(listeners);
    let (Ok(mut listener), Ok(mut buffer), Ok(())) =
        (listener, Buffer::untouched(), signals.unblock_with_pdeathsig(parent))
    else {
        _exit(1) // the parent logs it
    };
    let prefix = if args.show_pid { format!("{}: ", getpid()) } else { String::new() };
    let mut served = 0;
    while served < args.clients_per_worker {
        let (stream, peer) = match listener.accept(&log) {
            Ok(Some(connection)) => connection,
            Ok(None) => continue,
            // EINVAL: the parent has shut it down. Any other error the parent logs.
            Err(_) => _exit(1), // not `exit`, which would flush what the parent had buffered
        };
        served += 1;
        let mut record = log.open(peer);
        let end = echo(&stream, &mut buffer, &prefix, args.idle_timeout, &mut record);
        record.close(end);
        drop(stream); // close: FIN, or RST if bytes of the peer were left unread
    }
    _exit(0) // it has served all that it was to serve: the parent forks another
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
