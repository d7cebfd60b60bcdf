//! Programs that do what no program should: each gets its verdict, and nothing of it is left. One test
//! after the other: what is below this process is of the one that runs.

use std::time::Duration;

use netcheck::{Process, Run, Signal, evidence, tree};

const SOON: Duration = Duration::from_secs(10);

/// A check of a program that the shell makes.
fn check(script: &str) -> Run {
    let args = ["exercise", "check", "no-zombies", "--only", "burst", "--", "sh", "-c"];
    Run::program(env!("CARGO_BIN_EXE_classroom")).args(args).arg(script)
}

/// What is printed, the exit code, and that nothing is left.
fn judged(script: &str, code: i32, said: &str) {
    let finished = check(script).finish();
    let text = finished.stdout_text() + &finished.stderr_text();
    assert_eq!(finished.code(), Some(code), "{script}: {text}");
    assert!(text.contains(said), "{script}: {text}");
    assert_eq!(tree::below(), [], "{script}");
}

/// A check that is running its program.
fn running() -> Process {
    let process =
        check("setsid sleep 1000 & trap '' TERM INT; while :; do sleep 1000; done").start();
    let started = || (evidence::descendants(process.pid()).len() >= 4).then_some(());
    evidence::wait_until(SOON, started).expect("the worker, the shell, and what it starts");
    process
}

fn nothing_is_left() {
    let empty = || tree::below().is_empty().then_some(());
    evidence::wait_until(SOON, empty).unwrap_or_else(|| panic!("left: {:?}", tree::below()));
}

#[test]
fn nothing_is_left_of_programs_that_do_what_none_should() {
    tree::adopt_orphans().unwrap();
    judged("exit 3", 1, "the program has ended: exit status: 3");
    judged("kill -SEGV $$", 1, "(it crashed)");
    judged("while :; do :; done", 1, "it runs, and listens nowhere on that port");
    judged("while :; do sleep 1000 & done", 1, "at most 200 processes");
    let large = "{ head -c 700m /dev/zero; exec sleep 1000; } | tail > /dev/null";
    judged(&format!("{large} & {large}"), 1, "at most 1024 MiB of memory");
    judged("exec yes", 1, "it has written more than 64 MiB");
    judged("setsid setsid sleep 1000 & exit 0", 1, "the program has ended: exit status: 0");
    judged("trap '' TERM; sleep 1000", 1, "it runs, and listens nowhere on that port");
    judged("kill -KILL $PPID", 71, "this says nothing about the program");

    let interrupted = running();
    interrupted.signal(Signal::SIGINT);
    assert_eq!(interrupted.wait(SOON).unwrap().code(), Some(130));
    drop(interrupted);
    nothing_is_left();

    let killed = running();
    killed.signal(Signal::SIGKILL);
    killed.wait(SOON).unwrap();
    drop(killed);
    nothing_is_left();
}
