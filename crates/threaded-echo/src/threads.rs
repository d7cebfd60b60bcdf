//! The life of a thread, and the server's book of all of them: which ended, and how those are
//! ended that have not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::unistd::{gettid, pipe2};
use socket2::Socket;

use netcore::echo::{Buffer, echo};
use netcore::error::{Attempt, Error};
use netcore::limits::Limits;
use netcore::log::Log;
use netcore::signal::{Signals, Woken};

use crate::Args;

/// What the threads have to say to the one that joins them.
pub(crate) struct Ends {
    /// Each thread that ends writes its number. SIGCHLD merges and names nobody; a pipe does not.
    told: File,
    tell: File,
    /// Whether the grace is over, and connections are cut.
    cut: AtomicBool,
}

impl Ends {
    pub(crate) fn new() -> Result<Ends, Error> {
        let (told, tell) = pipe2(OFlag::O_CLOEXEC).attempt("pipe2")?;
        fcntl(&told, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).attempt("fcntl O_NONBLOCK")?;
        Ok(Ends { told: told.into(), tell: tell.into(), cut: AtomicBool::new(false) })
    }

    /// The last act of a thread. Eight bytes are written whole, or not at all (pipe(7)).
    pub(crate) fn tell(&self, number: u64) {
        let _ = (&self.tell).write_all(&number.to_ne_bytes());
    }

    /// Why the connection ended: a shutdown of ours looks like the peer's end of the stream.
    pub(crate) fn why(&self, end: Result<(), String>) -> Result<(), String> {
        if self.cut.load(Ordering::Relaxed) {
            return Err("grace period expired".to_owned());
        }
        end
    }
}

impl AsFd for Ends {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }
}

/// A thread's life: one connection, with plain calls that block, since it has nothing else to do.
pub(crate) fn serve_one(stream: Arc<Socket>, peer: SocketAddr, log: Log, ends: &Ends, args: &Args) {
    let mut record = log.open(peer);
    let prefix = args.show_tid.then(|| format!("{}: ", gettid()));
    let mut buffer = Buffer::untouched();
    let end = echo(&stream, &mut buffer, prefix, args.idle_timeout, &mut record);
    record.close(ends.why(end));
    // The one descriptor of the connection: nobody else has to close it.
    drop(stream);
}

struct Thread<'scope> {
    peer: SocketAddr,
    /// The connection as long as its thread has it: once that has closed it, nobody shuts down
    /// another one that got the same descriptor.
    stream: Weak<Socket>,
    handle: ScopedJoinHandle<'scope, ()>,
}

pub(crate) struct Threads<'scope> {
    log: Log,
    ends: &'scope Ends,
    pub(crate) limits: Limits,
    running: BTreeMap<u64, Thread<'scope>>,
    /// The number of the next thread.
    pub(crate) next: u64,
}

impl<'scope> Threads<'scope> {
    pub(crate) fn new(log: Log, ends: &'scope Ends, limits: Limits) -> Threads<'scope> {
        Threads { log, ends, limits, running: BTreeMap::new(), next: 0 }
    }

    /// The next number has a thread now, or it was refused one: EAGAIN at the limit of threads
    /// (RLIMIT_NPROC, pids.max, memory for its stack).
    pub(crate) fn started(
        &mut self,
        peer: SocketAddr,
        stream: Weak<Socket>,
        started: io::Result<ScopedJoinHandle<'scope, ()>>,
    ) {
        match started.attempt("pthread_create") {
            Ok(handle) => drop(self.running.insert(self.next, Thread { peer, stream, handle })),
            Err(error) => {
                self.limits.leave(peer);
                self.log.note(format_args!("{peer} refused: {error}"));
            }
        }
        self.next += 1;
    }

    /// Joins every thread that has ended: until then its stack is kept for its result.
    pub(crate) fn join_ended(&mut self) {
        let mut number = [0; 8];
        while (&self.ends.told).read_exact(&mut number).is_ok() {
            if let Some(thread) = self.running.remove(&u64::from_ne_bytes(number)) {
                // It waits for what the thread still does after its last word: nothing.
                let _ = thread.handle.join();
                self.limits.leave(thread.peer);
            }
        }
    }

    /// Lets the clients finish, until the grace is over or a second signal comes.
    pub(crate) fn drain(mut self, signals: &Signals, grace: Duration) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(grace);
        while !self.running.is_empty() {
            match signals.wait(Some(self.ends.as_fd()), PollFlags::POLLIN, deadline)? {
                Woken::Ready => self.join_ended(),
                Woken::Signal(_) | Woken::Deadline => break,
            }
        }
        Ok(())
    }
}

/// Whatever the reason to end, no thread is left behind.
impl Drop for Threads<'_> {
    fn drop(&mut self) {
        self.ends.cut.store(true, Ordering::Relaxed);
        for thread in self.running.values() {
            if let Some(stream) = thread.stream.upgrade() {
                // Its `recv` returns 0 now, and its `send` fails with EPIPE.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}
