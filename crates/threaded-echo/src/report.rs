//! What the server knows of its threads: which run, which have ended, and whose connections are open.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use socket2::Socket;

use netcore::error::{Attempt, Error, errno};
use netcore::limits::Limits;
use netcore::log::Log;
use netcore::sys;
use netcore::time::Timeout;

use crate::args::Args;

/// How the threads say that they end: each writes its number to a pipe. SIGCHLD merges and names no
/// child; a pipe keeps each number.
pub(crate) struct Ends {
    pub(crate) read: File,
    pub(crate) write: File,
    /// Whether the server shuts the connections down.
    pub(crate) cut: AtomicBool,
}

impl Ends {
    pub(crate) fn new() -> Result<Ends, Error> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).attempt("pipe2")?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).attempt("fcntl O_NONBLOCK")?;
        Ok(Ends { read: read.into(), write: write.into(), cut: AtomicBool::new(false) })
    }
}

impl AsFd for Ends {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// What a thread is given.
pub(crate) struct Client {
    pub(crate) stream: Arc<Socket>,
    pub(crate) peer: SocketAddr,
    pub(crate) number: u64,
    pub(crate) ends: Arc<Ends>,
    pub(crate) log: Log,
    pub(crate) idle: Timeout,
    pub(crate) show_tid: bool,
}

impl Client {
    pub(crate) fn new(
        stream: Arc<Socket>,
        peer: SocketAddr,
        number: u64,
        threads: &Threads,
        log: Log,
        args: &Args,
    ) -> Client {
        let (ends, idle) = (Arc::clone(&threads.ends), args.idle_timeout);
        Client { stream, peer, number, ends, log, idle, show_tid: args.show_tid }
    }
}

struct Thread {
    peer: SocketAddr,
    /// The connection as long as its thread has it: once that has closed it, no other connection
    /// that got the same descriptor is shut down.
    stream: Weak<Socket>,
    handle: sys::Thread,
}

pub(crate) struct Threads {
    log: Log,
    pub(crate) ends: Arc<Ends>,
    pub(crate) limits: Limits,
    running: BTreeMap<u64, Thread>,
    next: u64,
}

impl Threads {
    pub(crate) fn new(log: Log, most: usize, most_per_source: usize) -> Result<Threads, Error> {
        let ends = Arc::new(Ends::new()?);
        let limits = Limits::new(log, most, most_per_source);
        Ok(Threads { log, ends, limits, running: BTreeMap::new(), next: 0 })
    }

    /// The number of the next thread.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn started(
        &mut self,
        number: u64,
        peer: SocketAddr,
        stream: Weak<Socket>,
        handle: sys::Thread,
    ) {
        self.running.insert(number, Thread { peer, stream, handle });
    }

    /// `pthread_create` failed: EAGAIN at the limit of threads (RLIMIT_NPROC, pids.max), or no memory
    /// for its stack.
    pub(crate) fn start_failed(&mut self, peer: SocketAddr, why: Errno) {
        self.limits.leave(peer);
        self.log.note(format_args!("{peer} refused: pthread_create: {}", errno(why)));
    }

    /// A thread that has written its number, to be joined.
    pub(crate) fn ended(&mut self, number: u64) -> Option<(SocketAddr, sys::Thread)> {
        self.running.remove(&number).map(|thread| (thread.peer, thread.handle))
    }

    /// The counts, on SIGUSR1.
    pub(crate) fn report(&self) {
        self.limits.report();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The connections that their threads have not closed.
    pub(crate) fn open_streams(&self) -> impl Iterator<Item = Arc<Socket>> {
        self.running.values().filter_map(|thread| thread.stream.upgrade())
    }

    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = sys::Thread> {
        std::mem::take(&mut self.running).into_values().map(|thread| thread.handle)
    }
}
