//! Show what the kernel makes of SO_SNDBUF and SO_RCVBUF, and why.
//!
//! # What it shows
//! A size that is asked for is a wish. The kernel takes twice as much, since it charges its own
//! bookkeeping to the buffer too, never less than one packet needs, and never more than
//! `sysctl net.core.wmem_max` or `rmem_max`, without an error. Only what is read back counts.
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
//! kernel answers otherwise. `--measure` fills the buffers, `--sweep` draws the throughput, `--when`
//! looks at what an accepted socket inherits, `--nagle` at what no buffer cures.
//!
//! # What can go wrong
//! - Too much is no error and -1 is the *largest* size: the kernel takes the minimum of unsigned
//!   numbers. Here what is out of range is refused before the kernel sees it.
//! - `EPERM`: SO_SNDBUFFORCE passes the limit, with CAP_NET_ADMIN only.
//! - A set size ends autotuning: an untouched TCP socket grows to megabytes, up to the last number
//!   of `net.ipv4.tcp_wmem` and `tcp_rmem`; one that was set to 4096 stays there.
//! - An accepted socket is a copy of the listener at the end of its handshake. What is set later is
//!   set on the wrong socket, or does not take back the window that was offered: `--when`.
//! - A unix socket heeds the sender's SO_SNDBUF only. UDP drops what does not fit the receiver.
//! - A slow request may be two writes: Nagle's algorithm holds the second back until the first is
//!   acknowledged, which the peer delays by 40 ms. TCP_NODELAY ends that, and so does one write.
//! - socket(7) has the floors as 2048 and 256; they have grown with the kernel's structures.
//! - The Python original sets 4096, prints 8192, and says not why; three of its names are wrong.
//!
//! # Next
//! `socket-modes` fills a buffer until `send` would block, `socket-timeout` until it gives up.
//!
//! # Source
//! socket(7), tcp(7), udp(7), unix(7); RFC 896, RFC 1122 §4.2.3.2; UNP §7.5, TLPI §61.10; the Python
//! cookbook's recipe 1.8.

mod kernel;
mod measure;
mod moment;
mod nagle;
mod pairs;
mod sweep;
mod table;
mod wanted;

use std::os::fd::AsFd;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, SndBuf, SndBufForce};
use nix::sys::socket::{getsockopt, setsockopt};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::{cli, recipe};

use moment::Moment;
use wanted::{Buffer, size};

/// Show what the kernel makes of SO_SNDBUF and SO_RCVBUF, and why.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --send 4096")]
#[argh(example = "{command_name} --when after-listen --receive 9973 --json")]
struct Args {
    /// bytes to ask for with SO_SNDBUF: 0 to 2147483647
    #[argh(option, arg_name = "n", from_str_fn(size))]
    send: Option<u32>,
    /// bytes to ask for with SO_RCVBUF: 0 to 2147483647
    #[argh(option, arg_name = "n", from_str_fn(size))]
    receive: Option<u32>,
    /// ask with SO_SNDBUFFORCE and SO_RCVBUFFORCE, past the limit
    #[argh(switch)]
    force: bool,
    /// show how many bytes are taken while nobody reads
    #[argh(switch)]
    measure: bool,
    /// show the throughput of sizes from 4 KiB to 4 MiB
    #[argh(switch)]
    sweep: bool,
    /// show what an accepted socket has of a listener that is set before-listen, after-listen or
    /// after-accept
    #[argh(option, arg_name = "moment")]
    when: Option<Moment>,
    /// show how long a request of two small writes takes, with and without TCP_NODELAY
    #[argh(switch)]
    nagle: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74 77), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.force && args.send.or(args.receive).is_none() && !args.sweep {
        return Err(Error::Usage("--force: needs --send or --receive".to_owned()));
    }
    if !(args.measure || args.sweep || args.when.is_some() || args.nagle) {
        return table::show(args, out);
    }
    if args.measure {
        measure::show(args, out)?;
    }
    if args.sweep {
        sweep::show(args, out)?;
    }
    if let Some(moment) = args.when {
        moment::show(moment, args, out)?;
    }
    if args.nagle { nagle::show(args, out) } else { Ok(()) }
}

/// Asks for a size, and reads back what the kernel made of it. `u32::MAX` is the int -1.
fn ask(socket: &impl AsFd, buffer: Buffer, asked: u32, force: bool) -> Result<u32, Error> {
    let size = usize::try_from(asked).unwrap_or(usize::MAX);
    match (buffer, force) {
        (Buffer::Send, false) => setsockopt(socket, SndBuf, &size).attempt("setsockopt SO_SNDBUF"),
        (Buffer::Receive, false) => {
            setsockopt(socket, RcvBuf, &size).attempt("setsockopt SO_RCVBUF")
        }
        (Buffer::Send, true) => setsockopt(socket, SndBufForce, &size)
            .attempt("setsockopt SO_SNDBUFFORCE, which takes CAP_NET_ADMIN"),
        (Buffer::Receive, true) => setsockopt(socket, RcvBufForce, &size)
            .attempt("setsockopt SO_RCVBUFFORCE, which takes CAP_NET_ADMIN"),
    }?;
    read(socket, buffer)
}

/// The size that is in effect.
fn read(socket: &impl AsFd, buffer: Buffer) -> Result<u32, Error> {
    let size = match buffer {
        Buffer::Send => getsockopt(socket, SndBuf).attempt("getsockopt SO_SNDBUF"),
        Buffer::Receive => getsockopt(socket, RcvBuf).attempt("getsockopt SO_RCVBUF"),
    }?;
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}
