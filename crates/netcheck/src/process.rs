//! A process in the background, and the end of its whole tree.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::evidence;
use crate::stream::{Stream, Written};
use crate::sys;
use crate::tree;

/// A started process. Dropped, it is killed with all its descendants, unless it was started with
/// [`crate::Run::keep`].
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: i32,
    /// Names this very process, even when its number has been given to another.
    pidfd: OwnedFd,
    command_line: String,
    keep: bool,
    stdout: Stream,
    stderr: Stream,
    /// How many bytes of stdout [`Process::next_line`] has handed out.
    handed_out: usize,
}

/// The children that a [`Process`] waits for.
static KNOWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn known() -> MutexGuard<'static, BTreeSet<i32>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a [`Process`] waits for that child.
pub(crate) fn is_known(pid: i32) -> bool {
    known().contains(&pid)
}

impl Process {
    pub(crate) fn new(mut child: Child, command_line: String, keep: bool, most: usize) -> Self {
        let pid = i32::try_from(child.id()).expect("a pid fits pid_t");
        known().insert(pid);
        let pidfd = sys::pidfd_open(pid).expect("pidfd_open of a child that was not waited for");
        let stdout = Stream::collect(child.stdout.take().expect("stdout is a pipe"), most);
        let stderr = Stream::collect(child.stderr.take().expect("stderr is a pipe"), most);
        Self { child, pid, pidfd, command_line, keep, stdout, stderr, handed_out: 0 }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The command that starts the same again.
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// The next line of its standard output, without the newline; `None` when none is complete within
    /// `timeout`, or when it has closed its output.
    pub fn next_line(&mut self, timeout: Duration) -> Option<String> {
        let from = self.handed_out;
        let line = self.stdout.wait(timeout, |written| {
            let rest = written.bytes.get(from..)?;
            let end = rest.iter().position(|&byte| byte == b'\n')?;
            rest.get(..end).map(<[u8]>::to_vec)
        })?;
        self.handed_out += line.len() + 1;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Writes to its standard input, of which [`Run::hold_stdin`] has kept the other end.
    ///
    /// # Errors
    /// EPIPE when it has closed its own, or when there is none any more.
    ///
    /// [`Run::hold_stdin`]: crate::Run::hold_stdin
    pub fn write_stdin(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.child.stdin {
            Some(pipe) => pipe.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.bytes()).into_owned()
    }

    /// Its standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes()).into_owned()
    }

    /// Waits until `found` is true of its standard error; false after `timeout`, or when nothing more
    /// can come.
    pub fn wait_stderr(&self, mut found: impl FnMut(&str) -> bool, timeout: Duration) -> bool {
        let found =
            |written: &Written| found(&String::from_utf8_lossy(&written.bytes)).then_some(());
        self.stderr.wait(timeout, found).is_some()
    }

    /// Sends it a signal. One that has ended takes none, and that is no error.
    pub fn signal(&self, signal: Signal) {
        // The only error a child of ours can give is ESRCH: it has ended.
        let _ = sys::pidfd_send_signal(self.pidfd.as_fd(), signal);
    }

    /// Stops it (SIGSTOP) and returns once it stands still: a peer that neither reads nor closes.
    ///
    /// # Panics
    /// When it does not stop within 5 s.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        // Under strace a stop is a tracing stop, `t`.
        let stopped = || matches!(evidence::state(self.pid), Some('T' | 't')).then_some(());
        let timeout = Duration::from_secs(5);
        evidence::wait_until(timeout, stopped).expect("a process obeys SIGSTOP");
    }

    /// Lets it run again (SIGCONT).
    pub fn cont(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Whether it has not ended.
    pub fn still_running(&self) -> bool {
        !self.ends_by(Duration::ZERO)
    }

    /// Waits for its end; `None` when it still runs after `timeout`.
    ///
    /// It stays a zombie of the harness until it is dropped: as long as its number is not given
    /// back, its process group is surely its own, and can be killed.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        self.ends_by(timeout).then(|| {
            // Its last output may still be in the pipes; a descendant may hold them open without end.
            self.streams_end(Duration::from_secs(1));
            self.status()
        })
    }

    /// How it ended, without reaping it; waits for its end as long as that takes.
    pub(crate) fn status(&self) -> ExitStatus {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let ended = waitid(Id::PIDFd(self.pidfd.as_fd()), flags);
        // The status word of wait(2): the exit code above eight bits, or the signal and 0x80 for a core.
        ExitStatus::from_raw(match ended.expect("wait for a child of ours") {
            WaitStatus::Exited(_, code) => code << 8,
            WaitStatus::Signaled(_, signal, core) => signal as i32 | i32::from(core) << 7,
            other => panic!("WEXITED reported {other:?}"),
        })
    }

    /// A pidfd becomes readable when its process ends, pidfd_open(2).
    fn ends_by(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // poll(2) counts milliseconds: rounded up, or the last one would be spent spinning.
            let millis = left.as_nanos().div_ceil(1_000_000);
            let wait = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)], wait) {
                Ok(0) if left.is_zero() => return false,
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return true,
                Err(errno) => panic!("poll a pidfd: {errno}"),
            }
        }
    }

    /// Waits until everyone has closed both pipes.
    pub(crate) fn streams_end(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        [&self.stdout, &self.stderr].into_iter().all(|stream| {
            let left = deadline.saturating_duration_since(Instant::now());
            stream.wait(left, |written| written.ended.then_some(())).is_some()
        })
    }

    /// The same as bytes.
    pub fn stdout_bytes(&self) -> Vec<u8> {
        self.stdout.bytes()
    }

    pub(crate) fn stderr_bytes(&self) -> Vec<u8> {
        self.stderr.bytes()
    }

    /// Whether it wrote more than [`Run::bounded`] keeps.
    ///
    /// [`Run::bounded`]: crate::Run::bounded
    pub fn wrote_too_much(&self) -> bool {
        self.stdout.is_cut() || self.stderr.is_cut()
    }

    /// SIGKILL for it, its descendants, and its process group, which has what a dead child left behind.
    pub(crate) fn kill_tree(&self) {
        if self.still_running() {
            tree::kill(&mut || {
                let mut tree = evidence::descendants(self.pid);
                tree.push(self.pid);
                tree
            });
        }
        let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.keep {
            self.kill_tree();
            self.child.wait().expect("wait for a child of ours");
        }
        known().remove(&self.pid);
    }
}
