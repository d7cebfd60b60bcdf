//! README's two tables: the recipes, in the order in which they are read, and the tools.

use std::fs;
use std::path::Path;

use crate::Failure;

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Counted from 1, as editors do.
    pub line: usize,
    /// The name of the recipe.
    pub name: String,
    /// It stands in the table that begins `| tool |`.
    pub is_tool: bool,
    /// What it is about: the names in backticks of the third column.
    pub calls: Vec<String>,
}

/// The rows of the README in `root`.
pub fn read(root: &Path) -> Result<Vec<Row>, Failure> {
    let path = root.join("README.md");
    let text = fs::read_to_string(&path);
    Ok(rows(&text.map_err(Failure::file(format_args!("read {}", path.display())))?))
}

/// The rows of both tables, from top to bottom.
pub fn rows(readme: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut table = None;
    for (line, text) in (1..).zip(readme.lines()) {
        let cells: Vec<&str> = text.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            _ if !text.starts_with('|') => table = None,
            ["recipe", ..] => table = Some(false),
            ["tool", ..] => table = Some(true),
            [first, ..] if first.starts_with("---") => {}
            [name, _, calls, ..] => rows.extend(table.map(|is_tool| Row {
                line,
                name: quoted(name).next().unwrap_or(name).to_owned(),
                is_tool,
                calls: quoted(calls).map(str::to_owned).collect(),
            })),
            _ => {}
        }
    }
    rows
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `readme` with `row` behind the last one of its table; `None` if there is no such table.
pub fn with_row(readme: &str, is_tool: bool, row: &str) -> Option<String> {
    let heading = if is_tool { "| tool |" } else { "| recipe |" };
    let heading = readme.lines().position(|line| line.starts_with(heading))?;
    let table = readme.lines().skip(heading).take_while(|line| line.starts_with('|')).count();
    let mut lines: Vec<&str> = readme.lines().collect();
    lines.insert(heading + table, row);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# Title\n\n| recipe | shows | system calls |\n| --- | --- | --- |\n\
                          | [`a`](crates/a/src/main.rs) | this | `fork` `_exit` |\n| b | that | |\n\n\
                          | tool | shows | system calls |\n| --- | --- | --- |\n| `t` | x | y |\n\n\
                          | code | meaning | |\n| --- | --- | --- |\n| 0 | no | row |\n";

    #[test]
    fn both_tables_are_read_and_no_other() {
        let row = |line, name: &str, is_tool, calls: &[&str]| Row {
            line,
            name: name.to_owned(),
            is_tool,
            calls: calls.iter().map(|&call| call.to_owned()).collect(),
        };
        let expected = [
            row(5, "a", false, &["fork", "_exit"]),
            row(6, "b", false, &[]),
            row(10, "t", true, &[]),
        ];
        assert_eq!(rows(README), expected);
    }

    #[test]
    fn a_row_that_is_added_is_the_last_of_its_table() {
        for (is_tool, expected) in [(false, ["a", "b", "n", "t"]), (true, ["a", "b", "t", "n"])] {
            let readme = with_row(README, is_tool, "| n | new | |").expect("there is a table");
            assert_eq!(rows(&readme).iter().map(|row| &row.name).collect::<Vec<_>>(), expected);
            assert!(with_row("no table", is_tool, "| n |").is_none());
        }
    }
}
