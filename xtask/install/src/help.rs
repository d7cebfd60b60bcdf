//! What `--help` printed, taken apart.

/// A term, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) term: String,
    pub(crate) meaning: String,
}

/// The parts of a help text.
#[derive(Debug, Default)]
pub(crate) struct Help {
    /// Without the name of the program.
    pub(crate) usage: String,
    pub(crate) title: String,
    pub(crate) arguments: Vec<Entry>,
    pub(crate) options: Vec<Entry>,
    pub(crate) examples: Vec<String>,
    pub(crate) exit_codes: Vec<Entry>,
}

/// An option as a command line has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    pub(crate) short: Option<char>,
    pub(crate) long: String,
    pub(crate) value: Option<String>,
}

impl Help {
    pub(crate) fn parse(text: &str) -> Self {
        let mut help = Self::default();
        let mut section = "";
        for line in text.lines() {
            if let Some(usage) = line.strip_prefix("Usage: ") {
                help.usage = usage.split_once(' ').map_or("", |(_, rest)| rest).to_owned();
            } else if ["ARGUMENTS", "OPTIONS", "EXAMPLES", "EXIT CODES"].contains(&line) {
                section = line;
            } else if !line.is_empty() {
                match section {
                    "" => {
                        help.title.push_str(if help.title.is_empty() { "" } else { " " });
                        help.title.push_str(line);
                    }
                    "ARGUMENTS" => add(&mut help.arguments, line),
                    "OPTIONS" => add(&mut help.options, line),
                    "EXAMPLES" => help.examples.push(line.trim().to_owned()),
                    _ => add(&mut help.exit_codes, line),
                }
            }
        }
        help
    }

    /// The options, as a shell completes them.
    pub(crate) fn flags(&self) -> Vec<(Flag, String)> {
        let flag = |entry: &Entry| {
            let mut flag = Flag { short: None, long: String::new(), value: None };
            for word in entry.term.split([' ', ',']).filter(|word| !word.is_empty()) {
                if word.starts_with("--") {
                    flag.long = word.to_owned();
                } else if let Some(short) = word.strip_prefix('-') {
                    flag.short = short.chars().next();
                } else {
                    flag.value = Some(word.trim_matches(['<', '>']).to_owned());
                }
            }
            (flag, entry.meaning.clone())
        };
        self.options.iter().map(flag).collect()
    }
}

/// A new entry, or more of the last one: what continues a meaning stands further to the right than any term.
fn add(entries: &mut Vec<Entry>, line: &str) {
    let indented = line.len() - line.trim_start().len();
    if indented > 6 {
        if let Some(entry) = entries.last_mut() {
            entry.meaning.push_str(if entry.meaning.is_empty() { "" } else { " " });
            entry.meaning.push_str(line.trim());
        }
        return;
    }
    let (term, meaning) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
    entries.push(Entry { term: term.to_owned(), meaning: meaning.trim().to_owned() });
}
