//! What may stand in netcore: what recipes use.

use super::tree::{Tree, has_word};

/// The shared crate grows by what recipes need, never by what one might: an item without a user is
/// deleted or `pub(crate)`. A type is used where another line of netcore names it. The fuzz target is
/// a user where there is no other.
pub(super) fn every_public_item_has_a_user(tree: &Tree) -> Vec<String> {
    // An exercise may put into the learner's file what the recipe leaves to netcore.
    let folders = |(name, _)| ["src", "exercises"].map(|folder| format!("crates/{name}/{folder}/"));
    let recipes: String =
        tree.recipes().flat_map(folders).map(|folder| code(tree, &folder)).collect();
    let users = recipes + &code(tree, "tests/fuzz/");
    let own = code(tree, "crates/netcore/src/");
    let mut findings = Vec::new();
    for file in tree.below("crates/netcore/src/").filter(|file| !file.path.ends_with("tests.rs")) {
        for (number, line) in file.lines().take_while(|(_, line)| *line != "#[cfg(test)]") {
            let Some((kind, name)) = declared(line) else { continue };
            let is_type = !matches!(kind, "fn" | "const" | "static");
            let names = |other: &str| {
                has_word(other, name) && other.trim() != line.trim() && !other.starts_with("impl")
            };
            let is_named = has_word(&users, name) || is_type && own.lines().any(names);
            if !is_named {
                let what = format!("no recipe uses `{name}`");
                findings.push(file.finding(number, &what, "delete it, or make it pub(crate)"));
            }
        }
    }
    findings
}

/// The lines of all files of a folder but for comments and `use`s of its own. Literals stay: argh's
/// defaults are code in a string, `default = "Host::LOOPBACK"`.
fn code(tree: &Tree, folder: &str) -> String {
    let lines = tree.below(folder).flat_map(|file| file.text.lines());
    let code = lines.filter(|line| {
        let line = line.trim_start();
        !line.starts_with("//")
            && !line.starts_with("use crate::")
            && !line.starts_with("use super::")
    });
    code.flat_map(|line| [line, "\n"]).collect()
}

/// `("fn", "accept")` of `pub fn accept(&self) {`.
fn declared(line: &str) -> Option<(&str, &str)> {
    const KINDS: [&str; 7] = ["fn", "struct", "enum", "trait", "type", "const", "static"];
    let rest = line.trim_start().strip_prefix("pub ")?;
    let words = rest.split(|c: char| !super::tree::joins(c));
    // `pub const fn` declares a function, `pub unsafe fn` too: the last keyword counts.
    let mut kind = None;
    for word in words.filter(|word| !matches!(*word, "unsafe" | "async")) {
        match kind {
            _ if KINDS.contains(&word) => kind = Some(word),
            Some(kind) => return Some((kind, word)),
            None => return None,
        }
    }
    None
}
