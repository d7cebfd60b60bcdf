//! A deadline for questions that have none.
//!
//! `getaddrinfo` has no timeout. Called in a thread it need not be waited for, but
//! a thread can be neither stopped nor joined while it asks: that is for a program that then ends. A
//! program that goes on asks in a child process, which can be killed, for the price of a fork.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::read;

use crate::error::{Attempt, Error};
use crate::poll::poll;
use crate::sys;
use crate::time::Timeout;

/// What the program does when an answer is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// It ends soon, and the thread that still asks ends with it.
    AbandonThread,
    /// It goes on, and nothing of the question is left behind.
    KillChild,
}

/// The answer to a question about `name`, in the time of a request that has `begun` before it; without a
/// timeout it is asked here.
///
/// # Errors
/// [`Error::Timeout`] when the time was over before the answer; the errors of fork(2) and
/// pipe2(2) or of clone(2), and EPIPE when a child died.
pub(crate) fn until_deadline(
    timeout: Timeout,
    begun: Instant,
    on_timeout: OnTimeout,
    name: &str,
    question: impl FnOnce() -> Vec<u8> + Send + 'static,
) -> Result<Vec<u8>, Error> {
    let Some(after) = timeout.duration() else { return Ok(question()) };
    let answer = match on_timeout {
        OnTimeout::AbandonThread => in_thread(after.saturating_sub(begun.elapsed()), question)?,
        OnTimeout::KillChild => in_child(timeout.deadline_of(begun), question)?,
    };
    answer.ok_or_else(|| Error::Timeout { attempt: format!("resolve {name}"), after })
}

fn in_thread(
    after: Duration,
    question: impl FnOnce() -> Vec<u8> + Send + 'static,
) -> Result<Option<Vec<u8>>, Error> {
    let (send, receive) = mpsc::sync_channel(1);
    let ask = move || {
        // Nobody listens any more when the answer is late.
        let _ = send.send(question());
    };
    let thread = thread::Builder::new().spawn(ask).attempt("start a thread to ask the resolver")?;
    let answer = receive.recv_timeout(after).ok();
    if answer.is_some() {
        // It ends now. A server may fork next, which is for a process of one thread.
        let _ = thread.join();
    }
    Ok(answer)
}

fn in_child(
    deadline: Option<Instant>,
    question: impl FnOnce() -> Vec<u8>,
) -> Result<Option<Vec<u8>>, Error> {
    let (child, pipe) = sys::fork_to_answer(question).attempt("fork to ask the resolver")?;
    let answer = read_until_nul(&pipe, deadline);
    // One that answered, or died (EPIPE), is gone, and where SIGCHLD is ignored its number too.
    if !matches!(answer, Ok(Some(_)) | Err(Errno::EPIPE)) {
        let _ = kill(child, Signal::SIGKILL);
    }
    // ECHILD: the program was started with SIGCHLD ignored, and the kernel reaps.
    while waitpid(child, None) == Err(Errno::EINTR) {}
    answer.attempt("read the resolver's answer")
}

/// What comes before the NUL, `None` when the deadline comes first.
fn read_until_nul(pipe: &OwnedFd, deadline: Option<Instant>) -> nix::Result<Option<Vec<u8>>> {
    let mut answer = Vec::new();
    loop {
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, deadline)? == 0 {
            return Ok(None);
        }
        let mut chunk = [0; 4096];
        match read(pipe, &mut chunk) {
            // The child died before it had answered.
            Ok(0) => return Err(Errno::EPIPE),
            Ok(count) => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why),
        }
        if answer.last() == Some(&0) {
            answer.pop();
            return Ok(Some(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_is_given_up_at_its_deadline_and_leaves_no_child() {
        let begun = Instant::now();
        let silent = || loop {
            thread::park();
        };
        let timeout: Timeout = "50ms".parse().unwrap();
        let error =
            until_deadline(timeout, Instant::now(), OnTimeout::KillChild, "slow.example", silent)
                .unwrap_err();
        assert_eq!(error.to_string(), "resolve slow.example: timed out after 50ms");
        assert!(begun.elapsed() >= Duration::from_millis(50));
        let children = format!("/proc/self/task/{}/children", nix::unistd::gettid());
        if let Ok(children) = std::fs::read_to_string(children) {
            assert_eq!(children, "");
        }
    }

    #[test]
    fn a_thread_gives_the_same_answers() {
        let timeout: Timeout = "50ms".parse().unwrap();
        let answer = until_deadline(
            Timeout::seconds(5),
            Instant::now(),
            OnTimeout::AbandonThread,
            "x",
            || b"yes".to_vec(),
        )
        .unwrap();
        assert_eq!(answer, b"yes");
        let silent = || loop {
            thread::park();
        };
        let error = until_deadline(timeout, Instant::now(), OnTimeout::AbandonThread, "x", silent)
            .unwrap_err();
        assert_eq!(error.to_string(), "resolve x: timed out after 50ms");
    }

    #[test]
    fn a_child_that_dies_is_no_answer() {
        let die = || nix::sys::signal::raise(Signal::SIGKILL).map(|()| Vec::new()).unwrap();
        let error =
            until_deadline(Timeout::seconds(5), Instant::now(), OnTimeout::KillChild, "x", die)
                .unwrap_err();
        assert!(error.to_string().ends_with("(EPIPE)"), "{error}");
    }
}
