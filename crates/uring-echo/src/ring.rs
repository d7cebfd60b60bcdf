//! The two queues: requests that the kernel takes, and results that it leaves.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;
use socket2::Socket;

use netcore::error::{Attempt, Error};

/// Requests that are submitted with one call at most, and results that are waited for.
const REQUESTS: u32 = 1024;
const RESULTS: u32 = 4096;

/// Whose request a result belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    Signals,
    Listener,
    Client(usize),
}

impl Whose {
    /// As the number that goes with the request.
    fn number(self) -> u64 {
        match self {
            Whose::Signals => u64::MAX,
            Whose::Listener => u64::MAX - 1,
            Whose::Client(key) => key as u64,
        }
    }

    fn of(number: u64) -> Whose {
        match usize::try_from(number) {
            Ok(key) if number < u64::MAX - 1 => Whose::Client(key),
            _ if number == u64::MAX => Whose::Signals,
            _ => Whose::Listener,
        }
    }
}

/// A request that is done: what the call would have returned.
pub(crate) type Done = (Whose, Result<u32, Errno>);

pub(crate) struct Ring(IoUring);

impl Ring {
    pub(crate) fn new() -> Result<Ring, Error> {
        // Results are written when we ask for them, and not in the middle of something else.
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(RESULTS)
            .build(REQUESTS)
            // Linux 6.1 has that; before, it goes without.
            .or_else(|_| IoUring::builder().setup_cqsize(RESULTS).build(REQUESTS));
        Ok(Ring(ring.attempt("io_uring_setup")?))
    }

    /// Asks to be told when there is something to read, or to accept.
    pub(crate) fn readable(&mut self, fd: &impl AsFd, whose: Whose) -> Result<(), Error> {
        let events = u32::try_from(PollFlags::POLLIN.bits()).unwrap_or_default();
        let entry = opcode::PollAdd::new(Fd(fd.as_fd().as_raw_fd()), events).build();
        // SAFETY: the request has no pointer.
        #[expect(unsafe_code, reason = "requests are what this recipe shows")]
        unsafe {
            self.push(entry, whose)
        }
    }

    /// # Safety
    /// `buffer` is neither freed nor used until the result of this request has come.
    #[expect(unsafe_code, reason = "requests are what this recipe shows")]
    pub(crate) unsafe fn recv(
        &mut self,
        key: usize,
        stream: &Socket,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let entry = opcode::Recv::new(Fd(stream.as_raw_fd()), buffer.as_mut_ptr(), length).build();
        // SAFETY: what the caller has promised.
        unsafe { self.push(entry, Whose::Client(key)) }
    }

    /// # Safety
    /// `bytes` are neither freed nor changed until the result of this request has come.
    #[expect(unsafe_code, reason = "requests are what this recipe shows")]
    pub(crate) unsafe fn send(
        &mut self,
        key: usize,
        stream: &Socket,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(stream.as_raw_fd()), bytes.as_ptr(), length)
            .flags(MsgFlags::MSG_NOSIGNAL.bits())
            .build();
        // SAFETY: what the caller has promised.
        unsafe { self.push(entry, Whose::Client(key)) }
    }

    /// # Safety
    /// What the request points to stays valid until its result has come.
    #[expect(unsafe_code, reason = "requests are what this recipe shows")]
    unsafe fn push(&mut self, entry: squeue::Entry, whose: Whose) -> Result<(), Error> {
        let entry = entry.user_data(whose.number());
        // SAFETY: what the caller has promised.
        while unsafe { self.0.submission().push(&entry) }.is_err() {
            // It is full: the kernel takes all that is in it.
            self.0.submit().attempt("io_uring_enter")?;
        }
        Ok(())
    }

    /// Submits what is new and waits for a result, or for the deadline; all results that are there.
    pub(crate) fn enter(&mut self, deadline: Option<Instant>) -> Result<Vec<Done>, Error> {
        let entered = match deadline {
            None => self.0.submit_and_wait(1),
            Some(deadline) => {
                let time = Timespec::from(deadline.saturating_duration_since(Instant::now()));
                self.0.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        match entered.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default())) {
            // EBUSY: there are results to be taken first.
            Ok(_) | Err(Errno::ETIME | Errno::EINTR | Errno::EBUSY) => {}
            Err(why) => return Err(why).attempt("io_uring_enter"),
        }
        let results = self.0.completion().map(|entry| {
            // A negative result is an errno.
            let result = u32::try_from(entry.result());
            (Whose::of(entry.user_data()), result.map_err(|_| Errno::from_raw(-entry.result())))
        });
        Ok(results.collect())
    }
}
