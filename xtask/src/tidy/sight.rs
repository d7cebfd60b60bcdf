//! The sight rule: every call that a header lists is called in `main.rs`, under its name.

use std::collections::BTreeSet;

use netcheck::{Elsewhere, Header};

use super::tree::{File, Tree, has_word, joins};
use xtask::readme::{Row, rows};

/// What is read in one sitting: 220 lines are advised, and past this a recipe is two.
const LINES: usize = 300;

/// What a recipe's `src/` holds beside its tests.
const FILES: [&str; 3] = ["main.rs", "args.rs", "report.rs"];

/// A header may say of so many lines of calls that netcore makes them.
const LINES_IN_NETCORE: usize = 2;

/// How std, socket2, nix and io-uring spell a call, where it is not by its own name.
const SPELLINGS: &[(&str, &str)] = &[
    ("socket", "Socket::new UdpSocket::bind"),
    ("bind", "UdpSocket::bind"),
    (
        "setsockopt",
        "set_reuse_address set_reuse_port set_only_v6 set_linger set_keepalive set_tcp_keepalive \
         set_tcp_nodelay set_nodelay set_tcp_cork set_tcp_quickack set_send_buffer_size \
         set_recv_buffer_size set_read_timeout set_write_timeout",
    ),
    (
        "getsockopt",
        "take_error reuse_address reuse_port tcp_nodelay send_buffer_size recv_buffer_size \
         read_timeout write_timeout",
    ),
    ("connect", "Connect::new"),
    ("accept", "accept4 accept_unix Accept::new AcceptMulti::new"),
    ("recv", "recv_with_flags Recv::new RecvMulti::new"),
    ("recvfrom", "recv recv_from"),
    ("recvmsg", "recv_vectored recvmmsg RecvMsg::new"),
    ("send", "send_with_flags Send::new"),
    ("sendto", "send send_to send_with_flags"),
    ("sendmsg", "send_vectored send_vectored_with_flags sendmmsg SendMsg::new"),
    ("poll", "ppoll PollAdd::new"),
    ("openat", "options.open"),
    ("flock", "Flock::lock"),
    ("fcntl", "set_nonblocking set_cloexec try_clone"),
    ("epoll_create", "Epoll::new epoll_create1"),
    ("epoll_create1", "Epoll::new"),
    ("epoll_ctl", "epoll.add epoll.modify epoll.delete"),
    ("epoll_wait", "epoll.wait epoll_pwait epoll_pwait2"),
    ("timerfd_create", "TimerFd::new"),
    ("io_uring_setup", "IoUring::new IoUring::builder"),
    ("io_uring_enter", "submit submit_and_wait submit_with_args"),
    ("getsockname", "local_addr"),
    ("getpeername", "peer_addr"),
    ("pthread_create", "spawn spawn_scoped"),
    ("pthread_join", "join"),
    ("write", "write_all"),
    ("sendfile", "sendfile64"),
    ("inet_pton", "Ipv4Addr::from_str"),
    ("htons", "to_be"),
    ("htonl", "to_be"),
    ("ntohs", "from_be"),
];

/// The functions and methods of netcore that make exactly the call whose name they bear.
const NETCORE: &[&str] = &[
    "accept",
    "accept_unix",
    "recv",
    "poll",
    "pthread_create",
    "pthread_join",
    "recvmmsg",
    "sendmmsg",
    "getrandom",
    "_exit",
    "getaddrinfo",
    "getnameinfo",
    "getservbyname",
    "getservbyport",
    "inet_aton",
];

/// A reader follows a recipe from start to end without leaving `main.rs`: its calls are there, no
/// other file of it has a part of the lesson, and it fits a sitting.
pub(super) fn calls_are_in_sight(tree: &Tree) -> Vec<String> {
    let rows = tree.file("README.md").map(|readme| rows(&readme.text)).unwrap_or_default();
    let mut findings = Vec::new();
    for (name, main) in tree.recipes() {
        let header = Header::parse(&main.text);
        let recipe = Recipe { tree, name, main, is_tool: tree.is_tool(name), header };
        let row = rows.iter().find(|row| row.name == name);
        let found =
            [recipe.calls_here(), recipe.calls_elsewhere(), recipe.lesson(row), recipe.files()];
        findings.extend(found.concat());
    }
    findings
}

struct Recipe<'a> {
    tree: &'a Tree,
    name: &'a str,
    main: &'a File,
    is_tool: bool,
    header: Header,
}

impl Recipe<'_> {
    fn finding(&self, what: &str, why: &str) -> String {
        self.main.finding(self.main.line_of("//! # System calls"), what, why)
    }

    /// What the header lists without a place is called in main.rs.
    fn calls_here(&self) -> Vec<String> {
        let code = Code::read(&self.main.text);
        let listed: BTreeSet<&String> = self.header.here.iter().collect();
        let hidden = listed.into_iter().filter(|call| !code.calls(call));
        let found = hidden.map(|call| {
            let folder = format!("crates/{}/src/", self.name);
            let file = self.tree.below(&folder).find(|file| Code::read(&file.text).calls(call));
            let file = file.map_or(String::new(), |file| format!(", but in {}", file.path));
            let what = format!("{} does not call `{call}` in main.rs{file}", self.name);
            self.finding(&what, "each call of `# System calls` is in sight, under its name")
        });
        found.collect()
    }

    /// What the header lists with a place is called there: in netcore, or in a tool's own file.
    fn calls_elsewhere(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let places = &self.header.elsewhere;
        for Elsewhere { place, calls } in places {
            let module = place.strip_prefix("netcore::").and_then(|path| path.split("::").next());
            let path = match module {
                Some(module) => format!("crates/netcore/src/{module}"),
                None => format!("crates/{}/src/{place}", self.name),
            };
            let files = self.tree.files.iter().filter(|file| {
                let rest = file.path.strip_prefix(&path).unwrap_or("none");
                matches!(rest, "" | ".rs") || rest.starts_with('/')
            });
            let files = files.filter(|_| module.is_some() || self.is_tool);
            let codes: Vec<Code> = files.map(|file| Code::read(&file.text)).collect();
            for call in calls.iter().filter(|call| !codes.iter().any(|code| code.calls(call))) {
                let what = format!("{} says that `{place}` calls `{call}`", self.name);
                findings.push(self.finding(&what, "a place is in netcore, or a file of a tool"));
            }
        }
        let in_netcore = places.iter().filter(|place| place.place.starts_with("netcore::")).count();
        if in_netcore > LINES_IN_NETCORE {
            let what = format!("{in_netcore} lines name netcore, at most {LINES_IN_NETCORE}");
            findings.push(self.finding(&what, "the calls of the lesson are in main.rs"));
        }
        findings
    }

    /// What README's row says that it is about is in the header, and not in netcore.
    fn lesson(&self, row: Option<&Row>) -> Vec<String> {
        let Header { here, elsewhere, call_text, .. } = &self.header;
        let own = elsewhere.iter().filter(|elsewhere| !elsewhere.place.starts_with("netcore::"));
        let told: Vec<&String> = own.flat_map(|own| &own.calls).chain(here).collect();
        // A function of the C library stands in a sentence: `None is made: htons(3) …`.
        let code = Code::read(&self.main.text);
        let in_words = |call: &str| call_text.contains(&format!("{call}(")) && code.calls(call);
        let lesson = row.into_iter().flat_map(|row| &row.calls);
        let missing = lesson.filter(|call| !told.contains(call) && !in_words(call));
        let found = missing.map(|call| {
            let what = format!("README says that {} is about `{call}`", self.name);
            self.finding(&what, "what a recipe is about is in its header, and never in netcore")
        });
        found.collect()
    }

    /// A recipe has three files, and a main.rs for one sitting; a tool has what it needs.
    fn files(&self) -> Vec<String> {
        let folder = format!("crates/{}/src/", self.name);
        let mut findings = Vec::new();
        for file in self.tree.below(&folder).filter(|_| !self.is_tool) {
            let name = file.path.strip_prefix(&folder).unwrap_or(&file.path);
            if !FILES.contains(&name) && !name.ends_with("_tests.rs") {
                let why = "a recipe is main.rs, args.rs and report.rs; what needs more is two";
                findings.push(file.finding(1, &format!("{} has a {name}", self.name), why));
            }
            let defines =
                |call: &&String| *call != "close" && file.text.contains(&format!("fn {call}("));
            for call in self.header.here.iter().filter(|_| name != "main.rs").filter(defines) {
                let what = format!("{name} of {} has a function `{call}`", self.name);
                findings.push(file.finding(1, &what, "it is named like a call that is in main.rs"));
            }
        }
        let header = self.main.text.lines().take_while(|line| line.starts_with("//!")).count();
        let lines = self.main.text.lines().count() - header;
        if lines > LINES {
            let what = format!("{lines} lines below the header, at most {LINES}");
            findings.push(self.main.finding(header + 1, &what, "split the idea, not the file"));
        }
        findings
    }
}

/// The code of a file, as text: rustfmt has made all files alike.
struct Code {
    /// Without tests, attributes, comments and literals.
    text: String,
    /// What it has from netcore and from modules of its own, and those.
    ours: String,
}

impl Code {
    fn read(source: &str) -> Code {
        let (mut text, mut ours) = (String::new(), String::from("netcore crate self super "));
        let mut used = String::new();
        for line in source.lines().take_while(|line| *line != "#[cfg(test)]").map(str::trim) {
            if !used.is_empty() || line.starts_with("use ") || line.starts_with("mod ") {
                used += line;
                let (word, path) = used.split_once(' ').unwrap_or_default();
                let first = path.split("::").next().unwrap_or(path);
                if line.ends_with(';') {
                    if word == "mod" || has_word(&ours, first) {
                        ours.extend(imported(path).flat_map(|name| [name, " "]));
                    }
                    used.clear();
                }
                continue;
            }
            let line = line.split("//").next().filter(|_| !line.starts_with('#')).unwrap_or("");
            // A call that is broken before its dot goes on.
            text += if line.starts_with('.') { "" } else { "\n" };
            text.extend(line.split('"').step_by(2));
        }
        Code { text, ours }
    }

    /// Whether it makes a call, by its name or as a crate spells it. `close` may be a drop, and is not
    /// looked for.
    fn calls(&self, call: &str) -> bool {
        let spelled = SPELLINGS.iter().filter(|(name, _)| *name == call);
        let mut spellings = spelled.flat_map(|(_, all)| all.split(' ')).chain([call]);
        // What the C library has no function for is called by its number.
        let by_number = || self.text.contains(&format!("libc::syscall(libc::SYS_{call},"));
        call == "close" || spellings.any(|spelling| self.has(spelling)) || by_number()
    }

    /// Whether `recv(…)`, `.recv(…)` or `libc::recv(…)` stands here, and is not a function of ours. Of a
    /// method the type is not seen: see `no_method_has_a_false_name`.
    fn has(&self, spelling: &str) -> bool {
        self.text.match_indices(spelling).any(|(at, _)| {
            let (before, rest) = self.text.split_at(at);
            let after = rest.strip_prefix(spelling).unwrap_or("");
            let path = before.trim_end_matches(|c| joins(c) || c == ':');
            let path = before.strip_prefix(path).unwrap_or("").split("::").next().unwrap_or("");
            let first = if path.is_empty() { spelling } else { path };
            let is_ours = !before.ends_with('.')
                && (has_word(&self.ours, first) || self.text.contains(&format!("fn {first}(")));
            (after.starts_with('(') || after.starts_with("::<"))
                && !before.ends_with(joins)
                && !before.ends_with("fn ")
                && (!is_ours || NETCORE.contains(&spelling))
        })
    }
}

/// `echo` and `Log` of `netcore::{echo, log::Log}`; of one with `self` in it, every name.
fn imported(path: &str) -> impl Iterator<Item = &str> {
    let pieces = path.split(|c| !joins(c) && c != ':');
    let all = has_word(path, "self");
    pieces.flat_map(move |piece| piece.rsplit("::").take(if all { usize::MAX } else { 1 }))
}

/// No method of netcore is named like a call that it is not: where it is called its type is not seen.
pub(super) fn no_method_has_a_false_name(tree: &Tree) -> Vec<String> {
    let spelled = SPELLINGS.iter().flat_map(|(call, all)| all.split(' ').chain([*call]));
    let mut calls: Vec<String> = spelled.map(str::to_owned).collect();
    calls.extend(tree.recipes().flat_map(|(_, main)| Header::parse(&main.text).calls));
    let mut findings = Vec::new();
    for file in tree.below("crates/netcore/src/") {
        for (line, text) in file.lines() {
            let method = text.strip_prefix("    pub fn ").and_then(|rest| rest.split_once('('));
            let Some((name, arguments)) = method else { continue };
            // rustfmt breaks a long list behind its parenthesis.
            let next = file.text.lines().nth(line).unwrap_or("");
            let is_method = [arguments, next].iter().any(|text| has_word(text, "self"));
            let is_listed = name == "close" || NETCORE.contains(&name);
            if is_method && !is_listed && calls.iter().any(|call| call == name) {
                let what = format!("the method `{name}` is named like a system call");
                let why = "list it in tidy/sight.rs if it is that call and no more, or rename it";
                findings.push(file.finding(line, &what, why));
            }
        }
    }
    findings
}
