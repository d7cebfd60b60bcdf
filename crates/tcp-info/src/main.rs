//! Watch a TCP connection from inside: what the kernel counts, and what it waits for.
//!
//! # What it shows
//! The kernel keeps an account of each connection, and TCP_INFO is a copy of it: the round-trip time, how
//! much may be under way, what was sent again, and how long it has waited for whom. Of the time between
//! two samples it says what limited the connection for most of it: the program, which sent nothing; the
//! network; the receiver, whose window was full; or the send buffer. The descriptor of another process can
//! be copied, with the rights of a debugger, and asked as well.
//!
//! # System calls
//! In `netcore::connect::connect`: `socket` → `connect`
//! `getsockopt(TCP_INFO)` → (`poll` → `recv` → `send` → `getsockopt(TCP_INFO)`)*
//! With --pid: pidfd_open(2), then again and again pidfd_getfd(2), getsockopt(2) and close(2).
//!
//! # Try it
//! ```console
//! $ epoll-echo --port 7777 -q &
//! listening on 127.0.0.1:7777
//! $ tcp-info --port 7777 --bulk --interval 200ms --count 3
//! state        rtt         rto         cwnd     unacked  notsent  backoff  retrans  limited by
//! ESTABLISHED  0.028 ms    200.000 ms  10       0        0        0        0        -
//! ESTABLISHED  0.040 ms    204.000 ms  14       0        0        0        0        program
//! ESTABLISHED  1.040 ms    204.000 ms  14       0        0        0        1        receiver
//! ```
//! Of another process, until it closes the connection: `tcp-info --pid 5120 --interval 1s`. `cargo xtask
//! scenario watched` stops a receiver and pulls a cable.
//!
//! # What can go wrong
//! - The kernel adds fields to the structure, and a program is built with an older one: ask for more bytes
//!   than there are, and use a field only if all of it was returned. Compare no length with `sizeof`.
//! - `retrans` stays as it is while the own interface is down, since nothing leaves; `backoff` grows. When
//!   it is up again, nothing moves until the next retransmission is due (`rto`).
//! - `unacked` 0 and much in `notsent`: the peer does not receive. `rwnd_limited` says for how long.
//! - Of a listener `unacked` is the number of connections in its queue, and `sacked` its backlog.
//! - `EPERM` from pidfd_getfd: the process is another user's, or `sysctl kernel.yama.ptrace_scope` allows
//!   it for its own children only.
//! - A copy of a descriptor keeps the connection open: the peer does not hear the end when the process
//!   closes its own. So a copy is closed after each sample.
//! - `EOPNOTSUPP`, `ENOPROTOOPT`: it is no socket of TCP.
//!
//! # Next
//! `keepalive` waits for a peer that does not answer; `backlog` asks a listener; `nagle` and
//! `buffer-size` change what is seen here.
//!
//! # Source
//! tcp(7), ss(8), pidfd_open(2), pidfd_getfd(2), ptrace(2); RFC 6298, RFC 9293; UNP §7.9, TLPI §61.7.

mod args;
mod report;

use std::fs;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::stat::fstat;

use netcore::connect::connect;
use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{AddressFamily, addresses};
use netcore::{cli, recipe};

use args::{Args, Watched};
use report::{Info, Table};

/// More than any kernel gives: that of Linux 6.18 has 280 bytes.
const ROOM: usize = 1024;

/// Bytes that one `send` or `recv` takes at most.
const BUFFER: usize = 64 * 1024;

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 68 69 71 74 75 77), |args: &Args, out| match args.watched()? {
        Watched::Own(port) => watch_own(port, args, out),
        Watched::Of(pid) => watch_process(pid, args, out),
    })
}

/// Connects, and watches that connection.
fn watch_own(port: u16, args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let deadline = args.timeout.deadline();
    let addresses = addresses(&args.host, port, family, args.timeout)?;
    let (socket, peer) = connect(&addresses, args.timeout, deadline)?;
    let mut table = Table::new(&args.fields, args.json);
    let mut end = None;
    loop {
        table.add(tcp_info(&socket).attempt("getsockopt TCP_INFO")?, out)?;
        match end {
            Some(Ok(())) => return Ok(()), // the peer has closed
            Some(Err(why)) => return Err(why).attempt(format_args!("connection to {peer}")),
            None if table.samples == args.samples() => return Ok(()),
            None => end = transfer(&socket, args.bulk, args.pause())?,
        }
    }
}

/// Receives what comes, and sends as much as the peer takes, until the next sample. How the connection
/// has ended, if it has.
fn transfer(
    socket: &impl AsFd,
    bulk: bool,
    pause: Duration,
) -> Result<Option<nix::Result<()>>, Error> {
    let (fd, next) = (socket.as_fd().as_raw_fd(), Instant::now().checked_add(pause));
    let (mut buffer, bytes) = (vec![0; BUFFER], vec![b'x'; BUFFER]);
    let events = if bulk { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
    while next.is_none_or(|next| Instant::now() < next) {
        let mut fds = [PollFd::new(socket.as_fd(), events)];
        if poll(&mut fds, next).attempt("poll")? == 0 {
            break;
        }
        match recv(fd, &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Ok(Some(Ok(()))),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(why) => return Ok(Some(Err(why))),
        }
        if bulk {
            match send(fd, &bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(why) => return Ok(Some(Err(why))),
            }
        }
    }
    Ok(None)
}

/// Watches a connection of another process, until it closes it or ends.
fn watch_process(pid: i32, args: &Args, out: &mut Output) -> Result<(), Error> {
    let process = pidfd_open(pid).attempt(format_args!("pidfd_open {pid}"))?;
    let fd = match args.fd {
        Some(fd) => fd,
        None => only_connection(&process, pid)?,
    };
    let attempt = format!("pidfd_getfd {fd} of pid {pid}");
    let mut table = Table::new(&args.fields, args.json);
    let mut first = None;
    loop {
        let copy = match pidfd_getfd(&process, fd) {
            Err(Errno::EBADF | Errno::ESRCH) if first.is_some() => None,
            copy => Some(copy.attempt(&attempt)?),
        };
        let inode = copy.as_ref().map(|copy| fstat(copy).map(|file| file.st_ino));
        let inode = inode.transpose().attempt(format_args!("fstat {fd} of pid {pid}"))?;
        // The number may be that of another file by now.
        let Some(copy) = copy.filter(|_| first.is_none() || first == inode) else {
            out.note(format_args!("pid {pid} has closed descriptor {fd}"));
            return Ok(());
        };
        first = inode;
        let info = tcp_info(&copy).attempt(format_args!("getsockopt TCP_INFO of {fd}"))?;
        drop(copy); // close: while there is a copy, the peer does not hear the end
        table.add(info, out)?;
        if table.samples == args.samples() {
            return Ok(());
        }
        let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, Instant::now().checked_add(args.pause())).attempt("poll")? > 0 {
            out.note(format_args!("pid {pid} has ended"));
            return Ok(());
        }
    }
}

/// The descriptor of the only connection of a process; of its only listener, if it has no connection.
fn only_connection(process: &OwnedFd, pid: i32) -> Result<i32, Error> {
    let path = format!("/proc/{pid}/fd");
    let names = fs::read_dir(&path).attempt(format_args!("read {path}"))?;
    let numbers = names.flatten().filter_map(|name| name.file_name().to_str()?.parse().ok());
    let (mut connections, mut listeners) = (Vec::new(), Vec::new());
    for fd in numbers {
        // What has been closed meanwhile, and what is no socket of TCP, is passed over.
        let copy = match pidfd_getfd(process, fd) {
            Err(Errno::EBADF) => continue,
            copy => copy.attempt(format_args!("pidfd_getfd {fd} of pid {pid}"))?,
        };
        match tcp_info(&copy) {
            Ok(info) if info.is_listener() => listeners.push(fd),
            Ok(_) => connections.push(fd),
            Err(_) => {}
        }
    }
    let found = if connections.is_empty() { listeners } else { connections };
    match found[..] {
        [fd] => Ok(fd),
        [] => Err(Error::No(format!("pid {pid} has no socket of TCP"))),
        _ => Err(Error::Usage(format!("pid {pid} has several connections: --fd {found:?}"))),
    }
}

/// The whole of TCP_INFO, however much that is.
fn tcp_info(socket: &impl AsFd) -> nix::Result<Info> {
    let mut bytes = vec![0_u8; ROOM];
    let mut length = libc::socklen_t::try_from(ROOM).unwrap_or_default();
    // SAFETY: the kernel writes at most `length` bytes, the size of what the pointer points to.
    #[expect(unsafe_code, reason = "getsockopt(TCP_INFO) is what this recipe shows")]
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    bytes.truncate(usize::try_from(length).unwrap_or_default());
    Ok(Info(bytes))
}

fn pidfd_open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    #[expect(unsafe_code, reason = "neither std nor nix has pidfd_open")]
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    own(result)
}

fn pidfd_getfd(process: &OwnedFd, fd: i32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    #[expect(unsafe_code, reason = "neither std nor nix has pidfd_getfd")]
    let result = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) };
    own(result)
}

/// The descriptor that a system call has returned.
fn own(result: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = i32::try_from(Errno::result(result)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it for this process, and nothing else knows it.
    #[expect(unsafe_code, reason = "a descriptor that nothing owns yet")]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
