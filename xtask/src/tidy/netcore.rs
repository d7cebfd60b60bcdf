//! The rule about what may stand in netcore.

use super::source::has_word;
use super::tree::{Finding, Tree};

/// The shared crate grows by what two recipes need, never by what one might: an item without a
/// user is deleted or `pub(crate)`; with a single one it is noted, as it may belong in that recipe.
/// A type counts as used where it is named in the signature of an item that is. The fuzz target is a
/// user where there is no other: what it takes has to be public.
pub(super) fn every_public_item_has_a_user(tree: &Tree) -> Vec<Finding> {
    let recipes: Vec<(&str, String)> = users(tree);
    let fuzz = code_below(tree, "crates/netcore/fuzz/");
    let mut items = items(tree);
    for item in &mut items {
        let by = recipes.iter().filter(|(_, text)| has_word(text, &item.name));
        item.users = by.map(|(recipe, _)| (*recipe).to_owned()).collect();
        if item.users.is_empty() && has_word(&fuzz, &item.name) {
            item.users.push("fuzz".to_owned());
        }
    }
    // Signatures name types whose own signatures name types: until nothing is added.
    loop {
        let used: Vec<&Item> = items.iter().filter(|item| !item.users.is_empty()).collect();
        let found = items.iter().enumerate().find_map(|(index, item)| {
            let named =
                |other: &&&Item| has_word(&other.signature, &item.name) && other.name != item.name;
            let lender =
                used.iter().find(named).filter(|_| item.users.is_empty() && item.is_type)?;
            Some((index, lender.users.clone()))
        });
        let Some((index, users)) = found else { break };
        if let Some(item) = items.get_mut(index) {
            item.users = users;
        }
    }
    items.iter().filter_map(|item| judge(tree, item)).collect()
}

fn judge(tree: &Tree, item: &Item) -> Option<Finding> {
    let file = tree.file(&item.path)?;
    match item.users.as_slice() {
        [] => {
            let what = format!("no recipe uses `{}`", item.name);
            Some(file.finding(item.line, what, "delete it, or make it pub(crate)"))
        }
        [only] => {
            let what = format!("only {only} uses `{}`", item.name);
            let why = "what one recipe needs may belong in that recipe";
            Some(file.finding(item.line, what, why).noted())
        }
        _ => None,
    }
}

/// One `pub` item of netcore, methods included.
struct Item {
    name: String,
    path: String,
    line: usize,
    /// From `pub` to the body; for a type or a trait, with the body, which names more types.
    signature: String,
    is_type: bool,
    users: Vec<String>,
}

/// The recipes' names, each with the text of all its files.
fn users(tree: &Tree) -> Vec<(&str, String)> {
    let text_of = |name: &str| code_below(tree, &format!("crates/{name}/src/"));
    tree.recipes().map(|(name, _)| (name, text_of(name))).collect()
}

/// The text of all files of a folder but for the comments. Literals stay: argh's defaults are code in
/// a string, `default = "Host::LOOPBACK"`.
fn code_below(tree: &Tree, folder: &str) -> String {
    let files = tree.ending(".rs").filter(|file| file.path.starts_with(folder));
    let lines = files.flat_map(|file| file.text.lines());
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

fn items(tree: &Tree) -> Vec<Item> {
    let mut items = Vec::new();
    let files = tree.ending(".rs").filter(|file| file.path.starts_with("crates/netcore/src/"));
    for file in files.filter(|file| !file.path.ends_with("tests.rs")) {
        let code = file.code();
        let lines: Vec<&str> = code.lines().collect();
        // By the house's custom tests are the end of a file.
        let tests = lines.iter().position(|line| line.trim() == "#[cfg(test)]");
        for (index, line) in lines.iter().enumerate().take(tests.unwrap_or(lines.len())) {
            let Some((kind, name)) = declared(line) else { continue };
            let is_type = matches!(kind, "struct" | "enum" | "trait" | "type");
            let rest = lines.iter().skip(index);
            items.push(Item {
                name: name.to_owned(),
                path: file.path.clone(),
                line: index + 1,
                signature: signature(rest.copied(), is_type),
                is_type,
                users: Vec::new(),
            });
        }
    }
    items
}

/// `("fn", "accept")` of `pub fn accept(&self) {`.
fn declared(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let mut words = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
    let kinds = ["fn", "struct", "enum", "trait", "type", "const", "static"];
    // `pub const fn` declares a function, `pub unsafe fn` too: the last keyword counts.
    let mut kind = words.find(|word| kinds.contains(word))?;
    let mut name = words.next()?;
    while kinds.contains(&name) {
        (kind, name) = (name, words.next()?);
    }
    (!name.is_empty()).then_some((kind, name))
}

fn signature<'a>(lines: impl Iterator<Item = &'a str>, with_body: bool) -> String {
    let mut signature = String::new();
    let mut depth = 0_usize;
    for line in lines {
        for char in line.chars() {
            match char {
                '{' if !with_body => return signature,
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => return signature,
                _ => {}
            }
            signature.push(char);
        }
        signature.push('\n');
        if with_body && depth == 0 && line.trim_end().ends_with('}') {
            return signature;
        }
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    const LIB: &str = "\
pub struct Log { at: Level }
pub enum Level { Quiet }
impl Log {
    pub fn opened(
        &self,
    ) -> Peer { Hidden }
    pub const fn lonely() {}
    pub const fn fuzzed() {}
    pub(crate) fn inner() {}
}
pub struct Peer;
pub struct Hidden;
// pub fn spoken_of()
#[cfg(test)]
mod tests { pub fn helper() {} }
";

    #[test]
    fn an_item_without_a_user_is_found_and_one_with_a_single_user_is_noted() {
        let found = every_public_item_has_a_user(&sample(&[
            ("crates/netcore/src/lib.rs", LIB),
            ("crates/a/src/main.rs", "// lonely\nfn main() { Log::new().opened() }"),
            ("crates/b/src/main.rs", ""),
            ("crates/netcore/fuzz/check.rs", "fn check() { fuzzed() }"),
            ("crates/b/src/other.rs", "use netcore::{Log, Level};"),
        ]));
        let (notes, errors): (Vec<_>, Vec<_>) = found.iter().partition(|finding| finding.note);
        let shown = |findings: &[&Finding]| -> Vec<String> {
            findings.iter().map(ToString::to_string).collect()
        };
        let errors = shown(&errors).join("\n");
        assert!(errors.contains("lib.rs:7: no recipe uses `lonely`"), "{errors}");
        assert!(errors.contains("lib.rs:12: no recipe uses `Hidden`"), "{errors}");
        assert_eq!(errors.lines().count(), 2, "{errors}");
        // `opened` by itself; `Peer` because `opened` returns it. `Level` has a user of its own.
        let notes = shown(&notes).join("\n");
        assert!(notes.contains("only a uses `opened`") && notes.contains("only a uses `Peer`"));
        assert!(notes.contains("only b uses `Level`"), "{notes}");
        assert!(notes.contains("only fuzz uses `fuzzed`"), "{notes}");
        assert_eq!(notes.lines().count(), 4, "{notes}");
    }

    #[test]
    fn a_declaration_is_its_kind_and_its_name() {
        assert_eq!(declared("    pub const fn zero() -> u8 {"), Some(("fn", "zero")));
        assert_eq!(declared("pub const ZERO: u8 = 0;"), Some(("const", "ZERO")));
        assert_eq!(declared("pub struct Port(pub u16);"), Some(("struct", "Port")));
        assert_eq!(declared("pub name: String,"), None);
        assert_eq!(declared("pub use error::Error;"), None);
        assert_eq!(declared("pub(crate) fn inner() {}"), None);
    }
}
