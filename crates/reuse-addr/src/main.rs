//! Show what SO_REUSEADDR does, and what it does not.
//!
//! # What it shows
//! A server that is started again finds its port taken, though nobody listens: whoever closes a
//! connection first keeps its address for a minute (TIME_WAIT), lest a late segment reach the wrong
//! connection. SO_REUSEADDR on the old socket *and* on the new one says that this is known. It does
//! not let two servers listen on one address. For UDP it does, and the second takes the datagrams.
//!
//! # System calls
//! `socket` → `getsockopt(SO_REUSEADDR)` → `setsockopt(SO_REUSEADDR)` → `getsockopt(SO_REUSEADDR)` →
//! `bind` → `listen` → (`accept` → `close`)*
//!
//! # Try it
//! ```console
//! $ reuse-addr --port 7777 &
//! listening on 127.0.0.1:7777, SO_REUSEADDR was 0, is 1
//! $ echo-client --port 7777 ''
//! 127.0.0.1:7777 echoed 0 bytes: ""   0.10 ms
//! ```
//! Every rule is tried on this machine; the program ends with 1 where one does not hold:
//! ```console
//! $ reuse-addr --matrix | grep -e socket -e TIME_WAIT
//!                            old socket new socket what came of it
//! TIME_WAIT, no listener     -          -          bind EADDRINUSE   as documented
//! TIME_WAIT, no listener     REUSEADDR  -          bind EADDRINUSE   as documented
//! TIME_WAIT, no listener     -          REUSEADDR  bind EADDRINUSE   as documented
//! TIME_WAIT, no listener     REUSEADDR  REUSEADDR  allowed           as documented
//! TIME_WAIT, no listener     REUSEPORT  REUSEPORT  allowed           as documented
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE`: another socket listens, or what a server left behind lacks the option. What it
//!   accepted has the option of its listener, so a first run without it blocks the second.
//! - Set after bind it is too late for that bind.
//! - A child that lives on with a connection blocks the port as TIME_WAIT does. One that lives on
//!   with the listener blocks it whatever is set.
//! - Two sockets may be bound to one address while neither listens. Then the second `listen` fails.
//! - SO_REUSEPORT lets several sockets of one user listen, each of which has it, and the kernel
//!   spreads connections among them. With SO_REUSEADDR any user may take the datagrams of a UDP
//!   socket that has set it too.
//! - A peer that says FIN first has the TIME_WAIT itself. Nobody has it after RST, for bytes that were
//!   not read, nor once the peer comes from the same port again: its SYN ends the wait (RFC 6191).
//! - The Python original prints the option before and after, on a socket that it throws away, and
//!   serves on another, which is never closed.
//!
//! # Next
//! `echo-server` sets the option in its place; `socket-modes` shows what `accept` inherits.
//!
//! # Source
//! socket(7), ip(7), tcp(7), proc(5); RFC 9293 §3.6.1; UNP §7.5, TLPI §61.10; the Python cookbook's
//! recipe 1.10.

mod holder;
mod matrix;
mod probe;

use std::os::fd::AsFd;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::{ReuseAddr, ReusePort};
use nix::sys::socket::{getsockopt, setsockopt};
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
use netcore::text::Json;
use netcore::{cli, recipe};

/// Show what SO_REUSEADDR does, and what it does not.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --host :: --port 0 --no-reuse")]
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
    let option = if args.no_reuse { Reuse::Nothing } else { Reuse::Addr };

    let (socket, was, is) = open(Domain::for_address(local), Type::STREAM, option)?;
    let bound = socket.bind(&local.into()).attempt(format_args!("bind {local}"));
    // With both bound before either listens, it is listen that fails.
    let listens = || socket.listen(args.backlog.into()).attempt(format_args!("listen on {local}"));
    if let Err(error) = bound.and_then(|()| listens()) {
        out.report(&error);
        if let Error::Os { source: Errno::EADDRINUSE, .. } = error {
            holder::of(local).iter().for_each(|line| out.note(line));
        }
        return Ok(());
    }
    let mut listener = Listener::new(socket)?;
    log::ready(listener.local()?, args.json, &format!(", SO_REUSEADDR was {was}, is {is}"), out)?;
    if args.json {
        out.line(
            Json::new("option").text("name", "SO_REUSEADDR").number("was", was).number("is", is),
        )?;
    }
    while let Woken::Ready = signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, None)? {
        let Some((stream, peer)) = listener.accept(&log)? else { continue };
        let record = log.open(peer);
        // Whoever closes first has the TIME_WAIT: here that is the server.
        drop(stream);
        record.close(Err("closed by this side".to_owned()));
    }
    Ok(())
}

/// What is set on a socket before bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    Nothing,
    Addr,
    Port,
}

/// A socket with its option, and what SO_REUSEADDR was before and is now.
fn open(domain: Domain, kind: Type, option: Reuse) -> Result<(Socket, u8, u8), Error> {
    let socket = Socket::new(domain, kind, None).attempt("socket")?;
    let was = getsockopt(&socket, ReuseAddr).attempt("getsockopt SO_REUSEADDR")?;
    match option {
        Reuse::Nothing => Ok(()),
        Reuse::Addr => setsockopt(&socket, ReuseAddr, &true).attempt("setsockopt SO_REUSEADDR"),
        Reuse::Port => setsockopt(&socket, ReusePort, &true).attempt("setsockopt SO_REUSEPORT"),
    }?;
    let is = getsockopt(&socket, ReuseAddr).attempt("getsockopt SO_REUSEADDR")?;
    if domain == Domain::IPV6 {
        // One socket for both families, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
    }
    Ok((socket, was.into(), is.into()))
}
