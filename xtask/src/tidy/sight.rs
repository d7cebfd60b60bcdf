//! The sight rule: every call that a header lists is called in `main.rs`, under its name.

use std::collections::BTreeSet;

use netcheck::Header;

use super::code::Code;
use super::tree::{File, Finding, Tree};
use crate::readme::{Row, rows};

/// A story is read in one sitting: 220 lines are advised, and past this it is two.
const STORY_LINES: usize = 300;

/// What a recipe's `src/` holds beside its tests.
const FILES: [&str; 3] = ["main.rs", "args.rs", "report.rs"];

/// A header may say of so many lines of calls that netcore makes them.
const LINES_IN_NETCORE: usize = 2;

/// Recipes that do not obey yet. One that does is taken off the list, which so can only shrink.
const NOT_YET: &[&str] = &[
    "buffer-size",
    "byte-order",
    "chat-client",
    "chat-server",
    "echo-load",
    "epoll-web",
    "forking-client",
    "host-info",
    "ipv4-convert",
    "ntp-responder",
    "remote-ip",
    "reuse-addr",
    "service-name",
    "sntp-client",
    "socket-errors",
    "socket-modes",
    "socket-timeout",
    "udp-echo",
];

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
    ("accept", "accept4 Accept::new AcceptMulti::new"),
    ("recv", "recv_with_flags Recv::new RecvMulti::new"),
    ("recvfrom", "recv recv_from"),
    ("recvmsg", "recv_vectored recvmmsg RecvMsg::new"),
    ("send", "send_with_flags Send::new"),
    ("sendto", "send send_to send_with_flags"),
    ("sendmsg", "send_vectored send_vectored_with_flags sendmmsg SendMsg::new"),
    ("poll", "ppoll poll_until PollAdd::new"),
    ("fcntl", "set_nonblocking set_cloexec try_clone"),
    ("epoll_create", "Epoll::new epoll_create1"),
    ("epoll_create1", "Epoll::new"),
    ("epoll_ctl", "epoll.add epoll.modify epoll.delete"),
    ("epoll_wait", "epoll.wait epoll_pwait epoll_pwait2"),
    ("io_uring_setup", "IoUring::new IoUring::builder"),
    ("io_uring_enter", "submit submit_and_wait submit_with_args"),
    ("getsockname", "local_addr"),
    ("getpeername", "peer_addr"),
    ("pthread_create", "spawn spawn_scoped"),
    ("pthread_join", "join"),
    ("write", "write_all"),
    ("sendfile", "sendfile64"),
    ("timerfd_create", "TimerFd::new"),
];

/// The functions of netcore that make exactly the call whose name they bear.
const NETCORE: &[&str] =
    &["Listener::accept", "Buffer::recv", "poll_until", "recvmsg", "getrandom", "_exit"];

/// A reader follows a recipe from start to end without leaving `main.rs`: its calls are there, no
/// other file of it tells a part of the story, and the story fits a sitting.
pub(super) fn calls_are_in_sight(tree: &Tree) -> Vec<Finding> {
    judge(tree, NOT_YET)
}

fn judge(tree: &Tree, not_yet: &[&str]) -> Vec<Finding> {
    let rows = tree.file("README.md").map(|readme| rows(&readme.text)).unwrap_or_default();
    let mut findings = Vec::new();
    for (name, main) in tree.recipes() {
        let is_tool = tree.is_tool(name);
        let recipe = Recipe { tree, name, main, is_tool, header: Header::parse(&main.text) };
        let row = rows.iter().find(|row| row.name == name);
        let mut found = recipe.calls_here();
        found.extend(recipe.calls_elsewhere());
        found.extend(row.into_iter().flat_map(|row| recipe.lesson(row)));
        found.extend(recipe.files());
        if not_yet.contains(&name) {
            if found.is_empty() {
                let what = format!("{name} obeys the sight rule, and stands in NOT_YET");
                findings.push(main.finding(1, what, "take it off the list in tidy/sight.rs"));
            }
        } else {
            findings.append(&mut found);
        }
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
    fn finding(&self, what: String, why: &'static str) -> Finding {
        self.main.finding(self.main.line_of("//! # System calls"), what, why)
    }

    /// What the header lists without a place is called in main.rs.
    fn calls_here(&self) -> Vec<Finding> {
        let code = Code::read(&self.main.text);
        let listed: BTreeSet<&String> = self.header.here.iter().collect();
        let hidden = listed.into_iter().filter(|call| !is_called(&code, call));
        let found = hidden.map(|call| {
            let here = |file: &&File| is_called(&Code::read(&file.text), call);
            let file = self.tree.below(&format!("crates/{}/src/", self.name)).find(here);
            let file = file.map_or(String::new(), |file| format!(", but in {}", file.path));
            let what = format!("{} does not call `{call}` in main.rs{file}", self.name);
            self.finding(what, "each call of `# System calls` is in sight, under its name")
        });
        found.collect()
    }

    /// What the header lists with a place is called there, and the place is one that is allowed.
    fn calls_elsewhere(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut in_netcore = 0;
        for elsewhere in &self.header.elsewhere {
            let place = &elsewhere.place;
            let files: Vec<&File> = match place.strip_prefix("netcore::") {
                Some(path) => {
                    in_netcore += 1;
                    let module = path.split("::").next().unwrap_or(path);
                    let module = format!("crates/netcore/src/{module}");
                    let file = self.tree.file(&format!("{module}.rs"));
                    file.into_iter().chain(self.tree.below(&format!("{module}/"))).collect()
                }
                None if self.is_tool => self
                    .tree
                    .file(&format!("crates/{}/src/{place}", self.name))
                    .into_iter()
                    .collect(),
                None => Vec::new(),
            };
            if files.is_empty() {
                let what = format!("`{place}` is no place for calls of {}", self.name);
                let why = "a module of netcore, or a file of a tool";
                findings.push(self.finding(what, why));
                continue;
            }
            let codes: Vec<Code> = files.iter().map(|file| Code::read(&file.text)).collect();
            for call in &elsewhere.calls {
                if !codes.iter().any(|code| is_called(code, call)) {
                    let what = format!("`{place}` does not call `{call}`, as {} says", self.name);
                    findings.push(self.finding(what, "the header is true"));
                }
            }
        }
        if in_netcore > LINES_IN_NETCORE {
            let what = format!("{} lines name netcore, at most {LINES_IN_NETCORE}", in_netcore);
            findings.push(self.finding(what, "a lesson whose calls are elsewhere is none"));
        }
        findings
    }

    /// What README's row says that it is about is in the header, and not in netcore.
    fn lesson(&self, row: &Row) -> Vec<Finding> {
        let header = &self.header;
        let own =
            header.elsewhere.iter().filter(|elsewhere| !elsewhere.place.starts_with("netcore"));
        let own: Vec<&String> = own.flat_map(|elsewhere| &elsewhere.calls).collect();
        let told = |call: &&String| {
            let in_prose =
                header.story.starts_with("None ") && header.story.contains(&format!("{call}("));
            in_prose || header.here.contains(call) || own.contains(call)
        };
        let missing = row.calls.iter().filter(|call| !told(call));
        let found = missing.map(|call| {
            let what =
                format!("README's row of {} has `{call}`, which is not told here", self.name);
            self.finding(what, "what a recipe is about is in its header, and never in netcore")
        });
        found.collect()
    }

    /// A recipe has three files, and a main.rs for one sitting; a tool has what it needs.
    fn files(&self) -> Vec<Finding> {
        let folder = format!("crates/{}/src/", self.name);
        let mut findings = Vec::new();
        for file in self.tree.below(&folder).filter(|_| !self.is_tool) {
            let name = file.path.strip_prefix(&folder).unwrap_or(&file.path);
            if !FILES.contains(&name) && !name.ends_with("_tests.rs") {
                let why =
                    "a recipe is main.rs, args.rs and report.rs; what needs more is a tool, or two";
                findings.push(file.finding(1, format!("{} has a {name}", self.name), why));
            }
        }
        let header = self.main.text.lines().take_while(|line| line.starts_with("//!")).count();
        let story = self.main.text.lines().count() - header;
        if story > STORY_LINES {
            let what = format!("{story} lines below the header, at most {STORY_LINES}");
            findings.push(self.main.finding(header + 1, what, "split the idea, not the file"));
        }
        findings
    }
}

/// Whether the code calls this; a `close` may be a drop, which is everywhere.
fn is_called(code: &Code, call: &str) -> bool {
    let spelled =
        SPELLINGS.iter().filter(|(name, _)| *name == call).flat_map(|(_, all)| all.split(' '));
    let mut paths = std::iter::once(call).chain(spelled).flat_map(|spelling| code.calls(spelling));
    call == "close" || paths.any(|path| is_the_call(code, path))
}

/// Whether what is called under `path` is a system call's own function: not one of this file, and of
/// netcore only one that is listed. A method's type is not seen; see `netcore_bears_no_false_names`.
fn is_the_call(code: &Code, path: &str) -> bool {
    let first = path.split("::").next().unwrap_or(path);
    let is_bare = first == path;
    let of_netcore = first == "netcore" || code.from_netcore.iter().any(|name| name == first);
    let listed =
        || NETCORE.iter().any(|name| path == *name || path.ends_with(&format!("::{name}")));
    !(is_bare && code.defined.iter().any(|name| name == path)) && (!of_netcore || listed())
}

/// A method's type is not seen where it is called: so no method of netcore is named like a call that
/// it is not. (`close` is one that nobody asks for.)
pub(super) fn netcore_bears_no_false_names(tree: &Tree) -> Vec<Finding> {
    let headers = tree.recipes().flat_map(|(_, main)| Header::parse(&main.text).calls);
    let spelled = SPELLINGS.iter().flat_map(|(name, all)| all.split(' ').chain([*name]));
    let spelled = spelled.map(str::to_owned);
    let calls: BTreeSet<String> = headers.chain(spelled).filter(|call| call != "close").collect();
    let mut findings = Vec::new();
    for file in tree.below("crates/netcore/src/") {
        let mut owner = "";
        for (number, line) in file.lines() {
            if let Some(of) = line.strip_prefix("impl") {
                let of = of.split(" for ").last().unwrap_or(of).trim_start();
                owner = of.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(of);
            }
            let Some((name, _)) =
                line.trim().strip_prefix("pub fn ").and_then(|f| f.split_once('('))
            else {
                continue;
            };
            let arguments: String =
                file.lines().skip(number - 1).take(2).map(|(_, line)| line).collect();
            let method = format!("{owner}::{name}");
            if calls.contains(name) && arguments.contains("self") && !NETCORE.contains(&&*method) {
                let what = format!("`{method}` is named like a system call");
                findings.push(file.finding(
                    number,
                    what,
                    "list it if it is that call, or rename it",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    const README: &str = "| recipe | shows | system calls |\n| --- | --- | --- |\n\
                          | `forking` | a process each | `fork` `waitpid` |\n";
    const HEADER: &str = "//! Echo.\n//!\n//! # System calls\n\
                          //! In `netcore::listener::listen`: `socket` → `listen`\n\
                          //! (`accept` → `fork`)*, in the parent `close` → `waitpid`\n";
    const MAIN: &str = "use nix::unistd::fork;\nuse netcore::listener::{Listener, listen};\n\
                        fn serve() { listen(); let s = listener.accept(); unsafe { fork() }; reap() }\n\
                        fn reap() { loop { waitpid(None) } }\n";
    const LISTENER: &str = "fn listen() { let s = Socket::new(); s.listen(5) }\n\
                            impl Listener {\n    pub fn accept(&self) {}\n}\n";

    fn found_with(
        not_yet: &[&str],
        header: &str,
        main: &str,
        more: &[(&str, &str)],
    ) -> Vec<String> {
        let main = format!("{header}{main}");
        let mut files = vec![
            ("README.md", README),
            ("crates/forking/src/main.rs", main.as_str()),
            ("crates/netcore/src/listener.rs", LISTENER),
        ];
        files.extend(more);
        judge(&sample(&files), not_yet).iter().map(ToString::to_string).collect()
    }

    fn found(header: &str, main: &str, more: &[(&str, &str)]) -> Vec<String> {
        found_with(&[], header, main, more)
    }

    #[test]
    fn a_story_in_sight_is_left_in_peace() {
        assert_eq!(found(HEADER, MAIN, &[]), [""; 0]);
        let files = [("crates/forking/src/report.rs", ""), ("crates/forking/src/a_tests.rs", "")];
        assert_eq!(found(HEADER, MAIN, &files), [""; 0]);
    }

    #[test]
    fn a_call_that_has_moved_out_is_named_with_its_recipe_and_file() {
        let (main, reap) = MAIN.split_once("fn reap").expect("it reaps");
        let reap = format!("pub(crate) fn reap{reap}");
        let found = found(HEADER, main, &[("crates/forking/src/report.rs", &reap)]).join("\n");
        let expected = "crates/forking/src/main.rs:3: forking does not call `waitpid` in main.rs, but in \
                        crates/forking/src/report.rs; each call of `# System calls` is in sight";
        assert!(found.starts_with(expected), "{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }

    #[test]
    fn what_only_looks_like_the_call_is_none() {
        for instead in [
            "fn reap() { /* waitpid() */ \"waitpid()\"; }",
            "fn reap() { signals.wait() }",
            "use nix::sys::wait::waitpid;",
            "fn waitpid() { signals.wait() } fn reap() { waitpid() }",
            "use netcore::family::waitpid; fn reap() { waitpid() }",
            "use netcore::family; fn reap() { family::waitpid() }",
            "#[cfg(test)] mod tests { fn reap() { waitpid() } }",
        ] {
            let main = MAIN.replace("fn reap() { loop { waitpid(None) } }", instead);
            assert_eq!(found(HEADER, &main, &[]).len(), 1, "{instead}");
        }
    }

    #[test]
    fn what_netcore_makes_is_made_there_and_is_not_the_lesson() {
        let bind = HEADER.replace("→ `listen`", "→ `bind`");
        assert!(
            found(&bind, MAIN, &[])[0].contains("`netcore::listener::listen` does not call `bind`")
        );
        let nowhere = HEADER.replace("netcore::listener::", "netcore::door::");
        assert!(found(&nowhere, MAIN, &[])[0].contains("`netcore::door::listen` is no place"));
        let file = HEADER.replace("netcore::listener::listen", "listener.rs");
        assert!(found(&file, MAIN, &[])[0].contains("`listener.rs` is no place"));
        let three = format!(
            "{HEADER}//! In `netcore::listener`: `listen`\n//! In `netcore::listener`: `socket`\n"
        );
        assert!(found(&three, MAIN, &[])[0].contains("3 lines name netcore"));
        let lesson = HEADER.replace(" → `waitpid`", "\n//! In `netcore::listener`: `waitpid`");
        let reaping = [("crates/netcore/src/listener/reap.rs", "fn reap() { waitpid() }")];
        let found = found(&lesson, MAIN, &reaping);
        assert!(
            found[0].contains("README's row of forking has `waitpid`") && found.len() == 1,
            "{found:?}"
        );
    }

    #[test]
    fn a_recipe_has_three_files_and_a_tool_names_its_own() {
        let other = ("crates/forking/src/children.rs", "fn reap() { waitpid() }");
        assert!(
            found(HEADER, MAIN, &[other])[0]
                .starts_with("crates/forking/src/children.rs:1: forking has")
        );
        let kind = ("crates/forking/Cargo.toml", "[package.metadata.cookbook]\nkind = \"tool\"\n");
        assert_eq!(found(HEADER, MAIN, &[other, kind]), [""; 0]);
        let header = HEADER.replace(" → `waitpid`", "\n//! In `children.rs`: `waitpid`");
        assert_eq!(found(&header, "", &[other, kind]).len(), 2, "accept and fork");
        let emptied = ("crates/forking/src/children.rs", "");
        assert!(
            found(&header, MAIN, &[emptied, kind])[0]
                .contains("`children.rs` does not call `waitpid`")
        );
        assert_eq!(found(HEADER, &format!("{MAIN}{}", "\n".repeat(297)), &[]).len(), 1);
    }

    #[test]
    fn who_does_not_obey_yet_is_listed_and_nobody_else() {
        assert_eq!(found_with(&["forking"], HEADER, "", &[]), [""; 0]);
        assert!(found_with(&["forking"], HEADER, MAIN, &[])[0].contains("forking obeys"));
    }

    #[test]
    fn a_method_of_netcore_is_named_like_a_call_only_if_it_is_one() {
        let log = "impl<T> From<T> for Log {\n    pub fn accept(\n        &self) {}\n    pub fn close(self) {}\n}\n\
                   pub fn accept() {}\nimpl Buffer {\n    pub fn recv(&mut self) {}\n}\n";
        let tree = sample(&[("crates/netcore/src/log.rs", log)]);
        let found = netcore_bears_no_false_names(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].to_string().contains("log.rs:2: `Log::accept` is named like a system call")
        );
    }
}
