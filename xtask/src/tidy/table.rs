//! The rule about README's table, the order in which a reader meets the recipes.

use super::tree::{File, Finding, Tree};
use crate::readme::{Row, rows};

/// README is the door: a recipe without a row is never found, a row without a recipe is a lie.
pub(super) fn every_recipe_has_a_row(tree: &Tree) -> Vec<Finding> {
    // Without a README no recipe has a row.
    let missing = File { path: "README.md".to_owned(), text: String::new() };
    let readme = tree.file("README.md").unwrap_or(&missing);
    let rows = rows(&readme.text);
    let mut findings = Vec::new();
    for (name, _) in tree.recipes() {
        match rows.iter().filter(|row| row.name == name).count() {
            1 => {}
            0 => {
                let why = "what the table does not show is not found";
                findings.push(readme.finding(1, format!("no row for the recipe {name}"), why));
            }
            _ => {
                let why = "one row a recipe";
                findings.push(readme.finding(1, format!("{name} has two rows"), why));
            }
        }
    }
    for Row { line, name, .. } in rows {
        if !tree.recipes().any(|(recipe, _)| recipe == name) {
            let what = format!("the row {name} has no recipe");
            findings.push(readme.finding(line, what, "crates/ holds no such folder"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    const README: &str = "# Title\n\n| recipe | shows | calls |\n| --- | --- | --- |\n\
                          | [`a`](crates/a/src/main.rs) | this | |\n| b | that | |\n\n| c | no | |\n";

    #[test]
    fn a_recipe_without_a_row_and_a_row_without_a_recipe_are_found() {
        let files =
            [("README.md", README), ("crates/a/src/main.rs", ""), ("crates/z/src/main.rs", "")];
        let found: Vec<String> =
            every_recipe_has_a_row(&sample(&files)).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|found| found.contains("no row for the recipe z")));
        assert!(found.iter().any(|found| found.contains("README.md:6: the row b has no recipe")));
        assert_eq!(every_recipe_has_a_row(&sample(&[("crates/a/src/main.rs", "")])).len(), 1);
    }
}
