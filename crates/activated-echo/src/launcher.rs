//! The launcher: it holds the listener, and has a server whenever there is a client.

use std::convert::Infallible;
use std::env;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execve, fork, getpid, setpgid};
use socket2::Socket;

use netcore::error::{Attempt, Error, errno};
use netcore::listener::{listen, local_address};
use netcore::log::{self, Log};
use netcore::output::Output;
use netcore::resolve::first_address;
use netcore::signal::Signal::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGTERM};
use netcore::signal::{Signals, Woken};
use netcore::sys::_exit;
use netcore::time::millis;

use crate::PASSED;
use crate::args::Args;

/// Pauses before a server is started that has failed before: each is twice as long as the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A server that has lived for so long has not failed at once.
const SETTLED: Duration = Duration::from_secs(10);

/// How much longer than the grace period of its clients a server may take to end.
const TERM_TIMEOUT: Duration = Duration::from_secs(1);

/// Holds the listener until SIGTERM or SIGINT.
pub(crate) fn launch(port: u16, args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), args.quiet, args.verbose, args.json);
    let local = first_address(&args.host, port)?;
    // Blocked before there is a child, so that the SIGCHLD of the first is not lost.
    let signals = Signals::catch(&[SIGCHLD, SIGHUP, SIGINT, SIGTERM])?.with_log(&log);
    let program = Program::of_this_process()?;
    let socket = listen(local, args.backlog)?; // echo-server writes these calls out
    let mut servers = Servers::new(log, args.verbose);
    log::ready(local_address(&socket)?, args.json, ", no server yet", out)?;
    loop {
        // A server accepts by itself: the launcher looks at the listener only while there is none.
        let idle = servers.running.is_empty();
        let paused = servers.next.filter(|next| idle && Instant::now() < *next);
        let watched = (idle && paused.is_none()).then(|| socket.as_fd());
        match signals.wait(watched, PollFlags::POLLIN, paused)? {
            Woken::Signal(SIGCHLD) => servers.reap()?,
            Woken::Signal(SIGHUP) => {
                let old = servers.running.len();
                servers.start(&socket, &program, &signals);
                servers.end(old); // the new one takes the clients from now on
            }
            Woken::Signal(_) => break,
            Woken::Deadline => {}
            Woken::Ready => servers.start(&socket, &program, &signals),
        }
    }
    drop(socket); // once the servers have closed it too, the kernel refuses new clients
    servers.end(servers.running.len());
    servers.wait_for_all(&signals, args.grace.0.saturating_add(TERM_TIMEOUT))?;
    for server in &servers.running {
        let _ = kill(server.pid, SIGKILL);
    }
    servers.wait_for_all(&signals, TERM_TIMEOUT)
}

/// What `execve` is given, but for the variables that name the server.
struct Program {
    path: CString,
    args: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// This program with these arguments, from its path: after an update of the file the next server is a
    /// new one.
    fn of_this_process() -> Result<Program, Error> {
        let c_string = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Errno::EINVAL);
        let path = env::current_exe().attempt("readlink /proc/self/exe")?;
        let path = c_string(path.into_os_string().into_vec()).attempt("execve")?;
        let args = env::args_os().map(|arg| c_string(arg.into_vec()));
        let environment = env::vars_os()
            .map(|(name, value)| c_string([name.as_bytes(), b"=", value.as_bytes()].concat()));
        Ok(Program {
            path,
            args: args.collect::<Result<_, _>>().attempt("execve")?,
            environment: environment.collect::<Result<_, _>>().attempt("execve")?,
        })
    }

    /// Becomes the server, in a child.
    fn become_server(
        &self,
        socket: &Socket,
        signals: &Signals,
        parent: Pid,
    ) -> nix::Result<Infallible> {
        signals.unblock_with_pdeathsig(parent)?;
        // Ctrl-C reaches the launcher only, which ends its servers: two signals would end them at once.
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        let variables = [format!("LISTEN_PID={}", getpid()), "LISTEN_FDS=1".to_owned()];
        let mut environment = self.environment.clone();
        for variable in variables {
            environment.push(CString::new(variable).map_err(|_| Errno::EINVAL)?);
        }
        if socket.as_raw_fd() == PASSED {
            // `dup2` would do nothing, and leave FD_CLOEXEC.
            fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        } else {
            // SAFETY: what descriptor 3 is here, nothing uses from now on.
            #[expect(unsafe_code, reason = "dup2 to a fixed number is what this recipe shows")]
            Errno::result(unsafe { libc::dup2(socket.as_raw_fd(), PASSED) })?;
        }
        execve(&self.path, &self.args, &environment)
    }
}

struct Server {
    pid: Pid,
    begun: Instant,
    /// Whether it was sent SIGTERM.
    ending: bool,
}

struct Servers {
    log: Log,
    /// Whether a server that starts, or ends as it should, is worth a line.
    verbose: bool,
    running: Vec<Server>,
    /// The last pause, zero if the last server has not failed.
    pause: Duration,
    /// When the next server may be started.
    next: Option<Instant>,
}

impl Servers {
    fn new(log: Log, verbose: bool) -> Servers {
        Servers { log, verbose, running: Vec::new(), pause: Duration::ZERO, next: None }
    }

    fn start(&mut self, socket: &Socket, program: &Program, signals: &Signals) {
        let parent = getpid();
        // SAFETY: this process has one thread, so no other holds a lock, and nothing is buffered that
        // both would write: the child may do all that the parent may.
        #[expect(unsafe_code, reason = "fork is what this recipe shows")]
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                let Err(why) = program.become_server(socket, signals, parent);
                self.log.note(format_args!("execve: {}", errno(why)));
                _exit(71) // not `exit`, which would run what the parent has registered
            }
            Ok(ForkResult::Parent { child }) => {
                if self.verbose {
                    self.log.note(format_args!("server pid {child} started"));
                }
                self.running.push(Server { pid: child, begun: Instant::now(), ending: false });
            }
            Err(why) => {
                self.log.note(format_args!("fork: {}", errno(why)));
                self.failed();
            }
        }
    }

    fn failed(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.next = Instant::now().checked_add(self.pause);
    }

    /// Asks the first of them to end.
    fn end(&mut self, count: usize) {
        for server in self.running.iter_mut().take(count).filter(|server| !server.ending) {
            server.ending = true;
            // It cannot be another process's pid: a child that was not reaped keeps its own.
            let _ = kill(server.pid, SIGTERM);
        }
    }

    /// Waits for every server that has ended: two that end together may be a single SIGCHLD.
    fn reap(&mut self) -> Result<(), Error> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                // None that has ended, or none at all.
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(status) => self.reaped(status),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(why).attempt("waitpid"),
            }
        }
    }

    fn reaped(&mut self, status: WaitStatus) {
        let how = match status {
            WaitStatus::Exited(_, code) => format!("exit code {code}"),
            WaitStatus::Signaled(_, signal, _) => signal.to_string(),
            _ => return,
        };
        let is_it = |server: &Server| Some(server.pid) == status.pid();
        let Some(at) = self.running.iter().position(is_it) else { return };
        let server = self.running.remove(at);
        let lived = server.begun.elapsed();
        let is_failure = !server.ending && !matches!(status, WaitStatus::Exited(_, 0));
        if is_failure || self.verbose {
            let (pid, lived) = (server.pid, millis(lived));
            self.log.note(format_args!("server pid {pid} ended: {how}, {lived}"));
        }
        if is_failure && lived < SETTLED {
            self.failed();
        } else {
            (self.pause, self.next) = (Duration::ZERO, None);
        }
    }

    /// Waits until no server is left or the time is over; SIGTERM or SIGINT cuts it short.
    fn wait_for_all(&mut self, signals: &Signals, time: Duration) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(time);
        while !self.running.is_empty() {
            match signals.wait(None, PollFlags::empty(), deadline)? {
                Woken::Signal(SIGCHLD) => self.reap()?,
                Woken::Signal(SIGHUP) => {}
                Woken::Signal(_) | Woken::Ready | Woken::Deadline => return Ok(()),
            }
        }
        Ok(())
    }
}
