//! The words of options.

use std::collections::BTreeMap;

use super::tree::{File, Tree};

/// Options whose words differ between recipes, with a reason for each wording after the first.
const WORDINGS: &[(&str, &[&str])] = &[
    ("backlog", &["a short queue is shown"]),
    ("bulk", &["what comes back is of no interest"]),
    ("case", &["what is tried is no error"]),
    ("clients", &["they are to find the queue full"]),
    ("count", &["an answer is better for each sample", "a sample is no message"]),
    ("host", &["a server's address is its own, and decides who may reach it"]),
    ("idle", &["how long a connection is idle, and not whether it is"]),
    ("idle-timeout", &["a slow request is never silent", "people are silent for longer"]),
    (
        "interval",
        &[
            "time servers refuse clients that ask more often",
            "a try is no repetition",
            "without it there is one sample",
        ],
    ),
    ("max-clients", &["all clients of a chat hear each other", "a process costs more"]),
    (
        "port",
        &[
            "with it this is the front",
            "a server chooses it",
            "a look-up asks nobody",
            "HTTP has its own",
        ],
    ),
    ("quiet", &["a server has no answer to print, only its log"]),
    ("retries", &["a question is asked anew", "one of several servers may be dead"]),
    ("send", &["messages are sent, and no size is asked for"]),
    ("seed", &["what loses datagrams has no pattern of bytes"]),
    ("size", &["a load has no other messages than a pattern", "a message is there to be lost"]),
    ("stdin", &["a stream has no lines that are kept apart"]),
    ("timeout", TIMEOUTS),
    ("verbose", &["a server logs its peers", "lines of a file", "one line", "stages of a request"]),
];

const TIMEOUTS: &[&str] = &[
    "a service that is not started yet is no failure",
    "a client that the server does not know is never accepted",
    "where a session stays open, only its beginning is bounded",
    "nothing is asked for over the connection",
    "a look-up makes no connection",
    "a datagram has no connection to wait for",
    "nothing says when a datagram is lost: retries are included",
    "one of several servers may be dead",
    "the wait itself is what is shown",
    "how long TCP waits by itself is shown",
    "a path has no name to look up",
];

/// An option of the same name has the same meaning in every tool, and so the same help text.
pub(super) fn equal_options_have_equal_words(tree: &Tree) -> Vec<String> {
    judge(tree, WORDINGS)
}

pub(super) fn judge(tree: &Tree, wordings: &[(&str, &[&str])]) -> Vec<String> {
    // For each option its wordings, and where each of them stands first.
    let mut options: BTreeMap<String, BTreeMap<String, (&File, usize)>> = BTreeMap::new();
    for (name, _) in tree.recipes() {
        for file in tree.below(&format!("crates/{name}/src/")) {
            for (line, option, help) in choices(file) {
                options.entry(option).or_default().entry(help).or_insert((file, line));
            }
        }
    }
    let mut findings = Vec::new();
    for (option, found) in &options {
        let reasons = wordings.iter().find(|(name, _)| name == option);
        let meant = 1 + reasons.map_or(0, |(_, reasons)| reasons.len());
        if found.len() != meant {
            let what = format!("--{option} has {} wordings, and reasons for {meant}", found.len());
            let each = found.iter().map(|(help, (file, line))| {
                file.finding(
                    *line,
                    &format!("{what}: {help:?}"),
                    "options of one name have one meaning",
                )
            });
            findings.extend(each);
        }
    }
    findings
}

/// The options and switches as argh's derive reads them, doc lines, `#[argh(option…)]`, then the
/// field: where it stands, its name and its help.
fn choices(file: &File) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    let (mut help, mut attribute) = (Vec::new(), String::new());
    for (line, text) in file.lines() {
        let text = text.trim();
        // rustfmt breaks a long attribute over several lines.
        let is_unfinished = !attribute.is_empty() && !attribute.ends_with(")]");
        if let Some(doc) = text.strip_prefix("///") {
            help.push(doc.trim());
        } else if text.starts_with("#[argh(") || is_unfinished {
            attribute.push_str(text);
        } else {
            let kind = attribute.strip_prefix("#[argh(").unwrap_or("");
            if kind.starts_with("option") || kind.starts_with("switch") {
                let field = text.trim_start_matches("pub(crate) ").split(':').next().unwrap_or("");
                let long =
                    kind.split_once("long = \"").and_then(|(_, rest)| rest.split('"').next());
                let name = long.map_or_else(|| field.replace('_', "-"), str::to_owned);
                found.push((line, name, help.join(" ")));
            }
            (help, attribute) = (Vec::new(), String::new());
        }
    }
    found
}
