//! What is started ends: at its deadline, when it is dropped, and when the harness dies.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use netcheck::evidence::{self, wait_until};
use netcheck::{Process, Run, Signal};
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpgid};

const SOON: Duration = Duration::from_secs(10);

fn sh(script: &str) -> Run {
    Run::program("sh").args(["-c", script])
}

/// The process id that `process` prints.
fn printed_pid(process: &mut Process) -> i32 {
    let line = process.next_line(SOON).expect("a line");
    line.trim().parse().expect("a process id")
}

/// Nobody may be there to reap an orphan: a zombie has ended too.
fn lives(pid: i32) -> bool {
    !matches!(evidence::state(pid), None | Some('Z'))
}

fn ends(pid: i32) -> bool {
    wait_until(SOON, || (!lives(pid)).then_some(())).is_some()
}

/// The processes of a group that have not ended.
fn living_members(group: i32) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").expect("read /proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let member = |&pid: &i32| getpgid(Some(Pid::from_raw(pid))) == Ok(Pid::from_raw(group));
    pids.filter(member).filter(|&pid| lives(pid)).collect()
}

#[test]
fn dropping_kills_a_grandchild_that_ignores_sigterm() {
    let mut parent =
        sh("sh -c 'trap \"\" TERM; echo $$; while :; do sleep 60; done' & wait").start();
    let grandchild = printed_pid(&mut parent);
    drop(parent);
    assert!(ends(grandchild));
}

#[test]
fn dropping_kills_a_descendant_in_a_process_group_of_its_own() {
    let (harness, pid) = inner_harness("a_harness_that_keeps");
    assert_eq!(getpgid(Some(Pid::from_raw(pid))), Ok(Pid::from_raw(pid)));
    drop(harness);
    assert!(ends(pid));
}

#[test]
fn dropping_kills_what_a_dead_child_left_behind() {
    let mut parent = sh("sleep 60 & echo $!").start();
    let orphan = printed_pid(&mut parent);
    assert!(parent.wait(SOON).expect("the shell ends").success());
    assert!(lives(orphan));
    drop(parent);
    assert!(ends(orphan));
}

#[test]
fn a_tree_that_forks_all_the_time_is_killed_whole() {
    let mut parent = sh("echo $$; while :; do sh -c 'sleep 60' & done").start();
    let pid = printed_pid(&mut parent);
    let many = || (evidence::children(pid).len() > 20).then_some(());
    wait_until(SOON, many).expect("many children");
    drop(parent);
    // Whatever escaped would have another parent now, but not another group.
    let none_left = || living_members(pid).is_empty().then_some(());
    assert!(wait_until(SOON, none_left).is_some(), "{:?}", living_members(pid));
}

#[test]
fn the_deadline_kills() {
    let finished = Run::program("sleep").arg("60").deadline(Duration::from_millis(100)).finish();
    assert!(finished.timed_out);
    assert_eq!(finished.status.signal(), Some(9));
    assert!(finished.elapsed < SOON);
}

#[test]
fn a_grandchild_that_holds_the_pipes_cannot_hold_the_harness() {
    let finished = sh("sleep 60 & exit 3").deadline(Duration::from_millis(300)).finish();
    assert!(finished.timed_out);
    assert_eq!(finished.code(), Some(3));
}

#[test]
fn full_pipes_block_nobody() {
    let bytes = vec![b'x'; 1 << 20];
    let finished = sh("tee /dev/stderr").stdin(bytes.clone()).finish();
    assert!(finished.stdout == bytes && finished.stderr == bytes);
    // A program that reads nothing is not waited for either.
    assert_eq!(Run::program("true").stdin(bytes).finish().code(), Some(0));
}

#[test]
fn a_process_outlives_the_thread_that_asked_for_it() {
    let start = || Run::program("sleep").arg("60").start();
    let process = thread::spawn(start).join().expect("the thread");
    assert_eq!(process.wait(Duration::from_millis(50)), None);
    assert!(process.still_running());
}

#[test]
fn the_status_can_be_asked_again() {
    let process = sh("kill -TERM $$").start();
    let status = process.wait(SOON).expect("it ends");
    assert_eq!(status.signal(), Some(15));
    assert_eq!(process.wait(SOON), Some(status));
    process.signal(Signal::SIGTERM);
}

#[test]
fn a_stopped_process_stands_still() {
    let process = sh("while :; do :; done").start();
    process.stop();
    assert_eq!(evidence::state(process.pid()), Some('T'));
    process.cont();
    let runs = || (evidence::state(process.pid()) == Some('R')).then_some(());
    assert!(wait_until(SOON, runs).is_some());
}

#[test]
fn lines_are_handed_out_one_by_one() {
    let mut process = sh("echo one; echo; echo three; echo what >&2; exec sleep 60").start();
    let lines: Vec<_> = (0..3).map(|_| process.next_line(SOON).expect("a line")).collect();
    assert_eq!(lines, ["one", "", "three"]);
    assert_eq!(process.next_line(Duration::from_millis(10)), None);
    assert_eq!(process.stdout(), "one\n\nthree\n");
    assert!(process.wait_stderr(|text| text == "what\n", SOON));
}

#[test]
fn what_is_set_before_exec_is_kept_by_it() {
    // Not a shell: that catches SIGCHLD for itself.
    let run = Run::program("sleep").arg("60").limit_nofile(32).before_exec_ignore_sigchld();
    let typed = "prlimit --nofile=32 env --ignore-signal=CHLD sleep 60";
    assert_eq!(run.command_line(), typed);
    let process = run.start();
    let masks = evidence::signal_masks(process.pid()).expect("its masks");
    assert!(masks.ignored.contains(Signal::SIGCHLD));
    assert!(!masks.ignored.contains(Signal::SIGTERM));
    assert_eq!(sh("ulimit -n").limit_nofile(32).finish().stdout_text(), "32\n");
}

#[test]
fn a_command_line_can_be_typed() {
    let words = ["plain", "", "two words", "it's", "$HOME", "[::1]:7", "*", "é"];
    let printf = Run::program("printf").arg(r"%s\n").args(words);
    let line = printf.command_line();
    assert_eq!(sh(&line).finish().stdout_text(), words.map(|word| format!("{word}\n")).concat());
    assert_eq!(Run::program("cat").arg("a\x1b").command_line(), r"cat $'a\x1b'");
}

#[test]
fn a_script_ends_at_the_step_that_fails_and_its_arguments_stay_whole() {
    let failed = Run::script("false; echo after").finish();
    assert_eq!((failed.code(), failed.stdout_text().as_str()), (Some(1), ""));
    let unset = Run::script("echo $unset; echo after").finish();
    assert!(unset.code() != Some(0) && unset.stdout.is_empty(), "{unset:?}");
    let words = ["a blank", "it's", "$HOME", "ä"];
    let printed = Run::script(r#"printf '%s\n' "$@""#).args(words).finish();
    assert_eq!(printed.stdout_text(), words.map(|word| format!("{word}\n")).concat());
}

#[test]
fn a_program_is_started_in_its_folder_and_with_its_redirection() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("a blank and an ä");
    std::fs::create_dir(&folder).expect("a folder in it");
    let printed = Run::program("pwd").arg("-P").folder(&folder).redirected("> file").finish();
    assert!(printed.stdout.is_empty(), "{printed:?}");
    let text = std::fs::read_to_string(folder.join("file")).expect("what it printed");
    assert!(text.ends_with("/a blank and an ä\n"), "{text}");
}

#[test]
fn a_kept_process_outlives_its_value() {
    let process = Run::program("sleep").arg("60").keep().start();
    let pid = process.pid();
    drop(process);
    assert!(lives(pid));
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is there");
    assert!(ends(pid));
}

#[test]
fn nothing_outlives_a_killed_harness() {
    let (harness, pid) = inner_harness("a_harness");
    assert!(lives(pid));
    harness.signal(Signal::SIGKILL);
    assert!(ends(pid));
}

/// Starts this test program again, as a harness that starts one process: with that one's process id.
fn inner_harness(name: &str) -> (Process, i32) {
    let this_test = std::env::current_exe().expect("the path of this test");
    let mut harness =
        Run::program(this_test).args(["--exact", name, "--ignored", "--nocapture"]).start();
    loop {
        let line = harness.next_line(SOON).expect("the line with the process id");
        if let Some(pid) = line.strip_prefix("started ") {
            return (harness, pid.parse().expect("a process id"));
        }
    }
}

#[test]
#[ignore = "started by another test, which kills it"]
fn a_harness() {
    tell_pid_and_wait(&Run::program("sleep").arg("60").start());
}

#[test]
#[ignore = "started by another test, which kills it"]
fn a_harness_that_keeps() {
    tell_pid_and_wait(&Run::program("sleep").arg("60").keep().start());
}

fn tell_pid_and_wait(process: &Process) {
    writeln!(std::io::stdout(), "\nstarted {}", process.pid()).expect("stdout");
    process.wait(SOON);
}

#[test]
fn a_bounded_program_writes_no_more_than_is_kept() {
    let process = Run::program("head").args(["-c", "100M", "/dev/zero"]).bounded().start();
    assert!(process.wait(Duration::from_secs(20)).unwrap().success(), "its pipe was always read");
    assert_eq!(process.stdout_bytes().len(), 64 << 20);
    assert!(process.wrote_too_much());
    let limits = Run::script("ulimit -d; ulimit -f; ulimit -c").bounded().finish();
    assert_eq!(limits.stdout_text(), "1048576\n131072\n0\n");
}

#[test]
fn standard_input_that_is_held_is_written_piece_by_piece() {
    let mut process = Run::program("cat").hold_stdin().start();
    for line in ["one", "two"] {
        process.write_stdin(format!("{line}\n").as_bytes()).unwrap();
        assert_eq!(process.next_line(Duration::from_secs(5)).as_deref(), Some(line));
    }
    assert!(process.still_running());
}

#[test]
fn a_program_may_inherit_a_child() {
    let process = Run::program("sleep").arg("1000").with_inherited_child().start();
    let child = || {
        let children = evidence::children(process.pid());
        (children.len() == 1).then_some(())
    };
    evidence::wait_until(Duration::from_secs(5), child).expect("one child");
}
