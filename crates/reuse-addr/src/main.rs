//! Show what SO_REUSEADDR does, and what it does not.
//!
//! # What it shows
//! A server that is started again finds its port taken, though nobody listens: whoever closes a
//! connection first keeps its address for a minute (TIME_WAIT), lest a late packet reach the wrong
//! one. SO_REUSEADDR on the old socket and on the new one says that this is meant. It does not let
//! two servers listen on one address; for UDP it does, and the second takes the datagrams of the first.
//! `--matrix` tries every rule on this machine.
//!
//! # System calls
//! `socket` → `getsockopt(SO_REUSEADDR)` → `setsockopt(SO_REUSEADDR)` → `getsockopt(SO_REUSEADDR)` →
//! `bind` → `listen`
//!
//! # Try it
//! ```console
//! $ reuse-addr --port 7777 &
//! listening on 127.0.0.1:7777, SO_REUSEADDR was 0, is 1
//! $ socat -u TCP:127.0.0.1:7777 -
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE` from bind: somebody listens, or a connection is in TIME_WAIT and one of the two
//!   sockets lacks the option. It is set before bind: afterwards it is of no use to this socket.
//! - Set on the new socket only: connections that the old server accepted inherited nothing.
//! - Two sockets that are bound and not yet listening may share an address; then the second listen
//!   fails.
//! - The Python original prints the option before and after it sets it, on a socket that is thrown
//!   away, and then listens with SO_REUSEADDR, where nothing shows what it is good for.
//!
//! # Next
//! `echo-server` sets it in its place; `socket-modes` has the calls that do not wait.
//!
//! # Source
//! socket(7), ip(7), tcp(7); RFC 9293 §3.6.1; UNP §7.5, TLPI §61.10; the Python cookbook's recipe
//! 1.10.

mod holder;
mod matrix;

use std::os::fd::AsFd;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::errno::Errno;
use nix::poll::PollFlags;
use socket2::{Domain, Socket, Type};

use netcore::addr::Host;
use netcore::error::{Attempt, Error};
use netcore::listener::Listener;
use netcore::log::{self, Log};
use netcore::number::whole;
use netcore::output::Output;
use netcore::port::ListenPort;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals, Woken};
use netcore::{cli, recipe};

/// Show what SO_REUSEADDR does, and what it does not.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --port 0 --no-reuse")]
struct Args {
    /// port to listen on: a number, a service name, or 0 for any that is free
    #[argh(option, short = 'p', default = "ListenPort(8282)")]
    port: ListenPort,
    /// address or name to listen on (127.0.0.1); :: is IPv6 and IPv4
    #[argh(option, default = "Host::LOOPBACK")]
    host: Host,
    /// connections that the kernel may queue (5)
    #[argh(option, arg_name = "n", default = "5", from_str_fn(whole))]
    backlog: u16,
    /// leave the option as it is
    #[argh(switch)]
    no_reuse: bool,
    /// try every rule on this machine, and serve nothing
    #[argh(switch)]
    matrix: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    quiet: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 68 71 74 75 77), |args: &Args, out| {
        if args.matrix { matrix::show(args.json, out) } else { serve(args, out) }
    })
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, false, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;

    let socket = Socket::new(Domain::for_address(local), Type::STREAM, None).attempt("socket")?;
    let was = socket.reuse_address().attempt("getsockopt SO_REUSEADDR")?;
    if !args.no_reuse {
        socket.set_reuse_address(true).attempt("setsockopt SO_REUSEADDR")?;
    }
    let is = socket.reuse_address().attempt("getsockopt SO_REUSEADDR")?;
    if local.is_ipv6() {
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
    }
    if let Err(error) = socket.bind(&local.into()).attempt(format_args!("bind {local}")) {
        out.report(&error);
        if let Error::Os { source: Errno::EADDRINUSE, .. } = error {
            out.note(holder::of(local.port()));
        }
        return Ok(()); // What was reported is the exit code.
    }
    socket.listen(args.backlog.into()).attempt(format_args!("listen on {local}"))?;

    let mut listener = Listener::new(socket)?;
    let states = format!(", SO_REUSEADDR was {}, is {}", u8::from(was), u8::from(is));
    log::ready(&listener, args.json, &states, out)?;
    loop {
        match signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, None)? {
            Woken::Signal(_) => return Ok(()),
            Woken::Deadline => {}
            Woken::Ready => {
                let Some((stream, peer)) = listener.accept(&log)? else { continue };
                let record = log.open(peer);
                // Whoever closes first has the TIME_WAIT: here that is the server.
                drop(stream);
                record.close(Err("closed by the server".to_owned()));
            }
        }
    }
}
