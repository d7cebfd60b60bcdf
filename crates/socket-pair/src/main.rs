//! Make two connected sockets for two processes, and show when the end is heard.
//!
//! # What it shows
//! `socketpair` makes two sockets that are connected to each other and have no name. After `fork` both
//! processes have both ends: four descriptors for two sockets. Each process closes the end of the
//! other. The end is heard, a `recv` that returns 0, only when the last copy of the other end is
//! closed. A stream keeps no boundaries of messages; seqpacket keeps them, and has an end too; a
//! datagram socket keeps them and has no end.
//!
//! # System calls
//! `socketpair` → `fork`, in the child `close` → `send` → `_exit`, in the parent `close` →
//! `waitpid` → (`recv` → `recv`)* → `send`
//!
//! # Try it
//! ```console
//! $ socket-pair one two
//! stream      received "onetwo"     then the end      send after it: EPIPE
//! seqpacket   received "one" "two"  then the end      send after it: EPIPE
//! datagram    received "one" "two"  no end in 200ms   send after it: ECONNREFUSED
//! ```
//! The mistake: the parent keeps the end that is the child's, and waits for an end that it prevents
//! itself, here until timeout(1) ends it. With a limit it goes on, and sends to nobody:
//! ```console
//! $ timeout 1s socket-pair --type stream --keep --timeout none; echo $?
//! 124
//! $ timeout 5s socket-pair --type stream --keep
//! stream      received "onetwo"     no end in 200ms   send after it: 3 bytes
//! ```
//!
//! # What can go wrong
//! - A copy stays open, here or in another child that was forked meanwhile: 0 never comes. `close`
//!   counts copies. `shutdown` does not: with `--keep --shutdown` the end is heard.
//! - Nobody tells a datagram socket that its peer has ended: agree on a last message, or send on it
//!   (`ECONNREFUSED`).
//! - `recv` returns 0 for an empty message too: on seqpacket that is not to be told from the end.
//! - A buffer that is too short: seqpacket and datagram cut the message, and only MSG_TRUNC says so.
//! - `waitpid` before `recv`, as here: a child that sends more than the queue holds would wait for the
//!   parent, which waits for the child. So the child does not block (MSG_DONTWAIT), and `EAGAIN` is
//!   reported. A message counts with the memory that it takes: an SO_SNDBUF of 212,992 bytes is full
//!   after some 90 messages of 1,000. One message longer than SO_SNDBUF is `EMSGSIZE`.
//! - The peer closes with bytes unread: `recv` fails with `ECONNRESET`, once, as with TCP.
//! - `EPIPE` comes with SIGPIPE, which ends the program unless MSG_NOSIGNAL is set.
//! - AF_INET: `EOPNOTSUPP`, there are unix pairs only.
//!
//! # Next
//! `forking-echo` forks with a TCP connection, and closes for the same reason; `chat-client` hears an
//! end beside its terminal.
//!
//! # Source
//! socketpair(2), unix(7), fork(2), recv(2), shutdown(2); UNP §15.3 and §15.5, TLPI §57.5; the Python
//! cookbook's recipe 3.8.

mod args;
mod report;

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, Shutdown, SockFlag, SockType};
use nix::sys::socket::{recv, send, shutdown, socketpair};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use socket2::SockRef;

use netcore::error::{Attempt, Error};
use netcore::sys::_exit;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::Args;
use report::{End, Pair};

/// MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process. MSG_DONTWAIT: EAGAIN where
/// the queue is full.
const FLAGS: MsgFlags = MsgFlags::MSG_NOSIGNAL.union(MsgFlags::MSG_DONTWAIT);

/// More than the queue of a socket holds by default (net.core.wmem_default).
const LONGEST: usize = 256 * 1024;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 69 71 74), |args: &Args, out| {
        args.types.0.iter().try_for_each(|kind| out.line(show(*kind, args)?.line(args.json)))
    })
}

/// One pair, from its first call to its end.
fn show(socket_type: SockType, args: &Args) -> Result<Pair, Error> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, socket_type, None, SockFlag::SOCK_CLOEXEC)
        .attempt("socketpair")?;
    // SAFETY: this process has one thread, so no other holds a lock, and nothing is buffered that
    // both would write: the child may do all that the parent may.
    #[expect(unsafe_code, reason = "fork is what this recipe shows")]
    match unsafe { fork() }.attempt("fork")? {
        ForkResult::Child => {
            drop(ours); // close: otherwise this process is a peer of itself
            match speak(&theirs, args) {
                Ok(()) => _exit(0),
                Err(why) => _exit(why as i32),
            }
        }
        ForkResult::Parent { child } => {
            let mut theirs = Some(theirs);
            if !args.keep {
                theirs = None; // close: otherwise this process waits for an end that it prevents
            }
            reap(child)?;
            let (received, end) = receive(&ours, socket_type, args.timeout)?;
            let sent = send(ours.as_raw_fd(), b"bye", FLAGS);
            drop(theirs);
            Ok(Pair { socket_type, received, end, sent })
        }
    }
}

/// What the child does. The end of the process closes its end of the pair.
fn speak(theirs: &OwnedFd, args: &Args) -> nix::Result<()> {
    for message in args.messages() {
        send(theirs.as_raw_fd(), message.as_bytes(), FLAGS)?;
    }
    if args.shutdown {
        shutdown(theirs.as_raw_fd(), Shutdown::Write)?;
    }
    Ok(())
}

/// Waits until the child has ended. Its exit code is the errno of what failed there.
fn reap(child: Pid) -> Result<(), Error> {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
            Ok(WaitStatus::Exited(_, code)) => {
                return Err(Errno::from_raw(code)).attempt("send in the child");
            }
            Ok(status) => {
                let why = format!("ended early: {status:?}");
                return Err(Error::Gone { peer: "the child".to_owned(), why });
            }
            // Started with SIGCHLD ignored: the kernel has reaped it.
            Err(Errno::ECHILD) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("waitpid"),
        }
    }
}

/// Receives until the end, or until `timeout` has passed without a message.
#[expect(clippy::indexing_slicing, reason = "recv returns at most the length that it was given")]
fn receive(
    ours: &OwnedFd,
    socket_type: SockType,
    timeout: Timeout,
) -> Result<(Vec<Vec<u8>>, End), Error> {
    let socket = SockRef::from(ours);
    socket.set_read_timeout(timeout.duration()).attempt("setsockopt SO_RCVTIMEO")?;
    let mut buffer = vec![0; LONGEST];
    let mut received = Vec::new();
    loop {
        match recv(ours.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            // A datagram socket has no end: this is an empty message.
            Ok(0) if socket_type != SockType::Datagram => return Ok((received, End::Heard)),
            Ok(count) => received.push(buffer[..count].to_vec()),
            Err(Errno::EAGAIN) => return Ok((received, End::TimedOut(timeout))), // SO_RCVTIMEO
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why).attempt("recv"),
        }
    }
}
