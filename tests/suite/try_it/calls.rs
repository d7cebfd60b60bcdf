//! The section *System calls* of a header, compared with what strace saw.

use std::collections::BTreeSet;

use netcheck::{Call, Header};

/// The section, read as its words say: what the program does, what its child does after the fork,
/// and what the parent does then.
pub(super) struct Sequence {
    main: Vec<Step>,
    child: Vec<Step>,
    parent: Vec<Step>,
}

/// `setsockopt(SO_REUSEADDR)`.
#[derive(Debug)]
struct Step {
    name: String,
    /// What is among the arguments.
    argument: Option<String>,
}

/// What the calls do not tell.
pub(super) struct Missing {
    /// How many steps they do tell before it.
    found: usize,
    pub(super) why: String,
}

/// Descriptors that the sequence has come to know.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The socket that listen or accept was called on; of a pair, the end of the parent.
    listener: Option<i32>,
    /// What the last `socket` or `accept` returned; of a pair, the end of the child.
    socket: Option<i32>,
    /// The end of a pair that a process uses when it has closed the other.
    other_end: Option<i32>,
}

impl Sequence {
    pub(super) fn read(header: &Header) -> Self {
        let text = header.call_text.as_str();
        assert_eq!(text.starts_with("None "), !text.contains('`'), "calls, or None: {text}");
        let (text, parent) = text.split_once("in the parent").unwrap_or((text, ""));
        let (main, child) = text.split_once("in the child").unwrap_or((text, ""));
        Self { main: steps(main), child: steps(child), parent: steps(parent) }
    }

    /// Whether no call is the lesson; the section then begins with that word.
    pub(super) fn is_empty(&self) -> bool {
        self.main.is_empty()
    }

    /// The expression with which strace shows these calls, and where programs and threads begin.
    pub(super) fn trace(&self) -> String {
        let mut names = BTreeSet::from(["execve", "?clone", "?clone3"]);
        for step in self.main.iter().chain(&self.child).chain(&self.parent) {
            names.extend(kernel_names(&step.name));
        }
        format!("trace={}", Vec::from_iter(names).join(","))
    }

    /// Whether the program `name` did all this.
    pub(super) fn is_made_by(&self, name: &str, calls: &[Call]) -> Result<(), Missing> {
        let executed = |call: &Call| {
            call.name == "execve" && call.result == "0" && call.args.contains(&format!("/{name}\""))
        };
        let begin = calls.iter().position(executed);
        let begin = begin.ok_or_else(|| Missing { found: 0, why: format!("no {name}") })?;
        let (pid, calls) = (calls[begin].pid, &calls[begin..]);
        let main = self.begins(&of_process(calls, pid))?;
        let Some(fork) = main.last.filter(|call| is(call, "fork")) else { return Ok(()) };

        let known = main.known;
        let child = of_process(calls, fork.result.parse().expect("the pid of the child"));
        // The child's close is for the listener; what it does then, for the connection.
        let closes = self.child.first().is_some_and(|step| step.name == "close");
        let (close, serve) = self.child.split_at(closes.into());
        let closed = follow(close, &child, Known { socket: known.listener, ..known })?;
        follow(serve, &child[closed.taken..], known)?;
        let forked = calls.iter().position(|call| call == fork).unwrap_or_default();
        follow(&self.parent, &of_process(&calls[forked..], pid), known)?;
        Ok(())
    }

    /// Finds the main part. A resolver opens sockets too, so each call that could be the first is
    /// tried; the error is that of the attempt that went farthest.
    fn begins<'a>(&self, calls: &[&'a Call]) -> Result<Followed<'a>, Missing> {
        let first = |call: &&Call| {
            self.main.first().is_none_or(|step| matches(step, call, Known::default()))
        };
        let attempts = (0..calls.len())
            .filter(|&start| first(&calls[start]))
            .map(|start| follow(&self.main, &calls[start..], Known::default()));
        let farther = |one: Result<_, Missing>, other: Result<_, Missing>| match (one, other) {
            (Err(one), Err(other)) if one.found >= other.found => Err(one),
            (Ok(found), _) => Ok(found),
            (_, other) => other,
        };
        let nothing = Missing { found: 0, why: "no system call".to_owned() };
        attempts.fold(Err(nothing), farther)
    }
}

/// The names in backticks, each with what stands in its parentheses.
fn steps(text: &str) -> Vec<Step> {
    let step = |quoted: &str| match quoted.split_once('(') {
        None => Step { name: quoted.to_owned(), argument: None },
        Some((name, argument)) => {
            let argument = argument.trim_end_matches(')').to_owned();
            Step { name: name.to_owned(), argument: Some(argument) }
        }
    };
    text.split('`').skip(1).step_by(2).map(step).collect()
}

/// What strace calls a function of the C library. A `?` excuses an architecture without it.
fn kernel_names(name: &str) -> Vec<&str> {
    match name {
        "accept" => vec!["?accept", "accept4"],
        "unlink" => vec!["?unlink", "unlinkat"],
        "recv" => vec!["recvfrom"],
        "send" => vec!["sendto"],
        "fork" => vec!["?fork", "?clone", "?clone3"],
        "pthread_create" => vec!["?clone", "?clone3"],
        "dup2" => vec!["?dup2", "dup3"],
        "waitpid" => vec!["wait4", "waitid"],
        "_exit" => vec!["exit_group"],
        "epoll_create" => vec!["?epoll_create", "epoll_create1"],
        "epoll_wait" => vec!["?epoll_wait", "epoll_pwait"],
        "poll" => vec!["?poll", "ppoll"],
        other => vec![other],
    }
}

fn is(call: &Call, name: &str) -> bool {
    kernel_names(name).iter().any(|known| known.trim_start_matches('?') == call.name)
}

/// The calls of a process, those of its threads among them.
fn of_process(calls: &[Call], pid: i32) -> Vec<&Call> {
    let mut threads = BTreeSet::from([pid]);
    for call in calls {
        if call.args.contains("CLONE_THREAD") && threads.contains(&call.pid) {
            threads.extend(call.result.parse::<i32>());
        }
    }
    calls.iter().filter(|call| threads.contains(&call.pid)).collect()
}

/// Steps that were all found.
struct Followed<'a> {
    /// The call of the last step.
    last: Option<&'a Call>,
    known: Known,
    /// How many calls that took.
    taken: usize,
}

/// Finds the steps among the calls, in their order and on the right descriptor. Other calls may
/// stand between them.
fn follow<'a>(
    steps: &[Step],
    calls: &[&'a Call],
    mut known: Known,
) -> Result<Followed<'a>, Missing> {
    let (mut last, mut taken) = (None, 0);
    for (found, step) in steps.iter().enumerate() {
        let next = calls[taken..].iter().position(|call| matches(step, call, known));
        let Some(skipped) = next else {
            let shown = |call: &&Call| {
                format!("  {} {}({}) = {}", call.pid, call.name, call.args, call.result)
            };
            let seen: Vec<String> = calls.iter().map(shown).collect();
            let why = format!("no {step:?} of {steps:?} in\n{}", seen.join("\n"));
            return Err(Missing { found, why });
        };
        let call = calls[taken + skipped];
        if step.name == "listen" || (step.name == "accept" && known.listener.is_none()) {
            known.listener = known.socket;
        }
        if step.name == "dup2" {
            known.listener = call.result.parse().ok(); // it is passed on
        }
        if opens(&step.name) {
            known.socket = call.result.parse().ok();
        }
        if let Some((ours, theirs)) = pair(call) {
            known = Known { listener: ours, socket: theirs, other_end: ours };
        }
        if step.name == "close" && known.other_end.is_some() {
            known.socket = known.other_end;
        }
        last = Some(call);
        taken += skipped + 1;
    }
    Ok(Followed { last, known, taken })
}

/// The descriptors of `socketpair(AF_UNIX, SOCK_STREAM, 0, [3, 4])`.
fn pair(call: &Call) -> Option<(Option<i32>, Option<i32>)> {
    let (_, ends) = call.args.split_once('[').filter(|_| call.name == "socketpair")?;
    let (ours, theirs) = ends.trim_end_matches(']').split_once(", ")?;
    Some((ours.parse().ok(), theirs.parse().ok()))
}

fn opens(name: &str) -> bool {
    matches!(name, "socket" | "accept")
}

fn matches(step: &Step, call: &Call, known: Known) -> bool {
    let on_socket = matches!(
        step.name.as_str(),
        "setsockopt"
            | "bind"
            | "listen"
            | "accept"
            | "connect"
            | "recv"
            | "recvfrom"
            | "recvmsg"
            | "send"
            | "sendto"
            | "sendmsg"
            | "shutdown"
            | "close"
    );
    // A client of the same process may stand between the listener and its accept.
    let socket = if step.name == "accept" { known.listener.or(known.socket) } else { known.socket };
    let fd = call.args.split(',').next().and_then(|first| first.trim().parse().ok());
    is(call, &step.name)
        && (!on_socket || fd == socket)
        && (!opens(&step.name) || call.result.parse::<i32>().is_ok())
        && (step.name != "fork" || !call.args.contains("CLONE_THREAD"))
        && step.argument.as_ref().is_none_or(|argument| call.args.contains(argument.as_str()))
}
