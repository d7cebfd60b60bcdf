//! Command lines: the forms that are taken, and how those that are wrong are refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use netcheck::{Need, Server, Skip, need};

use super::{Kind, Listed, Tool, Topic, topics};

pub(super) const TOPICS: &[(&str, Kind, Topic)] = topics![
    Any:
        an_unknown_option_is_refused,
        an_option_without_its_value_is_refused,
        a_value_that_means_nothing_is_refused,
        an_option_given_twice_is_refused,
        a_switch_with_a_value_is_refused,
        a_required_option_is_missed,
        an_argument_that_is_not_utf_8_is_refused,
        a_usage_error_opens_no_socket;
    Server:
        a_server_takes_joined_and_clustered_options,
        a_server_takes_no_positional_argument;
    Client:
        a_client_takes_joined_and_clustered_options;
];

fn an_unknown_option_is_refused(tool: &Tool) -> Result<(), Skip> {
    let options = tool.options();
    let is_free = |short: &char| {
        options.iter().all(|option| option.short.as_deref() != Some(&format!("-{short}")))
    };
    let short = ('A'..='Z').find(is_free).expect("an option of one letter that is free");
    for option in ["--no-such-option".to_owned(), format!("-{short}")] {
        tool.refuses([&option], &[&option]);
        // Also behind a complete command line.
        tool.refuses(tool.needed("1").iter().chain([&option]), &[&option]);
    }
    tool.refuses(["--no-such-option=7"], &["--no-such-option"]);
    // What it repeats reaches no terminal raw.
    tool.refuses(["--no\u{1b}[31m"], &[r"--no\u{1b}[31m"]);
    Ok(())
}

fn an_option_without_its_value_is_refused(tool: &Tool) -> Result<(), Skip> {
    for option in tool.options().iter().filter(|option| option.value.is_some()) {
        tool.refuses([&option.long], &[&option.long, "needs a value"]);
        if let Some(short) = &option.short {
            tool.refuses([short], &[short, "needs a value"]);
        }
    }
    Ok(())
}

fn a_value_that_means_nothing_is_refused(tool: &Tool) -> Result<(), Skip> {
    /// What the values of options are called that take any text.
    const FREE: [&str; 3] = ["text", "file", "folder"];
    /// No port, no host, no number of anything, no duration.
    const NOTHING: &str = "-1e99";
    /// What the parsers of the standard library say, which is not what the option accepts.
    const PARSER: [&str; 3] = ["target type", "invalid digit", "cannot parse"];
    /// What the refusal of a number says: which numbers are accepted.
    const RANGE: &str = "write a whole number from ";
    for Listed { long, value, .. } in &tool.options() {
        if value.as_deref().is_none_or(|value| FREE.contains(&value)) {
            continue;
        }
        tool.refuses([format!("{long}={NOTHING}")], &[long, NOTHING]);
        // A number that is too large for every counter.
        let huge = (value.as_deref() == Some("n")).then_some("99999999999999999999");
        for nothing in [NOTHING, ""].into_iter().chain(huge) {
            tool.refuses([long, nothing], &[long, nothing]);
            let said = tool.run([long, nothing]).finish().stderr_text();
            assert!(!PARSER.iter().any(|words| said.contains(words)), "{said}");
            assert!(huge.is_none() || said.contains(RANGE), "{said}");
        }
    }
    if tool.has("--timeout") {
        tool.refuses(["--timeout", "0"], &["--timeout", "0", "none"]);
    }
    Ok(())
}

fn an_option_given_twice_is_refused(tool: &Tool) -> Result<(), Skip> {
    let needed = tool.needed("1");
    for pair in needed.chunks(2).filter(|pair| pair[0].starts_with("--")) {
        tool.refuses(needed.iter().chain(pair), &[&pair[0]]);
    }
    Ok(())
}

fn a_switch_with_a_value_is_refused(tool: &Tool) -> Result<(), Skip> {
    for Listed { long, value, .. } in &tool.options() {
        if value.is_none() && !["--help", "--version", "--explain"].contains(&long.as_str()) {
            tool.refuses([format!("{long}=1")], &[long, "takes no value"]);
        }
    }
    Ok(())
}

fn a_required_option_is_missed(tool: &Tool) -> Result<(), Skip> {
    let options = tool.required();
    if !options.is_empty() {
        tool.refuses([""; 0], &options);
    }
    Ok(())
}

fn an_argument_that_is_not_utf_8_is_refused(tool: &Tool) -> Result<(), Skip> {
    let bad = OsStr::from_bytes(b"caf\xe9");
    tool.refuses([bad], &[r"caf\xe9"]);
    tool.refuses([OsStr::new("--port"), bad], &[r"caf\xe9"]);
    tool.refuses([OsStr::from_bytes(b"--no\xff")], &[r"--no\xff"]);
    Ok(())
}

fn a_usage_error_opens_no_socket(tool: &Tool) -> Result<(), Skip> {
    need(Need::Strace)?;
    let mut wrong = vec![vec!["--no-such-option"]];
    let needed = tool.needed("65536");
    wrong.extend(tool.has("--port").then(|| needed.iter().map(String::as_str).collect()));
    let needed = tool.needed("1");
    for host in ["127.1", "0x7f000001", "010.0.0.1"].into_iter().filter(|_| tool.has("--host")) {
        wrong.push(needed.iter().map(String::as_str).chain(["--host", host]).collect());
    }
    for args in wrong {
        let (run, trace) = tool.run(&args).traced(&["trace=%network"]);
        assert_eq!(run.finish().code(), Some(2), "{args:?}");
        assert_eq!(trace.calls(), [], "{args:?}");
    }
    Ok(())
}

/// The forms of a command line with that port: `--port=80`, `-p80`, `-p 80`, `-vvp80`, each complete.
fn forms(tool: &Tool, port: &str) -> Vec<Vec<String>> {
    let mut forms = vec![vec![format!("--port={port}")], vec![format!("-p{port}")]];
    forms.push(vec!["-p".to_owned(), port.to_owned()]);
    if tool.has("--verbose") {
        forms.push(vec!["-vv".to_owned(), format!("--port={port}")]);
        forms.push(vec![format!("-vvp{port}")]);
    }
    let needed = tool.needed(port);
    let rest = needed.iter().skip_while(|word| *word != "--port").skip(2);
    let before = needed.iter().take_while(|word| *word != "--port");
    let others: Vec<String> = before.chain(rest).cloned().collect();
    for form in &mut forms {
        form.extend(others.iter().cloned());
    }
    forms
}

fn a_server_takes_joined_and_clustered_options(tool: &Tool) -> Result<(), Skip> {
    for form in forms(tool, "0") {
        // It panics when there is no readiness line.
        Server::start(&tool.name, form);
    }
    Ok(())
}

fn a_client_takes_joined_and_clustered_options(tool: &Tool) -> Result<(), Skip> {
    let partner = tool.partner();
    for form in forms(tool, &partner.address().port().to_string()) {
        let finished = tool.run(&form).finish();
        assert_eq!(finished.code(), Some(0), "{form:?}: {finished:?}");
    }
    Ok(())
}

fn a_server_takes_no_positional_argument(tool: &Tool) -> Result<(), Skip> {
    for word in ["7777", "help", "-5"] {
        tool.refuses(tool.needed("0").iter().map(String::as_str).chain([word]), &[word]);
    }
    Ok(())
}
