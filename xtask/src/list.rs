//! `cargo xtask list`: each recipe and tool, its one sentence and its system calls, in README's order.

use argh::FromArgs;
use netcheck::Header;

use xtask::readme::{self, Row};
use xtask::{Failure, Output};

/// A terminal of this many columns shows the list unbroken.
const COLUMNS: usize = 100;

/// List recipes and tools: the one sentence of each, and its system calls.
#[derive(FromArgs)]
#[argh(subcommand, name = "list")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, out: &mut Output) -> Result<bool, Failure> {
    let rows = readme::read(&netcheck::workspace())?;
    let margin = rows.iter().map(|row| row.name.len()).max().unwrap_or(0) + 2;
    let first_tool = rows.iter().position(|row| row.is_tool);
    for (place, Row { name, .. }) in rows.iter().enumerate() {
        if first_tool == Some(place) {
            out.line("\nTools:")?;
        }
        let header = Header::read(name);
        let mut lines = wrap(&header.title, COLUMNS - margin);
        lines.extend(wrap(&header.calls.join(" "), COLUMNS - margin));
        let mut label = name.as_str();
        for line in lines {
            out.line(format_args!("{label:margin$}{line}"))?;
            label = "";
        }
    }
    Ok(true)
}

/// Breaks `text` between words into lines of at most `width` columns (one word may be longer).
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_between_words_and_keep_to_the_width() {
        assert_eq!(wrap("socket bind listen accept", 11), ["socket bind", "listen", "accept"]);
        assert_eq!(wrap("", 11), [""; 0]);
        assert_eq!(wrap("getaddrinfo_is_long", 11), ["getaddrinfo_is_long"]);
    }
}
