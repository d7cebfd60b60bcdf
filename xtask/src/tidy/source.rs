//! Rules about source text: unsafe, what is unfinished, what waits, what names a machine.

use super::tree::{File, Finding, Tree};

/// Whoever audits the unsafe code opens the `sys.rs` files and the single calls that are a
/// recipe's lesson, and is done. The compiler denies the rest; this denies to allow it.
pub(super) fn unsafe_has_its_places(tree: &Tree) -> Vec<Finding> {
    let why = "unsafe stands in sys.rs, or at the one call that is a recipe's lesson";
    let mut findings = Vec::new();
    for file in tree.ending(".rs") {
        let code = file.code();
        let mut squeezed = String::new();
        for (line, text) in (1..).zip(code.lines()) {
            squeezed.extend(text.split_whitespace());
            if squeezed.contains("allow(unsafe_code") {
                let what = "`allow(unsafe_code)` hides it".to_owned();
                findings.push(file.finding(line, what, "`expect` goes when the unsafe goes"));
                break;
            }
            let expected = squeezed.contains("expect(unsafe_code,reason=");
            if has_word(text, "unsafe") && !expected && !file.path.ends_with("/sys.rs") {
                let what = "unsafe without `#[expect(unsafe_code, reason = …)]`".to_owned();
                findings.push(file.finding(line, what, why));
            }
        }
    }
    findings
}

/// The template of `new` is full of this mark, so that its blanks are not forgotten.
pub(super) fn nothing_is_left_undone(tree: &Tree) -> Vec<Finding> {
    let mark = concat!("TO", "DO");
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| shipped(file)) {
        for (line, _) in file.lines().filter(|(_, text)| has_word(text, mark)) {
            let why = "fill it in, or leave it out until it is real";
            findings.push(file.finding(line, format!("{mark} is left"), why));
        }
    }
    for file in tree.ending(".rs") {
        for stub in ["todo!", "unimplemented!"] {
            let why = "a program that panics on purpose is not finished";
            findings.extend(words(file, stub, why));
        }
    }
    findings
}

/// What is built or shown first; CONTRIBUTING.md speaks of the mark, and may.
fn shipped(file: &File) -> bool {
    [".rs", "/Cargo.toml", "README.md"].iter().any(|suffix| file.path.ends_with(suffix))
}

/// A sleep that is long enough on one machine is a flake on the next, and a wasted second on all.
pub(super) fn nothing_waits_by_sleeping(tree: &Tree) -> Vec<Finding> {
    let why = "wait for the condition itself, with a deadline";
    tree.ending(".rs").flat_map(|file| words(file, "thread::sleep", why)).collect()
}

/// What names someone's directory works on that machine only.
pub(super) fn no_path_of_a_machine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for folder in [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "Users/")] {
            for (line, _) in file.lines().filter(|(_, text)| text.contains(folder)) {
                let why = "it exists on one machine only";
                findings.push(file.finding(line, format!("a path below {folder}"), why));
            }
        }
    }
    findings
}

/// What a run or a tool left behind is committed easily, and stays in the history for good.
pub(super) fn the_root_holds_what_belongs_there(tree: &Tree) -> Vec<Finding> {
    const ROOT: [&str; 11] = [
        ".gitignore",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "clippy.toml",
        "deny.toml",
        "rustfmt.toml",
    ];
    let strays = |file: &&File| !file.path.contains('/') && !ROOT.contains(&file.path.as_str());
    let finding = |file: &File| {
        file.finding(1, "a file that no rule names".to_owned(), "list it here, or remove it")
    };
    tree.files.iter().filter(strays).map(finding).collect()
}

/// The places in a file's code where `needle` stands.
fn words(file: &File, needle: &str, why: &'static str) -> Vec<Finding> {
    let code = file.code();
    let hits = (1..).zip(code.lines()).filter(|(_, text)| text.contains(needle));
    hits.map(|(line, _)| file.finding(line, format!("`{needle}`"), why)).collect()
}

/// Whether `word` stands in `text` by itself, not as a part of a longer name.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
        rule(&sample(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unsafe_without_its_reason_is_found() {
        let call = "fn f() {\n    unsafe { g() }\n}\n";
        let rule = unsafe_has_its_places;
        assert!(found(rule, "a/main.rs", call).concat().starts_with("a/main.rs:2: unsafe"));
        assert_eq!(found(rule, "a/sys.rs", call).len(), 0);
        let reasoned = format!("#[expect(\n    unsafe_code,\n    reason = \"fork\"\n)]\n{call}");
        assert_eq!(found(rule, "a/main.rs", &reasoned).len(), 0);
        let allowed = format!("#[allow(unsafe_code, reason = \"x\")]\n{call}");
        assert_eq!(found(rule, "a/sys.rs", &allowed).len(), 1);
        assert_eq!(found(rule, "a/main.rs", "// unsafe\nlet unsafely = \"unsafe\";").len(), 0);
    }

    #[test]
    fn what_is_unfinished_is_found() {
        let mark = concat!("//! TO", "DO: say it");
        assert_eq!(found(nothing_is_left_undone, "crates/a/src/main.rs", mark).len(), 1);
        assert_eq!(found(nothing_is_left_undone, "CONTRIBUTING.md", mark).len(), 0);
        assert_eq!(found(nothing_is_left_undone, "a.rs", "f() { todo!() }").len(), 1);
    }

    #[test]
    fn a_sleep_is_found_where_it_is_code() {
        let rule = nothing_waits_by_sleeping;
        assert_eq!(found(rule, "a.rs", "std::thread::sleep(TICK);").len(), 1);
        assert_eq!(found(rule, "a.rs", "// never thread::sleep here").len(), 0);
    }

    #[test]
    fn a_file_that_was_left_behind_is_found() {
        let rule = the_root_holds_what_belongs_there;
        assert_eq!(found(rule, "perf.data", "").len(), 1);
        assert_eq!(found(rule, "README.md", "").len(), 0);
        assert_eq!(found(rule, "crates/a/notes.txt", "").len(), 0);
    }

    #[test]
    fn a_path_of_a_machine_is_found_in_any_file() {
        let path = concat!("see /", "home/me/x");
        assert_eq!(found(no_path_of_a_machine, "docs/a.md", path).len(), 1);
        assert_eq!(found(no_path_of_a_machine, "docs/a.md", "see ~/x").len(), 0);
    }
}
