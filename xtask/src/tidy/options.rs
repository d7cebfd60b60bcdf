//! The rule about the words of options.

use std::collections::BTreeMap;

use super::tree::{File, Finding, Tree};

/// An option whose second wording is meant: the option, that wording, and the reason.
type Exception = (&'static str, &'static str, &'static str);

const EXCEPTIONS: &[Exception] = &[
    (
        "port",
        "port to listen on: a number, a service name, or 0 for any that is free",
        "a server chooses its port, a client is told one",
    ),
    (
        "host",
        "address or name to listen on (127.0.0.1); :: is IPv6 and IPv4",
        "a server's address is its own, and decides who may reach it",
    ),
    ("quiet", "log nothing", "a server has no answer to print, only its log"),
    (
        "backlog",
        "connections that the kernel may queue (511)",
        "a browser opens several connections at once, and each that finds no place waits a second",
    ),
    (
        "idle-timeout",
        "longest silence of a peer, and longest time for a request (60s), or none",
        "a request that drips in is never silent, and must end too",
    ),
    (
        "max-clients",
        "clients at once (40)",
        "a process for each client costs more than a connection",
    ),
    ("verbose", "log what each peer sends, escaped", "a server's detail is what the peers send"),
    (
        "timeout",
        "longest wait for the connection, and for the whole reply (5s), or none",
        "clients at once are one measurement, whose end is bounded as a whole",
    ),
    (
        "verbose",
        "with --source file: show the lines that are no entry",
        "a look-up's detail is what it passed over",
    ),
    (
        "timeout",
        "longest wait for each answer of the resolver (5s), or none",
        "a look-up makes no connection",
    ),
    ("timeout", "longest wait for each answer (5s), or none", "there is no connection to wait for"),
    (
        "timeout",
        "longest wait for each reply, retries included (5s), or none",
        "nothing says when a datagram is lost: what bounds the wait bounds the retries too",
    ),
    (
        "retries",
        "how often a datagram without a reply is sent again (2)",
        "a question may be asked anew, a datagram is sent again as it is",
    ),
    (
        "count",
        "samples of each server (1); the one of least delay counts",
        "what is asked for is one answer, better for each sample",
    ),
    (
        "interval",
        "pause between two samples (1s), 1s at least",
        "servers of the time refuse whoever asks more often",
    ),
    (
        "timeout",
        "longest wait for each answer (1s), or none",
        "of several servers one may be dead, and nobody wants to wait for it",
    ),
    (
        "retries",
        "requests that follow one without an answer (1)",
        "of several servers the others have answered",
    ),
    ("seed", "which randomness (1)", "a way that loses datagrams has no pattern of bytes"),
    (
        "verbose",
        "show below each answer who sent it, and the local time",
        "an answer of one line has no round trips to show",
    ),
    (
        "timeout",
        "longest wait for a peer that stays silent (200ms), or none",
        "the wait itself is what is shown, and every one of them is as long as it may be",
    ),
    (
        "port",
        "port to show with each address: a number or a service name",
        "a look-up asks nobody at that port",
    ),
    (
        "port",
        "port to ask (80): a number or a service name",
        "HTTP has a port of its own, and an error that is made on purpose needs none",
    ),
    (
        "verbose",
        "print each stage, each attempt and the header too",
        "a request has stages and no round trips",
    ),
    ("size", "bytes of a message (64)", "a load has no other messages than a pattern"),
    (
        "max-clients",
        "clients at once (2000)",
        "a room of many is what is shown, and all of them hear each other",
    ),
    (
        "idle-timeout",
        "longest silence of a peer (1h), or none",
        "people are silent for longer than programs",
    ),
    (
        "timeout",
        "longest wait for the connection, the welcome and the goodbye (5s), or none",
        "between two messages of a chat there is all the time of the world",
    ),
];

/// Where an exception that nothing needs any more is to be removed.
const OWN_PATH: &str = "xtask/src/tidy/options.rs";

/// Whoever knows `--timeout` of one tool knows it of all: an option of the same name has the same
/// meaning, and so the same help text. The first recipe by name sets the words.
pub(super) fn equal_options_have_equal_words(tree: &Tree) -> Vec<Finding> {
    compare(tree, EXCEPTIONS)
}

fn compare(tree: &Tree, exceptions: &[Exception]) -> Vec<Finding> {
    let mut words: BTreeMap<String, (&str, String)> = BTreeMap::new();
    let mut findings = Vec::new();
    let mut idle: Vec<&Exception> = exceptions.iter().collect();
    for (recipe, file) in files_of_recipes(tree) {
        for Choice { line, name, help } in choices(file) {
            let meant = |(option, text, _): &Exception| *option == name && *text == help;
            if exceptions.iter().any(meant) {
                idle.retain(|exception| !meant(exception));
                continue;
            }
            match words.get(&name) {
                Some((_, first)) if *first == help => {}
                Some((model, first)) => {
                    let what = format!("--{name} is {help:?} here and {first:?} in {model}");
                    let why = "options of one name have one meaning, and the words of it";
                    findings.push(file.finding(line, what, why));
                }
                None => drop(words.insert(name, (recipe, help))),
            }
        }
    }
    for (name, text, _) in idle {
        let own = tree.file(OWN_PATH);
        let what = format!("no --{name} reads {text:?} any more");
        findings.extend(own.map(|own| own.finding(1, what, "an exception goes with its case")));
    }
    findings
}

/// Every file of every recipe: one with many options has them beside its main file.
fn files_of_recipes(tree: &Tree) -> impl Iterator<Item = (&str, &File)> {
    tree.recipes().flat_map(|(name, _)| {
        let folder = format!("crates/{name}/src/");
        let files = tree.ending(".rs").filter(move |file| file.path.starts_with(&folder));
        files.map(move |file| (name, file))
    })
}

/// One option or switch of a recipe's `Args`.
#[derive(Debug, PartialEq)]
struct Choice {
    line: usize,
    name: String,
    help: String,
}

/// The options as argh's derive reads them: doc lines, `#[argh(option…)]`, then the field.
fn choices(file: &File) -> Vec<Choice> {
    let mut found = Vec::new();
    let (mut help, mut attribute) = (Vec::new(), String::new());
    for (line, text) in file.lines() {
        let text = text.trim();
        if let Some(doc) = text.strip_prefix("///") {
            help.push(doc.trim());
        } else if text.starts_with("#[argh(") || unfinished(&attribute) {
            attribute.push_str(text);
        } else {
            let kind = attribute.strip_prefix("#[argh(").unwrap_or("");
            if kind.starts_with("option") || kind.starts_with("switch") {
                let field = text.trim_start_matches("pub(crate) ").split(':').next().unwrap_or("");
                let name = long_name(kind).unwrap_or_else(|| field.replace('_', "-"));
                found.push(Choice { line, name, help: help.join(" ") });
            }
            (help, attribute) = (Vec::new(), String::new());
        }
    }
    found
}

/// rustfmt breaks a long attribute over several lines.
fn unfinished(attribute: &str) -> bool {
    !attribute.is_empty() && !attribute.ends_with(")]")
}

/// The name that `long = "…"` gives in place of the field's.
fn long_name(attribute: &str) -> Option<String> {
    let (_, rest) = attribute.split_once("long = \"")?;
    Some(rest.split('"').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample;
    use super::*;

    const ONE: &str = "struct Args {\n/// port to listen on\n#[argh(option, short = 'p')]\nport: Port,\n\
        /// how long, and\n/// how often\n#[argh(\noption,\ndefault = \"f(1)\"\n)]\nidle_timeout: u8,\n\
        /// IPv4\n#[argh(switch, long = \"four\")]\nipv4: bool,\n/// names\n#[argh(positional)]\nn: u8 }";

    #[test]
    fn options_are_read_as_argh_reads_them() {
        let file = File { path: String::new(), text: ONE.to_owned() };
        let choice = |line, name: &str, help: &str| Choice {
            line,
            name: name.to_owned(),
            help: help.to_owned(),
        };
        let expected = [
            choice(4, "port", "port to listen on"),
            choice(11, "idle-timeout", "how long, and how often"),
            choice(14, "four", "IPv4"),
        ];
        assert_eq!(choices(&file), expected);
    }

    #[test]
    fn a_second_wording_is_found_unless_it_is_meant() {
        let other = ONE.replace("port to listen on", "port of the server");
        let files = [("crates/a/src/main.rs", ONE), ("crates/b/src/main.rs", other.as_str())];
        let found = compare(&sample(&files), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        let shown = found.iter().map(ToString::to_string).collect::<String>();
        assert!(shown.starts_with("crates/b/src/main.rs:4: --port is \"port of the server\" here"));
        assert!(compare(&sample(&files), &[("port", "port of the server", "a client")]).is_empty());
    }

    #[test]
    fn an_exception_without_its_case_is_found() {
        let files = [("crates/a/src/main.rs", ONE), (OWN_PATH, "")];
        let found = compare(&sample(&files), &[("port", "port of the server", "a client")]);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
