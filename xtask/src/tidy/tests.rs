//! Every rule seen red: a sample on which none finds anything, and edits that one of them finds.

use super::tree::{File, Tree};
use super::{RULES, options};

const README: &str = "\
[code](crates/forking/src/main.rs#top) [docs](docs) [web](https://a.b/c)

| recipe | shows | system calls |
| --- | --- | --- |
| [`forking`](crates/forking/src/main.rs) | a process each | `fork` `waitpid` |

| tool | shows | system calls |
| --- | --- | --- |
| `web` | files | `openat2` |

| code | meaning | |
| --- | --- | --- |
| 0 | no row | |
";

const MANIFEST: &str = "\
[package]
name = \"a\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true
";

const FORKING: &str = "\
//! Echo what comes (RFC 862).
//!
//! # What it shows
//! A process each.
//! # System calls
//! In `netcore::listener::listen`: `socket` → `setsockopt(SO_REUSEADDR)` → `listen`
//! (`accept` → `fork`)*, in the parent `close` → `waitpid`
//! # Try it
//! ```console
//! $ forking
//! # not a heading
//! ```
//! # What can go wrong
//! EAGAIN
//! # Next
//! web
//! # Source
//! fork(2)
mod args;
use netcore::fork::now;
use netcore::listener::{Listener, listen};
use nix::unistd::fork;
fn serve() {
    let stream = listen().accept();
    unsafe { fork() };
    stream.close();
    reap();
}
fn reap() {
    loop { waitpid(None) }
}
";

const ARGS: &str = "\
struct Args {
    /// how far
    #[argh(
        option,
        default = \"f(Depth::ONE)\"
    )]
    pub(crate) depth: u8,
    /// one of many
    #[argh(switch, long = \"one\")]
    single: bool,
    /// not an option
    #[argh(positional)]
    name: u8,
}
";

const NETCORE: &str = "\
pub struct Depth(Kind);
pub enum Kind { Flat }
pub const ONE: u8 = 1;
pub fn listen() -> Listener {
    Socket::new().set_reuse_address();
    socket.listen(5)
}
impl Drop for Listener {
    pub fn accept(&self) {}
    pub fn close(self) {}
    pub const fn fuzzed() {}
    pub(crate) fn inner() {}
}
pub struct Listener;
#[cfg(test)]
mod tests { pub fn helper() {} }
";

/// What all rules find in the sample once `edits` are made: each the path of a file, a piece of it and
/// what takes its place. A file that is not there is made.
fn found(edits: &[(&str, &str, &str)]) -> Vec<String> {
    let tree = tree(edits);
    RULES.iter().flat_map(|rule| rule(&tree)).collect()
}

fn tree(edits: &[(&str, &str, &str)]) -> Tree {
    let tool = format!("{MANIFEST}[package.metadata.cookbook]\nkind = \"tool\"\n");
    let web = FORKING.replace(" → `waitpid`", "\n//! In `folder.rs`: `openat2`");
    let files = [
        ("README.md", README),
        ("docs/a.md", "[up](../README.md)\n```\n[in code](b)\n```\n"),
        ("crates/forking/Cargo.toml", MANIFEST),
        ("crates/forking/src/main.rs", FORKING),
        ("crates/forking/src/args.rs", ARGS),
        ("crates/forking/src/args_tests.rs", ""),
        ("crates/netcore/Cargo.toml", MANIFEST),
        ("crates/netcore/src/listener.rs", NETCORE),
        ("tests/fuzz/checks/ntp.rs", "fn check() { fuzzed() }"),
        ("crates/web/Cargo.toml", tool.as_str()),
        ("crates/web/src/main.rs", web.as_str()),
        ("crates/web/src/args.rs", ARGS),
        ("crates/web/src/folder.rs", "fn open() { openat2() }"),
    ];
    let file = |(path, text): (&str, &str)| File { path: path.into(), text: text.into() };
    let mut files: Vec<File> = files.into_iter().map(file).collect();
    for &(path, piece, instead) in edits {
        match files.iter_mut().find(|file| file.path == path) {
            Some(file) => {
                assert!(file.text.contains(piece), "{path} has no {piece:?}");
                file.text = file.text.replacen(piece, instead, 1);
            }
            None => files.push(file((path, instead))),
        }
    }
    Tree { files }
}

const MAIN: &str = "crates/forking/src/main.rs";
const REAP: &str = "fn reap() {\n    loop { waitpid(None) }\n}\n";

#[test]
fn what_obeys_is_left_in_peace() {
    assert_eq!(found(&[]), [""; 0]);
}

#[test]
fn a_call_that_has_moved_out_is_named_with_its_recipe_and_file() {
    let moved = [(MAIN, REAP, ""), ("crates/forking/src/report.rs", "", REAP)];
    let expected = "crates/forking/src/main.rs:5: forking does not call `waitpid` in main.rs, but in \
                    crates/forking/src/report.rs; each call of `# System calls` is in sight";
    let found = found(&moved);
    assert!(found.len() == 1 && found.concat().starts_with(expected), "{found:?}");
}

#[test]
fn what_only_looks_like_the_call_is_none() {
    for instead in [
        "fn reap() { \"waitpid()\"; } // waitpid()",
        "fn reap() { signals.wait() }",
        "use nix::sys::wait::waitpid;",
        "fn waitpid() { signals.wait() } fn reap() { waitpid() }",
        "use netcore::family::waitpid;\nfn reap() { waitpid() }",
        "use netcore::family;\nfn reap() { family::waitpid() }",
        "fn reap() { args::waitpid() }",
        "use args::waitpid;\nfn reap() { waitpid() }",
        "#[cfg(test)] mod tests { fn reap() { waitpid() } }",
    ] {
        let found = found(&[(MAIN, REAP, instead)]).join("\n");
        assert!(
            found.contains("not call `waitpid`") && found.lines().count() == 1,
            "{instead} {found}"
        );
    }
}

#[test]
fn a_function_of_the_c_library_is_called_too() {
    let in_words = (MAIN, " → `waitpid`", "; waitpid(3) is a function of the C library");
    assert_eq!(found(&[in_words]), [""; 0]);
    let hidden = found(&[in_words, (MAIN, REAP, "")]).concat();
    assert!(hidden.contains("README says that forking is about `waitpid`"), "{hidden}");
}

/// A file, a piece of it, what takes its place, and what is found then.
type Case = (&'static str, &'static str, &'static str, &'static str);

const NET: &str = "crates/netcore/src/listener.rs";
const WEB: &str = "crates/web/src/args.rs";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // The sight rule.
    (MAIN, "→ `listen`", "→ `bind`", "main.rs:5: forking says that `netcore::listener::listen` calls `bind`"),
    (MAIN, "//! # Try", "//! In `args.rs`: `fork`\n//! # Try", "says that `args.rs` calls `fork`"),
    (MAIN, "//! # Try", "//! In `netcore::a`:\n//! In `netcore::b`:\n//! # Try", "3 lines name netcore"),
    (MAIN, " → `waitpid`", "", "main.rs:5: README says that forking is about `waitpid`"),
    (MAIN, "//! # Try", "//! `recv`\n//! # Try", "does not call `recv`"),
    ("crates/forking/src/children.rs", "", "", "children.rs:1: forking has a children.rs"),
    ("crates/forking/src/report.rs", "", "fn accept() {}", "report.rs of forking has a function `accept`"),
    ("crates/web/src/folder.rs", "openat2()", "open()", "web says that `folder.rs` calls `openat2`"),
    (NET, "pub(crate)", "pub fn fork(\n        &self) {}\n    pub(crate)", "the method `fork` is named like"),
    // Headers.
    (MAIN, "862).", "862)", "main.rs:1: the title \"Echo what comes (RFC 862)\""),
    (MAIN, "what comes", "it. What", "is not one sentence"),
    (MAIN, "862).\n//!\n", "862).\n//! More.\n", "on one line"),
    (MAIN, "//! # Next\n", "", "no section `# Next`"),
    (MAIN, "//! # What can", "//! # Source\n//! x\n//! # What can", "`# Source` is out of order"),
    (MAIN, "//! EAGAIN\n", "", "main.rs:13: `# What can go wrong` is empty"),
    (MAIN, "```console", "```text", "main.rs:8: `# Try it` has no console block"),
    // The workspace.
    (MAIN, "//! web", concat!("//! TO", "DO: say it"), concat!("main.rs:16: TO", "DO is left")),
    ("crates/forking/Cargo.toml", "edition.workspace = true", "edition = \"2024\"", "no `edition"),
    ("crates/forking/Cargo.toml", "[lints]", "[lint]", "no `[lints] workspace = true`"),
    ("crates/web/Cargo.toml", "tool", "lesson", "0 rows of web in the table of recipes"),
    ("crates/web/Cargo.toml", "tool", "lesson", "README.md:9: the row web has no crate of its kind"),
    ("README.md", "(docs)", "(doc)", "README.md:1: the link doc leads nowhere"),
    ("docs/a.md", "../README.md", "README.md", "docs/a.md:1: the link README.md leads nowhere"),
    // Options.
    (WEB, "how far", "how deep", "web/src/args.rs:7: --depth has 2 wordings, and reasons for 1"),
    (WEB, "one of many", "one of few", "web/src/args.rs:10: --one has 2 wordings"),
    // netcore.
    (NET, "pub const", "pub fn lonely() {}\npub const", "listener.rs:3: no recipe uses `lonely`"),
    (NET, "(Kind)", "", "listener.rs:2: no recipe uses `Kind`"),
    ("tests/fuzz/checks/ntp.rs", "fuzzed", "fizzed", "no recipe uses `fuzzed`"),
];

#[test]
fn what_a_rule_forbids_is_found() {
    for (path, piece, instead, expected) in CASES {
        let found = found(&[(path, piece, instead)]);
        assert!(found.iter().any(|found| found.contains(expected)), "{expected}: {found:#?}");
        assert!(found.len() <= 4, "{expected}: {found:#?}");
    }
}

#[test]
fn what_is_too_long_is_found() {
    let long = format!("//! EAGAIN{}", "\n//! more".repeat(57));
    assert_eq!(found(&[(MAIN, "//! EAGAIN", &long)]), [""; 0]);
    let longer = found(&[(MAIN, "//! EAGAIN", &format!("{long}\n//! more"))]).concat();
    assert!(longer.contains("main.rs:76: 76 lines of header, at most 75"), "{longer}");
    let long = found(&[(MAIN, "mod args;\n", &"mod args;\n".repeat(300))]).concat();
    assert!(long.contains("main.rs:19: 312 lines below the header, at most 300"), "{long}");
}

#[test]
fn a_second_wording_has_its_reason() {
    let other = tree(&[(WEB, "how far", "how deep")]);
    assert!(options::judge(&other, &[("depth", &["a web is deep"])]).is_empty());
    assert_eq!(options::judge(&tree(&[]), &[("depth", &["a web is deep"])]).len(), 1);
}

#[test]
fn what_git_and_cargo_keep_for_themselves_is_no_part_of_the_tree() {
    let root = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
    for folder in ["src", "target/debug"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    // A worktree has a file in the place of the folder.
    for file in [".git", "src/a.rs", "target/debug/a.d", "README.md"] {
        std::fs::write(root.join(file), "").unwrap();
    }
    let read = Tree::read(&root);
    std::fs::remove_dir_all(&root).unwrap();
    let paths = read.unwrap_or_else(|_| panic!("read")).files.into_iter().map(|file| file.path);
    assert_eq!(paths.collect::<Vec<_>>(), ["README.md", "src/a.rs"]);
}
