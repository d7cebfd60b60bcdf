//! What went from one task to another: connections, bytes, ends of streams, datagrams, signals, and who
//! made whom. All of it is matched exactly: by both addresses, by the place in the stream, by payload.
#![expect(clippy::indexing_slicing, reason = "every id was given by the table that it indexes")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::arguments;
use crate::tables::{Call, Socket, Tables};

/// What an arrow stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Syn,
    Bytes,
    Datagram,
    Fin,
    Reset,
    Fork,
    Thread,
    Signal,
    /// To or from a call that strace does not see: io_uring makes it.
    Unseen,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Syn => "SYN",
            Self::Bytes => "bytes",
            Self::Datagram => "datagram",
            Self::Fin => "FIN",
            Self::Reset => "RST",
            Self::Fork => "fork",
            Self::Thread => "thread",
            Self::Signal => "signal",
            Self::Unseen => "not recorded",
        }
    }
}

/// One end of an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) task: usize,
    /// None where it is the beginning or the end of the task itself.
    pub(crate) call: Option<usize>,
    pub(crate) at: u64,
}

/// Something that went from one task to another.
#[derive(Clone, Debug)]
pub(crate) struct Arrow {
    pub(crate) kind: Kind,
    pub(crate) from: Point,
    /// None where it was lost.
    pub(crate) to: Option<Point>,
    pub(crate) bytes: u64,
    /// `SIGTERM`, for a signal.
    pub(crate) name: String,
    pub(crate) flow: Option<usize>,
}

/// One connection of TCP, or all that one socket of UDP sends and receives: it has a colour.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    /// The sockets of both ends, as far as they were recorded.
    pub(crate) client: Option<usize>,
    pub(crate) server: Option<usize>,
}

/// All of that, with the flow of each call.
#[derive(Default)]
pub(crate) struct Matched {
    pub(crate) flows: Vec<Flow>,
    pub(crate) arrows: Vec<Arrow>,
    /// By the ids of calls.
    pub(crate) flow_of_call: BTreeMap<usize, usize>,
    /// By the ids of sockets.
    pub(crate) flow_of_socket: BTreeMap<usize, usize>,
}

/// What a call does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Sends,
    Receives,
}

/// Whether a call sends or receives: `read` does so on a socket only.
pub(crate) fn transfer(call: &Call) -> Option<Transfer> {
    call.socket?;
    match &*call.name {
        "sendto" | "sendmsg" | "sendmmsg" | "send" | "write" | "writev" | "sendfile" => {
            Some(Transfer::Sends)
        }
        "recvfrom" | "recvmsg" | "recvmmsg" | "recv" | "read" | "readv"
            if !call.args.contains("MSG_PEEK") =>
        {
            Some(Transfer::Receives)
        }
        _ => None,
    }
}

/// What a call sent or received at once.
pub(crate) struct Message {
    pub(crate) bytes: u64,
    /// The address in the call, where it has one.
    pub(crate) named: Option<String>,
    /// As strace escaped it.
    pub(crate) payload: String,
}

/// One, or as many as `recvmmsg` and `sendmmsg` return; none where the call failed.
pub(crate) fn messages(call: &Call) -> Vec<Message> {
    let Some(count) = call.number().and_then(|count| u64::try_from(count).ok()) else {
        return Vec::new();
    };
    let args = arguments::split(&call.args);
    if !call.name.ends_with("mmsg") {
        let named = args.iter().skip(1).find_map(|it| arguments::address(it));
        let payload = args.iter().find_map(|it| arguments::payload(it));
        return vec![Message {
            bytes: count,
            named,
            payload: payload.unwrap_or_default().to_owned(),
        }];
    }
    let list = args.get(1).and_then(|list| list.strip_prefix('[')?.strip_suffix(']'));
    let each = arguments::split(list.unwrap_or_default()).into_iter();
    let message = |text: &str| Message {
        bytes: text.rsplit_once("msg_len=").map_or(0, |(_, rest)| {
            arguments::number(rest).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
        }),
        named: arguments::address(text),
        payload: arguments::payload(text).unwrap_or_default().to_owned(),
    };
    each.take(usize::try_from(count).unwrap_or(usize::MAX)).map(message).collect()
}

/// Finds every arrow.
pub(crate) fn matched(tables: &Tables) -> Matched {
    let mut matched = Matched::default();
    connections(tables, &mut matched);
    streams(tables, &mut matched);
    unseen(tables, &mut matched);
    datagrams(tables, &mut matched);
    tasks(tables, &mut matched);
    signals(tables, &mut matched);
    for (id, call) in tables.calls.iter().enumerate() {
        let flow = call.made.or(call.socket).and_then(|socket| matched.flow_of_socket.get(&socket));
        if let Some(&flow) = flow {
            matched.flow_of_call.entry(id).or_insert(flow);
        }
    }
    let order = |arrow: &Arrow| (arrow.from.at, arrow.to.map(|to| to.at), arrow.from.task);
    matched.arrows.sort_by_key(order);
    matched
}

/// strace counts the time that a call took from when it had written its arguments down, which may be a
/// millisecond after its beginning. So a `recv` may seem to end before the `send` that it got its bytes from:
/// its end is moved there, but not beyond what its task did next. Whether any was moved.
pub(crate) fn settle(tables: &mut Tables, matched: &Matched) -> bool {
    let mut next: BTreeMap<usize, u64> = BTreeMap::new();
    let mut bound = BTreeMap::new();
    for (id, call) in tables.calls.iter().enumerate().rev() {
        bound.insert(id, next.insert(call.task, call.start).unwrap_or(u64::MAX));
    }
    let mut moved = false;
    for arrow in &matched.arrows {
        let Some(to) = arrow.to.filter(|to| to.at < arrow.from.at) else { continue };
        let Some(id) = to.call else { continue };
        if bound.get(&id).is_some_and(|&bound| arrow.from.at <= bound) {
            let call = &mut tables.calls[id];
            call.end = call.end.map(|end| end.max(arrow.from.at));
            moved = true;
        }
    }
    moved
}

fn begin(tables: &Tables, id: usize) -> Point {
    let call = &tables.calls[id];
    Point { task: call.task, call: Some(id), at: call.start }
}

fn end(tables: &Tables, id: usize) -> Point {
    let call = &tables.calls[id];
    Point { task: call.task, call: Some(id), at: call.until() }
}

/// The address pair of an accepted socket is that of the connecting one, swapped. The latest that fits is
/// it: ports are used again.
fn connections(tables: &Tables, matched: &mut Matched) {
    let connects: Vec<usize> = (0..tables.calls.len())
        .filter(|&id| tables.calls[id].name == "connect" && tables.calls[id].socket.is_some())
        .collect();
    let mut by_address: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &id in &connects {
        let socket = tables.calls[id].socket.map(|socket| &tables.sockets[socket]);
        if let Some(local) = socket.and_then(|socket| socket.local.as_deref()) {
            by_address.entry(local).or_default().push(id);
        }
    }
    let mut taken = BTreeSet::new();
    for (accept, call) in tables.calls.iter().enumerate() {
        let Some(accepted) = call.made.filter(|_| call.name.starts_with("accept")) else {
            continue;
        };
        let server = &tables.sockets[accepted];
        let same = server.peer.as_deref().and_then(|peer| by_address.get(peer));
        let connect = same.into_iter().flatten().rev().copied().find(|&id| {
            let connect = &tables.calls[id];
            let client = connect.socket.map(|socket| &tables.sockets[socket]);
            !taken.contains(&id)
                && connect.start <= call.until()
                && client.is_some_and(|client| {
                    same_port(server.local.as_deref(), client.peer.as_deref())
                })
        });
        let flow = matched.flows.len();
        let connect = connect.or_else(|| unnamed(tables, &connects, &taken, accept));
        let client = connect.and_then(|id| tables.calls[id].socket);
        matched.flows.push(Flow { client, server: Some(accepted) });
        matched.flow_of_socket.insert(accepted, flow);
        let Some(connect) = connect else { continue };
        taken.insert(connect);
        matched.flow_of_socket.extend(client.map(|client| (client, flow)));
        matched.arrows.push(Arrow {
            kind: Kind::Syn,
            from: begin(tables, connect),
            to: Some(end(tables, accept)),
            bytes: 0,
            name: String::new(),
            flow: Some(flow),
        });
    }
    pairs(tables, matched);
    // Those that nobody accepted, or that no one recorded.
    for id in connects {
        let Some(socket) = tables.calls[id].socket else { continue };
        let is_tcp = tables.sockets[socket].protocol == "TCP";
        if is_tcp && !matched.flow_of_socket.contains_key(&socket) {
            matched.flow_of_socket.insert(socket, matched.flows.len());
            matched.flows.push(Flow { client: Some(socket), server: None });
        }
    }
}

/// The connect that was accepted, where strace has no name for its socket, as for one of another network
/// namespace: it is known where only one was under way.
fn unnamed(
    tables: &Tables,
    connects: &[usize],
    taken: &BTreeSet<usize>,
    accept: usize,
) -> Option<usize> {
    let accept = &tables.calls[accept];
    let listener = &tables.sockets[accept.made?];
    let mut under_way = connects.iter().copied().filter(|id| {
        let connect = &tables.calls[*id];
        let client = connect.socket.map(|socket| &tables.sockets[socket]);
        let failed = arguments::errno(&connect.result).is_some_and(|errno| errno != "EINPROGRESS");
        !taken.contains(id)
            && !failed
            && connect.start <= accept.until()
            && client.is_some_and(|client| {
                client.local.is_none()
                    && client.peer.is_some()
                    && client.peer.as_deref() == listener.local.as_deref()
            })
    });
    let only = under_way.next()?;
    under_way.next().is_none().then_some(only)
}

/// Both ends of a `socketpair`.
fn pairs(tables: &Tables, matched: &mut Matched) {
    for (id, call) in tables.calls.iter().enumerate() {
        if call.name != "socketpair" {
            continue;
        }
        let ends = tables.of_socket.iter().filter(|(_, calls)| calls.contains(&id));
        let ends: Vec<usize> = ends.map(|(&socket, _)| socket).collect();
        if let [one, other] = ends[..] {
            let flow = matched.flows.len();
            matched.flows.push(Flow { client: Some(one), server: Some(other) });
            matched.flow_of_socket.extend([(one, flow), (other, flow)]);
        }
    }
}

fn same_port(one: Option<&str>, other: Option<&str>) -> bool {
    let port =
        |address: Option<&str>| address.and_then(|it| it.rsplit(':').next().map(str::to_owned));
    port(one).is_some() && port(one) == port(other)
}

/// The sending side of a stream, counted: a `send` covers [a, b) of its direction.
struct Covered {
    call: usize,
    from: u64,
    to: u64,
}

/// The transfers of a socket in order, with the bytes of its direction that each covers.
fn covered(tables: &Tables, socket: usize, wanted: Transfer) -> Vec<Covered> {
    let of_socket = tables.of_socket.get(&socket).into_iter().flatten().copied();
    let mut ids: Vec<usize> =
        of_socket.filter(|&id| transfer(&tables.calls[id]) == Some(wanted)).collect();
    if wanted == Transfer::Receives {
        ids.sort_by_key(|&id| tables.calls[id].until());
    }
    let mut from = 0;
    let mut covered = Vec::new();
    for call in ids {
        let count = tables.calls[call].number().and_then(|count| u64::try_from(count).ok());
        let Some(count) = count.filter(|&count| count > 0) else { continue };
        covered.push(Covered { call, from, to: from + count });
        from += count;
    }
    covered
}

/// An arrow wherever the bytes of a `send` and of a `recv` overlap, and one for each end of a stream.
fn streams(tables: &Tables, matched: &mut Matched) {
    for flow in 0..matched.flows.len() {
        let (Some(client), Some(server)) = (matched.flows[flow].client, matched.flows[flow].server)
        else {
            continue;
        };
        for (from, to) in [(client, server), (server, client)] {
            let sent = covered(tables, from, Transfer::Sends);
            let mut first = 0;
            for received in covered(tables, to, Transfer::Receives) {
                while sent.get(first).is_some_and(|sent| sent.to <= received.from) {
                    first += 1;
                }
                for sent in sent[first..].iter().take_while(|sent| sent.from < received.to) {
                    matched.arrows.push(Arrow {
                        kind: Kind::Bytes,
                        from: begin(tables, sent.call),
                        to: Some(end(tables, received.call)),
                        bytes: sent.to.min(received.to) - sent.from.max(received.from),
                        name: String::new(),
                        flow: Some(flow),
                    });
                }
            }
            matched.arrows.extend(stream_end(tables, from, to, flow));
        }
    }
}

/// From the `shutdown`, or the last `close` or the end of a process, to the `recv` that returned 0 or
/// ECONNRESET.
fn stream_end(tables: &Tables, from: usize, to: usize, flow: usize) -> Option<Arrow> {
    let of = |socket: usize| tables.of_socket.get(&socket).into_iter().flatten().copied();
    let shutdown = of(from).find(|&id| {
        let call = &tables.calls[id];
        let ends = call.args.contains("SHUT_WR") || call.args.contains("SHUT_RDWR");
        call.name == "shutdown" && ends && call.number() == Some(0)
    });
    let from = match shutdown {
        Some(id) => begin(tables, id),
        None => {
            let last = tables.last_close.get(&from)?;
            Point { task: last.task, call: last.call, at: last.at }
        }
    };
    let (id, kind) = of(to).find_map(|id| {
        let call = &tables.calls[id];
        if transfer(call) != Some(Transfer::Receives) {
            return None;
        }
        let reset = arguments::errno(&call.result) == Some("ECONNRESET");
        let kind = if reset { Kind::Reset } else { Kind::Fin };
        (reset || call.number() == Some(0)).then_some((id, kind))
    })?;
    let to = end(tables, id);
    // An end that was there before: SO_LINGER, or a `recv` of nothing.
    (from.at <= to.at).then_some(Arrow {
        kind,
        from,
        to: Some(to),
        bytes: 0,
        name: String::new(),
        flow: Some(flow),
    })
}

/// What a client exchanges with a server whose calls io_uring makes: strace sees one side of it.
fn unseen(tables: &Tables, matched: &mut Matched) {
    let with_ring: BTreeSet<i32> = tables
        .calls
        .iter()
        .filter(|call| call.name.starts_with("io_uring_"))
        .map(|call| tables.tasks[call.task].pid)
        .collect();
    if with_ring.is_empty() {
        return;
    }
    let has_ring = |it: &Socket| it.held.iter().any(|held| with_ring.contains(&held.pid));
    // Where the connection was accepted by a call, its bytes may have come by one, too.
    let by_call = |socket: usize| {
        let about = tables.of_socket.get(&socket).into_iter().flatten();
        about.copied().any(|id| transfer(&tables.calls[id]).is_some())
    };
    let is_one_sided = |flow: &Flow, client: usize| match flow.server {
        Some(server) => has_ring(&tables.sockets[server]) && !by_call(server),
        None => {
            let peer = tables.sockets[client].peer.as_deref();
            let mut listeners = tables.sockets.iter().filter(|it| it.is_listening && has_ring(it));
            listeners.any(|it| same_port(it.local.as_deref(), peer))
        }
    };
    for (id, call) in tables.calls.iter().enumerate() {
        let Some(&flow) = call.socket.and_then(|socket| matched.flow_of_socket.get(&socket)) else {
            continue;
        };
        let Some(client) = matched.flows[flow].client.filter(|&it| call.socket == Some(it)) else {
            continue;
        };
        let is_accepted = matched.flows[flow].server.is_some();
        let (bytes, name) = match (&*call.name, transfer(call), call.number()) {
            ("connect", ..) if !is_accepted => (0, "SYN"),
            (_, Some(Transfer::Receives), Some(0)) => (0, "FIN"),
            (_, Some(_), Some(count)) => (u64::try_from(count).unwrap_or(0), ""),
            _ => continue,
        };
        if is_one_sided(&matched.flows[flow], client) {
            matched.arrows.push(Arrow {
                kind: Kind::Unseen,
                from: begin(tables, id),
                to: Some(end(tables, id)),
                bytes,
                name: name.to_owned(),
                flow: Some(flow),
            });
        }
    }
}

/// A datagram that was sent, and not yet received.
struct Sent {
    call: usize,
    source: Option<String>,
    destination: Option<String>,
    bytes: u64,
    payload: String,
}

/// By both addresses, length and the first 256 bytes, in order. A socket that sends before it has received
/// begins a flow.
fn datagrams(tables: &Tables, matched: &mut Matched) {
    let mut order: Vec<(u64, usize)> = Vec::new();
    for (id, call) in tables.calls.iter().enumerate() {
        let is_udp = call.socket.is_some_and(|socket| tables.sockets[socket].protocol == "UDP");
        match transfer(call).filter(|_| is_udp) {
            Some(Transfer::Sends) => order.push((call.start, id)),
            Some(Transfer::Receives) => order.push((call.until(), id)),
            None => {}
        }
    }
    order.sort_unstable();
    let mut pending: VecDeque<Sent> = VecDeque::new();
    for (_, id) in order {
        let call = &tables.calls[id];
        let Some(socket) = call.socket else { continue };
        let it = &tables.sockets[socket];
        for Message { bytes, named, payload } in messages(call) {
            let other = named.or_else(|| it.peer.clone());
            if transfer(call) == Some(Transfer::Sends) {
                let source = it.local.clone();
                pending.push_back(Sent { call: id, source, destination: other, bytes, payload });
                continue;
            }
            let fits = pending.iter().position(|sent| {
                sent.bytes == bytes
                    && sent.payload == payload
                    && same_port(sent.destination.as_deref(), it.local.as_deref())
                    && (sent.source.is_none()
                        || same_port(sent.source.as_deref(), other.as_deref()))
            });
            if let Some(sent) = fits.and_then(|place| pending.remove(place)) {
                add_datagram(tables, matched, &sent, Some(id), socket);
            }
        }
    }
    for sent in pending {
        let Some(socket) = tables.calls[sent.call].socket else { continue };
        add_datagram(tables, matched, &sent, None, socket);
    }
}

fn add_datagram(
    tables: &Tables,
    matched: &mut Matched,
    sent: &Sent,
    received: Option<usize>,
    receiver: usize,
) {
    let Some(sender) = tables.calls[sent.call].socket else { return };
    let known =
        [sender, receiver].iter().find_map(|socket| matched.flow_of_socket.get(socket)).copied();
    let flow = known.unwrap_or_else(|| {
        matched.flow_of_socket.insert(sender, matched.flows.len());
        matched.flows.push(Flow { client: Some(sender), server: None });
        matched.flows.len() - 1
    });
    for id in std::iter::once(sent.call).chain(received) {
        matched.flow_of_call.insert(id, flow);
    }
    matched.arrows.push(Arrow {
        kind: Kind::Datagram,
        from: begin(tables, sent.call),
        to: received.map(|id| end(tables, id)),
        bytes: sent.bytes,
        name: String::new(),
        flow: Some(flow),
    });
}

/// Who made whom.
fn tasks(tables: &Tables, matched: &mut Matched) {
    for (child, task) in tables.tasks.iter().enumerate() {
        let Some(&call) = tables.made_by.get(&child) else { continue };
        matched.arrows.push(Arrow {
            kind: if task.is_thread() { Kind::Thread } else { Kind::Fork },
            from: begin(tables, call),
            to: Some(Point { task: child, call: None, at: task.started }),
            bytes: 0,
            name: String::new(),
            flow: None,
        });
    }
}

/// A signal as its receiver learned of it.
pub(crate) struct Delivered {
    pub(crate) name: &'static str,
    /// Who sent it, or which child ended.
    pub(crate) pid: Option<i32>,
}

const SIGNALS: [(u32, &str); 14] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (6, "SIGABRT"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (12, "SIGUSR2"),
    (15, "SIGTERM"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
];

/// The signal that a call brought: the `read` of a signalfd has its number first, and the pid in bytes 12 to
/// 15 (signalfd(2)).
pub(crate) fn delivered(call: &Call) -> Option<Delivered> {
    let known = |wanted: &str| SIGNALS.iter().find(|(_, name)| *name == wanted).map(|it| it.1);
    if call.is_signal() {
        let pid = call.args.split_once("si_pid=").and_then(|(_, rest)| arguments::number(rest));
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        return known(&call.name).map(|name| Delivered { name, pid });
    }
    if call.name != "read" || !call.args.contains("signalfd") || call.number()? <= 0 {
        return None;
    }
    let args = arguments::split(&call.args);
    let bytes = arguments::bytes(arguments::payload(args.get(1)?)?);
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let number = word(0)?;
    let name = SIGNALS.iter().find(|(known, _)| *known == number)?.1;
    Some(Delivered { name, pid: word(12).and_then(|pid| i32::try_from(pid).ok()) })
}

/// A `kill` and its delivery; SIGCHLD from the end of a child to the `waitpid` for it, where the signal was
/// this child's. One SIGCHLD may stand for several children: the others have no arrow.
fn signals(tables: &Tables, matched: &mut Matched) {
    let kills: Vec<(usize, i32, String)> = sent_signals(tables);
    let mut used = BTreeSet::new();
    for (id, call) in tables.calls.iter().enumerate() {
        let Some(Delivered { name, pid }) = delivered(call) else { continue };
        let receiver = &tables.tasks[call.task];
        if receiver.is_harness {
            continue;
        }
        let arrow = |from: Point, to: Point| Arrow {
            kind: Kind::Signal,
            from,
            to: Some(to),
            bytes: 0,
            name: name.to_owned(),
            flow: None,
        };
        if name == "SIGCHLD" {
            let child = pid.and_then(|pid| tables.by_tid(pid));
            let Some(child) = child else { continue };
            let ended = tables.tasks[child].ended;
            if let (Some(at), Some(&wait)) = (ended, tables.reaped_by.get(&child)) {
                matched
                    .arrows
                    .push(arrow(Point { task: child, call: None, at }, end(tables, wait)));
            }
            continue;
        }
        let kill = kills.iter().rev().find(|(kill, target, sent)| {
            !used.contains(kill)
                && sent == name
                && is_meant(tables, call.task, *target)
                && tables.calls[*kill].start <= call.until()
        });
        if let Some(&(kill, target, _)) = kill {
            // One to a group arrives several times.
            if target > 0 {
                used.insert(kill);
            }
            matched.arrows.push(arrow(begin(tables, kill), end(tables, id)));
        }
    }
    killed(tables, matched, &kills);
}

/// Whether a signal to this process, or to its group, is one to that task.
fn is_meant(tables: &Tables, task: usize, target: i32) -> bool {
    let it = &tables.tasks[task];
    if target > 0 {
        return [it.pid, it.tid].contains(&target);
    }
    // A program is the first of its group, which its children are in.
    let mut above = Some(task);
    while let Some(task) = above {
        let it = &tables.tasks[task];
        if it.is_harness || it.pid == -target {
            return !it.is_harness;
        }
        above = it.parent;
    }
    false
}

/// SIGKILL is not delivered: a process that it ends is all that is seen.
fn killed(tables: &Tables, matched: &mut Matched, kills: &[(usize, i32, String)]) {
    for (id, task) in tables.tasks.iter().enumerate() {
        let is_killed = task.status.as_deref() == Some("killed by SIGKILL");
        let Some(at) = task.ended.filter(|_| is_killed && !task.is_thread()) else { continue };
        let kill = kills.iter().find(|(kill, target, sent)| {
            sent == "SIGKILL"
                && is_meant(tables, id, *target)
                && (task.started..=at).contains(&tables.calls[*kill].start)
        });
        if let Some(&(kill, ..)) = kill {
            matched.arrows.push(Arrow {
                kind: Kind::Signal,
                from: begin(tables, kill),
                to: Some(Point { task: id, call: None, at }),
                bytes: 0,
                name: "SIGKILL".to_owned(),
                flow: None,
            });
        }
    }
}

/// Each call that sent a signal, with the process and the name.
fn sent_signals(tables: &Tables) -> Vec<(usize, i32, String)> {
    // Which process a pidfd of a process stands for.
    let mut pidfds: BTreeMap<(i32, i32), i32> = BTreeMap::new();
    let mut sent = Vec::new();
    let as_pid = |text: &str| arguments::number(text).and_then(|pid| i32::try_from(pid).ok());
    for (id, call) in tables.calls.iter().enumerate() {
        let args = arguments::split(&call.args);
        let arg = |place: usize| args.get(place).copied().unwrap_or_default();
        let own = tables.tasks[call.task].pid;
        match &*call.name {
            "pidfd_open" => {
                if let (Some(fd), Some(pid)) = (as_pid(&call.result), as_pid(arg(0))) {
                    pidfds.insert((own, fd), pid);
                }
            }
            "kill" => sent.extend(as_pid(arg(0)).map(|pid| (id, pid, arg(1).to_owned()))),
            "tgkill" => sent.extend(as_pid(arg(1)).map(|pid| (id, pid, arg(2).to_owned()))),
            "pidfd_send_signal" => {
                let pid = as_pid(arg(0)).and_then(|fd| pidfds.get(&(own, fd)));
                sent.extend(pid.map(|&pid| (id, pid, arg(1).to_owned())));
            }
            _ => {}
        }
    }
    sent
}
