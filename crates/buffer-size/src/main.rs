//! Show what the kernel makes of SO_SNDBUF and SO_RCVBUF, and why.
//!
//! # What it shows
//! The size that a program asks for is a request. The kernel doubles it, because it charges its own
//! bookkeeping to the buffer too. The result is never less than one packet needs, and never more
//! than twice `sysctl net.core.wmem_max` or `rmem_max`; neither is an error. Only the size that is
//! read back counts.
//!
//! # System calls
//! `socket` → `getsockopt(SO_SNDBUF)` → `socket` → `setsockopt(SO_SNDBUF)` → `getsockopt(SO_SNDBUF)`
//!
//! # Try it
//! ```console
//! $ buffer-size --send 4096 | grep asked
//! TCP  send    asked 4096  read back 8192  as documented  doubled
//! UDP  send    asked 4096  read back 8192  as documented  doubled
//! unix send    asked 4096  read back 8192  as documented  doubled
//! ```
//! Without options it asks for nothing, too little, too much and -1, and ends with 1 where this
//! kernel does something else. `--measure` fills the buffers, `--sweep` draws the throughput,
//! `--when` shows what an accepted socket inherits.
//!
//! # What can go wrong
//! - Too much is no error, and -1 is the *largest* size: the kernel takes the minimum of unsigned
//!   numbers. This program refuses a size that is out of range before the kernel sees it.
//! - `EPERM`: SO_SNDBUFFORCE passes the limit, but needs CAP_NET_ADMIN.
//! - A set size ends autotuning: an untouched TCP socket grows to megabytes, up to the last number
//!   of `net.ipv4.tcp_wmem` and `tcp_rmem`; one that was set to 4096 stays there.
//! - An accepted socket is a copy of the listener at the end of its handshake. A size that is set
//!   later is set on the wrong socket, or does not take back the window that was offered: `--when`.
//! - A unix socket ignores the receiver's SO_RCVBUF: the sender's SO_SNDBUF is the bound. UDP drops
//!   a datagram that does not fit into the receiver's buffer.
//! - A request that is slow by 40 ms does not need a larger buffer: see `nagle`.
//! - socket(7) has the floors as 2048 and 256; they have grown with the kernel's structures.
//! - The Python original sets 4096, prints 8192, and does not say why; three of its names are wrong.
//!
//! # Next
//! `nagle` shows a delay that no buffer ends, `socket-modes` fills a buffer until `send` would block,
//! `socket-timeout` until it times out.
//!
//! # Source
//! socket(7), tcp(7), udp(7), unix(7); UNP §7.5, TLPI §61.10; the Python cookbook's recipe 1.8.

mod args;
mod report;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, SndBuf, SndBufForce};
use nix::sys::socket::{MsgFlags, getsockopt, recv, send, setsockopt};
use socket2::{Domain, Socket, Type};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::{cli, recipe};

use args::{Args, Buffer, Moment, Wanted};
use report::{Accepted, DefaultSize, Kind, Limits, Row, Throughput};

/// What is sent in one call.
static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A datagram that fits into any buffer.
const DATAGRAM: [u8; 1024] = [b'x'; 1024];

/// More bytes than this are not sent into a buffer: a forced one may be larger than the memory.
const ENOUGH: usize = 64 * 1024 * 1024;

/// A buffer is full when it took nothing for this time.
const STILL: Duration = Duration::from_millis(200);

/// How long `--sweep` measures a size.
const TIME: Duration = Duration::from_millis(200);

/// How long at most, where the machine is too busy for a single byte.
const LONGEST: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74 77, moved "--nagle" = "nagle"), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.force && args.send.or(args.receive).is_none() && !args.sweep {
        return Err(Error::Usage("--force: needs --send or --receive".to_owned()));
    }
    if !args.measure && !args.sweep && args.when.is_none() {
        return show_sizes(args, out);
    }
    if args.measure {
        measure(args, out)?;
    }
    if args.sweep {
        sweep(args, out)?;
    }
    args.when.map_or(Ok(()), |moment| show_inherited(moment, args, out))
}

/// Asks each kind of socket for each size, on a new socket each time.
fn show_sizes(args: &Args, out: &mut Output) -> Result<(), Error> {
    for buffer in Buffer::BOTH {
        let Some(sizes) = args.sizes(buffer) else { continue };
        let limits = limits(buffer)?;
        for kind in Kind::ALL {
            let size = size_of(&new_socket(kind)?, buffer)?;
            DefaultSize { kind, buffer, size }.print(args.json, out)?;
            for &asked in sizes {
                let read_back = set_size(&new_socket(kind)?, buffer, asked, args.force)?;
                let row = Row { kind, asked, read_back, force: args.force, limits };
                row.print(sizes.len() > 1, args.json, out)?;
            }
        }
    }
    Ok(())
}

/// Asks for a size, and reads back what the kernel made of it. `u32::MAX` is the int -1.
fn set_size(socket: &impl AsFd, buffer: Buffer, asked: u32, force: bool) -> Result<u32, Error> {
    let size = usize::try_from(asked).unwrap_or(usize::MAX);
    let set = match (buffer, force) {
        (Buffer::Send, false) => setsockopt(socket, SndBuf, &size),
        (Buffer::Receive, false) => setsockopt(socket, RcvBuf, &size),
        (Buffer::Send, true) => setsockopt(socket, SndBufForce, &size),
        (Buffer::Receive, true) => setsockopt(socket, RcvBufForce, &size),
    };
    let force = if force { "FORCE, which takes CAP_NET_ADMIN" } else { "" };
    set.attempt(format_args!("setsockopt {}{force}", buffer.option()))?;
    size_of(socket, buffer)
}

/// The size that is in effect.
fn size_of(socket: &impl AsFd, buffer: Buffer) -> Result<u32, Error> {
    let size = match buffer {
        Buffer::Send => getsockopt(socket, SndBuf),
        Buffer::Receive => getsockopt(socket, RcvBuf),
    };
    let size = size.attempt(format_args!("getsockopt {}", buffer.option()))?;
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}

/// What bounds the buffer on this machine.
fn limits(buffer: Buffer) -> Result<Limits, Error> {
    let read_back = |asked| set_size(&new_socket(Kind::Udp)?, buffer, asked, false);
    // A container may hide the file. The size that is read back is then twice the limit.
    let most = match report::sysctl_max(buffer) {
        Some(most) => most,
        None => read_back(i32::MAX.unsigned_abs())? / 2,
    };
    // The floor is the size of structures of the kernel, which no file shows.
    Ok(Limits { buffer, most, floor: read_back(0)? })
}

/// Fills each kind of pair while nobody reads, untouched and with the sizes that are asked for.
fn measure(args: &Args, out: &mut Output) -> Result<(), Error> {
    if !args.json {
        out.line("taken while nobody reads, until nothing more fits")?;
    }
    for kind in Kind::ALL {
        for wanted in args.wanted().or(4096).variants() {
            let (sender, receiver) = pair(kind, wanted)?;
            let (taken, kept) = if kind == Kind::Udp {
                // UDP takes every datagram, and keeps those that fit into the receiver's buffer: as
                // many bytes as its size do not, since the bookkeeping is charged too.
                let most = size_of(&receiver, Buffer::Receive)? as usize + DATAGRAM.len();
                (fill(&sender, &DATAGRAM, most.min(ENOUGH))?, receive_all(&receiver)?)
            } else {
                let taken = fill(&sender, &CHUNK, ENOUGH)?;
                (taken, taken)
            };
            out.line(report::taken(kind, wanted, taken, kept, args.json))?;
        }
    }
    Ok(())
}

/// Sends until nothing more is taken, or `most` bytes were; returns the number of bytes.
fn fill(sender: &Socket, bytes: &[u8], most: usize) -> Result<usize, Error> {
    let mut taken = 0;
    while taken < most {
        match send(sender.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(more) => taken += more,
            // The peer's kernel may still be moving them to its own buffer: wait for room.
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(sender.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut fds, Some(Instant::now() + STILL)).attempt("poll")? == 0 {
                    break;
                }
            }
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("send"),
        }
    }
    Ok(taken)
}

/// Receives the datagrams that are there; returns the number of their bytes.
fn receive_all(receiver: &Socket) -> Result<usize, Error> {
    let (mut buffer, mut bytes) = (DATAGRAM, 0);
    loop {
        match recv(receiver.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(more) => bytes += more,
            Err(Errno::EAGAIN) => return Ok(bytes),
            Err(why) => return Err(why).attempt("recv"),
        }
    }
}

/// Sets the buffers of a listener at that moment, and shows what the accepted socket has of them.
fn show_inherited(moment: Moment, args: &Args, out: &mut Output) -> Result<(), Error> {
    let wanted = args.wanted().or(9973);
    for buffer in Buffer::BOTH {
        let Some(size) = wanted.of(buffer) else { continue };
        let accepted = accept_one(moment, buffer, size, args.force)?;
        // For comparison: the window that is offered where the size is known at the handshake.
        let compare = moment == Moment::AfterAccept && buffer == Buffer::Receive;
        let before = compare.then(|| accept_one(Moment::BeforeListen, buffer, size, args.force));
        let before = before.transpose()?.map(|before| before.unread);
        accepted.print((moment, buffer, size), before, args.json, out)?;
    }
    Ok(())
}

fn accept_one(moment: Moment, buffer: Buffer, size: u32, force: bool) -> Result<Accepted, Error> {
    let listener = new_socket(Kind::Tcp)?;
    let set = || set_size(&listener, buffer, size, force).map(drop);
    let set_at = |now: Moment| if now == moment { set() } else { Ok(()) };
    bind_loopback(&listener)?;
    set_at(Moment::BeforeListen)?;
    listener.listen(1).attempt("listen")?;
    set_at(Moment::AfterListen)?;
    // The kernel copies the listener when the handshake ends, which may be long before accept.
    let client = new_socket(Kind::Tcp)?;
    connect_to(&client, &listener)?;
    let stream = listener.accept().attempt("accept")?.0;
    let accepted = size_of(&stream, buffer)?;
    set_at(Moment::AfterAccept)?;
    let accepted_then = size_of(&stream, buffer)?;
    let too_late = moment == Moment::AfterAccept;
    let own = if too_late { Some(set_size(&stream, buffer, size, force)?) } else { None };
    let unread = if buffer == Buffer::Receive { unread(&client, &stream)? } else { 0 };
    Ok(Accepted { listener: size_of(&listener, buffer)?, accepted, accepted_then, own, unread })
}

/// Sends until nothing more is taken; returns how many bytes wait to be received, and leaves them.
fn unread(sender: &Socket, receiver: &Socket) -> Result<usize, Error> {
    let taken = fill(sender, &CHUNK, ENOUGH)?;
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match recv(receiver.as_raw_fd(), &mut vec![0; taken], flags) {
        Err(Errno::EAGAIN) => Ok(0),
        peeked => peeked.attempt("recv MSG_PEEK"),
    }
}

/// Measures the throughput of an untouched pair, and with the powers of two from 4 KiB to 4 MiB.
fn sweep(args: &Args, out: &mut Output) -> Result<(), Error> {
    let sizes = (12..=22).map(|power| Some(1_u32 << power));
    let wanted = |size| Wanted { send: size, receive: size, force: args.force };
    let all = std::iter::once(None).chain(sizes).map(|size| transfer(wanted(size)));
    Throughput::print(&all.collect::<Result<Vec<_>, _>>()?, args.json, out)
}

/// Sends and receives as fast as it goes, with the same size at both ends.
fn transfer(wanted: Wanted) -> Result<Throughput, Error> {
    let (sender, receiver) = pair(Kind::Tcp, wanted)?;
    let (send_size, receive) =
        (size_of(&sender, Buffer::Send)?, size_of(&receiver, Buffer::Receive)?);
    // A window that is smaller than a segment may stall: a wait for bytes has an end too.
    receiver.set_read_timeout(Some(TIME)).attempt("setsockopt SO_RCVTIMEO")?;
    let sends = move || while send(sender.as_raw_fd(), &CHUNK, MsgFlags::MSG_NOSIGNAL).is_ok() {};
    let sender = thread::Builder::new().spawn(sends).attempt("start a thread")?;
    let (begun, mut time, mut bytes) = (Instant::now(), Duration::ZERO, 0);
    let mut buffer = CHUNK;
    while time < TIME || (bytes == 0 && time < LONGEST) {
        match recv(receiver.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(received) => bytes += received as u64,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("recv"),
        }
        time = begun.elapsed();
    }
    drop(receiver); // closed with bytes unread it sends RST, which ends the sender's send
    let _ = sender.join();
    Ok(Throughput { asked: wanted.send, send: send_size, receive, bytes, time })
}

/// A socket on which nothing was set.
fn new_socket(kind: Kind) -> Result<Socket, Error> {
    let (domain, kind) = match kind {
        Kind::Tcp => (Domain::IPV4, Type::STREAM),
        Kind::Udp => (Domain::IPV4, Type::DGRAM),
        Kind::Unix => (Domain::UNIX, Type::STREAM),
    };
    Socket::new(domain, kind, None).attempt("socket")
}

/// A sender and a receiver, each with the size that is wanted, set before the two connect.
fn pair(kind: Kind, wanted: Wanted) -> Result<(Socket, Socket), Error> {
    let set = |socket: &Socket, buffer| {
        let size = wanted.of(buffer);
        size.map_or(Ok(()), |size| set_size(socket, buffer, size, wanted.force).map(drop))
    };
    if kind == Kind::Unix {
        let pair = Socket::pair(Domain::UNIX, Type::STREAM, None).attempt("socketpair")?;
        set(&pair.0, Buffer::Send)?;
        set(&pair.1, Buffer::Receive)?;
        return Ok(pair);
    }
    let receiver = new_socket(kind)?;
    bind_loopback(&receiver)?;
    set(&receiver, Buffer::Receive)?;
    let sender = new_socket(kind)?;
    set(&sender, Buffer::Send)?;
    if kind == Kind::Udp {
        connect_to(&sender, &receiver)?;
        return Ok((sender, receiver));
    }
    receiver.listen(1).attempt("listen")?;
    connect_to(&sender, &receiver)?;
    Ok((sender, receiver.accept().attempt("accept")?.0))
}

fn bind_loopback(socket: &Socket) -> Result<(), Error> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&local.into()).attempt(format_args!("bind {local}"))
}

fn connect_to(sender: &Socket, receiver: &Socket) -> Result<(), Error> {
    let address = receiver.local_addr().attempt("getsockname")?;
    sender.connect(&address).attempt("connect to 127.0.0.1")
}
