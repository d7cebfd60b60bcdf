//! `cargo xtask scenario forking --picture FILE`, as it is typed: what it draws, and how it refuses.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says that something is wrong")]

use std::collections::BTreeSet;
use std::process::{Command, Output};

use netcheck::{Need, need, require_all};
use serde_json::Value;
use tempfile::TempDir;

fn draw(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_picture")).arg("draw").args(words).output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

/// False where it is missing and may be.
fn has_strace() -> bool {
    let has = need(Need::Strace);
    assert!(has.is_ok() || !require_all(), "{has:?}");
    has.is_ok()
}

#[test]
fn a_file_that_is_no_picture_is_a_usage_error_before_anything_runs() {
    for file in ["picture.png", "picture", ".svg"] {
        let output = draw(&["forking", file]);
        assert_eq!(output.status.code(), Some(2), "{file}: {}", error(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn without_strace_one_line_says_so() {
    let empty = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_picture"));
    command.args(["draw", "forking", "forking.svg"]).current_dir(empty.path());
    let output = command.env("PATH", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(71));
    assert_eq!(error(&output), "xtask: --picture needs strace, which is not installed");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_scenario_that_reads_its_traces_is_drawn_with_fewer_clients_and_says_so() {
    if !has_strace() || need(Need::IoUring).is_err() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let output = draw(&["uring", folder.path().join("uring.svg").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("less than half the system calls"), "{said}");
    // The second server makes its calls with io_uring.
    let svg = std::fs::read_to_string(folder.path().join("uring-2.svg")).unwrap();
    for text in ["Drawn with 6 clients in place of 100", "not recorded: io_uring makes these calls"]
    {
        assert!(svg.contains(text), "{text}");
    }
}

/// The data of a run, and what the run said.
fn run(name: &str, folder: &TempDir) -> (Vec<Value>, String) {
    let file = folder.path().join("data.jsonl");
    let output = draw(&[name, file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    let data = std::fs::read_to_string(file).unwrap();
    let data = data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (data, String::from_utf8(output.stdout).unwrap())
}

fn of<'a>(data: &'a [Value], kind: &str) -> Vec<&'a Value> {
    data.iter().filter(|it| it["type"] == kind).collect()
}

#[test]
fn the_figures_of_a_picture_are_those_of_the_text() {
    if !has_strace() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (data, said) = run("forking", &folder);
    assert!(said.contains("forking: 7 checks hold"), "{said}");
    // Each process that the text names as serving a client is a child that was reaped.
    let served: BTreeSet<i64> = said
        .lines()
        .filter_map(|line| line.split("<- pid ").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(served.len(), 3, "{said}");
    let children: BTreeSet<i64> = of(&data, "task")
        .iter()
        .filter(|task| task["kind"] == "process" && !task["parent"].is_null())
        .filter(|task| task["reaped_ns"].as_i64() >= task["ended_ns"].as_i64())
        .map(|task| task["tid"].as_i64().unwrap())
        .collect();
    assert_eq!(children, served);
    // `19 bytes in, 26 out` for each client, but for the digits of the pid.
    let arrows = of(&data, "arrow");
    let bytes: i64 = arrows
        .iter()
        .filter(|it| it["kind"] == "bytes")
        .map(|it| it["bytes"].as_i64().unwrap())
        .sum();
    let prefixes: usize = served.iter().map(|pid| format!("{pid}: ").len()).sum();
    assert_eq!(bytes, i64::try_from(3 * (19 + 19) + prefixes).unwrap());
    // SIGTERM came from the scenario.
    assert!(arrows.iter().any(|it| it["kind"] == "signal" && it["name"] == "SIGTERM"));
}

#[test]
fn an_old_picture_stays_whole_where_no_new_one_can_be_written() {
    if !has_strace() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("none/forking.svg");
    let output = draw(&["forking", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(74), "{}", error(&output));
}

/// The columns of a picture: the program of each, and the calls in it as a set, but for its waits.
fn columns(svg: &str) -> Vec<(String, BTreeSet<String>)> {
    let parsed = roxmltree::Document::parse(svg).unwrap();
    let x = |node: &roxmltree::Node| node.attribute("x").unwrap().parse::<f64>().unwrap();
    let mut heads: Vec<(f64, String, BTreeSet<String>)> = Vec::new();
    for node in parsed.descendants().filter(|node| node.attribute("class") == Some("s h")) {
        heads.push((x(&node), node.text().unwrap().to_owned(), BTreeSet::new()));
    }
    for group in parsed.descendants().filter(|node| node.attribute("data-row").is_some()) {
        let node = group.children().find(|node| node.has_tag_name("text")).unwrap();
        let text = node.text().unwrap();
        let head = heads.iter_mut().rfind(|head| head.0 <= x(&node)).unwrap();
        let name = text.split(|c: char| !c.is_ascii_alphabetic() && c != '_').next().unwrap();
        let name = match name {
            "thread" => "pthread_create",
            "wait" => "waitpid",
            "socket" => "listen",
            name => name,
        };
        if name != "poll" && !text.contains('×') {
            head.2.insert(name.to_owned());
        }
    }
    let mut columns: Vec<_> = heads.into_iter().map(|(_, name, calls)| (name, calls)).collect();
    columns.sort();
    columns
}

/// It was drawn from the recorded run in `fixtures/`: today's has other times, and the same calls.
#[test]
fn the_picture_in_readme_is_the_one_that_is_drawn_today() {
    if !has_strace() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("forking.svg");
    let output = draw(&["forking", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    let root = netcheck::workspace();
    let shown = std::fs::read_to_string(root.join("docs/pictures/forking.svg")).unwrap();
    assert_eq!(columns(&shown), columns(&std::fs::read_to_string(file).unwrap()));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains("(docs/pictures/forking.svg)"));
}
