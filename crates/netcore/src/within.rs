//! A deadline for questions that have none.
//!
//! `getaddrinfo` can't be told how long it may take, and a thread in it can be neither stopped nor
//! joined. A process can be: a child asks, and is killed when the time is over. Nothing of it is left.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::read;

use crate::error::{Attempt, Error};
use crate::signal::timeout_until;
use crate::sys;
use crate::time::Timeout;

/// The answer to a question that a child asks about `name`; without a time-out it is asked here.
///
/// # Errors
/// [`Error::Timeout`] when the time was over before the answer came; the errors of fork(2), of
/// pipe2(2), and EPIPE when the child died.
pub(crate) fn within(
    timeout: Timeout,
    name: &str,
    question: impl FnOnce() -> Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let Some(after) = timeout.duration() else { return Ok(question()) };
    let deadline = timeout.deadline();
    let (child, pipe) = sys::fork_to_answer(question).attempt("fork to ask the resolver")?;
    let answer = read_until_nul(&pipe, deadline);
    if !matches!(answer, Ok(Some(_))) {
        // Not yet reaped, so the number is still its own.
        let _ = kill(child, Signal::SIGKILL);
    }
    // ECHILD: whoever started us ignores SIGCHLD, and the kernel reaps.
    while waitpid(child, None) == Err(Errno::EINTR) {}
    answer
        .attempt("read the resolver's answer")?
        .ok_or_else(|| Error::Timeout { attempt: format!("resolve {name}"), after })
}

/// What comes before the NUL, `None` when the deadline comes first.
fn read_until_nul(pipe: &OwnedFd, deadline: Option<Instant>) -> nix::Result<Option<Vec<u8>>> {
    let mut answer = Vec::new();
    loop {
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout_until(deadline)) {
            Ok(0) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                return Ok(None);
            }
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(why) => return Err(why),
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
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_question_without_an_answer_is_given_up_at_its_deadline_and_leaves_no_child() {
        let begun = Instant::now();
        let silent = || loop {
            thread::park();
        };
        let timeout: Timeout = "50ms".parse().unwrap();
        let error = within(timeout, "slow.example", silent).unwrap_err();
        assert_eq!(error.to_string(), "resolve slow.example: nothing for 50ms");
        assert!(begun.elapsed() >= Duration::from_millis(50));
        let children = format!("/proc/self/task/{}/children", nix::unistd::gettid());
        if let Ok(children) = std::fs::read_to_string(children) {
            assert_eq!(children, "");
        }
    }

    #[test]
    fn a_child_that_dies_is_no_answer() {
        let die = || nix::sys::signal::raise(Signal::SIGKILL).map(|()| Vec::new()).unwrap();
        let error = within(Timeout::seconds(5), "x", die).unwrap_err();
        assert!(error.to_string().ends_with("(EPIPE)"), "{error}");
    }
}
