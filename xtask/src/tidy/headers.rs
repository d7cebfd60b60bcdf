//! The header of a recipe, the `//!` lines at its top: `--explain` prints it, `cargo doc` renders it,
//! and the tests run its transcript.

use netcheck::Header;

use super::tree::{File, Tree};

/// What a header tells, in the order in which a reader asks for it. More may stand between.
const SECTIONS: [&str; 6] =
    ["What it shows", "System calls", "Try it", "What can go wrong", "Next", "Source"];

/// Two screens.
const LINES: usize = 75;

/// A reader of the tenth recipe knows where to look.
pub(super) fn headers_have_their_sections(tree: &Tree) -> Vec<String> {
    tree.recipes().flat_map(|(_, main)| judge(main)).collect()
}

fn judge(main: &File) -> Vec<String> {
    let header = Header::parse(&main.text);
    let mut findings = Vec::new();
    let mut find = |line, what: String, why| findings.push(main.finding(line, &what, why));

    let title = &header.title;
    let is_alone = main.text.lines().nth(1).is_none_or(|second| second.trim() == "//!");
    if !title.ends_with('.') || title.contains(". ") || title.starts_with('#') || !is_alone {
        let what = format!("the title {title:?} is not one sentence on one line");
        find(1, what, "`list`, `--help` and the docs show it alone");
    }
    let lines = main.text.lines().take_while(|line| line.starts_with("//!")).count();
    if lines > LINES {
        find(LINES + 1, format!("{lines} lines of header, at most {LINES}"), "--explain prints it");
    }
    let mut last = 0;
    for wanted in SECTIONS {
        let why = "every header has the same sections in the same order";
        match header.sections.iter().position(|section| section.heading == wanted) {
            None => find(1, format!("no section `# {wanted}`"), why),
            Some(place) if place < last => {
                find(
                    main.line_of(&format!("//! # {wanted}")),
                    format!("`# {wanted}` is out of order"),
                    why,
                );
            }
            Some(place) => last = place,
        }
    }
    for section in &header.sections {
        let text = section.text.trim();
        let lack = match section.heading.as_str() {
            _ if text.is_empty() => "is empty",
            "System calls" if header.calls.is_empty() && !text.starts_with("None ") => {
                "names no call in backticks"
            }
            "Try it" if header.transcript.iter().all(|block| block.typed.is_empty()) => {
                "has no console block with a `$ ` line"
            }
            _ => continue,
        };
        let line = main.line_of(&format!("//! # {}", section.heading));
        find(line, format!("`# {}` {lack}", section.heading), "the suite reads what it promises");
    }
    findings
}
