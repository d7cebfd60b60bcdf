//! Rules about a recipe's header, the `//!` lines at its top: the header is the recipe, `--explain`
//! prints it, `cargo doc` renders it, and the tests run its transcript.

use super::tree::{File, Finding, Tree};

/// What a header tells, in the order in which a reader asks for it.
const SECTIONS: [&str; 6] =
    ["What it shows", "System calls", "Try it", "What can go wrong", "Next", "Source"];

/// `cargo xtask list` shows the title beside the name, and a search engine shows nothing else.
pub(super) fn title_is_one_sentence(tree: &Tree) -> Vec<Finding> {
    let why = "the first line is the whole title: `list`, `--help` and the docs show it alone";
    let mut findings = Vec::new();
    for (_, file) in tree.recipes() {
        let mut lines = header(file);
        let (title, next) = (lines.next(), lines.next());
        let title = title.map_or("", |(_, text)| text);
        let alone = next.is_none_or(|(_, text)| text.is_empty());
        if !title.ends_with('.') || title.contains(". ") || title.starts_with('#') || !alone {
            let what = format!("the title {title:?} is not one sentence on one line");
            findings.push(file.finding(1, what, why));
        }
    }
    findings
}

/// A reader of the tenth recipe knows where to look. More sections may stand between these.
pub(super) fn sections_are_present_and_in_order(tree: &Tree) -> Vec<Finding> {
    let why = "every header has the same sections in the same order";
    let mut findings = Vec::new();
    for (_, file) in tree.recipes() {
        let sections = sections(file);
        let mut last = 0;
        for wanted in SECTIONS {
            match sections.iter().find(|section| section.name == wanted) {
                None => findings.push(file.finding(1, format!("no section `# {wanted}`"), why)),
                Some(section) if section.line < last => {
                    let what = format!("`# {wanted}` is out of order");
                    findings.push(file.finding(section.line, what, why));
                }
                Some(section) => last = section.line,
            }
        }
    }
    findings
}

/// An empty section is worse than none: it was promised. Two sections have a form that the test
/// suite reads: system calls in backticks, transcripts in console blocks.
pub(super) fn sections_say_something(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, file) in tree.recipes() {
        for section in sections(file) {
            let mut lack = |what: &str, why| {
                let what = format!("`# {}` {what}", section.name);
                findings.push(file.finding(section.line, what, why));
            };
            if section.text.trim().is_empty() {
                lack("is empty", "a section that says nothing is left out or filled");
            } else if section.name == "System calls"
                && !section.text.contains('`')
                && !section.text.trim().starts_with("None ")
            {
                lack("names no call in backticks", "the suite compares them with strace's");
            } else if section.name == "Try it" && !section.text.contains("```console\n$ ") {
                lack("has no console block with a `$ ` line", "the suite runs what is shown");
            }
        }
    }
    findings
}

struct Section<'a> {
    name: &'a str,
    line: usize,
    text: String,
}

/// The `//!` lines at the top of a file, without that mark.
pub(super) fn header(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.lines()
        .map_while(|(number, line)| Some((number, line.strip_prefix("//!")?)))
        .map(|(number, text)| (number, text.strip_prefix(' ').unwrap_or(text)))
}

fn sections(file: &File) -> Vec<Section<'_>> {
    let mut sections: Vec<Section> = Vec::new();
    let mut fenced = false;
    for (line, text) in header(file) {
        fenced ^= text.starts_with("```");
        match text.strip_prefix("# ") {
            // Inside a console block `# ` is the prompt of root.
            Some(name) if !fenced => {
                sections.push(Section { name: name.trim(), line, text: String::new() });
            }
            _ => {
                if let Some(section) = sections.last_mut() {
                    section.text.push_str(text);
                    section.text.push('\n');
                }
            }
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    const GOOD: &str = "\
//! Echo what comes (RFC 862).
//!
//! # What it shows
//! A socket.
//! # System calls
//! `socket`
//! # Try it
//! ```console
//! $ echo-server
//! # not a heading
//! ```
//! # What can go wrong
//! EADDRINUSE
//! # Next
//! forking-echo
//! # Source
//! RFC 862
";

    fn found(rule: fn(&Tree) -> Vec<Finding>, header: &str) -> Vec<String> {
        let tree = sample(&[("crates/a/src/main.rs", header)]);
        rule(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_complete_header_is_left_in_peace() {
        assert_eq!(found(title_is_one_sentence, GOOD), [""; 0]);
        assert_eq!(found(sections_are_present_and_in_order, GOOD), [""; 0]);
        assert_eq!(found(sections_say_something, GOOD), [""; 0]);
    }

    #[test]
    fn a_title_of_two_sentences_or_of_none_is_found() {
        for bad in ["", "//! No stop", "//! One. Two.", "//! Over two\n//! lines.", "//! # Next."] {
            assert_eq!(found(title_is_one_sentence, bad).len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_section_that_is_missing_or_misplaced_is_found() {
        let missing = GOOD.replace("//! # Next\n", "");
        let found_missing = found(sections_are_present_and_in_order, &missing);
        assert!(found_missing.concat().contains("main.rs:1: no section `# Next`"));
        let swapped = GOOD.replace("# Next", "# x").replace("# Source", "# Next");
        let swapped = swapped.replace("# x", "# Source");
        let found_swapped = found(sections_are_present_and_in_order, &swapped);
        assert!(found_swapped.concat().contains("main.rs:14: `# Source` is out of order"));
    }

    #[test]
    fn a_section_without_its_contents_is_found() {
        for (text, instead) in [("`socket`", "socket"), ("console", ""), ("RFC 862\n", "\n")] {
            let bad = match GOOD.rsplit_once(text) {
                Some((before, after)) => format!("{before}{instead}{after}"),
                None => panic!("{text} is not in the sample"),
            };
            assert_eq!(found(sections_say_something, &bad).len(), 1, "{text:?}");
        }
    }
}
