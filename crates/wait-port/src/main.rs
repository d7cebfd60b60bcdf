//! Wait until services accept connections, many at once, and say why one does not.
//!
//! # What it shows
//! A port is open as soon as the kernel has a listener, before any process accepts. A SYN to a port
//! without a listener is answered at once, with a reset: `ECONNREFUSED`, and a new try is cheap. A SYN
//! that is lost is not answered at all: the kernel sends it again after ever longer pauses, and who
//! waits in one `connect` hears of the service late. So each try has a limit, and the next one begins
//! with a new socket.
//!
//! # System calls
//! (`socket` → `connect` → `poll` → `getsockopt(SO_ERROR)` → `getsockname` → `getpeername` → `close`)*
//!
//! # Try it
//! ```console
//! $ echo-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ wait-port 127.0.0.1:7777 127.0.0.1:9 --timeout 300ms
//! 127.0.0.1:7777  open after 0.21 ms
//! wait-port: wait for 127.0.0.1:9: Connection refused (ECONNREFUSED)
//! hint: nothing listens there; start the server first
//! ```
//! In a container: `wait-port db:5432 cache:6379 --timeout 30s -- server --port 80` becomes the server
//! (execve(2)). Before a restart: `wait-port --gone localhost:80`.
//!
//! # What can go wrong
//! - `ECONNREFUSED`: no socket listens there. One that is bound and does not listen yet is none.
//! - `timed out`: no answer. The host is down, a firewall drops the SYN, or the listener's queue is full.
//! - A proxy accepts although no server is behind it, and closes: wait with `--stay` for a connection
//!   that lasts.
//! - A name that does not exist yet, as of a container that is not started, is asked for again. The
//!   resolver has a thread for each name: it may hang, and the other targets do not wait for it.
//! - A loop of tries without a pause takes a whole processor. And the kernel may pick the port that it
//!   connects to as its own: the socket is then connected to itself, without any server.
//! - After `ECONNREFUSED` use a new socket: POSIX does not say what the old one is good for.
//! - A unix socket whose queue is full is `EAGAIN`, and one whose server is dead `ECONNREFUSED`.
//!
//! # Next
//! `connect-nonblocking` is one such try; `backlog` shows the listener whose queue is full;
//! `socket-timeout` bounds the other calls.
//!
//! # Source
//! connect(2), poll(2), socket(7), tcp(7), unix(7); RFC 9293 §3.10.7.1, RFC 6298; UNP §16.3; the Python
//! cookbook's recipe 3.3.

mod args;
mod report;

use std::mem::{replace, take};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use socket2::{SockAddr, Socket, Type};

use netcore::addr::Host;
use netcore::error::{Attempt, Error, to_errno};
use netcore::output::Output;
use netcore::poll::poll;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::escape;
use netcore::{cli, recipe};

use args::{Args, Place};
use report::{Progress, Why};

/// How long a try waits for an answer. The kernel would send the SYN of one `connect` again after 1,
/// 2, 3, 4, 5, 7 and 11 seconds (net.ipv4.tcp_syn_linear_timeouts).
const ANSWER: Duration = Duration::from_secs(1);

/// The peer has sent FIN. nix does not have it.
const POLLRDHUP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);

fn main() -> ExitCode {
    cli::run_before_command(&recipe!(0 2 68 69 71 74 75 77), |args, command, out| {
        wait(args, !command.is_empty(), out)?;
        match command.split_first() {
            Some((program, words)) if out.worst() == 0 => {
                cli::restore_signals();
                let why = Command::new(program).args(words).exec(); // execve: it returns no success
                Err(why).attempt(format_args!("execve {}", escape(program.as_encoded_bytes())))
            }
            _ => Ok(()),
        }
    })
}

/// Waits until all targets are open, or gone, or the time is over.
fn wait(args: &Args, has_command: bool, out: &mut Output) -> Result<(), Error> {
    args.check()?;
    let begun = Instant::now();
    let deadline = args.timeout.deadline_of(begun);
    let (answer, answers) = channel();
    let mut targets = Vec::new();
    for (at, target) in args.target.iter().enumerate() {
        let mut peers = Vec::new();
        match &target.place {
            Place::Unix(path) => peers.push(SockAddr::unix(path).attempt(&target.typed)?),
            Place::Tcp(host, port) => match host.literal(*port).map_err(Error::Usage)? {
                Some(address) => peers.push(address.into()),
                None => resolve(at, host, *port, args, answer.clone())?,
            },
        }
        let progress = Progress::new(&target.typed);
        targets.push(Target { progress, tries: peers.into_iter().map(Try::new).collect() });
    }
    loop {
        for (at, answer) in answers.try_iter() {
            let Some(Target { progress, tries }) = targets.get_mut(at) else { continue };
            match answer {
                Ok(peers) => *tries = peers.into_iter().map(|peer| Try::new(peer.into())).collect(),
                Err(why) => progress.why = Some(Why::Name(why)),
            }
        }
        let tries: Vec<&Try> = targets.iter().flat_map(|target| &target.tries).collect();
        // The resolver wakes nobody: its answers are looked for after each pause.
        let soon = Instant::now() + args.interval.0;
        let ready = wait_for_any(&tries, deadline.map_or(soon, |deadline| deadline.min(soon)))?;
        let mut ready = ready.into_iter();
        for Target { progress, tries } in &mut targets {
            for one in tries.iter_mut() {
                let is_ready = ready.next() == Some(true);
                match args.gone {
                    true => one.step_to_gone(is_ready, progress, args),
                    false => one.step(is_ready, progress, args),
                }
            }
            if args.gone && !tries.is_empty() {
                progress.is_open = tries.iter().all(|one| one.is_refused);
            }
            if progress.is_open && !tries.is_empty() {
                tries.clear(); // close
                let line = progress.done(args.gone, begun.elapsed(), args.json);
                // Standard output is the command's.
                if has_command && !args.json { out.note(line) } else { out.line(line)? }
            }
        }
        if targets.iter().all(|target| target.progress.is_open) {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            break;
        }
    }
    for Target { progress, .. } in targets.into_iter().filter(|target| !target.progress.is_open) {
        out.report(&progress.error(args.timeout, args.stay));
    }
    Ok(())
}

/// A target, and a try for each of its addresses, once they are known.
struct Target<'a> {
    progress: Progress<'a>,
    tries: Vec<Try>,
}

/// An address, and how far the try to connect to it is.
struct Try {
    peer: SockAddr,
    state: State,
    /// When that state is over.
    until: Instant,
    /// Whether nobody listened at the last try.
    is_refused: bool,
}

enum State {
    Pause,
    /// The kernel has not yet said whether the connection was made.
    Connecting(Socket),
    /// The connection was made, and is to last for `--stay`.
    Connected(Socket),
}

impl Try {
    fn new(peer: SockAddr) -> Try {
        Try { peer, state: State::Pause, until: Instant::now(), is_refused: false }
    }

    /// What the kernel has to say next, if there is anything to wait for.
    fn polled(&self) -> Option<PollFd<'_>> {
        match &self.state {
            State::Pause => None,
            State::Connecting(socket) => Some(PollFd::new(socket.as_fd(), PollFlags::POLLOUT)),
            State::Connected(socket) => Some(PollFd::new(socket.as_fd(), POLLRDHUP)),
        }
    }

    /// Takes the next step, if the kernel has something to say or the time is over.
    fn step(&mut self, is_ready: bool, progress: &mut Progress<'_>, args: &Args) {
        let now = Instant::now();
        if !is_ready && now < self.until {
            return;
        }
        let stay = args.stay.0;
        // Where the state is replaced by a pause, the drop of its socket closes it.
        let result = match replace(&mut self.state, State::Pause) {
            State::Pause => {
                progress.tries += 1;
                connect(&self.peer).map(|socket| Some((State::Connecting(socket), ANSWER)))
            }
            State::Connecting(_) if !is_ready => Err(Why::Silent),
            State::Connecting(socket) => connected(&socket).map(|()| match stay {
                Duration::ZERO => None,
                stay => Some((State::Connected(socket), stay)),
            }),
            State::Connected(socket) if is_ready => Err(Why::Closed(so_error(&socket).err())),
            State::Connected(_) => Ok(None),
        };
        match result {
            Ok(Some((state, time))) => (self.state, self.until) = (state, now + time),
            Ok(None) => progress.is_open = true,
            Err(why) => {
                progress.why = Some(why);
                self.until = now + args.interval.0;
            }
        }
    }

    /// The same with --gone: a refusal is what is waited for, and after a connection there is another try.
    fn step_to_gone(&mut self, is_ready: bool, progress: &mut Progress<'_>, args: &Args) {
        let before = progress.why.take();
        self.step(is_ready, progress, args);
        let now = if take(&mut progress.is_open) { Some(Why::Open) } else { progress.why.take() };
        if let Some(Why::Open) = now {
            self.until = Instant::now() + args.interval.0;
        }
        if let Some(why) = &now {
            self.is_refused = why.is_refusal();
        }
        progress.why = now.filter(|why| !why.is_refusal()).or(before);
    }
}

/// Sends a SYN, and does not wait for the answer.
fn connect(peer: &SockAddr) -> Result<Socket, Why> {
    let socket = Socket::new(peer.domain(), Type::STREAM.nonblocking(), None);
    let socket = socket.map_err(|why| Why::Errno(to_errno(why)))?;
    match socket.connect(peer).map_err(to_errno) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(why) => Err(Why::Errno(why)),
    }
}

/// How `connect` ended. Writable means that it has, not that it succeeded.
fn connected(socket: &Socket) -> Result<(), Why> {
    so_error(socket).map_err(Why::Errno)?;
    let errno = |why| Why::Errno(to_errno(why));
    let local = socket.local_addr().map_err(errno)?; // getsockname
    let peer = socket.peer_addr().map_err(errno)?; // getpeername
    // The kernel may pick the port that we connect to as ours, and connects the socket to itself.
    if peer.as_socket().is_some() && peer == local { Err(Why::Itself) } else { Ok(()) }
}

fn so_error(socket: &Socket) -> Result<(), Errno> {
    socket.take_error().map_err(to_errno)?.map_or(Ok(()), |why| Err(to_errno(why)))
}

/// Waits until the kernel has something to say of a try, or the next step of one is due. Returns for
/// each try whether it is ready.
fn wait_for_any(tries: &[&Try], deadline: Instant) -> Result<Vec<bool>, Error> {
    let mut fds: Vec<PollFd> = tries.iter().filter_map(|one| one.polled()).collect();
    let due = tries.iter().map(|one| one.until).chain([deadline]).min();
    poll(&mut fds, due).attempt("poll")?;
    let mut fds = fds.iter();
    // An event that nix does not know is one, too.
    let mut is_ready = || fds.next().is_some_and(|fd| fd.any().unwrap_or(true));
    Ok(tries.iter().map(|one| one.polled().is_some() && is_ready()).collect())
}

/// What the resolver says of the target at this place.
type Answer = (usize, Result<Vec<SocketAddr>, Error>);

/// Asks for a name in a thread, which the resolver may hold up, until there is such a name.
fn resolve(
    at: usize,
    host: &Host,
    port: u16,
    args: &Args,
    answers: Sender<Answer>,
) -> Result<(), Error> {
    let (host, timeout, interval) = (host.clone(), args.timeout, args.interval.0);
    let ask = move || loop {
        let answer = addresses(&host, port, AddressFamily::Any, timeout);
        let is_known = answer.is_ok();
        if answers.send((at, answer)).is_err() || is_known {
            return;
        }
        thread::park_timeout(interval);
    };
    thread::Builder::new().spawn(ask).attempt("start a thread to ask the resolver").map(drop)
}
