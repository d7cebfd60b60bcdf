//! The end of everything below this process. The only test of its program: it kills all that there is.

use std::time::Duration;

use netcheck::{Process, Run, evidence, tree};

#[test]
fn an_orphan_in_a_session_of_its_own_is_found_and_killed() {
    tree::adopt_orphans().unwrap();
    // The shell ends, and what it has started is in no group and no list of ours any more.
    let script = "setsid sh -c 'echo $$; trap \"\" TERM INT HUP; while :; do sleep 1000; done' &";
    let mut parent: Process = Run::script(script).start();
    let orphan = parent.next_line(Duration::from_secs(5)).unwrap().parse().unwrap();
    parent.wait(Duration::from_secs(5)).expect("the shell ends");
    drop(parent);
    assert_ne!(evidence::state(orphan), None, "it outlives its parent and its group");
    tree::kill_below();
    assert_eq!(tree::below(), []);
    tree::reap_orphans();
    assert_eq!(evidence::state(orphan), None);
}
