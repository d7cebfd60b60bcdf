//! Show what SO_REUSEADDR does, and what it does not.
//!
//! # What it shows
//! A server that is started again may find its port taken, although no process listens: the side that
//! closes a connection first keeps its address for a minute (TIME_WAIT), so that a late segment cannot
//! reach a new connection. SO_REUSEADDR on the old socket *and* on the new one allows the bind. It does
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
//!                            old socket new socket result
//! TIME_WAIT, no listener     -          -          bind EADDRINUSE   as documented
//! TIME_WAIT, no listener     REUSEADDR  -          bind EADDRINUSE   as documented
//! TIME_WAIT, no listener     -          REUSEADDR  bind EADDRINUSE   as documented
//! TIME_WAIT, no listener     REUSEADDR  REUSEADDR  allowed           as documented
//! TIME_WAIT, no listener     REUSEPORT  REUSEPORT  allowed           as documented
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE`: another socket listens, or the connections that a server left behind do not have
//!   the option. They inherit it from their listener, so a first run without it blocks the second.
//! - The option is set after `bind`: too late for that bind.
//! - A child that still has a connection open blocks the port as TIME_WAIT does. One that still has
//!   the listener open blocks it whatever is set.
//! - Two sockets may be bound to one address while neither listens. Then the second `listen` fails.
//! - SO_REUSEPORT lets several sockets of one user listen, if each of them has it, and the kernel
//!   spreads connections among them. With SO_REUSEADDR any user may take the datagrams of a UDP
//!   socket that has set it too.
//! - If the peer sends its FIN first, TIME_WAIT is on its side. There is none after an RST, which is
//!   sent for bytes that were not read, and a SYN from the same port of the peer ends it (RFC 6191).
//! - The Python original prints the option before and after on one socket, and serves on another,
//!   which is never closed.
//!
//! # Next
//! `echo-server` sets the option in its place; `socket-modes` shows what `accept` inherits.
//!
//! # Source
//! socket(7), ip(7), tcp(7), proc(5); RFC 9293 §3.6.1; UNP §7.5, TLPI §61.10; the Python cookbook's
//! recipe 1.10.

mod args;
mod report;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::{ReuseAddr, ReusePort};
use nix::sys::socket::{MsgFlags, getsockopt, recv, setsockopt};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::listener::{Listener, local_address};
use netcore::log::{self, Log};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals, Woken};
use netcore::text::Json;
use netcore::{cli, recipe};

use args::Args;
use report::{RULES, Reuse, Situation, connections_in_time_wait, holders};

/// A free port of this machine.
const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long something may take that loopback does at once.
const SOON: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 68 71 74 75 77), |args: &Args, out| {
        if args.matrix { try_rules(args.json, out) } else { serve(args, out) }
    })
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, false, args.json);
    let local = first_address(&args.host, args.port.0)?;
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;
    let option = if args.no_reuse { Reuse::Nothing } else { Reuse::Addr };

    let (socket, was, is) = open(Domain::for_address(local), Type::STREAM, option)?;
    let bound = socket.bind(&local.into()).attempt(format_args!("bind {local}"));
    // If two sockets are bound before one of them listens, it is listen that fails.
    let listens = || socket.listen(args.backlog).attempt(format_args!("listen on {local}"));
    if let Err(error) = bound.and_then(|()| listens()) {
        out.report(&error);
        if let Error::Os { source: Errno::EADDRINUSE, .. } = error {
            holders(local).iter().for_each(|line| out.note(line));
        }
        return Ok(());
    }
    let mut listener = Listener::new(socket)?;
    log::ready(listener.local()?, args.json, &format!(", SO_REUSEADDR was {was}, is {is}"), out)?;
    if args.json {
        let json = Json::new("option").text("name", "SO_REUSEADDR");
        out.line(json.number("was", was).number("is", is))?;
    }
    while let Woken::Ready = signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, None)? {
        let Some((stream, peer)) = listener.accept(&log)? else { continue };
        let record = log.open(peer);
        drop(stream); // close: the side that closes first has the TIME_WAIT
        record.close(Err("closed by this side".to_owned()));
    }
    Ok(())
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

/// `--matrix`: tries each rule, and prints whether it holds on this machine.
fn try_rules(json: bool, out: &mut Output) -> Result<(), Error> {
    report::heading(json, out)?;
    for rule in &RULES {
        for case in rule.cases {
            let result = try_case(rule.situation, *case)?;
            report::case(rule.what, *case, result.as_deref(), json, out)?;
        }
    }
    Ok(())
}

/// `None` on a machine without IPv6, if the rule is about IPv6.
fn try_case(
    situation: Situation,
    (old, new, documented): (Reuse, Reuse, &str),
) -> Result<Option<String>, Error> {
    // The kernel picks a port for the old socket; at the address of the new one another program may
    // have that port. That another port is taken too is unlikely.
    for last in [false, false, true] {
        match outcome(situation, old, new) {
            Ok(result) if result == documented || last => return Ok(Some(result)),
            Err(Error::Os { source: Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL, .. }) => break,
            Err(error) if last => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(None)
}

/// What the new socket gets, with the old one in its place.
fn outcome(situation: Situation, old: Reuse, new: Reuse) -> Result<String, Error> {
    match situation {
        Situation::Listeners(first, second) => {
            let old = listening(SocketAddr::new(first, 0), old)?;
            let local = SocketAddr::new(second, local_address(&old)?.port());
            Ok(in_words(listening(local, new)))
        }
        Situation::Bound => {
            let old = bound(Type::STREAM, FREE, old)?;
            Ok(in_words(bound(Type::STREAM, local_address(&old)?, new)))
        }
        Situation::BoundThenListen => {
            let old = bound(Type::STREAM, FREE, old)?;
            let new = bound(Type::STREAM, local_address(&old)?, new)?;
            old.listen(1).attempt("listen")?;
            Ok(in_words(new.listen(1).attempt("listen")))
        }
        Situation::TimeWait => after_time_wait(old, new),
        Situation::OpenConnection => {
            let (local, _accepted, _client) = connection(old)?;
            Ok(in_words(listening(local, new)))
        }
        Situation::Datagrams => {
            let old = bound(Type::DGRAM, FREE, old)?;
            Ok(in_words(bound(Type::DGRAM, local_address(&old)?, new)))
        }
        Situation::Arrival => who_receives(old, new),
        Situation::OnlyV6 => {
            let (old, ..) = open(Domain::IPV6, Type::STREAM, old)?;
            old.set_only_v6(true).attempt("setsockopt IPV6_V6ONLY")?;
            bind_and_listen(&old, (Ipv6Addr::UNSPECIFIED, 0).into())?;
            let local = (Ipv4Addr::UNSPECIFIED, local_address(&old)?.port());
            Ok(in_words(listening(local.into(), new)))
        }
        Situation::MappedPeer => address_of_ipv4_peer(old),
    }
}

/// The old server closed its last connection first, so that it is in TIME_WAIT, and then ended.
fn after_time_wait(old: Reuse, new: Reuse) -> Result<String, Error> {
    let (local, accepted, client) = connection(old)?;
    drop(accepted);
    // The client closes second; otherwise TIME_WAIT would be on its side.
    client.set_read_timeout(Some(SOON)).attempt("setsockopt SO_RCVTIMEO")?;
    recv(client.as_raw_fd(), &mut [0], MsgFlags::empty()).attempt("recv")?;
    drop(client);
    let deadline = Instant::now() + SOON;
    while connections_in_time_wait(local) == 0 {
        if Instant::now() >= deadline {
            return Ok("no TIME_WAIT".to_owned());
        }
        let soon = Instant::now() + Duration::from_millis(1);
        poll(&mut [], Some(soon)).attempt("poll")?;
    }
    Ok(in_words(listening(local, new)))
}

/// A datagram arrives at an address to which both sockets are bound.
fn who_receives(old: Reuse, new: Reuse) -> Result<String, Error> {
    let old = bound(Type::DGRAM, FREE, old)?;
    let local = local_address(&old)?;
    let new = bound(Type::DGRAM, local, new)?;
    let sender = bound(Type::DGRAM, FREE, Reuse::Nothing)?;
    sender.send_to(b"whose?", &local.into()).attempt(format_args!("send to {local}"))?;
    // On loopback a datagram has arrived when send returns.
    let receives =
        |socket: &Socket| match recv(socket.as_raw_fd(), &mut [0; 8], MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN) => Ok(false),
            received => received.attempt("recv").map(|_| true),
        };
    Ok(match (receives(&old)?, receives(&new)?) {
        (true, false) => "old one gets it",
        (false, true) => "new one gets it",
        (true, true) => "both get it",
        (false, false) => "none gets it",
    }
    .to_owned())
}

/// The address that a dual-stack listener gets from `accept` for a client over IPv4.
fn address_of_ipv4_peer(option: Reuse) -> Result<String, Error> {
    let listener = listening((Ipv6Addr::UNSPECIFIED, 0).into(), option)?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, local_address(&listener)?.port()));
    client.connect(&local.into()).attempt(format_args!("connect to {local}"))?;
    let (_, peer) = listener.accept().attempt("accept")?;
    Ok(peer.as_socket().map_or("no address".to_owned(), |peer| peer.ip().to_string()))
}

/// An address, and a connection that was accepted there by a listener that is closed.
fn connection(option: Reuse) -> Result<(SocketAddr, Socket, Socket), Error> {
    let listener = listening(FREE, option)?;
    let local = local_address(&listener)?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    client.connect(&local.into()).attempt(format_args!("connect to {local}"))?;
    let (accepted, _) = listener.accept().attempt("accept")?;
    Ok((local, accepted, client))
}

fn bound(kind: Type, local: SocketAddr, option: Reuse) -> Result<Socket, Error> {
    let (socket, ..) = open(Domain::for_address(local), kind, option)?;
    socket.bind(&local.into()).attempt("bind")?;
    Ok(socket)
}

fn listening(local: SocketAddr, option: Reuse) -> Result<Socket, Error> {
    let (socket, ..) = open(Domain::for_address(local), Type::STREAM, option)?;
    bind_and_listen(&socket, local)?;
    Ok(socket)
}

fn bind_and_listen(socket: &Socket, local: SocketAddr) -> Result<(), Error> {
    socket.bind(&local.into()).attempt("bind")?;
    socket.listen(1).attempt("listen")
}

/// `allowed`, or the call that failed and its errno: `bind EADDRINUSE`.
fn in_words<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => report::YES.to_owned(),
        Err(Error::Os { attempt, source }) => format!("{attempt} {source:?}"),
        Err(other) => other.to_string(),
    }
}
