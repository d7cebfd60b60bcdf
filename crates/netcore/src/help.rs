//! What `--help` and `--explain` print.

use argh::{CommandInfoWithArgs, FlagInfoKind, Optionality};

use crate::error::EXIT_CODES;

/// The usual width of a terminal.
const WIDTH: usize = 80;

/// Where the descriptions of options begin.
const COLUMN: usize = 28;

/// What the frame knows of a recipe; [`recipe!`](crate::recipe) makes it.
pub struct Recipe {
    /// The name of the program.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The text of its main.rs, whose header is the lesson that `--explain` prints.
    pub source: &'static str,
    /// The exit codes that it can end with, for `--help`; each with what it means here, where that
    /// is not (only) what it means everywhere.
    pub exit_codes: &'static [(u8, &'static str)],
    /// Former names of options, each with its name of today.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Options that another program has now, each with the name of that program.
    pub moved: &'static [(&'static str, &'static str)],
}

/// The lesson of a recipe: the `//!` lines that its main.rs begins with.
pub(crate) fn header(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The help: usage, options, then examples and exit codes, as man pages end.
pub(crate) fn text(recipe: &Recipe, info: &CommandInfoWithArgs) -> String {
    let mut text = format!("Usage: {}", recipe.name);
    for flag in info.flags.iter().filter(|flag| flag.optionality == Optionality::Required) {
        if let FlagInfoKind::Option { arg_name } = flag.kind {
            text += &format!(" {} <{arg_name}>", flag.long);
        }
    }
    text += " [options]";
    for positional in info.positionals {
        text += &match positional.optionality {
            Optionality::Required => format!(" <{}>", positional.name),
            Optionality::Optional => format!(" [<{}>]", positional.name),
            Optionality::Repeating | Optionality::Greedy => format!(" [<{}>...]", positional.name),
        };
    }
    text.push_str("\n\n");
    wrap(&mut text, "", 0, info.description);
    if !info.positionals.is_empty() {
        text.push_str("\nARGUMENTS\n");
        for positional in info.positionals {
            wrap(&mut text, &format!("  {}", positional.name), COLUMN, positional.description);
        }
    }
    text.push_str("\nOPTIONS\n");
    for flag in info.flags.iter().filter(|flag| flag.long != "--help") {
        let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let value = match flag.kind {
            FlagInfoKind::Switch => String::new(),
            FlagInfoKind::Option { arg_name } => format!(" <{arg_name}>"),
        };
        let alias = recipe.aliases.iter().find(|(_, known)| *known == flag.long);
        let alias = alias.map_or_else(String::new, |(alias, _)| format!(" [{alias}]"));
        let description = format!("{}{alias}", flag.description);
        wrap(&mut text, &format!("  {short}{}{value}", flag.long), COLUMN, &description);
    }
    let is_size = |kind: &FlagInfoKind| matches!(kind, FlagInfoKind::Option { arg_name: "bytes" });
    if info.flags.iter().any(|flag| is_size(&flag.kind)) {
        wrap(&mut text, "    <bytes>", COLUMN, "a number, 64K, 1M, 1G, or 0x1000");
    }
    wrap(&mut text, "  -h, --help", COLUMN, "print this and exit");
    wrap(&mut text, "  -V, --version", COLUMN, "print the version and exit");
    wrap(&mut text, "      --explain", COLUMN, "print the lesson behind this program and exit");
    text.push_str("\nEXAMPLES\n");
    for example in info.examples {
        for line in example.lines() {
            text += &format!("  {}\n", line.replace("{command_name}", recipe.name));
        }
    }
    text.push_str("\nEXIT CODES\n");
    for (code, own) in recipe.exit_codes {
        let known = EXIT_CODES.iter().find(|(known, _)| known == code);
        let meaning = if own.is_empty() { known.map_or("", |(_, meaning)| meaning) } else { own };
        wrap(&mut text, &format!("  {code}"), 7, meaning);
    }
    text
}

/// Adds a term, and its description from a column on, in lines no longer than [`WIDTH`].
fn wrap(text: &mut String, term: &str, column: usize, description: &str) {
    let mut line = format!("{term:column$}");
    // A term that reaches into the column gets its own line.
    if term.len() + 2 > column && column > 0 {
        text.push_str(term);
        text.push('\n');
        line = " ".repeat(column);
    }
    let start = line.len();
    for word in description.split_whitespace() {
        if line.len() > start && line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat(column);
        } else if line.len() > start {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
