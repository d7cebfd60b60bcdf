//! What a call may fail with, as its man page says.

/// A system call, and its errors.
#[derive(Debug)]
pub struct Row {
    /// Its name in the kernel, as strace prints it.
    pub call: &'static str,
    /// The pages of the manual that list the errors.
    pub pages: &'static str,
    /// Those that may last.
    last: &'static str,
    /// Those that say "call again": they do not last.
    pass: &'static str,
}

/// The calls in which a fault is injected. EFAULT is not in it, nor EBADF and ENOTSOCK where the descriptor
/// is one that the program has from its start to its end: buffers are borrowed and descriptors owned
/// (`OwnedFd`), so these come from no peer and no machine. On the connection of a client they are in it.
/// Nor are errors that a page has for another kind of descriptor: EISDIR is none of a signalfd, and
/// EINVAL none of a wait4 whose options are a constant.
pub const ROWS: &[Row] = &[
    row(
        "accept4",
        "accept(2)",
        "ECONNABORTED EHOSTDOWN EHOSTUNREACH EINVAL EMFILE ENETDOWN ENETUNREACH ENFILE ENOBUFS ENOMEM \
         ENONET ENOPROTOOPT ENOSR EOPNOTSUPP EPERM EPROTO EPROTONOSUPPORT ESOCKTNOSUPPORT ETIMEDOUT",
        "EAGAIN EINTR",
    ),
    row("poll", "poll(2)", "EINVAL ENOMEM", "EINTR"),
    row("epoll_wait", "epoll_wait(2)", "EINVAL", "EINTR"),
    row("epoll_ctl", "epoll_ctl(2)", "EBADF EEXIST EINVAL ELOOP ENOENT ENOMEM ENOSPC EPERM", ""),
    row(
        "io_uring_enter",
        "io_uring_enter(2)",
        "EAGAIN EBADFD EBADR EINVAL ENOMEM ENXIO EOPNOTSUPP",
        "EBUSY EINTR",
    ),
    row(
        "recvfrom",
        "recv(2) recv(3p) tcp(7) ip(7)",
        "EBADF ECONNREFUSED ECONNRESET EHOSTUNREACH EINVAL ENOMEM ENOTCONN ENOTSOCK ETIMEDOUT",
        "EAGAIN EINTR",
    ),
    row(
        "recvmsg",
        "recv(2) udp(7) ip(7)",
        "ECONNREFUSED EHOSTUNREACH EINVAL ENOBUFS ENOMEM ENOTCONN",
        "EAGAIN EINTR",
    ),
    row(
        "recvmmsg",
        "recvmmsg(2) recv(2) udp(7) ip(7)",
        "ECONNREFUSED EHOSTUNREACH EINVAL ENOBUFS ENOMEM ENOTCONN",
        "EAGAIN EINTR",
    ),
    row("sendto", "send(2) send(3p) tcp(7) udp(7) ip(7)", SEND, "EAGAIN EINTR"),
    row("sendmsg", "send(2) send(3p) udp(7) ip(7)", SEND, "EAGAIN EINTR"),
    row("sendmmsg", "sendmmsg(2) send(2) send(3p) udp(7) ip(7)", SEND, "EAGAIN EINTR"),
    row("sendfile", "sendfile(2)", "EBADF EINVAL EIO ENOMEM EOVERFLOW ESPIPE", "EAGAIN"),
    row("read", "read(2)", "EINVAL", "EAGAIN EINTR"),
    row(
        "write",
        "write(2)",
        "EBADF EDESTADDRREQ EDQUOT EFBIG EINVAL EIO ENOSPC EPERM EPIPE",
        "EAGAIN EINTR",
    ),
    row("clone", "fork(2)", "EAGAIN ENOMEM ENOSYS", ""),
    row("clone3", "clone(2)", "EAGAIN ENOMEM EPERM", ""),
    row("wait4", "wait(2)", "ECHILD", "EINTR"),
    row("prctl", "prctl(2)", "EINVAL EPERM", ""),
    row("setsockopt", "setsockopt(2)", "EINVAL ENOPROTOOPT", ""),
    row("getsockopt", "getsockopt(2)", "EINVAL ENOPROTOOPT", ""),
    row("shutdown", "shutdown(2)", "EINVAL ENOTCONN", ""),
    row(
        "openat2",
        "openat2(2) open(2)",
        "E2BIG EACCES EINVAL EISDIR ELOOP EMFILE ENAMETOOLONG ENFILE ENODEV ENOENT ENOMEM ENOTDIR ENXIO \
         EOVERFLOW EPERM EXDEV",
        "EAGAIN EINTR",
    ),
    row("statx", "statx(2)", "EACCES EINVAL ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR", ""),
    row("eventfd2", "eventfd(2)", "EMFILE ENFILE ENODEV ENOMEM", ""),
    row("pipe2", "pipe(2)", "EMFILE ENFILE", ""),
    row("epoll_create1", "epoll_create(2)", "EMFILE ENFILE ENOMEM", ""),
    row("timerfd_create", "timerfd_create(2)", "EMFILE ENFILE ENODEV ENOMEM", ""),
    row("timerfd_settime", "timerfd_create(2)", "ECANCELED EINVAL", ""),
    row("signalfd4", "signalfd(2)", "EINVAL EMFILE ENFILE ENODEV ENOMEM", ""),
    row(
        "socket",
        "socket(2)",
        "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT",
        "",
    ),
    row("bind", "bind(2) ip(7)", "EACCES EADDRINUSE EADDRNOTAVAIL EINVAL", ""),
    row(
        "connect",
        "connect(2) ip(7)",
        "EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EALREADY ECONNREFUSED EHOSTUNREACH EINPROGRESS \
         EISCONN ENETUNREACH EPERM EPROTOTYPE ETIMEDOUT",
        "EAGAIN EINTR",
    ),
    row("getsockname", "getsockname(2)", "EINVAL ENOBUFS", ""),
    row("getpeername", "getpeername(2)", "EINVAL ENOBUFS ENOTCONN", ""),
    row("getrandom", "getrandom(2)", "ENOSYS", "EAGAIN EINTR"),
];

const SEND: &str = "EACCES EALREADY EBADF ECONNREFUSED ECONNRESET EDESTADDRREQ EHOSTUNREACH EINVAL EISCONN \
                    EMSGSIZE ENETUNREACH ENOBUFS ENOMEM ENOTCONN ENOTSOCK EOPNOTSUPP EPERM EPIPE";

const fn row(
    call: &'static str,
    pages: &'static str,
    last: &'static str,
    pass: &'static str,
) -> Row {
    Row { call, pages, last, pass }
}

/// Calls of a server in which nothing is injected, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("close", "an injected call is not executed: the descriptor would stay open"),
    ("munmap", "an injected call is not executed: the memory would stay mapped"),
    ("restart_syscall", "the kernel's own, to go on with a poll that was interrupted"),
    ("fcntl", "made by std in debug builds only, to check a descriptor before it closes it"),
    ("exit", "it does not return"),
    ("exit_group", "it does not return"),
    ("getppid", "it does not fail"),
    ("getpid", "it does not fail"),
    ("gettid", "it does not fail"),
    ("kill", "the child that it is sent to is not reaped yet: it does not fail"),
    ("set_robust_list", "made by libc as a thread starts, which does not look at its result"),
    ("rseq", "made by libc as a thread starts; it fails for another size only"),
    ("sched_getaffinity", "made by libc as a thread starts; it fails for another size only"),
    ("sigaltstack", "made by std as a thread starts; it fails for a stack that is too small"),
    ("mmap", "made by malloc, and by std as a thread starts: stream_servers::small_machine"),
    ("mprotect", "the same"),
    ("mremap", "the same"),
    ("brk", "the same; the kernel answers with the old end, and with no errno"),
    ("openat", "made by malloc, to count the processors; it does without"),
    ("clock_nanosleep", "a pause, which may be shorter"),
    ("clock_gettime", "it fails for no clock that is used"),
    ("rt_sigreturn", "it does not return"),
    ("sched_yield", "it does not fail"),
    ("rt_sigaction", "it fails for the number of no signal"),
    ("rt_sigprocmask", "made by libc as a thread starts; it fails for a wrong argument only"),
    ("futex", "made by std's locks, which call it again"),
    ("madvise", "made by libc as a thread ends, which does not look at its result"),
];

/// An error of a call, once or for a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// As strace names it.
    pub call: &'static str,
    /// `ENOMEM`.
    pub errno: &'static str,
    /// Each such call fails for a second; otherwise one does.
    pub lasts: bool,
}

impl Row {
    /// All its errors, those that last first.
    pub fn errnos(&self) -> impl Iterator<Item = &'static str> {
        self.last.split_whitespace().chain(self.pass.split_whitespace())
    }

    /// Each error once, and those that may last for a second too.
    fn faults(&self) -> impl Iterator<Item = Fault> {
        let call = self.call;
        let once = self.errnos().map(move |errno| Fault { call, errno, lasts: false });
        let last = self.last.split_whitespace();
        once.chain(last.map(move |errno| Fault { call, errno, lasts: true }))
    }
}

/// Every fault of these calls. Those of another call there has to be a reason to leave out.
///
/// # Errors
/// The calls that are neither in [`ROWS`] nor in [`LEFT_OUT`].
pub(super) fn faults(calls: &[String]) -> Result<Vec<Fault>, String> {
    let is_known = |call: &&String| {
        let left_out = LEFT_OUT.iter().any(|(name, _)| name == call);
        left_out || ROWS.iter().any(|row| row.call == *call)
    };
    let unknown: Vec<&str> =
        calls.iter().filter(|call| !is_known(call)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(format!("no row of errnos.rs has {}", unknown.join(", ")));
    }
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    Ok(faults_of(&calls))
}

/// Every fault of those of the calls that are in [`ROWS`].
pub(super) fn faults_of(calls: &[&str]) -> Vec<Fault> {
    let made = ROWS.iter().filter(|row| calls.contains(&row.call));
    made.flat_map(Row::faults).collect()
}

/// The errors after which a server ends, and why that is right.
pub const DEATHS: [(&str, &str, &str); 10] = [
    ("accept4", "EINVAL", "the socket does not listen: it never will again"),
    ("epoll_wait", "EINVAL", "not the descriptor of a list: nothing can be waited for"),
    ("recvmsg", "EINVAL", "a wrong argument: each call would fail"),
    ("read", "EINVAL", "signals cannot be read, so nothing could stop the server"),
    ("recvmmsg", "EINVAL", "a wrong argument: each call would fail"),
    ("io_uring_enter", "EBADFD", "the ring is disabled: it has to be enabled first"),
    ("io_uring_enter", "EBADR", "results are lost, and nobody knows whose"),
    ("io_uring_enter", "EINVAL", "a wrong argument: each call would fail"),
    ("io_uring_enter", "ENXIO", "the ring is being torn down"),
    ("io_uring_enter", "EOPNOTSUPP", "the descriptor is not one of a ring"),
];
