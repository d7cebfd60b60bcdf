//! Echo what each peer sends, with processes that were forked before the clients came.
//!
//! # What it shows
//! The listener is open in all workers, and each waits in `accept` on it: the kernel wakes one for
//! each connection, the one that has waited longest. No fork lies between a client and its reply; in
//! return the number of workers is the number of clients at once. With `--reuse-port` every worker
//! has a listener of its own: the kernel deals connections out by a hash of their addresses, and a
//! client waits for its worker though others are idle.
//! The parent serves nobody. It starts a worker again that died, and ends them all.
//!
//! # System calls
//! `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` → `fork`, in the child
//! (`accept` → (`recv` → `send`)* → `close`)*, in the parent `waitpid`; at the end shutdown of the
//! listener
//!
//! # Try it
//! ```console
//! $ prefork-echo --port 7777 --workers 2 --show-pid &
//! listening on 127.0.0.1:7777, pid 5120
//! $ forking-client --port 7777 --clients 2 --hold 100ms
//! client 1 <- pid 5121   19 bytes   0.52 ms
//! client 2 <- pid 5122   19 bytes   0.61 ms
//! 2 clients, 2 processes, each its own bytes
//! ```
//!
//! # What can go wrong
//! - As many silent clients as workers: nobody else is served until `--idle-timeout`.
//! - Workers that wait in `poll` or `epoll_wait` before `accept` are all woken by one connection, and
//!   all but one for nothing. Those that wait in `accept` itself are woken one at a time.
//! - A worker in `accept` can't be told to stop: a signal that comes just before the call is lost to
//!   it. `shutdown` on the listener ends every `accept` on it, with EINVAL, those to come too.
//! - A worker that dies at once and is started at once takes a whole core: there is a pause between,
//!   longer each time.
//! - With `--reuse-port` a listener that is closed takes the connections in its queue along: the
//!   parent keeps all of them open, for the next worker.
//!
//! # Next
//! `forking-echo` forks after `accept`; `poll-echo` has one process for everybody.
//!
//! # Source
//! fork(2), accept(2), shutdown(2), socket(7) on SO_REUSEPORT; UNP §30.6 to §30.8, TLPI §60.4; the
//! Python cookbook's recipe 2.1, ForkingMixIn.

mod worker;
mod workers;

use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::poll::PollFlags;
use nix::unistd::{ForkResult, fork, getpid};
use socket2::Socket;

use netcore::addr::Host;
use netcore::echo::inherit_timeouts;
use netcore::error::{Attempt, Error};
use netcore::family::Family;
use netcore::listener::{listen_with, local_address};
use netcore::log::{self, Log};
use netcore::number::{at_least_one, whole};
use netcore::output::Output;
use netcore::port::ListenPort;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals, Woken, set_for_children};
use netcore::time::{Span, Timeout};
use netcore::{cli, recipe};

use workers::Workers;

/// Echo what each peer sends, with processes that were forked before the clients came.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --show-pid")]
#[argh(example = "{command_name} --port 0 --workers 2 --reuse-port")]
struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p')]
    port: ListenPort,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    host: Host,
    /// connections that the kernel may queue (5)
    #[argh(option, arg_name = "n", default = "5", from_str_fn(whole))]
    backlog: u16,
    /// worker processes, and so clients at once (8)
    #[argh(option, arg_name = "n", default = "8", from_str_fn(at_least_one))]
    workers: u16,
    /// a listener for each worker, on the same port
    #[argh(switch)]
    reuse_port: bool,
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    idle_timeout: Timeout,
    /// time that clients get to finish once we are asked to stop (5s)
    #[argh(option, arg_name = "time", default = "Span::seconds(5)")]
    grace: Span,
    /// begin each reply with the pid of its process
    #[argh(switch)]
    show_pid: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// log what each peer sends, escaped
    #[argh(switch, short = 'v')]
    verbose: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 68 71 74 75 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, args.port.0)?;
    // Caught before there is a child, so that none can end unseen.
    let caught = [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1];
    let signals = Signals::catch(&caught)?;
    set_for_children()?;

    let first = open_listener(local, args)?;
    // Port 0 has become a real one, which the others share.
    let local = local_address(&first)?;
    let others = if args.reuse_port { 1..args.workers } else { 0..0 };
    let others = others.map(|_| open_listener(local, args));
    let listeners = std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>, _>>()?;
    let parent = getpid();
    let pid = if args.show_pid { format!(", pid {parent}") } else { String::new() };
    log::ready_at(local, args.json, &pid, out)?;

    let mut workers = Workers::new(log, args.workers);
    loop {
        while let Some(place) = workers.wanted() {
            // SAFETY: this process has one thread, so no lock is held by another, and nothing is
            // buffered that both would write: the child may do all that the parent may.
            #[expect(unsafe_code, reason = "fork is what this recipe shows")]
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    worker::serve_and_exit(parent, &signals, listeners, place, log, args)
                }
                Ok(ForkResult::Parent { child }) => workers.born(child, place),
                Err(why) => workers.not_born(place, why),
            }
        }
        match signals.wait(None, PollFlags::empty(), workers.next_start())? {
            Woken::Signal(Signal::SIGCHLD) => workers.reap()?,
            Woken::Signal(Signal::SIGUSR1) => workers.report(),
            Woken::Signal(_) => break,
            Woken::Ready | Woken::Deadline => {}
        }
    }
    workers.ending();
    for listener in listeners {
        // The workers have it open too, so closing it would end nothing. This ends their `accept`,
        // and from here on the kernel refuses new clients.
        listener.shutdown(Shutdown::Both).attempt("shutdown the listener")?;
    }
    workers.drain(&signals, args.grace.0)
}

fn open_listener(local: SocketAddr, args: &Args) -> Result<Socket, Error> {
    let socket = listen_with(local, args.backlog.into(), |socket| {
        // All of them have to say so, the first too, and before bind.
        socket.set_reuse_port(args.reuse_port).attempt("setsockopt SO_REUSEPORT")
    })?;
    inherit_timeouts(&socket, args.idle_timeout)?;
    Ok(socket)
}
