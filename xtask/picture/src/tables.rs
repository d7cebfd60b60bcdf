//! Who had which descriptor open, and when: the calls of all traces in the order of time, played through
//! tables of processes, descriptors and sockets.
#![expect(clippy::indexing_slicing, reason = "every id was given by the table that it indexes")]

use std::collections::{BTreeMap, BTreeSet};

use netcheck::{Entry, TraceEvent};

use crate::arguments::{self, Descriptor};

/// What strace wrote of one program, or of the harness.
pub(crate) struct Trace {
    pub(crate) is_harness: bool,
    pub(crate) entries: Vec<Entry>,
}

/// A process or a thread.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) tid: i32,
    pub(crate) pid: i32,
    /// The task that made it.
    pub(crate) parent: Option<usize>,
    pub(crate) program: String,
    pub(crate) is_harness: bool,
    pub(crate) started: u64,
    pub(crate) ended: Option<u64>,
    /// `exited with 0`
    pub(crate) status: Option<String>,
    pub(crate) reaped: Option<u64>,
}

impl Task {
    pub(crate) fn is_thread(&self) -> bool {
        self.tid != self.pid
    }
}

/// A socket, which several descriptors of several processes may stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Socket {
    pub(crate) protocol: String,
    pub(crate) local: Option<String>,
    pub(crate) peer: Option<String>,
    pub(crate) is_listening: bool,
    pub(crate) held: Vec<Held>,
}

/// A descriptor of a socket, while it was open.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) pid: i32,
    pub(crate) fd: i32,
    pub(crate) from: u64,
    pub(crate) to: Option<u64>,
}

/// A call, or a signal that was delivered (its name is that of the signal then).
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) task: usize,
    pub(crate) name: String,
    pub(crate) args: String,
    pub(crate) result: String,
    pub(crate) start: u64,
    /// None while it had not returned.
    pub(crate) end: Option<u64>,
    pub(crate) fd: Option<i32>,
    pub(crate) socket: Option<usize>,
    /// The socket that it returned.
    pub(crate) made: Option<usize>,
}

impl Call {
    pub(crate) fn number(&self) -> Option<i64> {
        arguments::number(&self.result)
    }

    /// When it returned, or when it began, where it never did.
    pub(crate) fn until(&self) -> u64 {
        self.end.unwrap_or(self.start)
    }

    pub(crate) fn took(&self) -> u64 {
        self.until().saturating_sub(self.start)
    }

    pub(crate) fn is_signal(&self) -> bool {
        self.name.starts_with("SIG")
    }
}

/// How a socket came to be closed for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastClose {
    pub(crate) task: usize,
    /// The `close` or `exit_group`; none where a signal ended the process.
    pub(crate) call: Option<usize>,
    pub(crate) at: u64,
}

/// Everything that happened, by its ids.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) tasks: Vec<Task>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) calls: Vec<Call>,
    /// By the id of the socket.
    pub(crate) last_close: BTreeMap<usize, LastClose>,
    /// The calls about each socket, in order: with its descriptor, or returning it.
    pub(crate) of_socket: BTreeMap<usize, Vec<usize>>,
    /// The call that made a task, and the one that reaped it.
    pub(crate) made_by: BTreeMap<usize, usize>,
    pub(crate) reaped_by: BTreeMap<usize, usize>,
    by_tid: BTreeMap<i32, usize>,
    /// The descriptors of a process.
    open: BTreeMap<i32, BTreeMap<i32, usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Return,
    Begin,
    End,
}

impl Tables {
    /// Plays all traces through.
    pub(crate) fn play(traces: &[Trace]) -> Self {
        let mut tables = Self::default();
        let mut moments = Vec::new();
        let mut entries: Vec<(bool, &Entry)> = Vec::new();
        for trace in traces {
            entries.extend(trace.entries.iter().map(|entry| (trace.is_harness, entry)));
        }
        for (place, (_, entry)) in entries.iter().enumerate() {
            match &entry.event {
                TraceEvent::Call(_, took) => {
                    moments.push((entry.at_ns, Moment::Begin, place));
                    moments.extend(took.map(|took| (entry.at_ns + took, Moment::Return, place)));
                }
                TraceEvent::Signal(_) => moments.push((entry.at_ns, Moment::Begin, place)),
                TraceEvent::Ended(_) => moments.push((entry.at_ns, Moment::End, place)),
            }
        }
        moments.sort_unstable();
        let mut ids = BTreeMap::new();
        for (at, moment, place) in moments {
            let Some(&(is_harness, entry)) = entries.get(place) else { continue };
            let task = tables.task(entry.tid, is_harness, at);
            match (&entry.event, moment) {
                (TraceEvent::Ended(how), _) => tables.end(task, at, how),
                (TraceEvent::Signal(text), _) => tables.signal(task, at, text),
                (TraceEvent::Call(call, took), Moment::Begin) => {
                    let id = tables.begin(task, at, took.map(|took| at + took), call);
                    ids.insert(place, id);
                }
                (TraceEvent::Call(..), _) => {
                    if let Some(&id) = ids.get(&place) {
                        tables.effect(id);
                    }
                }
            }
        }
        tables
    }

    /// The latest task of that number.
    pub(crate) fn by_tid(&self, tid: i32) -> Option<usize> {
        self.by_tid.get(&tid).copied()
    }

    fn task(&mut self, tid: i32, is_harness: bool, at: u64) -> usize {
        // A program begins as a child of the harness, whose trace ends at its exec.
        let known = self.by_tid(tid).filter(|&id| self.tasks[id].is_harness == is_harness);
        if let Some(id) = known {
            return id;
        }
        self.add_task(Task {
            tid,
            pid: tid,
            parent: None,
            program: String::new(),
            is_harness,
            started: at,
            ended: None,
            status: None,
            reaped: None,
        })
    }

    fn add_task(&mut self, task: Task) -> usize {
        self.by_tid.insert(task.tid, self.tasks.len());
        self.tasks.push(task);
        self.tasks.len() - 1
    }

    fn begin(&mut self, task: usize, at: u64, end: Option<u64>, call: &netcheck::Call) -> usize {
        let pid = self.tasks[task].pid;
        // Of `epoll_ctl` the descriptor that goes on the list, or off it.
        let place = if call.name == "epoll_ctl" { 2 } else { 0 };
        let args = arguments::split(&call.args);
        let first = args.get(place).copied().unwrap_or_default().to_owned();
        // Only what has an annotation is a descriptor.
        let descriptor = Descriptor::parse(&first).filter(|_| first.contains('<'));
        let socket = descriptor.as_ref().and_then(|it| self.named(pid, it, at));
        let id = self.calls.len();
        self.calls.push(Call {
            task,
            name: call.name.clone(),
            args: call.args.clone(),
            result: call.result.clone(),
            start: at,
            end,
            fd: descriptor.map(|it| it.number),
            socket,
            made: None,
        });
        if let Some(socket) = socket {
            self.of_socket.entry(socket).or_default().push(id);
        }
        match &*call.name {
            "clone" | "clone3" | "fork" | "vfork" => self.fork(id, at, &call.args, &call.result),
            "exit_group" => self.close_all(task, Some(id), at),
            _ => {}
        }
        id
    }

    /// The socket that a descriptor stands for, with the addresses that it has by now.
    fn named(&mut self, pid: i32, it: &Descriptor, at: u64) -> Option<usize> {
        let known = self.open.get(&pid).and_then(|open| open.get(&it.number)).copied();
        let id = match known {
            Some(id) => id,
            None if it.is_socket() => self.hold_new(pid, it.number, at),
            None => return None,
        };
        let socket = &mut self.sockets[id];
        if it.is_socket() && !it.is_anonymous() {
            socket.protocol.clone_from(&it.protocol);
        }
        if it.local.is_some() {
            socket.local.clone_from(&it.local);
        }
        if it.peer.is_some() {
            socket.peer.clone_from(&it.peer);
        }
        Some(id)
    }

    fn hold_new(&mut self, pid: i32, fd: i32, at: u64) -> usize {
        self.sockets.push(Socket::default());
        let id = self.sockets.len() - 1;
        self.hold(pid, fd, id, at);
        id
    }

    fn hold(&mut self, pid: i32, fd: i32, socket: usize, at: u64) {
        self.open.entry(pid).or_default().insert(fd, socket);
        self.sockets[socket].held.push(Held { pid, fd, from: at, to: None });
    }

    /// A child that is no thread has a copy of the table from the entry of the call on: it may run before
    /// the call returns.
    fn fork(&mut self, call: usize, at: u64, args: &str, result: &str) {
        let parent = self.calls[call].task;
        let Some(tid) = arguments::number(result).and_then(|tid| i32::try_from(tid).ok()) else {
            return;
        };
        if tid <= 0 {
            return;
        }
        let (program, is_harness) =
            (self.tasks[parent].program.clone(), self.tasks[parent].is_harness);
        let of = self.tasks[parent].pid;
        let pid = if args.contains("CLONE_THREAD") { of } else { tid };
        let started = at;
        let task = Task {
            tid,
            pid,
            parent: Some(parent),
            program,
            is_harness,
            started,
            ended: None,
            status: None,
            reaped: None,
        };
        let child = self.add_task(task);
        self.made_by.insert(child, call);
        // strace lets the children of the harness go at their exec.
        if pid == tid && !is_harness {
            let copied: Vec<(i32, usize)> =
                self.open.get(&of).into_iter().flatten().map(|(&fd, &id)| (fd, id)).collect();
            for (fd, id) in copied {
                self.hold(pid, fd, id, at);
            }
        }
    }

    fn signal(&mut self, task: usize, at: u64, text: &str) {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        self.calls.push(Call {
            task,
            name: name.to_owned(),
            args: rest.to_owned(),
            result: String::new(),
            start: at,
            end: Some(at),
            fd: None,
            socket: None,
            made: None,
        });
    }

    fn end(&mut self, task: usize, at: u64, how: &str) {
        if !self.tasks[task].is_thread() {
            self.close_all(task, None, at);
        }
        let task = &mut self.tasks[task];
        // strace may learn of it after the parent that waits for it.
        task.ended = Some(task.reaped.map_or(at, |reaped| reaped.min(at)));
        task.status = Some(how.to_owned());
    }

    /// The effect of a call that has returned.
    fn effect(&mut self, id: usize) {
        let Call { task, name, args, result, .. } = self.calls[id].clone();
        let (pid, at) = (self.tasks[task].pid, self.calls[id].until());
        let failed = arguments::errno(&result).is_some();
        match &*name {
            "socket" | "accept" | "accept4" if !failed => {
                let Some(it) = Descriptor::parse(&result) else { return };
                self.forget(pid, it.number, at);
                let made = self.named(pid, &it, at);
                self.calls[id].made = made;
                if let Some(made) = made {
                    self.of_socket.entry(made).or_default().push(id);
                    self.name_made(id, made, &args);
                }
            }
            "socketpair" if !failed => self.pair(id, pid, at, &args),
            "connect" | "bind" | "getsockname"
                if !failed || arguments::errno(&result) == Some("EINPROGRESS") =>
            {
                self.name_used(id);
            }
            "listen" if !failed => {
                if let Some(socket) = self.calls[id].socket {
                    self.sockets[socket].is_listening = true;
                }
            }
            "dup" | "dup2" | "dup3" => self.dup(id, pid, at),
            "fcntl" if args.contains("F_DUPFD") => self.dup(id, pid, at),
            "close" => {
                if let Some(fd) = self.calls[id].fd {
                    self.close(
                        pid,
                        fd,
                        LastClose { task, call: Some(id), at: self.calls[id].start },
                        at,
                    );
                }
            }
            "execve" if result.starts_with('0') => {
                let path = args.split('"').nth(1).unwrap_or_default();
                let program = path.rsplit('/').next().unwrap_or_default().to_owned();
                self.tasks[task].program = program;
                // All of ours are close-on-exec; one that stays is found again at its next use.
                self.close_all(task, Some(id), at);
            }
            "wait4" | "waitpid" | "waitid" => {
                let of =
                    |text: &str| arguments::number(text).and_then(|pid| i32::try_from(pid).ok());
                let child = if name == "waitid" {
                    args.split_once("si_pid=").and_then(|(_, rest)| of(rest))
                } else {
                    of(&result)
                };
                if let Some(child) = child.and_then(|child| self.by_tid(child)) {
                    // waitid with WNOWAIT leaves it a zombie.
                    if !args.contains("WNOWAIT") {
                        self.tasks[child].reaped = Some(at);
                        self.reaped_by.insert(child, id);
                    }
                }
            }
            _ => {}
        }
    }

    /// strace may have the name of a socket of UDP as it was before `connect`, and has none for a socket of
    /// another network namespace: the call has it.
    fn name_used(&mut self, id: usize) {
        let call = &self.calls[id];
        let named = arguments::split(&call.args).get(1).and_then(|it| arguments::address(it));
        let Some(socket) = call.socket else { return };
        let is_peer = call.name == "connect";
        let it = &mut self.sockets[socket];
        let known = if is_peer { &mut it.peer } else { &mut it.local };
        // Port 0 is a request, and no name.
        *known = known.take().or(named.filter(|name| !name.ends_with(":0")));
    }

    /// The names of a socket of another network namespace, as far as the call that returned it has them.
    fn name_made(&mut self, id: usize, made: usize, args: &str) {
        if self.sockets[made].local.is_some() {
            return;
        }
        let listener = self.calls[id].socket.map(|listener| self.sockets[listener].clone());
        let known = &mut self.sockets[made];
        if let Some(listener) = listener {
            known.protocol = listener.protocol;
            known.local = listener.local;
            let peer = arguments::split(args).get(1).and_then(|peer| arguments::address(peer));
            known.peer = known.peer.take().or(peer);
        } else if known.protocol.is_empty() && args.starts_with("AF_INET") {
            let kinds = [("SOCK_STREAM", "TCP"), ("SOCK_DGRAM", "UDP"), ("SOCK_RAW", "RAW")];
            let kind = kinds.into_iter().find(|(kind, _)| args.contains(kind));
            known.protocol = kind.map(|(_, name)| name).unwrap_or_default().to_owned();
        }
    }

    /// Both sockets of a pair: `[3<UNIX-STREAM:[1->2]>, 4<UNIX-STREAM:[2->1]>]`.
    fn pair(&mut self, id: usize, pid: i32, at: u64, args: &str) {
        let both =
            arguments::split(args).get(3).and_then(|it| it.strip_prefix('[')?.strip_suffix(']'));
        for text in arguments::split(both.unwrap_or_default()) {
            let Some(it) = Descriptor::parse(text) else { continue };
            self.forget(pid, it.number, at);
            let Some(made) = self.named(pid, &it, at) else { continue };
            self.calls[id].made = self.calls[id].made.or(Some(made));
            self.of_socket.entry(made).or_default().push(id);
        }
    }

    fn dup(&mut self, id: usize, pid: i32, at: u64) {
        let made = Descriptor::parse(&self.calls[id].result).map(|it| it.number);
        if let (Some(fd), Some(socket)) = (made, self.calls[id].socket) {
            self.forget(pid, fd, at);
            self.hold(pid, fd, socket, at);
        }
    }

    /// Whatever the table had at this number is gone: its close was not seen.
    fn forget(&mut self, pid: i32, fd: i32, at: u64) {
        if let Some(socket) = self.open.get_mut(&pid).and_then(|open| open.remove(&fd)) {
            self.let_go(socket, pid, fd, at);
        }
    }

    fn let_go(&mut self, socket: usize, pid: i32, fd: i32, at: u64) -> bool {
        let held = &mut self.sockets[socket].held;
        if let Some(it) = held.iter_mut().rev().find(|it| (it.pid, it.fd, it.to) == (pid, fd, None))
        {
            it.to = Some(at);
        }
        held.iter().all(|it| it.to.is_some())
    }

    fn close(&mut self, pid: i32, fd: i32, how: LastClose, at: u64) {
        let Some(socket) = self.open.get_mut(&pid).and_then(|open| open.remove(&fd)) else {
            return;
        };
        if self.let_go(socket, pid, fd, at) {
            self.last_close.insert(socket, how);
        }
    }

    fn close_all(&mut self, task: usize, call: Option<usize>, at: u64) {
        let pid = self.tasks[task].pid;
        let fds: BTreeSet<i32> =
            self.open.get(&pid).into_iter().flat_map(BTreeMap::keys).copied().collect();
        for fd in fds {
            self.close(pid, fd, LastClose { task, call, at }, at);
        }
    }
}
