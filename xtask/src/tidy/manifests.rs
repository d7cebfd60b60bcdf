//! Rules about the members' Cargo.toml files.

use super::tree::{File, Finding, Tree};

/// Without these two lines a crate silently has none of the workspace's lints: unsafe, a cast that
/// cuts and a println! that panics would pass.
pub(super) fn lints_are_inherited(tree: &Tree) -> Vec<Finding> {
    let why = "without it none of the workspace's lints hold here";
    members(tree)
        .filter(|file| !file.text.contains("\n[lints]\nworkspace = true"))
        .map(|file| file.finding(1, "no `[lints]` with `workspace = true`".to_owned(), why))
        .collect()
}

/// One edition, one licence, one version: a field that is written out drifts from its neighbours.
pub(super) fn package_fields_are_inherited(tree: &Tree) -> Vec<Finding> {
    let fields = ["version", "edition", "rust-version", "license", "publish"];
    let mut findings = Vec::new();
    for file in members(tree) {
        let package = file.text.split("\n[").next().unwrap_or("");
        for field in fields {
            let inherited = format!("{field}.workspace = true");
            if !package.lines().any(|line| line == inherited) {
                let why = "what is written out drifts from its neighbours";
                findings.push(file.finding(1, format!("no `{inherited}` in [package]"), why));
            }
        }
    }
    findings
}

/// The manifests of packages; the root's, which is virtual, is the one that they inherit from.
fn members(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.ending("/Cargo.toml").filter(|file| file.text.starts_with("[package]"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        publish.workspace = true\n\n[lints]\nworkspace = true\n";

    fn found(rule: fn(&Tree) -> Vec<Finding>, manifest: &str) -> usize {
        rule(&sample(&[("Cargo.toml", "[workspace]"), ("crates/a/Cargo.toml", manifest)])).len()
    }

    #[test]
    fn what_is_not_inherited_is_found() {
        assert_eq!(found(lints_are_inherited, GOOD), 0);
        assert_eq!(found(package_fields_are_inherited, GOOD), 0);
        let own_lints = GOOD.replace("workspace = true\n\n[lints]\nworkspace = true", "");
        assert_eq!(found(lints_are_inherited, &own_lints), 1);
        let own_edition = GOOD.replace("edition.workspace = true", "edition = \"2021\"");
        assert_eq!(found(package_fields_are_inherited, &own_edition), 1);
    }
}
