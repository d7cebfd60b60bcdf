//! A child's life: one connection, with plain calls that block, since it has nothing else to do.

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use socket2::Socket;

use netcore::echo::{Buffer, echo};
use netcore::log::Record;
use netcore::signal::Signals;
use netcore::sys::exit_now;

use crate::Args;

/// Serves the connection and ends the process. It leaves with `_exit`: `exit` would run what the
/// parent registered, and write once more what the parent had buffered.
pub(crate) fn serve_and_exit(
    parent: Pid,
    signals: &Signals,
    stream: &Socket,
    mut record: Record,
    buffer: &mut Buffer,
    args: &Args,
) -> ! {
    // A killed parent can't end its children: the kernel sends them SIGTERM in its place. If it
    // died before this call, there is no signal any more, but another parent.
    let orphan = prctl::set_pdeathsig(Signal::SIGTERM).is_err() || getppid() != parent;
    if orphan || signals.unblock().is_err() {
        exit_now(1);
    }
    let prefix = args.show_pid.then(|| format!("{}: ", getpid()));
    let end = echo(stream, buffer, prefix, args.idle_timeout, &mut record);
    record.close(end);
    exit_now(0)
}
