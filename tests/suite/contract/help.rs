//! `--help`, `--version` and `--explain`: what a person reads before anything else works.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use netcheck::{Server, Signal, Skip, workspace};

use super::{Kind, Tool, Topic, topics};
use crate::try_it::{DOCUMENTED, has, in_folder, on_a_free_port, placed, shell};

pub(super) const TOPICS: &[(&str, Kind, Topic)] = topics![
    Any:
        help_fits_80_columns_and_ends_with_exit_codes,
        help_lists_exit_codes_that_the_readme_explains,
        the_examples_of_help_work_as_pasted,
        version_is_the_name_and_a_number,
        explain_prints_the_header;
];

fn help_fits_80_columns_and_ends_with_exit_codes(tool: &Tool) -> Result<(), Skip> {
    for option in ["--help", "-h"] {
        let finished = tool.run([option]).finish();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        assert!(finished.stderr.is_empty(), "{finished:?}");
        assert_eq!(finished.stdout_text(), tool.help);
    }
    for line in tool.help.lines() {
        assert!(line.chars().count() <= 80, "over 80 columns: {line}");
        assert_eq!(line, line.trim_end(), "blanks at the end");
    }
    let is_heading =
        |line: &&str| line.starts_with(char::is_uppercase) && *line == line.to_uppercase();
    let headings: Vec<&str> = tool.help.lines().filter(is_heading).collect();
    assert!(headings.ends_with(&["OPTIONS", "EXAMPLES", "EXIT CODES"]), "{headings:?}");
    assert!(!tool.examples().is_empty(), "no example");
    let codes = tool.codes();
    let lines = tool.section("EXIT CODES").filter(|line| !line.is_empty()).count();
    assert_eq!(lines, codes.len(), "each code stands on one line with its meaning");
    assert!(codes.starts_with(&[0]) && codes.contains(&2) && codes.is_sorted(), "{codes:?}");
    Ok(())
}

fn help_lists_exit_codes_that_the_readme_explains(tool: &Tool) -> Result<(), Skip> {
    let readme = fs::read_to_string(workspace().join("README.md"))
        .map_err(|_| Skip { reason: "needs README.md".to_owned() })?;
    // `| 65 | …` and `| 130 / 143 | …`.
    let first_cell = |row: &str| row.strip_prefix('|')?.split('|').next().map(str::to_owned);
    let cells: Vec<String> = readme.lines().filter_map(first_cell).collect();
    let explained = |code: &i32| {
        cells.iter().any(|cell| cell.split('/').any(|known| known.trim() == code.to_string()))
    };
    for code in tool.codes() {
        assert!(explained(&code), "{code} is not in README.md's table");
    }
    Ok(())
}

fn the_examples_of_help_work_as_pasted(tool: &Tool) -> Result<(), Skip> {
    let mut skipped = Ok(());
    for example in tool.examples() {
        has(example.split(' ').next().unwrap_or_default())?;
        // A file to read that this machine has not is no fault of the example.
        let source = example.split_once("< ").and_then(|(_, rest)| rest.split(' ').next());
        if let Some(absent) = source.filter(|source| !Path::new(source).exists()) {
            skipped = Err(Skip { reason: format!("needs {absent}") });
            continue;
        }
        if example.contains("::") && TcpListener::bind("[::1]:0").is_err() {
            skipped = Err(Skip { reason: "needs IPv6".to_owned() });
            continue;
        }
        // It may write a file, or make a socket.
        let folder = tempfile::tempdir().unwrap();
        if matches!(tool.kind, Kind::Server | Kind::Named) {
            let line = placed(&on_a_free_port(example));
            let server = Server::start_run(in_folder(shell(&line), folder.path()));
            server.signal(Signal::SIGTERM);
            let status = server.wait(Duration::from_secs(10)).expect("it ends");
            assert_eq!(status.code(), Some(0), "{example}: {}", server.stderr());
            continue;
        }
        let partner = tool.server_of_header(folder.path());
        let addressed = partner.as_ref().filter(|server| !server.is_named());
        let port = addressed.map(|server| server.address().port().to_string());
        let command = example.replace(DOCUMENTED, port.as_deref().unwrap_or(DOCUMENTED));
        let run = in_folder(shell(&placed(&command)), folder.path());
        let finished = run.folder(folder.path()).finish();
        assert_eq!(finished.code(), Some(0), "{example}: {finished:?}");
    }
    skipped
}

fn version_is_the_name_and_a_number(tool: &Tool) -> Result<(), Skip> {
    for option in ["--version", "-V"] {
        let finished = tool.run([option]).finish();
        let line = format!("{} {}\n", tool.name, env!("CARGO_PKG_VERSION"));
        assert_eq!((finished.code(), finished.stdout_text()), (Some(0), line));
        assert!(finished.stderr.is_empty(), "{finished:?}");
    }
    Ok(())
}

fn explain_prints_the_header(tool: &Tool) -> Result<(), Skip> {
    let path = workspace().join("crates").join(&tool.name).join("src/main.rs");
    let source = fs::read_to_string(path).unwrap();
    let comments = source.lines().map_while(|line| line.strip_prefix("//!"));
    let header: String =
        comments.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect();
    let finished = tool.run(["--explain"]).finish();
    assert_eq!((finished.code(), finished.stdout_text()), (Some(0), header));
    assert!(finished.stderr.is_empty(), "{finished:?}");
    Ok(())
}
