//! The header of a recipe, read as a reader does: its sections, its system calls, what to type.

use std::fs;

use crate::binary::workspace;

/// The `//!` header of a recipe's `main.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The first line: what the recipe does.
    pub title: String,
    /// The sections in their order.
    pub sections: Vec<Section>,
    /// The section "System calls" in one line, without the places of [`Header::elsewhere`].
    pub call_text: String,
    /// The names in backticks of that text, in order and without their parentheses:
    /// `setsockopt(SO_REUSEADDR)` is `setsockopt`.
    pub calls: Vec<String>,
    /// Those of its lines that name another place than `main.rs` for their calls.
    pub elsewhere: Vec<Elsewhere>,
    /// The calls of all its other lines: what is to be found in `main.rs`.
    pub here: Vec<String>,
    /// The console blocks of the section "Try it".
    pub transcript: Vec<Block>,
}

/// A line of "System calls" that begins ``In `place`:``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// `netcore::listener::listen`, or a file.
    pub place: String,
    /// The calls that are made there.
    pub calls: Vec<String>,
}

/// `# Heading` and what follows, up to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `Try it`.
    pub heading: String,
    /// Its lines.
    pub text: String,
}

/// One console block: what is typed in one terminal, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The commands.
    pub typed: Vec<Typed>,
}

/// A command and what it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// What follows `$ `, without the ` &`.
    pub command: String,
    /// The lines below it.
    pub expected: Vec<String>,
    /// It ended in ` &`.
    pub background: bool,
}

impl Header {
    /// Reads the header of the recipe `name`.
    ///
    /// # Panics
    /// When there is no such recipe.
    pub fn read(name: &str) -> Self {
        let path = workspace().join("crates").join(name).join("src/main.rs");
        let source = fs::read_to_string(&path);
        Self::parse(&source.unwrap_or_else(|why| panic!("read {}: {why}", path.display())))
    }

    /// Reads the header of a source text.
    pub fn parse(source: &str) -> Self {
        let lines: Vec<&str> = source
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        let sections = sections(&lines);
        let of = |heading: &str| {
            let section = sections.iter().find(|section| section.heading == heading);
            section.map_or("", |section| section.text.as_str())
        };
        let (mut elsewhere, mut here, mut call_text) = (Vec::new(), String::new(), String::new());
        for line in of("System calls").lines() {
            let (place, text) = placed(line);
            match place {
                Some(place) => {
                    elsewhere.push(Elsewhere { place: place.into(), calls: calls(text) })
                }
                None => here = here + text + " ",
            }
            call_text = call_text + text + " ";
        }
        Self {
            title: lines.first().copied().unwrap_or_default().to_owned(),
            calls: calls(&call_text),
            here: calls(&here),
            call_text,
            elsewhere,
            transcript: transcript(of("Try it")),
            sections,
        }
    }
}

fn sections(lines: &[&str]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut fenced = false;
    for line in lines {
        fenced ^= line.starts_with("```");
        // A root prompt or a comment of a console block is no heading.
        match line.strip_prefix("# ").filter(|_| !fenced) {
            Some(heading) => {
                sections.push(Section { heading: heading.trim().to_owned(), text: String::new() });
            }
            None => {
                if let Some(section) = sections.last_mut() {
                    section.text.push_str(line);
                    section.text.push('\n');
                }
            }
        }
    }
    sections
}

/// ``In `place`: what is called there``, as the place and the rest.
fn placed(line: &str) -> (Option<&str>, &str) {
    let split = line.strip_prefix("In `").and_then(|rest| rest.split_once("`:"));
    split.map_or((None, line), |(place, rest)| (Some(place), rest.trim_start()))
}

fn calls(text: &str) -> Vec<String> {
    // Every second piece stood between backticks.
    let names = text.split('`').skip(1).step_by(2);
    names.map(|name| name.split('(').next().unwrap_or_default().to_owned()).collect()
}

fn transcript(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside && line.starts_with("```console");
            if inside {
                blocks.push(Block { typed: Vec::new() });
            }
            continue;
        }
        let Some(block) = blocks.last_mut().filter(|_| inside) else { continue };
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, background) =
                command.strip_suffix(" &").map_or((command, false), |command| (command, true));
            let command = command.to_owned();
            block.typed.push(Typed { command, expected: Vec::new(), background });
        } else if let Some(typed) = block.typed.last_mut() {
            typed.expected.push(line.to_owned());
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r"//! Echo what each peer sends (RFC 862).
//!
//! # System calls
//!
//! `socket` → `setsockopt(SO_REUSEADDR)` →
//! (`accept` → `recv`/`send`…)*
//!
//! # Try it
//!
//! ```console
//! $ echo-server --port 7000 &
//! listening on 127.0.0.1:7000
//! $ echo-client --port 7000
//! # not a heading
//! ```
//! Or with another:
//! ```text
//! $ not typed
//! ```
//! ```console
//! $ ncat 127.0.0.1 7000
//! ```
//!
//! # Source
//! accept(2)
use std::io;
//! # No longer the header
";

    #[test]
    fn sections_come_in_order_and_end_with_the_header() {
        let header = Header::parse(SOURCE);
        assert_eq!(header.title, "Echo what each peer sends (RFC 862).");
        let headings: Vec<_> = header.sections.iter().map(|s| s.heading.as_str()).collect();
        assert_eq!(headings, ["System calls", "Try it", "Source"]);
        assert_eq!(header.sections[2].text, "accept(2)\n");
    }

    #[test]
    fn system_calls_lose_their_options() {
        let calls = Header::parse(SOURCE).calls;
        assert_eq!(calls, ["socket", "setsockopt", "accept", "recv", "send"]);
    }

    #[test]
    fn a_line_may_name_the_place_of_its_calls() {
        let text = "//! # System calls\n//! In `netcore::listener::listen`: `socket` → `bind(2)`\n\
                    //! (`accept` → `send`)*, in the child `_exit`\n//! In `folder.rs`: `openat2`\n";
        let header = Header::parse(text);
        let call_text =
            "`socket` → `bind(2)` (`accept` → `send`)*, in the child `_exit` `openat2` ";
        assert_eq!(header.call_text, call_text);
        assert_eq!(header.calls, ["socket", "bind", "accept", "send", "_exit", "openat2"]);
        assert_eq!(header.here, ["accept", "send", "_exit"]);
        let place = |place: &str, calls: &[&str]| Elsewhere {
            place: place.into(),
            calls: calls.iter().map(|&call| call.into()).collect(),
        };
        let listen = place("netcore::listener::listen", &["socket", "bind"]);
        assert_eq!(header.elsewhere, [listen, place("folder.rs", &["openat2"])]);
    }

    #[test]
    fn only_console_blocks_are_typed() {
        let typed = |command: &str, expected: &[&str], background| Typed {
            command: command.into(),
            expected: expected.iter().map(|&line| line.into()).collect(),
            background,
        };
        let server = typed("echo-server --port 7000", &["listening on 127.0.0.1:7000"], true);
        let client = typed("echo-client --port 7000", &["# not a heading"], false);
        let ncat = typed("ncat 127.0.0.1 7000", &[], false);
        assert_eq!(
            Header::parse(SOURCE).transcript,
            [Block { typed: vec![server, client] }, Block { typed: vec![ncat] }]
        );
    }
}
