//! `cargo xtask tidy`: the project's rules as code, each with its reason; what clippy, rustdoc or typos
//! can say is left to them.
//!
//! A rule is one function over the files of the repository; its findings are printed as
//! `file:line: what; why`.

mod headers;
mod netcore;
mod options;
mod sight;
#[cfg(test)]
mod tests;
mod tree;
mod workspace;

use std::path::Path;

use argh::FromArgs;

use tree::Tree;
use xtask::{Failure, Output};

/// Check the project's own rules.
#[derive(FromArgs)]
#[argh(subcommand, name = "tidy")]
pub(crate) struct Args {}

/// All rules, in the order in which a new recipe meets them.
const RULES: &[fn(&Tree) -> Vec<String>] = &[
    workspace::no_blank_is_left,
    headers::headers_have_their_sections,
    sight::calls_are_in_sight,
    sight::no_method_has_a_false_name,
    workspace::every_recipe_has_a_row,
    workspace::manifests_inherit,
    workspace::links_lead_somewhere,
    options::equal_options_have_equal_words,
    netcore::every_public_item_has_a_user,
];

pub(crate) fn run(_: &Args, out: &mut Output) -> Result<bool, Failure> {
    let findings = findings(&netcheck::workspace())?;
    for finding in &findings {
        out.line(finding)?;
    }
    match findings.len() {
        0 => out.line(format_args!("tidy: {} rules hold", RULES.len()))?,
        count => out.line(format_args!("tidy: {count} findings"))?,
    }
    Ok(findings.is_empty())
}

/// What the rules find in the tree below `root`.
pub(crate) fn findings(root: &Path) -> Result<Vec<String>, Failure> {
    let tree = Tree::read(root)?;
    Ok(RULES.iter().flat_map(|rule| rule(&tree)).collect())
}
