//! `cargo xtask scenario NAME --step`, on a terminal and without one.
#![expect(clippy::unwrap_used, reason = "a panic is how a test says that something is wrong")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use netcheck::evidence;
use nix::pty::{OpenptyResult, openpty};

fn step() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["scenario", "half-close", "--step"]);
    command
}

/// What it says when these keys are typed.
fn typed(keys: &str) -> Output {
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let mut terminal = File::from(master);
    let child = step().stdin(slave).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    terminal.write_all(keys.as_bytes()).unwrap();
    // It stays open: its end would be an answer.
    let output = child.wait_with_output().unwrap();
    drop(terminal);
    output
}

#[test]
fn without_a_terminal_it_is_a_usage_error_before_anything_runs() {
    let output = step().stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "xtask: --step: standard input is no terminal\n");
    assert!(output.stdout.is_empty());
}

#[test]
fn on_a_terminal_enter_goes_on_and_q_leaves_nothing_running() {
    let output = typed("q\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("next  echo-server --port 0") && !said.contains("listening"), "{said}");

    let output = typed("\nq\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("listening on 127.0.0.1:") && !said.contains("  ok  "), "{said}");
    let pid = said.split("strace -f -p ").nth(1).unwrap().lines().next().unwrap();
    let process = Path::new("/proc").join(pid);
    let gone = || (!process.exists()).then_some(());
    assert!(evidence::wait_until(Duration::from_secs(10), gone).is_some(), "{pid} still runs");
}
