//! The rule about README's table, the order in which a reader meets the recipes.

use super::tree::{File, Finding, Tree};

/// README is the door: a recipe without a row is never found, a row without a recipe is a lie.
pub(super) fn every_recipe_has_a_row(tree: &Tree) -> Vec<Finding> {
    // Without a README no recipe has a row.
    let missing = File { path: "README.md".to_owned(), text: String::new() };
    let readme = tree.file("README.md").unwrap_or(&missing);
    let rows: Vec<(usize, &str)> = rows(&readme.text).collect();
    let mut findings = Vec::new();
    for (name, _) in tree.recipes() {
        match rows.iter().filter(|(_, row)| *row == name).count() {
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
    for (line, row) in rows {
        if !tree.recipes().any(|(name, _)| name == row) {
            let what = format!("the row {row} has no recipe");
            findings.push(readme.finding(line, what, "crates/ holds no such folder"));
        }
    }
    findings
}

/// The recipes' names in the first column of the table that begins `| recipe |`, with their lines.
fn rows(readme: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = (1..).zip(readme.lines());
    // The heading, then the line of dashes.
    let heading = lines.find(|(_, line)| line.starts_with("| recipe |"));
    let rows = lines.skip(1).take_while(|(_, line)| line.starts_with('|'));
    rows.filter(move |_| heading.is_some()).map(|(number, line)| (number, first_cell(line)))
}

/// `name` of ``| [`name`](crates/name/src/main.rs) | …``.
fn first_cell(row: &str) -> &str {
    let cell = row.trim_start_matches('|').split('|').next().unwrap_or("").trim();
    let text = cell.strip_prefix('[').and_then(|link| link.split(']').next()).unwrap_or(cell);
    text.trim_matches('`')
}

/// `readme` with `row` behind the last row of the table; `None` if there is no such table.
pub(crate) fn with_row(readme: &str, row: &str) -> Option<String> {
    let heading = readme.lines().position(|line| line.starts_with("| recipe |"))?;
    let table = readme.lines().skip(heading).take_while(|line| line.starts_with('|')).count();
    let mut lines: Vec<&str> = readme.lines().collect();
    lines.insert(heading + table, row);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    const README: &str = "# Title\n\n| recipe | shows |\n| --- | --- |\n\
                          | [`a`](crates/a/src/main.rs) | this |\n| b | that |\n\n| c | no |\n";

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

    #[test]
    fn a_row_that_is_added_is_the_last_of_the_table() {
        let readme = with_row(README, "| n | new |").expect("there is a table");
        assert_eq!(rows(&readme).map(|(_, name)| name).collect::<Vec<_>>(), ["a", "b", "n"]);
        assert!(with_row("no table", "| n |").is_none());
    }
}
