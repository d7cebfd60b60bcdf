//! A worker's life: one connection after the other, with plain calls that block.

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use socket2::Socket;

use netcore::echo::{Buffer, echo};
use netcore::listener::Listener;
use netcore::log::Log;
use netcore::signal::Signals;
use netcore::sys::exit_now;

use crate::Args;

/// Serves until the listener is shut down, and ends the process with `_exit`: `exit` would run what
/// the parent registered, and write once more what the parent had buffered.
pub(crate) fn serve_and_exit(
    parent: Pid,
    signals: &Signals,
    mut listeners: Vec<Socket>,
    place: u16,
    log: Log,
    args: &Args,
) -> ! {
    // A killed parent can't end its children: the kernel sends them SIGTERM in its place. If it
    // died before this call, there is no signal any more, but another parent.
    let orphan = prctl::set_pdeathsig(Signal::SIGTERM).is_err() || getppid() != parent;
    if orphan || signals.unblock().is_err() {
        exit_now(1);
    }
    // Its own or the common one; those of the others are not ours to hold open.
    let own = usize::from(place) % listeners.len().max(1);
    let listener = listeners.swap_remove(own);
    drop(listeners);
    let Ok(mut listener) = Listener::blocking(listener) else { exit_now(1) };
    let mut buffer = Buffer::untouched();
    loop {
        let (stream, peer) = match listener.accept(&log) {
            Ok(Some(connection)) => connection,
            Ok(None) => continue,
            // EINVAL: the parent has shut it down. Anything else the parent will see as well.
            Err(_) => exit_now(0),
        };
        let mut record = log.open(peer);
        let prefix = args.show_pid.then(|| format!("{}: ", getpid()));
        let end = echo(&stream, &mut buffer, prefix, args.idle_timeout, &mut record);
        record.close(end);
        // Dropping the socket closes it: FIN, or RST if bytes of the peer were left unread.
        drop(stream);
    }
}
