//! Echo what each peer sends, a process for each connection.
//!
//! # What it shows
//! `fork` copies the process, descriptors included: the parent waits for the next client while a
//! child serves this one with plain calls that block. Both have then to close what is not theirs.
//! The parent reaps the children that ended; SIGCHLD says that there are some, not how many.
//! Fork costs what the address space costs. Seen with `cargo xtask bench`: as many connections a
//! second as the same server in C; 1.1 to 1.2 times as many from a static build (C: 1.3 to 1.5),
//! 1.1 to 1.3 with musl (C: 1.4 to 1.8). A child maps its code anew, up to 64 KiB a fault.
//!
//! # System calls
//! `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` → (`accept` → `fork`)*, in the child
//! `close` → (`recv` → `send`)* → `_exit`, in the parent `close` → `waitpid`
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
//! - The parent keeps the connection: the client never sees the end of the stream.
//! - The child keeps the listener: once the parent is gone, a restart fails with `EADDRINUSE`, and
//!   new clients connect to a socket that nobody accepts from.
//! - One `waitpid` for each SIGCHLD: signals merge, and zombies stay. Reap until none is left.
//! - SIGCHLD ignored by whoever started us: the kernel reaps, and `waitpid` fails with `ECHILD`.
//! - `EAGAIN` from `fork`: too many processes. That client is closed, the server goes on.
//! - A service manager may signal the children too: tell it not to (systemd: `KillMode=mixed`).
//!
//! # Next
//! `echo-server` is this program without the fork; `forking-client` is the other end.
//!
//! # Source
//! fork(2), waitpid(2), signalfd(2), prctl(2); UNP §5.8 to §5.10, TLPI §60.3; the Python
//! cookbook's recipe 2.1, ForkingMixIn.

mod child;
mod children;

use std::os::fd::AsFd;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::poll::PollFlags;
use nix::unistd::{ForkResult, fork, getpid};

use netcore::addr::Host;
use netcore::echo::{Buffer, inherit_timeouts};
use netcore::error::Error;
use netcore::family::Family;
use netcore::listener::{Listener, listen};
use netcore::log::{self, Log};
use netcore::number::{at_least_one, whole};
use netcore::output::Output;
use netcore::port::ListenPort;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals, Woken, set_for_children};
use netcore::time::{Span, Timeout};
use netcore::{cli, recipe};

use children::{Children, WhenFull};

/// Echo what each peer sends, a process for each connection.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --show-pid")]
#[argh(example = "{command_name} --port 0 --max-children 8 --when-full refuse")]
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
    /// children at once (40)
    #[argh(option, arg_name = "n", default = "40", from_str_fn(at_least_one))]
    max_children: usize,
    /// more clients: wait in the queue, or refuse them (wait)
    #[argh(option, arg_name = "what", default = "WhenFull::Wait")]
    when_full: WhenFull,
    /// clients at once of one address (no limit)
    #[argh(option, arg_name = "n", default = "usize::MAX", from_str_fn(at_least_one))]
    max_per_source: usize,
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

    let socket = listen(local, args.backlog.into())?;
    inherit_timeouts(&socket, args.idle_timeout)?;
    let mut listener = Listener::new(socket)?;
    let parent = getpid();
    let pid = if args.show_pid { format!(", pid {parent}") } else { String::new() };
    log::ready(&listener, args.json, &pid, out)?;

    let mut children = Children::new(log, args.max_children, args.max_per_source);
    // The parent never touches these pages, so fork copies none; a child touches what it fills.
    let mut buffer = Buffer::untouched();
    loop {
        // A full server looks at signals only: the next clients wait in the kernel's queue.
        let accepting = args.when_full == WhenFull::Refuse || !children.limits.is_full();
        match signals.wait(accepting.then(|| listener.as_fd()), PollFlags::POLLIN, None)? {
            Woken::Signal(Signal::SIGCHLD) => children.reap()?,
            Woken::Signal(Signal::SIGUSR1) => children.report(),
            Woken::Signal(_) => break,
            Woken::Deadline => {}
            Woken::Ready => {
                let Some((stream, peer)) = listener.accept(&log)? else { continue };
                if !children.limits.admit(peer) {
                    continue; // Dropping the stream closes it.
                }
                let record = log.open(peer);
                // SAFETY: this process has one thread, so no lock is held by another, and nothing
                // is buffered that both would write: the child may do all that the parent may.
                #[expect(unsafe_code, reason = "fork is what this recipe shows")]
                match unsafe { fork() } {
                    Ok(ForkResult::Child) => {
                        // Else the address stays taken while this child lives, and new clients
                        // connect to a queue that nobody empties.
                        drop(listener);
                        child::serve_and_exit(parent, &signals, &stream, record, &mut buffer, args)
                    }
                    Ok(ForkResult::Parent { child }) => {
                        children.born(child, peer);
                        // Else the client never sees the end of the stream: the connection is
                        // closed when its last descriptor is.
                        drop(stream);
                    }
                    Err(why) => children.not_born(record, peer, why),
                }
            }
        }
    }
    // From here on the kernel refuses new clients.
    drop(listener);
    children.drain(&signals, args.grace.0)
}
