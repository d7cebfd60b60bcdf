//! Echo over a unix socket, to peers that the kernel vouches for.
//!
//! # What it shows
//! The same server on a path. Who may connect is decided by the mode of the file; who has connected the
//! kernel says: the user and the process (SO_PEERCRED), which no peer can forge. The path outlives
//! the server: after a crash `bind` fails with `EADDRINUSE`, and SO_REUSEADDR does not help. To remove a
//! path that a dead server left takes a lock, since one that starts just now looks dead as well: bound,
//! and not yet listening, it refuses too.
//!
//! # System calls
//! `openat` → `flock` → `socket` → `umask` → `bind` → `listen` →
//! (`accept` → `getsockopt(SO_PEERCRED)` → (`recv` → `send`)* → `close`)* → `unlink`
//!
//! # Try it
//! ```console
//! $ unix-echo /tmp/echo.sock &
//! listening on unix:/tmp/echo.sock
//! $ unix-client /tmp/echo.sock 'Hello, server'
//! unix:/tmp/echo.sock (uid 0, pid 5120) echoed 13 bytes: "Hello, server"   0.09 ms
//! ```
//!
//! # What can go wrong
//! - `EADDRINUSE`: another server listens there. It holds the lock, or answers a `connect`; only a path
//!   that refuses is removed, and nothing that is no socket. The lock is a file of its own, which stays.
//! - `EACCES` for a client: to connect it has to be allowed to write. `bind` makes the file with mode 777
//!   less the umask. Set the umask before: a `chmod` after `bind` leaves a moment in which all may connect.
//! - At the end the path may be another server's, where somebody has removed ours: it is removed only if
//!   it still is the same file.
//! - An abstract name (`@x`) has no mode: everybody in the same network namespace may connect. Look at the
//!   uid. It needs no lock, since it ends with its socket.
//! - The pid is that of the process which connected. It may have ended, or have handed the connection on.
//! - A path has room for 107 bytes.
//!
//! # Next
//! `echo-server` is this server on a port; `unix-client` is the other end, which learns who listens;
//! `socket-pair` needs no name.
//!
//! # Source
//! unix(7), flock(2), umask(2), bind(2), unlink(2); UNP §15.1 to §15.6, TLPI §57.2 and §57.6; the Python
//! cookbook's recipe 3.9.

mod args;
mod report;

use std::fs::{File, OpenOptions, symlink_metadata};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{MsgFlags, getsockopt, recv, send};
use nix::sys::stat::{Mode, umask};
use nix::unistd::unlink;
use socket2::{Domain, Socket, Type};

use netcore::echo::BUFFER;
use netcore::error::{Attempt, Error, errno, to_errno};
use netcore::listener::Listener;
use netcore::log::{Log, Peer, Record};
use netcore::output::Output;
use netcore::poll::timeout_until;
use netcore::signal::Signal::{SIGINT, SIGTERM};
use netcore::signal::{Signals, Woken};
use netcore::stop::Stop;
use netcore::time::Timeout;
use netcore::unix::Name;
use netcore::{cli, recipe};

use args::Args;

fn main() -> ExitCode {
    cli::run(&recipe!(0 2 71 74 77), serve)
}

fn serve(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let signals = Signals::catch(&[SIGINT, SIGTERM])?.with_log(&log);

    // Held from before the first look at the path until it is removed.
    let _lock = args.name.path().map(|path| lock(path, &args.name)).transpose()?;
    if let Some(path) = args.name.path() {
        remove_stale(path, &args.name)?;
    }
    let socket = listen(args)?;
    let file = args.name.path().and_then(identity);
    let listener = Listener::new(socket)?; // it knows what each error of accept means
    let mut buffer = vec![0; BUFFER];
    out.line(report::ready(&args.name, args.json))?;
    let mut stop = Stop::new(signals, listener, args.grace.0);
    while let Some(listener) = &mut stop.listener {
        match stop.signals.wait(Some(listener.as_fd()), PollFlags::POLLIN, None)? {
            Woken::Signal(_) => break,
            Woken::Deadline => {}
            Woken::Ready => {
                let Some(stream) = listener.accept_unix(&log)? else { continue };
                let peer = match getsockopt(&stream, PeerCredentials) {
                    Ok(peer) => peer,
                    Err(why) => {
                        log.note(format_args!("getsockopt SO_PEERCRED: {}", errno(why)));
                        continue;
                    }
                };
                let (uid, peer) = (peer.uid(), Peer::Process { uid: peer.uid(), pid: peer.pid() });
                if args.allow_uid.is_some_and(|allowed| allowed != uid) {
                    log.note(format_args!("{peer} refused: not the user of --allow-uid"));
                    continue; // the drop of `stream` closes it
                }
                let mut record = log.open(peer);
                let end = echo(&stream, &mut buffer, args.idle_timeout, &mut stop, &mut record);
                record.close(end);
                drop(stream); // close
            }
        }
    }
    match args.name.path() {
        // Somebody may have removed it, and another server may have bound the path again.
        Some(path) if file.is_some() && identity(path) == file => {
            unlink(path).attempt(format_args!("unlink {}", args.name))
        }
        _ => Ok(()),
    }
}

/// Locks a file beside the path, which is never removed: else two servers could lock two files.
fn lock(path: &Path, name: &Name) -> Result<Flock<File>, Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(&beside).attempt(format_args!("openat {name}.lock"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => Err(in_use(name)),
        Err((_, why)) => Err(why).attempt(format_args!("flock {name}.lock")),
    }
}

fn in_use(name: &Name) -> Error {
    Error::Os { attempt: format!("bind {name}"), source: Errno::EADDRINUSE }
}

/// Removes what a dead server left. One that does not use the lock may listen: it is asked.
fn remove_stale(path: &Path, name: &Name) -> Result<(), Error> {
    match symlink_metadata(path).map_err(to_errno) {
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => return Err(Errno::ENOTSOCK).attempt(format_args!("bind {name}")),
        Err(_) => return Ok(()), // bind says why
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).attempt("socket")?;
    match socket.connect(&name.address()?).map_err(to_errno) {
        Err(Errno::ECONNREFUSED) => unlink(path).attempt(format_args!("unlink {name}")),
        Err(Errno::ENOENT) => Ok(()),
        // EAGAIN: its queue is full.
        Ok(()) | Err(Errno::EAGAIN) => Err(in_use(name)),
        Err(why) => Err(why).attempt(format_args!("connect to {name}")),
    }
}

/// `socket`, `umask`, `bind`, `listen`.
fn listen(args: &Args) -> Result<Socket, Error> {
    let (name, address) = (&args.name, args.name.address()?);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).attempt("socket")?;
    // This process has one thread: in another one a file could be made with this umask.
    let before = umask(Mode::from_bits_truncate(0o777 & !args.mode));
    let bound = socket.bind(&address).attempt(format_args!("bind {name}"));
    umask(before);
    bound?;
    socket.listen(args.backlog.into()).attempt(format_args!("listen on {name}"))?;
    Ok(socket)
}

/// What tells a file from all others, whatever its name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Sends back what the peer sends, until the end. The error is the reason to end before it.
#[expect(clippy::indexing_slicing, reason = "recv and send return at most the length they got")]
fn echo(
    stream: &Socket,
    buffer: &mut [u8],
    idle: Timeout,
    stop: &mut Stop,
    record: &mut Record,
) -> Result<(), String> {
    let fd = stream.as_raw_fd();
    loop {
        wait_for_peer(stream, PollFlags::POLLIN, idle, stop)?;
        let received = match recv(fd, buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Ok(()),
            Ok(received) => received,
            // What poll reported may be gone again: without MSG_DONTWAIT this call would block.
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(why) => return Err(format!("recv: {}", errno(why))),
        };
        let mut rest = &buffer[..received];
        record.received(rest);
        // The kernel takes what it has room for, which may be less than there is.
        while !rest.is_empty() {
            // MSG_NOSIGNAL: EPIPE in place of SIGPIPE, which would end this process.
            match send(fd, rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => {
                    record.sent(sent);
                    rest = &rest[sent..];
                }
                Err(Errno::EAGAIN) => wait_for_peer(stream, PollFlags::POLLOUT, idle, stop)?,
                Err(Errno::EINTR) => {}
                Err(why) => return Err(format!("send: {}", errno(why))),
            }
        }
    }
}

/// Waits until the peer has sent (POLLIN) or has taken (POLLOUT) bytes. The error is the reason to
/// wait no longer.
fn wait_for_peer(
    stream: &Socket,
    events: PollFlags,
    idle: Timeout,
    stop: &mut Stop,
) -> Result<(), String> {
    // The silence is counted from here: only a peer that does something gets a new deadline.
    let idle_end = idle.deadline();
    loop {
        let mut fds = [
            PollFd::new(stop.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stream.as_fd(), events),
        ];
        match poll(&mut fds, timeout_until(stop.deadline(idle_end))) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(why) => return Err(format!("poll: {}", errno(why))),
        }
        let [signal, ready] = fds.map(|fd| fd.any().unwrap_or(true));
        let now = Instant::now();
        if signal {
            stop.next_signal(now).map_err(|error| error.to_string())?;
        }
        if let Some(why) = stop.is_over(now) {
            return Err(why.to_owned());
        }
        if ready {
            return Ok(());
        }
        if idle_end.is_some_and(|end| end <= now) {
            let what = if events == PollFlags::POLLIN { "timed out" } else { "send timed out" };
            return Err(format!("{what} after {idle}"));
        }
    }
}
