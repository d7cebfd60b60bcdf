//! Whose flag O_NONBLOCK is: not the descriptor's, not the process's, and not the address's. It
//! belongs to the open file description, what open(2) and socket(2) make, which several
//! descriptors of several processes may name.

use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;
use nix::sys::wait::waitpid;

use netcore::error::{Attempt, Error};
use netcore::sys::fork_to_answer;

use crate::peers::{Peers, listen, loopback, ready, stream};

/// One way in which a second socket, or a second name of it, comes about.
pub(crate) struct Case {
    pub(crate) by: &'static str,
    /// Where the flag was set, and where it was looked for then.
    pub(crate) set_on: String,
    pub(crate) seen_on: &'static str,
    /// Whether it was there.
    pub(crate) is_set: bool,
    /// Whether it has to be.
    pub(crate) documented: bool,
}

/// All of them.
pub(crate) fn cases(peers: &Peers) -> Result<[Case; 4], Error> {
    Ok([dup()?, fork()?, accept()?, dontwait(peers)?])
}

/// Two descriptors, one description.
fn dup() -> Result<Case, Error> {
    let socket = stream()?;
    let copy = socket.try_clone().attempt("fcntl F_DUPFD_CLOEXEC")?;
    copy.set_nonblocking(true).attempt("fcntl F_SETFL O_NONBLOCK")?;
    let is_set = socket.nonblocking().attempt("fcntl F_GETFL")?;
    let set_on = "the copy".to_owned();
    Ok(Case { by: "dup", set_on, seen_on: "the original", is_set, documented: true })
}

/// Two processes, one description: what a child sets, its parent has.
fn fork() -> Result<Case, Error> {
    let socket = stream()?;
    let in_child = || Vec::from(if socket.set_nonblocking(true).is_ok() { "set" } else { "no" });
    let (child, pipe) = fork_to_answer(in_child).attempt("fork")?;
    let mut answer = Vec::new();
    File::from(pipe).read_to_end(&mut answer).attempt("read the child's answer")?;
    // ECHILD: whoever started us ignores SIGCHLD, and the kernel reaps.
    while waitpid(child, None) == Err(Errno::EINTR) {}
    if !answer.starts_with(b"set") {
        return Err(Errno::EIO).attempt("fcntl F_SETFL O_NONBLOCK in the child");
    }
    let is_set = socket.nonblocking().attempt("fcntl F_GETFL")?;
    let set_on = format!("the child's, pid {child}");
    Ok(Case { by: "fork", set_on, seen_on: "the parent's", is_set, documented: true })
}

/// A new socket, and a new description: it blocks, whatever its listener does.
fn accept() -> Result<Case, Error> {
    let (listener, local) = listen(&loopback(), 1)?;
    listener.set_nonblocking(true).attempt("fcntl F_SETFL O_NONBLOCK")?;
    let client = stream()?;
    client.connect(&local).attempt("connect to a listener of our own")?;
    ready(&listener, PollFlags::POLLIN)?;
    let (accepted, _) = listener.accept().attempt("accept")?;
    let is_set = accepted.nonblocking().attempt("fcntl F_GETFL")?;
    let set_on = "the listener".to_owned();
    Ok(Case { by: "accept", set_on, seen_on: "the accepted", is_set, documented: false })
}

/// A flag of one call, which the socket does not keep.
fn dontwait(peers: &Peers) -> Result<Case, Error> {
    let (socket, _peer) = peers.connect()?;
    // That it is EAGAIN is told by another row.
    let flag = MsgFlags::MSG_DONTWAIT.bits();
    let _ = socket.recv_with_flags(&mut [MaybeUninit::uninit()], flag);
    let is_set = socket.nonblocking().attempt("fcntl F_GETFL")?;
    let set_on = "one recv".to_owned();
    Ok(Case { by: "MSG_DONTWAIT", set_on, seen_on: "the socket", is_set, documented: false })
}
