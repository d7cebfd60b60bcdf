//! The system calls that neither std nor nix has a safe call for.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use nix::unistd::{Pid, getppid};

use crate::descriptors::{self, Given};

/// A descriptor for the process `pid`; readable once that process has ended. See pidfd_open(2).
///
/// # Errors
/// ESRCH when there is no such process, ENOSYS before Linux 5.3.
#[expect(unsafe_code, reason = "neither nix nor libc wraps pidfd_open")]
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: two integers go in, and no memory of ours is read or written.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    owned(fd)
}

/// A copy of the descriptor `fd` of the process `pid`, as dup(2) would make it: it shares the other's
/// socket, so its options can be read. Close-on-exec. See pidfd_getfd(2).
///
/// # Errors
/// EPERM without the right to trace that process, EBADF when it has no such descriptor, ENOSYS
/// before Linux 5.6.
#[expect(unsafe_code, reason = "neither nix nor libc wraps pidfd_getfd")]
pub fn pidfd_getfd(pid: i32, fd: RawFd) -> io::Result<OwnedFd> {
    let pidfd = pidfd_open(pid)?;
    // SAFETY: three integers go in, `pidfd` is open until the end of this function, and no memory
    // of ours is read or written.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) };
    owned(copy)
}

/// A ring of io_uring, to see whether there may be one. See io_uring_setup(2).
///
/// # Errors
/// ENOSYS where the kernel has none, EPERM where `kernel.io_uring_disabled` or a container forbids it.
#[expect(unsafe_code, reason = "neither nix nor libc wraps io_uring_setup")]
pub(crate) fn io_uring_setup() -> io::Result<OwnedFd> {
    // struct io_uring_params: 30 numbers of 32 bits.
    let mut params = [0_u32; 30];
    // SAFETY: `params` is as long as the struct, all zeros is a value of it, and it outlives the call.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    owned(ring)
}

/// Has blocks of 256 KiB and more given back to the kernel as soon as they are freed: glibc would keep
/// those of a size that was freed before. A process with much memory is slow to fork. See mallopt(3).
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "neither nix nor std wraps mallopt")]
pub fn give_memory_back() {
    for option in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: two integers go in; mallopt takes its own lock.
        unsafe { libc::mallopt(option, 256 * 1024) };
    }
}

/// Another C library keeps no such blocks.
#[cfg(not(target_env = "gnu"))]
pub fn give_memory_back() {}

/// Sends `signal` to the process behind `pidfd`. Unlike kill(2) it cannot hit another process that was
/// given the number of one that ended. See pidfd_send_signal(2).
///
/// # Errors
/// ESRCH when that process has ended and was waited for.
#[expect(unsafe_code, reason = "neither nix nor libc wraps pidfd_send_signal")]
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let null = std::ptr::null::<libc::siginfo_t>();
    let fd = pidfd.as_raw_fd();
    // SAFETY: `pidfd` is borrowed, so it is open; a null siginfo is allowed and means kill(2)'s.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as i32, null, 0) };
    if sent == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[expect(unsafe_code, reason = "a raw system call returns a bare descriptor")]
fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Receives the descriptor that another process has sent with [`send_descriptor`]. See unix(7), SCM_RIGHTS.
///
/// # Errors
/// Those of recvmsg(2); EBADMSG when a message came without one.
#[expect(unsafe_code, reason = "nix hands out bare descriptors")]
pub fn receive_descriptor(from: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (mut byte, mut control) = ([0], nix::cmsg_space!(RawFd));
    let mut parts = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(from.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control
            && let [fd] = descriptors[..]
        {
            // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBADMSG))
}

/// Sends a copy of a descriptor to the process at the other end.
///
/// # Errors
/// Those of sendmsg(2).
pub fn send_descriptor(to: BorrowedFd<'_>, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let descriptors = [descriptor.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&descriptors)];
    let parts = [IoSlice::new(&[0])];
    sendmsg::<UnixAddr>(to.as_raw_fd(), &parts, &control, MsgFlags::empty(), None)?;
    Ok(())
}

/// What a started process changes in itself between fork and exec.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BeforeExec {
    /// RLIMIT_NOFILE, soft and hard; by default what the harness was given.
    pub(crate) nofile: Option<u64>,
    /// The processors that it, its threads and its children may use.
    pub(crate) cpus: Option<CpuSet>,
    /// SIGCHLD is ignored, which exec keeps.
    pub(crate) ignore_sigchld: bool,
    /// RLIMIT_DATA, RLIMIT_FSIZE and RLIMIT_CORE of a program that nobody here has written.
    pub(crate) bounded: bool,
    /// Ask for no SIGKILL when the thread that spawned it ends.
    pub(crate) outlive_harness: bool,
}

/// Has what `command` starts killed when this thread ends, as all that the harness starts.
pub fn end_with_this_thread(command: &mut Command) {
    BeforeExec::default().install(command);
}

impl BeforeExec {
    /// Has `command` do all this in the child.
    #[expect(unsafe_code, reason = "code between fork and exec")]
    pub(crate) fn install(self, command: &mut Command) {
        let harness = std::process::id();
        let given = descriptors::given();
        let in_child = move || self.apply(harness, given);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed, since another
        // thread may have held a lock at the fork. `apply` makes bare system calls, and neither
        // allocates nor locks.
        unsafe { command.pre_exec(in_child) };
    }

    fn apply(self, harness: u32, given: Given) -> io::Result<()> {
        if !self.outlive_harness {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // A harness that ended before the prctl will not end again.
            if u32::try_from(getppid().as_raw()) != Ok(harness) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        close_inherited_on_exec();
        if let Some(limit) = self.nofile {
            setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
        } else if given.was_raised() {
            setrlimit(Resource::RLIMIT_NOFILE, given.soft, given.hard)?;
        }
        if self.bounded {
            setrlimit(Resource::RLIMIT_DATA, 1 << 30, 1 << 30)?;
            setrlimit(Resource::RLIMIT_FSIZE, 64 << 20, 64 << 20)?;
            setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        }
        if let Some(cpus) = &self.cpus {
            sched_setaffinity(Pid::from_raw(0), cpus)?;
        }
        // A shell starts what it puts into the background with these ignored, and exec keeps that: a
        // program that is to end by Ctrl-C would not.
        for signal in [Signal::SIGINT, Signal::SIGQUIT] {
            set(signal, SigHandler::SigDfl)?;
        }
        if self.ignore_sigchld { set(Signal::SIGCHLD, SigHandler::SigIgn) } else { Ok(()) }
    }
}

/// Has what `command` starts begin with no signal held back, whatever this process holds back.
#[expect(unsafe_code, reason = "code between fork and exec")]
pub fn unblock_signals(command: &mut Command) {
    let in_child = || Ok(SigSet::empty().thread_set_mask()?);
    // SAFETY: it makes one system call, and neither allocates nor locks.
    unsafe { command.pre_exec(in_child) };
}

/// Ends this process as another one has ended: with its code, or by its signal.
pub fn end_as(status: ExitStatus) -> ! {
    if let Some(signal) = status.signal().and_then(|number| Signal::try_from(number).ok()) {
        // EINVAL for SIGKILL, which needs neither.
        let _ = set(signal, SigHandler::SigDfl);
        let _ = SigSet::from(signal).thread_unblock();
        let _ = raise(signal);
    }
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    std::process::exit(code.unwrap_or(1))
}

/// Leaves the program its three streams only: the program that started the harness may have left it others, and
/// a test that counts descriptors must not count those. See close_range(2).
#[expect(unsafe_code, reason = "nix does not wrap close_range")]
fn close_inherited_on_exec() {
    let (first, last) = (3, libc::c_uint::MAX);
    // SAFETY: three integers go in. No descriptor is closed under its owner: they are only marked, for an
    // exec after which no owner is left. Before Linux 5.11 it fails and changes nothing.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
}

#[expect(unsafe_code, reason = "nix cannot know what a handler does")]
fn set(number: Signal, action: SigHandler) -> io::Result<()> {
    // SAFETY: only the default and to ignore are set, so no code of ours can run at a bad moment.
    unsafe { signal(number, action) }?;
    Ok(())
}

nix::ioctl_write_ptr_bad!(
    /// Sets the flags of the interface that the request names. A request's number is an unsigned
    /// long for glibc and an int for musl: nix knows which.
    set_interface_flags,
    libc::SIOCSIFFLAGS,
    libc::ifreq
);

/// Sets the loopback interface of this network namespace up: in a new one it is down. See
/// netdevice(7), SIOCSIFFLAGS.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN in the namespace.
#[expect(unsafe_code, reason = "nix cannot know what an ioctl reads")]
pub(crate) fn bring_loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: ifreq is integers, pointers and arrays of them, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap_or_default();
    // SAFETY: the descriptor is open, and the kernel reads an ifreq for this request.
    unsafe { set_interface_flags(socket.as_raw_fd(), &raw const request) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::sched::sched_getaffinity;

    use super::*;
    use crate::Run;

    #[test]
    fn a_copied_descriptor_is_the_same_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let copy = TcpListener::from(pidfd_getfd(me, listener.as_raw_fd()).unwrap());
        assert_eq!(copy.local_addr().unwrap(), listener.local_addr().unwrap());
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_ebadf() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(pidfd_getfd(me, 1 << 20).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn a_pinned_program_has_pinned_children() {
        let own = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let last = (0..CpuSet::count()).rfind(|&cpu| own.is_set(cpu).unwrap()).unwrap();
        let mut cpus = CpuSet::new();
        cpus.set(last).unwrap();
        let script = "grep Cpus_allowed_list /proc/self/status; true";
        let run = Run::program("sh").args(["-c", script]).cpus(Some(cpus));
        assert!(run.command_line().starts_with(&format!("taskset --cpu-list {last} sh -c ")));
        assert_eq!(run.finish().stdout_text(), format!("Cpus_allowed_list:\t{last}\n"));
    }
}
