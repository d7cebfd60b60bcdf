//! A child's life: one connection, with plain calls that block, since it has nothing else to do.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::{Pid, getpid, getppid};
use socket2::Socket;

use netcore::error::errno;
use netcore::log::Record;
use netcore::signal::Signals;
use netcore::sys::exit_now;

use crate::Args;

/// Bytes that one `recv` takes at most.
pub(crate) const BUFFER: usize = 64 * 1024;

/// Serves the connection and ends the process. It leaves with `_exit`: `exit` would run what the
/// parent registered, and write once more what the parent had buffered.
pub(crate) fn serve_and_exit(
    parent: Pid,
    signals: &Signals,
    stream: &Socket,
    mut record: Record,
    buffer: &mut [u8],
    args: &Args,
) -> ! {
    // A killed parent can't end its children: the kernel sends them SIGTERM in its place. If it
    // died before this call, there is no signal any more, but another parent.
    let orphan = prctl::set_pdeathsig(Signal::SIGTERM).is_err() || getppid() != parent;
    if orphan || signals.unblock().is_err() {
        exit_now(1);
    }
    let end = echo(stream, buffer, args, &mut record);
    record.close(end);
    exit_now(0)
}

/// Sends back what comes until the peer's FIN. The error is the reason to end before it.
fn echo(
    stream: &Socket,
    buffer: &mut [u8],
    args: &Args,
    record: &mut Record,
) -> Result<(), String> {
    let mut prefix = args.show_pid;
    loop {
        let received = match recv(stream.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(0) => return Ok(()),
            Ok(received) => received,
            Err(Errno::EINTR) => continue,
            // What SO_RCVTIMEO ends a call with.
            Err(Errno::EAGAIN) => return Err(format!("idle for {}", args.idle_timeout)),
            Err(why) => return Err(format!("recv: {}", errno(why))),
        };
        let bytes = buffer.get(..received).unwrap_or_default();
        record.received(bytes);
        if std::mem::take(&mut prefix) {
            send_all(stream, format!("{}: ", getpid()).as_bytes(), args, record)?;
        }
        send_all(stream, bytes, args, record)?;
    }
}

/// Sends all bytes, however few of them the kernel takes at a time.
fn send_all(
    stream: &Socket,
    mut rest: &[u8],
    args: &Args,
    record: &mut Record,
) -> Result<(), String> {
    while !rest.is_empty() {
        match send(stream.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => {
                record.sent(sent);
                rest = rest.get(sent..).unwrap_or_default();
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(format!("nothing read for {}", args.idle_timeout)),
            Err(why) => return Err(format!("send: {}", errno(why))),
        }
    }
    Ok(())
}
