//! What holds the files together: manifests, README's tables, links, and the blanks of the template.

use super::tree::{File, Tree, has_word};
use xtask::readme::{Row, rows};

/// A crate without the workspace's lints may print, cast and panic; a field that is written out
/// drifts from its neighbours.
pub(super) fn manifests_inherit(tree: &Tree) -> Vec<String> {
    const FIELDS: [&str; 6] = [
        "\nversion.workspace = true\n",
        "\nedition.workspace = true\n",
        "\nrust-version.workspace = true\n",
        "\nlicense.workspace = true\n",
        "\npublish.workspace = true\n",
        "\n[lints]\nworkspace = true",
    ];
    let mut findings = Vec::new();
    for file in tree.ending("/Cargo.toml").filter(|file| file.text.starts_with("[package]")) {
        for field in FIELDS.iter().filter(|field| !file.text.contains(*field)) {
            let what = format!("no `{}`", field.trim().replace('\n', " "));
            findings.push(file.finding(1, &what, "what is not inherited drifts"));
        }
    }
    findings
}

/// README is the door: what has no row is not found, and a row in the wrong table promises wrongly.
pub(super) fn every_recipe_has_a_row(tree: &Tree) -> Vec<String> {
    // Without a README no recipe has a row.
    let missing = File { path: "README.md".to_owned(), text: String::new() };
    let readme = tree.file("README.md").unwrap_or(&missing);
    let rows = rows(&readme.text);
    let mut findings = Vec::new();
    for (name, _) in tree.recipes() {
        let table = if tree.is_tool(name) { "tools" } else { "recipes" };
        let own = |row: &&Row| row.name == name && row.is_tool == tree.is_tool(name);
        let count = rows.iter().filter(own).count();
        if count != 1 {
            let what = format!("{count} rows of {name} in the table of {table}");
            findings.push(readme.finding(1, &what, "what the tables do not show is not found"));
        }
    }
    for Row { line, name, is_tool, .. } in rows {
        if !tree.recipes().any(|(recipe, _)| recipe == name && tree.is_tool(recipe) == is_tool) {
            let what = format!("the row {name} has no crate of its kind");
            findings.push(readme.finding(line, &what, "its Cargo.toml says what is a tool"));
        }
    }
    findings
}

/// A link that leads nowhere costs a reader's trust in all the others. Links into the web are not
/// followed: whether they hold is not for a machine without a network to say.
pub(super) fn links_lead_somewhere(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.ending(".md") {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut fenced = false;
        for (line, text) in file.lines() {
            fenced ^= text.trim_start().starts_with("```");
            let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            for (target, _) in targets.filter(|_| !fenced) {
                let path = target.split('#').next().unwrap_or("");
                if !path.is_empty() && !path.contains(':') && !exists(tree, folder, path) {
                    let what = format!("the link {target} leads nowhere");
                    findings.push(file.finding(line, &what, "no such file or folder"));
                }
            }
        }
    }
    findings
}

/// Whether the tree has what `path` means in `folder`.
fn exists(tree: &Tree, folder: &str, path: &str) -> bool {
    let mut names: Vec<&str> = Vec::new();
    for name in folder.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let path = names.join("/");
    path.is_empty()
        || tree.file(&path).is_some()
        || tree.below(&format!("{path}/")).next().is_some()
}

/// The template of `new` is full of this mark, so that no blank is forgotten.
pub(super) fn no_blank_is_left(tree: &Tree) -> Vec<String> {
    let mark = concat!("TO", "DO");
    let mut findings = Vec::new();
    // CONTRIBUTING speaks of the mark, and may.
    let shipped = [".rs", "/Cargo.toml", "README.md"];
    for file in shipped.iter().flat_map(|suffix| tree.ending(suffix)) {
        for (line, _) in file.lines().filter(|(_, text)| has_word(text, mark)) {
            findings.push(file.finding(
                line,
                &format!("{mark} is left"),
                "fill it in, or leave it out",
            ));
        }
    }
    findings
}
