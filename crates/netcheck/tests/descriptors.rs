//! The limit of open descriptors, in a process that was given few. One test: the limit is the process's.

use std::fs::File;

use netcheck::{Need, Run, descriptors, need};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const GIVEN: u64 = 64;

#[test]
fn the_harness_raises_its_own_limit_and_gives_the_old_one_to_what_it_starts() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, GIVEN, hard).expect("lower the soft limit");
    assert_eq!(descriptors::raise(), hard);
    let files: Vec<File> =
        (0..2 * GIVEN).map(|_| File::open("/dev/null").expect("more than it was given")).collect();
    let limits = Run::program("sh").args(["-c", "ulimit -Sn; ulimit -Hn"]).finish();
    assert_eq!(limits.stdout_text(), format!("{GIVEN}\n{hard}\n"));
    drop(files);

    assert_eq!(need(Need::Descriptors(hard)), Ok(()));
    let skip = need(Need::Descriptors(hard + 1)).expect_err("more than the hard limit");
    let reason =
        format!("needs {} open descriptors; the hard limit (ulimit -Hn) is {hard}", hard + 1);
    assert_eq!(skip.reason, reason);
}
