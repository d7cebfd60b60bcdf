//! Show four ways to stop waiting, and the peer that only one of them stops.
//!
//! # What it shows
//! A socket waits for ever. SO_RCVTIMEO bounds `recv` and `accept`, SO_SNDTIMEO bounds `send` and
//! `connect`; a non-blocking socket waits in `poll`, for bytes or for a connection, until a deadline.
//! The kernel rounds the two options up to clock ticks, and says `EAGAIN` where one expects
//! `ETIMEDOUT`. They bound a call and not a task: a peer that sends a byte now and then never lets
//! them end, and a deadline does.
//!
//! # System calls
//! `socket` → `connect` → `setsockopt(SO_RCVTIMEO)` → `getsockopt(SO_RCVTIMEO)` → `recv` →
//! `socket` → `bind` → `listen` → `setsockopt(SO_RCVTIMEO)` → `accept` →
//! `socket` → `connect` → `setsockopt(SO_SNDTIMEO)` → `send` →
//! `socket` → `setsockopt(SO_SNDTIMEO)` → `connect` →
//! `socket` → `connect` → `fcntl(O_NONBLOCK)` → `poll` → `recv` →
//! `socket` → `fcntl(O_NONBLOCK)` → `connect` → `poll` → `getsockopt(SO_ERROR)`:
//! a line for each row below.
//!
//! # Try it
//! ```console
//! $ socket-timeout --timeout 500ms
//! a new socket: SO_RCVTIMEO none, SO_SNDTIMEO none
//!
//! call     bounded by   ended with                         asked, read back, measured
//! recv     SO_RCVTIMEO  EAGAIN                             500ms, 500.0 ms, 531.9 ms
//! accept   SO_RCVTIMEO  EAGAIN                             500ms, 500.0 ms, 507.9 ms
//! send     SO_SNDTIMEO  EAGAIN                             500ms, 500.0 ms, 531.9 ms
//! connect  SO_SNDTIMEO  EINPROGRESS                        500ms, 500.0 ms, 511.7 ms
//! recv     poll         poll = 0, recv EAGAIN              500ms, -, 500.6 ms
//! connect  poll         EINPROGRESS, poll = 0, SO_ERROR 0  500ms, -, 500.6 ms
//!
//! read back: whole clock ticks, of 4.00 ms here, rounded up;
//!   an accepted socket has the SO_RCVTIMEO of its listener: 500.0 ms
//! measured: never less than asked; SO_*TIMEO late by up to two slots of the timer wheel,
//!   which for this time are 32.0 ms wide; poll has a finer clock
//! ended with: EAGAIN, as if it had never waited; ETIMEDOUT is TCP's own giving up
//!
//! a peer that sends 15 bytes, one every 100.0 ms:
//! SO_RCVTIMEO of 500ms never ended it: all came, in 1501 ms, no wait longer than 101.6 ms
//! one deadline in 500ms ended it after 501.5 ms
//! ```
//!
//! # What can go wrong
//! - 0 is for ever to setsockopt, and no time at all to poll: it is refused here. So is less than a
//!   microsecond, the unit of a timeval, which would be cut down to 0, and a time of more ticks than
//!   a long can count, which the kernel takes for ever without a word (`tick.rs`).
//! - `EAGAIN` of `recv` says that nothing came, not that nothing will. After a `send` that was cut
//!   off a part may have gone: its count says how much, and only the next call says `EAGAIN`.
//! - `EINPROGRESS` of a blocking `connect` is a time-out, and the kernel tries on: close the socket.
//! - `EINTR`: with one of the options set, a stop and `fg` end the wait (signal(7)), here the row.
//! - `poll` says that a connect is decided, not how: SO_ERROR does.
//! - The Python original sets 100 s, reads it back, and nothing ever waits. Its time-out is no
//!   option of the kernel: Python makes the socket non-blocking and polls before each call.
//!
//! # Next
//! `socket-modes` makes the same calls without waiting, `echo-client` bounds a whole exchange.
//!
//! # Source
//! socket(7), connect(2), poll(2), time(7); UNP §14.2, TLPI §63.2; the Python cookbook's recipe 1.6.

mod drip;
mod peers;
mod table;
mod tick;
mod ways;

use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::time::{Span, Timeout};
use netcore::{cli, recipe};

use drip::Drip;
use peers::Peers;
use tick::Tick;

/// Show four ways to stop waiting, and the peer that only one of them stops.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --timeout 200ms")]
#[argh(example = "{command_name} --timeout none --json")]
struct Args {
    /// longest wait for a peer that stays silent (200ms), or none
    #[argh(
        option,
        arg_name = "time",
        default = "Timeout::milliseconds(200)",
        from_str_fn(read_timeout)
    )]
    timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let tick = Tick::of_this_kernel()?;
    if args.timeout.duration().is_some_and(|asked| asked > tick.longest()) {
        let longest = tick.longest().as_secs();
        let why = format!("the kernel takes more than {longest}s for ever: write none for that");
        return Err(Error::Usage(format!("--timeout {}: {why}", args.timeout)));
    }
    let socket = peers::stream()?;
    let receiving = socket.read_timeout().attempt("getsockopt SO_RCVTIMEO")?;
    let sending = socket.write_timeout().attempt("getsockopt SO_SNDTIMEO")?;
    out.bytes(table::default(receiving, sending, args.json).as_bytes())?;
    let peers = Peers::new()?;
    let mut inherited = None;
    for way in ways::ALL {
        let row = way(&peers, args.timeout)?;
        inherited = inherited.or(row.inherited);
        out.bytes(row.text(args.timeout, args.json).as_bytes())?;
        if let Some(difference) = row.difference(args.timeout, tick) {
            out.report(&Error::No(difference));
        }
    }
    let inherited = inherited.flatten();
    out.bytes(table::reasons(args.timeout, inherited, tick, args.json).as_bytes())?;
    match args.timeout.duration() {
        Some(asked) => show_drip(&peers, asked, args, out),
        None => Ok(()),
    }
}

/// The lesson that bites: each wait is short, and all of them together are not.
fn show_drip(peers: &Peers, asked: Duration, args: &Args, out: &mut Output) -> Result<(), Error> {
    let drip = Drip::slower_than(asked);
    let timeout = drip.read_with_timeout(peers, asked)?;
    let deadline = drip.read_with_deadline(peers, args.timeout)?;
    out.bytes(table::drip(drip, &timeout, &deadline, args.timeout, args.json).as_bytes())
}

/// As every recipe reads it, but that a 0 is told what it would be here.
fn read_timeout(text: &str) -> Result<Timeout, String> {
    match text.parse() {
        Ok(Span(Duration::ZERO)) => {
            Err("0 is for ever to setsockopt and no time at all to poll: write none, or a time"
                .into())
        }
        _ => text.parse(),
    }
}
