//! Show why a request of two small writes is slow, and what ends the wait.
//!
//! # What it shows
//! Nagle's algorithm holds a small segment back while another one is not acknowledged. The peer
//! delays its ACK by 40 ms, so that a reply can carry it. So the second half of a request waits for
//! the ACK, and the server waits for the second half before it replies. TCP_NODELAY and TCP_CORK at
//! the client and TCP_QUICKACK at the server each end that wait, and so does a single write.
//!
//! # System calls
//! `socket` → `bind` → `listen` → `socket` → `connect` → `setsockopt(TCP_NODELAY)` →
//! (`send` → `send` → `recv`)* → `close`
//!
//! # Try it
//! ```console
//! $ nagle
//! two writes               median 43.9 ms, longest 44.0 ms  as documented
//! two writes, TCP_NODELAY  median 0.03 ms, longest 0.12 ms  as documented
//! two writes, TCP_CORK     median 0.03 ms, longest 0.09 ms  as documented
//! two writes, TCP_QUICKACK median 0.04 ms, longest 0.13 ms  as documented
//! one write                median 0.02 ms, longest 0.09 ms  as documented
//! a delayed ACK waits 40.0 ms here, HZ / 25 ticks of 4.00 ms
//! ```
//! It ends with 1 where this kernel does something else.
//!
//! # What can go wrong
//! - Write, write, read: a header and a body in two calls. Copy them into one buffer, or give both to
//!   one `sendmsg`. Write, read, write, read does not wait: each reply carries the ACK.
//! - With TCP_NODELAY a program that writes byte by byte sends a segment, with at least 40 bytes of
//!   headers, for each byte.
//! - TCP_CORK that is not cleared holds the last small segment back for up to 200 ms.
//! - TCP_QUICKACK is not permanent: the kernel leaves that mode where replies follow requests. So the
//!   server here sets it after each `recv`.
//! - A larger SO_SNDBUF changes nothing: there is room, and the data waits for an ACK.
//!
//! # Next
//! `buffer-size` shows how much a socket takes, `socket-modes` the calls that wait and do not wait.
//!
//! # Source
//! tcp(7); RFC 896, RFC 1122 §4.2.3.2 and §4.2.3.4; UNP §7.9, TLPI §61.4.

mod args;
mod report;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{TcpCork, TcpNoDelay};
use nix::sys::socket::{MsgFlags, recv, send, setsockopt};
use nix::time::{ClockId, clock_getres};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::{cli, recipe};

use args::Args;
use report::{DelayedAck, Variant};

/// Requests of each variant.
const ROUNDS: usize = 20;

/// A request, and its two halves: what a program sends as a header and a body.
const REQUEST: &[u8] = b"headbody";
const HEADER: &[u8] = b"head";
const BODY: &[u8] = b"body";

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74), compare)
}

fn compare(args: &Args, out: &mut Output) -> Result<(), Error> {
    // The clock that advances once a tick has the tick as its resolution.
    let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE);
    let tick = tick.attempt("clock_getres CLOCK_MONOTONIC_COARSE")?;
    let delayed_ack = DelayedAck::from_tick(tick.into());
    for variant in Variant::ALL {
        let times = measure(variant)?;
        delayed_ack.compare(variant, times, args.json, out)?;
    }
    delayed_ack.print(args.json, out)
}

/// How long each reply takes, over one connection.
fn measure(variant: Variant) -> Result<Vec<Duration>, Error> {
    let (client, server) = connection()?;
    if variant == Variant::NoDelay {
        setsockopt(&client, TcpNoDelay, &true).attempt("setsockopt TCP_NODELAY")?;
    }
    thread::scope(|scope| {
        let serves = || serve(server, variant == Variant::QuickAck);
        thread::Builder::new().spawn_scoped(scope, serves).attempt("start a thread")?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            send_request(&client, variant)?;
            if !receive(&client, false).attempt("recv")? {
                return Err(Errno::ECONNRESET).attempt("recv");
            }
            times.push(begun.elapsed());
        }
        drop(client); // close: the server's `recv` returns 0
        Ok(times)
    })
}

fn send_request(client: &Socket, variant: Variant) -> Result<(), Error> {
    // A few bytes, and the one before them has been answered: the kernel takes them whole.
    let send = |bytes| send(client.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).attempt("send");
    match variant {
        Variant::OneWrite => {
            send(REQUEST)?;
        }
        Variant::TwoWrites | Variant::NoDelay | Variant::QuickAck => {
            send(HEADER)?;
            send(BODY)?; // Nagle: held back until the header is acknowledged
        }
        Variant::Cork => {
            setsockopt(client, TcpCork, &true).attempt("setsockopt TCP_CORK")?;
            send(HEADER)?;
            send(BODY)?;
            // Both go now, as one segment.
            setsockopt(client, TcpCork, &false).attempt("setsockopt TCP_CORK")?;
        }
    }
    Ok(())
}

/// Answers each whole request with as many bytes, until the client closes.
fn serve(server: Socket, quick_ack: bool) {
    while let Ok(true) = receive(&server, quick_ack) {
        if send(server.as_raw_fd(), REQUEST, MsgFlags::MSG_NOSIGNAL).is_err() {
            return;
        }
    }
}

/// Receives as many bytes as a request has; false at the end of the stream.
#[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it was given")]
fn receive(socket: &Socket, quick_ack: bool) -> nix::Result<bool> {
    let mut buffer = [0; REQUEST.len()];
    let mut received = 0;
    while received < buffer.len() {
        match recv(socket.as_raw_fd(), &mut buffer[received..], MsgFlags::empty()) {
            Ok(0) => return Ok(false),
            Ok(more) => received += more,
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why),
        }
        if quick_ack {
            // An ACK that is due goes now. A failure shows in the times.
            let _ = socket.set_tcp_quickack(true);
        }
    }
    Ok(true)
}

/// Both ends of a connection over loopback: a client, and what `accept` returned for it.
fn connection() -> Result<(Socket, Socket), Error> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&local.into()).attempt(format_args!("bind {local}"))?;
    listener.listen(1).attempt("listen")?;
    let address = listener.local_addr().attempt("getsockname")?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).attempt("socket")?;
    client.connect(&address).attempt("connect to 127.0.0.1")?;
    Ok((client, listener.accept().attempt("accept")?.0))
}
