//! Echo what each peer sends, one connection at a time (RFC 862).
//!
//! # What it shows
//! The life of a TCP server, in the order of its system calls. After `listen` the kernel completes
//! connections by itself and queues them, up to the backlog; `accept` takes the next one. So a
//! second client connects at once and may send, but hears nothing until the first is done.
//! `recv` returns 0 when the peer has said all it wants to say; it still hears what we send.
//!
//! # System calls
//! `socket` → `setsockopt(SO_REUSEADDR)` → `bind` → `listen` → (`accept` → (`recv` → `send`)* → `close`)*
//!
//! # Try it
//! ```console
//! $ echo-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ echo-client --port 7777 'Hello, server'
//! 127.0.0.1:7777 echoed 13 bytes: "Hello, server"   0.21 ms
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE`: another socket listens on the port. Connections of the last run that are in
//!   TIME_WAIT would do it too; SO_REUSEADDR excepts those.
//! - `EACCES`: a port below 1024, without the right to it.
//! - `send` takes a part of the bytes when the peer reads slowly. The Python original ignores its
//!   count and loses the rest.
//! - A peer that is silent would hold a server of one connection for ever: `--idle-timeout`.
//! - A message that ends beyond one `recv`: the original reads once, 2,048 bytes at most, and its
//!   close with unread bytes sends RST, which may take the reply from the client as well.
//!
//! # Next
//! `echo-client` is the other end; `forking-echo` serves many, with a process for each.
//!
//! # Source
//! socket(7), tcp(7), listen(2), accept(2), recv(2), send(2); RFC 862; UNP §5.2, TLPI §56.5; the
//! Python cookbook's recipe 1.13, echo server.

mod waits;

use std::os::fd::AsRawFd;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Socket, Type};

use netcore::addr::Host;
use netcore::error::{Attempt, Error, errno};
use netcore::listener::Listener;
use netcore::log::{self, Log, Record};
use netcore::number::whole;
use netcore::output::Output;
use netcore::port::ListenPort;
use netcore::resolve::first_address;
use netcore::signal::{Signal, Signals};
use netcore::time::{Span, Timeout};
use netcore::{cli, recipe};

use waits::Waits;

/// Bytes that one `recv` takes at most.
const BUFFER: usize = 64 * 1024;

/// Echo what each peer sends, one connection at a time.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777")]
#[argh(example = "{command_name} --host :: --port 0 --json")]
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
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    idle_timeout: Timeout,
    /// time that clients have to finish after SIGTERM (5s)
    #[argh(option, arg_name = "time", default = "Span::seconds(5)")]
    grace: Span,
    /// serve one connection and end
    #[argh(switch)]
    once: bool,
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
    let signals = Signals::catch(&[Signal::SIGINT, Signal::SIGTERM])?;

    let socket = Socket::new(Domain::for_address(local), Type::STREAM, None).attempt("socket")?;
    // The side that closes first keeps the address in TIME_WAIT for a minute. Without this option
    // a restart within that minute fails; with it only another listener stands in the way.
    socket.set_reuse_address(true).attempt("setsockopt SO_REUSEADDR")?;
    if local.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false).attempt("setsockopt IPV6_V6ONLY")?;
    }
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    socket.listen(args.backlog.into()).attempt(format_args!("listen on {local}"))?;
    let listener = Listener::new(socket)?;
    log::ready(listener.local()?, args.json, "", out)?;

    let mut waits = Waits::new(signals, listener, args.idle_timeout, args.grace.0);
    let mut buffer = vec![0; BUFFER];
    while let Some(listener) = waits.for_connection()? {
        let Some((stream, peer)) = listener.accept(&log)? else { continue };
        if args.once {
            waits.listener = None;
        }
        let mut record = log.open(peer);
        let end = echo(&stream, &mut buffer, &mut waits, &mut record);
        record.close(end);
        // Dropping the socket closes it: FIN, or RST if bytes of the peer were left unread.
        drop(stream);
    }
    Ok(())
}

/// Sends back what comes until the peer's FIN. The error is the reason to end before it.
fn echo(
    stream: &Socket,
    buffer: &mut [u8],
    waits: &mut Waits,
    record: &mut Record,
) -> Result<(), String> {
    let fd = stream.as_raw_fd();
    loop {
        waits.for_peer(stream, PollFlags::POLLIN)?;
        let received = match recv(fd, buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Ok(()),
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(why) => return Err(format!("recv: {}", errno(why))),
        };
        let mut rest = buffer.get(..received).unwrap_or_default();
        record.received(rest);
        // The kernel takes what it has room for, which may be less than we have.
        while !rest.is_empty() {
            match send(fd, rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => {
                    record.sent(sent);
                    rest = rest.get(sent..).unwrap_or_default();
                }
                Err(Errno::EAGAIN | Errno::EINTR) => waits.for_peer(stream, PollFlags::POLLOUT)?,
                Err(why) => return Err(format!("send: {}", errno(why))),
            }
        }
    }
}
