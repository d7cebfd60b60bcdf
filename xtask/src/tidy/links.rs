//! The rule about links between the documents.

use super::tree::{Finding, Tree};

/// A link that leads nowhere costs a reader's trust in all the others. Links into the web are not
/// followed: whether they hold is not for a machine without a network to say.
pub(super) fn relative_links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.ending(".md") {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut fenced = false;
        for (line, text) in file.lines() {
            fenced ^= text.trim_start().starts_with("```");
            for target in targets(text).filter(|_| !fenced) {
                let path = target.split('#').next().unwrap_or("");
                let elsewhere = path.is_empty() || path.contains(':');
                if !elsewhere && !exists(tree, &resolve(folder, path)) {
                    let what = format!("the link {target} leads nowhere");
                    findings.push(file.finding(line, what, "no such file or folder"));
                }
            }
        }
    }
    findings
}

/// The targets of `[text](target)` in a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The path from the root that `path` means in `folder`.
fn resolve(folder: &str, path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in folder.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

fn exists(tree: &Tree, path: &str) -> bool {
    let folder = format!("{path}/");
    path.is_empty()
        || tree.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let good = "[a](a.rs) [up](../README.md#x) [f](../docs) [w](https://a.b/c) [here](#there)";
        let text = format!("{good}\n```\n[in code](b)\n```\n[gone](gone.md)");
        let tree = sample(&[("README.md", ""), ("docs/a.rs", ""), ("docs/b.md", &text)]);
        let found = relative_links_lead_somewhere(&tree);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found.concat().starts_with("docs/b.md:5: the link gone.md leads nowhere"));
    }
}
