//! What is shown: a step for each call that matters, with what it may be called, the longest text first.
#![expect(clippy::indexing_slicing, reason = "every id was given by the table that it indexes")]

use std::collections::{BTreeMap, BTreeSet};

use crate::arguments;
use crate::arrows::{self, Flow, Kind, Matched, Message, Transfer};
use crate::tables::{Call, Tables};

/// A call, or several, in one box.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) task: usize,
    /// Its place in time: when it returned, or before the return of what its bytes arrived in.
    pub(crate) at: u64,
    /// The last one is the call that it is named by.
    pub(crate) calls: Vec<usize>,
    /// The longest first; every one of them says the same.
    pub(crate) texts: Vec<String>,
    pub(crate) flow: Option<usize>,
    /// Steps with equal signatures may be folded.
    pub(crate) signature: String,
    /// How readily it is left out.
    pub(crate) rank: Rank,
    /// It stands for several cycles.
    pub(crate) is_fold: bool,
}

/// What is left out first comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Always,
    /// A `poll` that nothing explains, `epoll_ctl`.
    Rather,
    /// A `poll` that the call after it explains.
    Explained,
}

/// A call took so long, without an arrow that says why, that it waited.
pub(crate) const WAITED: u64 = 3_000_000;

/// The calls of poll's kind: they wait for several descriptors.
pub(crate) fn is_poll(name: &str) -> bool {
    [
        "poll",
        "ppoll",
        "select",
        "pselect6",
        "epoll_wait",
        "epoll_pwait",
        "epoll_pwait2",
        "io_uring_enter",
    ]
    .contains(&name)
}

/// What a box, its task and its arrows are chosen from.
pub(crate) struct Chooser<'a> {
    tables: &'a Tables,
    matched: &'a Matched,
    /// The sockets that are worth a bar and a box.
    pub(crate) sockets: BTreeSet<usize>,
    /// The calls that an arrow ends in, with when that arrow began.
    arrived: BTreeMap<usize, u64>,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(tables: &'a Tables, matched: &'a Matched) -> Self {
        let mut transferred = BTreeSet::new();
        for call in &tables.calls {
            transferred.extend(call.socket.filter(|_| arrows::transfer(call).is_some()));
        }
        let mut connected = BTreeSet::new();
        for flow in &matched.flows {
            if let (Some(client), Some(server)) = (flow.client, flow.server) {
                connected.extend([client, server]);
            }
        }
        // Of the harness only what somebody else has the other end of.
        let of_program = |socket: usize| {
            tables.sockets[socket].held.iter().any(|held| {
                tables.by_tid(held.pid).is_some_and(|task| !tables.tasks[task].is_harness)
            })
        };
        let both = |socket: usize| {
            matched.flow_of_socket.get(&socket).is_some_and(|&flow| {
                let Flow { client, server } = matched.flows[flow];
                [client, server].into_iter().flatten().any(of_program)
            })
        };
        let mut datagrams = BTreeSet::new();
        for arrow in matched.arrows.iter().filter(|arrow| arrow.kind == Kind::Datagram) {
            let of = |call: Option<usize>| call.and_then(|call| tables.calls[call].socket);
            let ends = [of(arrow.from.call), of(arrow.to.and_then(|to| to.call))];
            if ends.into_iter().flatten().any(of_program) {
                datagrams.extend(ends.into_iter().flatten());
            }
        }
        let shown = |&id: &usize| {
            let is_tcp = tables.sockets[id].protocol == "TCP";
            if of_program(id) {
                is_tcp || transferred.contains(&id)
            } else if is_tcp {
                connected.contains(&id) && both(id)
            } else {
                datagrams.contains(&id)
            }
        };
        let sockets = (0..tables.sockets.len()).filter(shown).collect();
        let mut arrived = BTreeMap::new();
        for arrow in &matched.arrows {
            if let Some(call) = arrow.to.and_then(|to| to.call) {
                arrived.insert(call, arrow.from.at);
            }
        }
        Self { tables, matched, sockets, arrived }
    }

    /// Whether a call waited: what ended it began after it did, or it took long.
    pub(crate) fn waited(&self, id: usize) -> bool {
        let call = &self.tables.calls[id];
        call.took() >= WAITED || self.arrived.get(&id).is_some_and(|&from| from > call.start)
    }

    /// Whether something arrives in a call that began after `since`.
    pub(crate) fn woken(&self, id: usize, since: u64) -> bool {
        self.arrived.get(&id).is_some_and(|&from| from > since)
    }

    /// All steps, in the order of time.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> =
            (0..self.tables.calls.len()).filter_map(|id| self.step(id)).collect();
        self.rank_polls(&mut steps);
        let drawn = self.drawn(&steps);
        steps.retain(|step| {
            let call = &self.tables.calls[*step.calls.last().unwrap_or(&0)];
            let child = made_task(self.tables, call);
            drawn.contains(&step.task) && child.is_none_or(|child| drawn.contains(&child))
        });
        self.place(&mut steps);
        steps
    }

    /// The tasks that do more than begin and end others, and those that began them.
    fn drawn(&self, steps: &[Step]) -> BTreeSet<usize> {
        let mut drawn = BTreeSet::new();
        for step in steps {
            let call = &self.tables.calls[*step.calls.last().unwrap_or(&0)];
            let does = call.socket.is_some() || call.made.is_some();
            if does && step.rank == Rank::Always {
                drawn.insert(step.task);
            }
        }
        for task in drawn.clone() {
            let mut parent = self.tables.tasks[task].parent;
            while let Some(task) = parent.filter(|&task| !self.tables.tasks[task].is_harness) {
                drawn.insert(task);
                parent = self.tables.tasks[task].parent;
            }
        }
        drawn
    }

    /// A step stands where it returned; one that something came of, not below it.
    fn place(&self, steps: &mut [Step]) {
        let mut first = BTreeMap::new();
        for arrow in &self.matched.arrows {
            if let (Some(from), Some(to)) = (arrow.from.call, arrow.to) {
                let at = first.entry(from).or_insert(u64::MAX);
                *at = to.at.min(*at);
            }
        }
        for step in steps.iter_mut() {
            for call in &step.calls {
                step.at = first.get(call).map_or(step.at, |&at| at.min(step.at));
            }
        }
        steps.sort_by_key(|step| {
            let arrives = step.calls.iter().any(|call| self.arrived.contains_key(call));
            (step.at, arrives, step.calls.first().copied())
        });
    }

    /// A `poll` is explained where the next step of its task has an arrow.
    fn rank_polls(&self, steps: &mut [Step]) {
        let mut next: BTreeMap<usize, bool> = BTreeMap::new();
        for step in steps.iter_mut().rev() {
            let id = *step.calls.last().unwrap_or(&0);
            if step.rank == Rank::Rather && is_poll(&self.tables.calls[id].name) {
                if next.get(&step.task).copied().unwrap_or(false) {
                    step.rank = Rank::Explained;
                }
            } else {
                next.insert(step.task, self.arrived.contains_key(&id));
            }
        }
    }

    fn step(&self, id: usize) -> Option<Step> {
        let call = &self.tables.calls[id];
        let task = &self.tables.tasks[call.task];
        let mut step = Step {
            task: call.task,
            at: call.until(),
            calls: vec![id],
            texts: Vec::new(),
            flow: self.matched.flow_of_call.get(&id).copied(),
            signature: call.name.clone(),
            rank: Rank::Always,
            is_fold: false,
        };
        let socket = call.made.or(call.socket).filter(|socket| self.sockets.contains(socket));
        if socket.is_some() {
            self.of_socket(&mut step, call)?;
        } else if task.is_harness {
            return None;
        } else if is_poll(&call.name) {
            self.of_poll(&mut step, call)?;
        } else {
            of_process(&mut step, self.tables, call)?;
        }
        Some(step)
    }

    fn of_socket(&self, step: &mut Step, call: &Call) -> Option<()> {
        let fd = call.fd.map(|fd| fd.to_string()).unwrap_or_default();
        let error = arguments::errno(&call.result);
        if let Some(transfer) = arrows::transfer(call) {
            return self.of_transfer(step, call, transfer);
        }
        // It would have to wait: no news. A `connect` that goes on is.
        if matches!(error, Some("EAGAIN" | "EINTR")) {
            return None;
        }
        let fails = error.filter(|errno| *errno != "EINPROGRESS");
        step.signature = format!("{} {fd} {}", call.name, fails.unwrap_or_default());
        let name = shown_name(call);
        step.texts = match (&*call.name, fails) {
            ("connect", _) => return self.of_connect(step, call, &fd, fails),
            ("socketpair", None) => {
                let ends =
                    arguments::split(&call.args).get(3).map(|ends| ends.trim_matches(['[', ']']));
                let ends = arguments::split(ends?).into_iter();
                let ends = ends.filter_map(|end| end.split('<').next());
                vec![format!("socketpair() = {}", ends.collect::<Vec<_>>().join(", "))]
            }
            ("accept" | "accept4", None) => vec![format!("accept({fd}) = {}", made(call)?)],
            ("listen", None) => {
                vec![format!("socket, bind, listen = {fd}"), format!("listen({fd})")]
            }
            ("bind", None) => {
                // The `listen` after it has it in its box.
                let listens = call.socket.is_some_and(|it| self.tables.sockets[it].is_listening);
                if listens {
                    return None;
                }
                vec![format!("socket, bind = {fd}"), format!("bind({fd})")]
            }
            ("close", None) => vec![format!("close({fd})")],
            ("epoll_ctl", None) => {
                step.rank = Rank::Rather;
                epoll_ctl(call, &fd)?
            }
            ("shutdown", None) => {
                let how = call.args.rsplit("SHUT_").next().unwrap_or_default();
                vec![format!("shutdown({fd}, {how})"), format!("shutdown({fd})")]
            }
            (_, Some(errno)) => vec![format!("{name}({fd}) = {errno}")],
            _ => return None,
        };
        Some(())
    }

    fn of_connect(
        &self,
        step: &mut Step,
        call: &Call,
        fd: &str,
        fails: Option<&str>,
    ) -> Option<()> {
        let to = arguments::split(&call.args).get(1).and_then(|to| arguments::address(to));
        let to = to.unwrap_or_default();
        let port = to.rsplit(':').next().unwrap_or_default().to_owned();
        let mut end = fails.map(str::to_owned);
        if arguments::errno(&call.result) == Some("EINPROGRESS") {
            // Its result is what SO_ERROR has later.
            let of_socket = call.socket.and_then(|socket| self.tables.of_socket.get(&socket));
            let later = of_socket.into_iter().flatten().map(|&id| &self.tables.calls[id]);
            let mut later = later.filter(|it| it.start > call.start);
            let result = later.find(|it| it.args.contains("SO_ERROR"));
            let errno = result.and_then(|it| it.args.split("SO_ERROR, [").nth(1));
            let errno = errno.and_then(|rest| rest.split(']').next()).filter(|errno| *errno != "0");
            if let (Some(errno), Some(result)) = (errno, result) {
                end = Some(errno.to_owned());
                step.at = result.until();
            }
        }
        step.signature.push_str(end.as_deref().unwrap_or_default());
        let end = end.map(|errno| format!(" = {errno}")).unwrap_or_default();
        step.texts = vec![
            format!("connect({fd}, {to}){end}"),
            format!("connect({fd}, :{port}){end}"),
            format!("connect({fd}){end}"),
        ];
        Some(())
    }

    fn of_transfer(&self, step: &mut Step, call: &Call, transfer: Transfer) -> Option<()> {
        let (name, fd) = (shown_name(call), call.fd?);
        if call.name.ends_with("mmsg") && call.number().is_some_and(|count| count > 0) {
            step.signature = format!("{name} {fd}");
            step.texts = several(name, fd, &arrows::messages(call), transfer);
            return Some(());
        }
        let short = match (arguments::errno(&call.result), call.number()) {
            // One that waited for nothing is no news.
            (Some("EAGAIN" | "EINTR"), _) if call.took() < WAITED => return None,
            (Some(errno), _) => errno.to_owned(),
            (None, Some(count)) => count.to_string(),
            (None, None) if call.end.is_none() => "?".to_owned(),
            (None, None) => return None,
        };
        let is_end = short == "0" && transfer == Transfer::Receives;
        let errno = arguments::errno(&call.result).unwrap_or_default();
        step.signature = format!("{name} {fd} {is_end} {errno}");
        let stream = call.socket.is_some_and(|it| self.tables.sockets[it].protocol != "UDP");
        if is_end && stream {
            step.texts = vec![format!("{name}({fd}) = 0, end"), format!("{name}({fd}) = 0")];
            return Some(());
        }
        let payload = arguments::split(&call.args).into_iter().find_map(arguments::payload);
        let shown = payload.filter(|_| errno.is_empty() && short != "?").map(shown_payloads);
        for payload in shown.unwrap_or_default() {
            step.texts.push(match transfer {
                Transfer::Sends => format!("{name}({fd}, \"{payload}\")"),
                Transfer::Receives => format!("{name}({fd}) = \"{payload}\""),
            });
        }
        step.texts.push(format!("{name}({fd}) = {short}"));
        Some(())
    }

    /// One that waited stands where it began: it is not yet known what will come. One that timed out stands
    /// where it ended.
    fn of_poll(&self, step: &mut Step, call: &Call) -> Option<()> {
        let name = shown_name(call);
        if name == "io_uring_enter" {
            return of_ring(step, call);
        }
        let watched = watched(call);
        let list = match watched.as_slice() {
            [first, second, .., last] if watched.len() > 7 => {
                format!("{first} {second} … {last}, {} in all", watched.len())
            }
            all => all.join(" "),
        };
        step.rank = Rank::Rather;
        step.signature = format!("{name} {list}");
        let text = format!("{name}({list})");
        let timed_out = call.number() == Some(0) && call.took() > 1_000_000;
        if timed_out {
            step.rank = Rank::Always;
            step.texts = vec![format!("{text} = 0, timeout"), format!("{name}() = 0")];
            return Some(());
        }
        if call.took() < WAITED {
            return None;
        }
        step.at = call.start;
        step.texts = vec![text, format!("{name}(…)")];
        Some(())
    }
}

/// `io_uring_enter(5, 3, 1)`: submits three, waits for one.
fn of_ring(step: &mut Step, call: &Call) -> Option<()> {
    let args = arguments::split(&call.args);
    let [ring, submitted, awaited] = [0, 1, 2].map(|place| args.get(place).copied());
    let ring = ring?.split('<').next()?;
    let (submitted, awaited) = (submitted?, awaited?);
    if call.took() >= WAITED {
        step.at = call.start;
    }
    step.texts = vec![
        format!("io_uring_enter({ring}, {submitted} calls, wait for {awaited})"),
        format!("io_uring_enter({ring}, {submitted}, {awaited})"),
    ];
    Some(())
}

/// `epoll_ctl(5, ADD, 7, EPOLLIN)`
fn epoll_ctl(call: &Call, fd: &str) -> Option<Vec<String>> {
    let args = arguments::split(&call.args);
    let list = args.first()?.split('<').next()?;
    let what = args.get(1)?.trim_start_matches("EPOLL_CTL_");
    let events = args.get(3).and_then(|it| it.split_once("events=")?.1.split(',').next());
    let mut texts =
        vec![format!("epoll_ctl({list}, {what}, {fd})"), format!("epoll_ctl {what} {fd}")];
    if let Some(events) = events.filter(|events| !events.contains('|')) {
        texts.insert(0, format!("epoll_ctl({list}, {what}, {fd}, {events})"));
    }
    Some(texts)
}

/// The texts of a call that sent or received several datagrams at once, or one.
fn several(name: &str, fd: i32, messages: &[Message], transfer: Transfer) -> Vec<String> {
    let count = messages.len();
    let mut texts = Vec::new();
    if let [only] = messages {
        for payload in shown_payloads(&only.payload) {
            texts.push(match transfer {
                Transfer::Sends => format!("{name}({fd}, \"{payload}\")"),
                Transfer::Receives => format!("{name}({fd}) = \"{payload}\""),
            });
        }
    } else {
        texts.push(format!("{name}({fd}) = {count} datagrams"));
    }
    texts.push(format!("{name}({fd}) = {count}"));
    texts
}

/// The task that a call made.
pub(crate) fn made_task(tables: &Tables, call: &Call) -> Option<usize> {
    if !matches!(&*call.name, "clone" | "clone3" | "fork" | "vfork") {
        return None;
    }
    let tid = i32::try_from(call.number()?).ok()?;
    tables.by_tid(tid)
}

/// The descriptor that a call returned.
fn made(call: &Call) -> Option<i64> {
    call.number()
}

/// As it is called in C: `recv` in place of `recvfrom` where it has no address.
pub(crate) fn shown_name(call: &Call) -> &str {
    let has_address = call.args.contains("sa_family=");
    match &*call.name {
        "recvfrom" if !has_address => "recv",
        "sendto" if !has_address => "send",
        "accept4" => "accept",
        "wait4" => "waitpid",
        "exit_group" => "_exit",
        "pselect6" => "select",
        "epoll_pwait" | "epoll_pwait2" => "epoll_wait",
        other => other,
    }
}

/// The descriptors that a `poll` watches; of an epoll, its own.
fn watched(call: &Call) -> Vec<String> {
    if call.name.starts_with("epoll") || call.name == "io_uring_enter" {
        return call.args.split(['<', ',']).next().map(str::to_owned).into_iter().collect();
    }
    let list = call.args.split(']').next().map_or("", |_| call.args.as_str());
    let fds = list.split("{fd=").skip(1).filter_map(|rest| {
        let fd: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (!fd.is_empty()).then_some(fd)
    });
    fds.collect()
}

/// A payload in ever fewer characters, and not at all where a quarter of it cannot be printed.
fn shown_payloads(payload: &str) -> Vec<String> {
    let bytes = arguments::bytes(payload);
    let odd =
        bytes.iter().filter(|byte| !byte.is_ascii_graphic() && **byte != b' ' && **byte != b'\n');
    if bytes.is_empty() || odd.count() * 4 > bytes.len() {
        return Vec::new();
    }
    let all = payload.chars().count();
    let whole = (all <= 28).then(|| payload.to_owned());
    let cut = [22, 14, 8].into_iter().filter(|&most| most + 2 < all).map(|most| {
        let part: String = payload.chars().take(most).collect();
        format!("{}…", part.trim_end_matches('\\'))
    });
    whole.into_iter().chain(cut).collect()
}

/// What is not about sockets: tasks that begin and end, and signals.
fn of_process(step: &mut Step, tables: &Tables, call: &Call) -> Option<()> {
    if let Some(signal) = arrows::delivered(call) {
        if signal.name == "SIGCHLD" {
            return None;
        }
        step.texts = match call.fd.filter(|_| !call.is_signal()) {
            Some(fd) => vec![format!("read({fd}) = {}", signal.name)],
            None => vec![signal.name.to_owned()],
        };
        step.signature.clone_from(&step.texts[0]);
        return Some(());
    }
    let errno = arguments::errno(&call.result);
    match &*call.name {
        "clone" | "clone3" | "fork" | "vfork" => {
            let is_thread = call.args.contains("CLONE_THREAD");
            let end = match (errno, call.number()) {
                (Some(errno), _) => errno.to_owned(),
                (None, Some(tid)) => tid.to_string(),
                (None, None) => return None,
            };
            step.texts = if is_thread {
                vec![format!("pthread_create = {end}"), format!("thread = {end}")]
            } else {
                vec![format!("fork() = {end}")]
            };
        }
        "wait4" => {
            let child = call.number().filter(|&pid| pid > 0)?;
            step.texts = vec![format!("waitpid = {child}"), format!("wait = {child}")];
        }
        "exit_group" => {
            let code = arguments::number(&call.args)?;
            step.at = call.start;
            step.texts = vec![format!("_exit({code})")];
        }
        "kill" => {
            let args = arguments::split(&call.args);
            let (pid, signal) = (args.first()?, args.get(1)?);
            if *signal == "0" || tables.tasks[call.task].is_harness {
                return None;
            }
            step.texts = vec![format!("kill({pid}, {signal})"), (*signal).to_owned()];
        }
        _ => return None,
    }
    Some(())
}

/// The arrows whose both ends are steps or tasks that are drawn; `kill` of the harness has no step.
pub(crate) fn is_from_outside(tables: &Tables, kind: Kind, task: usize) -> bool {
    kind == Kind::Signal && tables.tasks[task].is_harness
}
