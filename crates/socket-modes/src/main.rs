//! Make the same calls blocking and non-blocking, and show what each of them says and when.
//!
//! # What it shows
//! A call on a socket waits, unless it is told not to: by O_NONBLOCK, a flag of the socket, or by
//! MSG_DONTWAIT, a flag of one `recv` or `send`. It then says `EAGAIN`: not now. A `connect` cannot be
//! tried again later, so it says `EINPROGRESS` and goes on; `poll` says when it is decided, and
//! SO_ERROR how; with `--cancel` nobody answers, and Ctrl-C calls it off. O_NONBLOCK belongs to the
//! open file description, which `dup` and `fork` share.
//!
//! # System calls
//! Connect, to TCP and to unix: `socket` → `setsockopt(SO_SNDTIMEO)` → `connect` → `socket` →
//! `fcntl(O_NONBLOCK)` → `connect` → `socket` → `setsockopt(SO_SNDTIMEO)` → `connect` → `socket` →
//! `fcntl(O_NONBLOCK)` → `connect`. Wait for a client: → `socket` → `bind` → `listen` →
//! `setsockopt(SO_RCVTIMEO)` → `fcntl(O_NONBLOCK)`. Receive: → `socket` → `connect` →
//! `setsockopt(SO_RCVTIMEO)` → `recv` → `recv(MSG_DONTWAIT)` → `fcntl(O_NONBLOCK)` → `recv`.
//! Send: → `socket` → `connect` → `setsockopt(SO_SNDTIMEO)` → `send` → `socket` → `connect` →
//! `send(MSG_DONTWAIT)` → `socket` → `connect` → `fcntl(O_NONBLOCK)` → `send`. What became of a
//! connect, twice: → `socket` → `fcntl(O_NONBLOCK)` → `connect` → `poll` → `getsockopt(SO_ERROR)`
//! → `socket` → `fcntl(O_NONBLOCK)` → `connect` → `poll` → `getsockopt(SO_ERROR)`. The flag:
//! → `socket` → `fcntl(F_DUPFD_CLOEXEC)` → `socket` → `fork` → `socket` → `bind` → `listen` →
//! `fcntl(O_NONBLOCK)` → `accept`.
//!
//! # Try it
//! ```console
//! $ socket-modes | sed 's/[0-9]* bytes/N bytes/'
//! call           mode          errno        time
//! connect        blocking      EINPROGRESS  202.0 ms, ended by SO_SNDTIMEO
//! connect        MSG_DONTWAIT  the call has no flags
//! connect        O_NONBLOCK    EINPROGRESS  0.0451 ms
//! connect, unix  blocking      EAGAIN       203.9 ms, ended by SO_SNDTIMEO
//! connect, unix  MSG_DONTWAIT  the call has no flags
//! connect, unix  O_NONBLOCK    EAGAIN       0.0048 ms
//! accept         blocking      EAGAIN       203.9 ms, ended by SO_RCVTIMEO
//! accept         MSG_DONTWAIT  the call has no flags
//! accept         O_NONBLOCK    EAGAIN       0.0096 ms
//! recv           blocking      EAGAIN       203.9 ms, ended by SO_RCVTIMEO
//! recv           MSG_DONTWAIT  EAGAIN       0.0035 ms
//! recv           O_NONBLOCK    EAGAIN       0.0007 ms
//! send           blocking      EAGAIN       204.0 ms, ended by SO_SNDTIMEO, after N bytes
//! send           MSG_DONTWAIT  EAGAIN       0.0011 ms, after N bytes
//! send           O_NONBLOCK    EAGAIN       0.0009 ms, after N bytes
//!
//! connect to a listener:
//!   EINPROGRESS, poll says POLLOUT after 0.0102 ms, SO_ERROR 0, then 0
//! connect to a port that nobody listens on:
//!   EINPROGRESS, poll says POLLOUT|POLLERR|POLLHUP after 0.0013 ms, SO_ERROR ECONNREFUSED, then 0
//!
//! dup           set on the copy: the original has it
//! fork          set on the child's, pid 15890: the parent's has it
//! accept        set on the listener: the accepted has it not
//! MSG_DONTWAIT  set on one recv: the socket has it not
//! ```
//!
//! # What can go wrong
//! - A loop that calls again at once on `EAGAIN`, or on `EINPROGRESS`, takes a whole core: `poll` waits
//!   for nothing. The Python original does it with `listen`.
//! - `poll` says POLLOUT of a connect that was refused, too. Only SO_ERROR tells, and only once: the
//!   second reader is told 0.
//! - `EAGAIN` of a unix `connect` is a full queue, and nothing goes on: call it again.
//! - A non-blocking `send` takes a part of what it is given, and a blocking one too when SO_SNDTIMEO
//!   ends it: look at the count.
//! - A standard stream that is made non-blocking is that for the shell as well, and for everyone
//!   who has it: the description is theirs, too.
//! - An accepted socket blocks, though its listener does not (accept4 sets the flag at once, with
//!   SOCK_NONBLOCK). On BSD it has the flag of its listener.
//! - A listener that blocks, and was readable, can still keep `accept` waiting: the client may have
//!   gone. A server that polls makes its listener non-blocking.
//!
//! # Next
//! `socket-timeout` bounds the calls that wait, `reuse-addr` looks at another option of the socket.
//!
//! # Source
//! socket(7), connect(2), fcntl(2), poll(2), accept(2), unix(7); UNP §16, TLPI §5.4 and §63.2; the
//! Python cookbook's recipe 1.9.

mod connect;
mod flag;
mod matrix;
mod peers;
mod report;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use netcore::error::Error;
use netcore::output::Output;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use peers::Peers;

/// The bound of calls that would wait for ever.
const BOUND: Timeout = Timeout::milliseconds(200);

/// Make the same calls blocking and non-blocking, and show what each of them says and when.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name}")]
#[argh(example = "{command_name} --timeout none --json")]
struct Args {
    /// longest wait for a peer that stays silent (200ms), or none
    #[argh(option, arg_name = "time")]
    timeout: Option<Timeout>,
    /// only connect, to a peer that stays silent, until Ctrl-C or --timeout
    #[argh(switch)]
    cancel: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 71 74 75 130), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.cancel {
        return connect::wait_for_ctrl_c(args.timeout, args.json, out);
    }
    let peers = Peers::new()?;
    out.bytes(report::heading(args.json).as_bytes())?;
    for row in matrix::rows(&peers, args.timeout.unwrap_or(BOUND))? {
        say(out, row.text(args.json), row.difference())?;
    }
    separate(args, out)?;
    for outcome in connect::outcomes(&peers)? {
        say(out, outcome.text(args.json), outcome.difference())?;
    }
    separate(args, out)?;
    for case in flag::cases(&peers)? {
        say(out, case.text(args.json), case.difference())?;
    }
    Ok(())
}

/// A line, and an error where the kernel did something else than its manual says.
fn say(out: &mut Output, text: String, difference: Option<String>) -> Result<(), Error> {
    out.bytes(text.as_bytes())?;
    if let Some(difference) = difference {
        out.report(&Error::No(difference));
    }
    Ok(())
}

fn separate(args: &Args, out: &mut Output) -> Result<(), Error> {
    if args.json { Ok(()) } else { out.line("") }
}
