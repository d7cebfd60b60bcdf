//! The suite over every binary of the workspace: its contract, its header, its behaviour with peers
//! of every kind, and the scenarios as named tests.
//!
//! It runs on libtest-mimic: binaries and scenarios are found by looking, and what this machine
//! can't test is reported as ignored, with the reason, and counted. With `REQUIRE_ALL=1` that is a
//! failure instead; with `REQUIRE_ALL=user` only the tests named `as_root` may be ignored.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test says that something is wrong"
)]

use std::num::NonZero;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netcheck::{Format, Need, Run, Skip, need, require_all, require_root};

mod ntp;
mod readme;

/// Declares the files of the suite, and lists their tests. rustfmt does not see them here: `cargo xtask
/// ci` names them to it.
macro_rules! suite {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+

        /// The tests of each file.
        const TOPICS: &[fn() -> Vec<Trial>] = &[$($name::trials),+];
    };
}

suite! {
    echo_server,
    echo_client,
    forking_echo,
    forking_output,
    forking_client,
    prefork_echo,
    threaded_echo,
    uring_echo,
    stream_servers,
    faults,
    udp_echo,
    udp_client,
    loops,
    echo_load,
    peers,
    epoll_web,
    chat_server,
    chat_client,
    two_clocks,
    socket_timeout,
    socket_errors,
    make_errors,
    buffer_size,
    nagle,
    socket_modes,
    connect_nonblocking,
    reuse_addr,
    host_info,
    remote_ip,
    ipv4_convert,
    service_name,
    byte_order,
    sntp_client,
    ntp_time,
    ntp_responder,
    ntp_spoofed,
    wait_port,
    socket_pair,
    unix_echo,
    fd_pass,
    activated_echo,
    backlog,
    linger,
    keepalive,
    tcp_info,
    exercises,
    grade,
    contract,
    try_it,
}

fn main() -> ExitCode {
    netcheck::sys::give_memory_back();
    let scenarios = scenarios::ALL.iter().map(|scenario| {
        Trial::ignorable_test(format!("scenario::{}", scenario.name), || {
            let (result, summary) = scenario.play(Format::Quiet, false);
            result.map_err(|stopped| Failed::from(stopped.to_string()))?;
            Ok(match summary.skipped.len() {
                0 => Completion::Completed,
                n => {
                    let reasons = summary.skipped.join(", ");
                    Completion::ignored_with(format!("{n} checks skipped: {reasons}"))
                }
            })
        })
    });
    let mut trials: Vec<Trial> = scenarios.collect();
    trials.extend(TOPICS.iter().flat_map(|trials| trials()));
    trials.extend(readme::trials(&trials));
    let mut arguments = Arguments::from_args();
    // Most tests wait most of the time, for a peer or a deadline.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // None has more descriptors open than some two thousand.
    let room = usize::try_from(netcheck::descriptors::raise() / 2_000).unwrap_or(usize::MAX);
    arguments.test_threads.get_or_insert((2 * cores).min(room).max(1));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The topic of tests that take root: only they are left out for another user with `REQUIRE_ALL=user`, and
/// `cargo test -p scenarios -- ::as_root::` runs them alone.
const AS_ROOT: &str = "::as_root::";

/// A test: it panics when something is wrong, and returns the reason when it can't be done here.
type Test = fn() -> Result<(), Skip>;

/// The tests of a topic, named by their functions: statements.
fn topic<const N: usize>(name: &str, tests: [(&str, Test); N]) -> Vec<Trial> {
    tests.map(|(test, body)| trial(format!("{name}::{test}"), body)).into()
}

/// One test by its full name.
fn trial(name: String, body: impl FnOnce() -> Result<(), Skip> + Send + 'static) -> Trial {
    let may_skip = !(if name.contains(AS_ROOT) { require_root() } else { require_all() });
    let rings = name.split("::").any(|part| part.starts_with("uring-echo"));
    let needs = move || if rings { need(Need::IoUring) } else { Ok(()) };
    Trial::ignorable_test(name, move || match needs().and_then(|()| body()) {
        Ok(()) => Ok(Completion::Completed),
        Err(skip) if may_skip => Ok(Completion::ignored_with(skip.reason)),
        Err(skip) => Err(Failed::from(format!("{skip}, and REQUIRE_ALL allows no skip"))),
    })
}

/// Whether it is in time is a matter of the machine too: a busy one is late now and then, and a program that
/// is late each time is so by itself.
fn in_time(check: impl Fn() -> bool) {
    assert!((0..3).any(|_| check()), "late three times");
}

/// How many conversations a test at random has: `CONVERSATIONS`, or few enough for every run.
fn conversations(few: usize) -> usize {
    let many = std::env::var("CONVERSATIONS");
    many.map_or(few, |many| many.parse().expect("CONVERSATIONS is a number"))
}

/// Calls it with the seeds from 1 to `total`, in so many threads; what it returned, in any order.
fn in_threads<T: Send>(threads: usize, total: usize, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (run, total) = (&run, total as u64);
    std::thread::scope(|scope| {
        let start =
            |first| scope.spawn(move || (first..=total).step_by(threads).map(run).collect());
        let all: Vec<_> = (1..=threads as u64).map(start).collect();
        all.into_iter().flat_map(|thread| -> Vec<T> { thread.join().unwrap() }).collect()
    })
}

/// Signals a process that a server started, or with a minus a whole group: the shell has `kill` built in.
fn kill(pid: i32, signal: &str) {
    let run = Run::script(r#"kill -"$1" "$2""#).arg(signal).arg(pid.to_string());
    assert!(run.finish().status.success(), "kill -{signal} {pid}");
}

/// `tests![first, second]`: each function with its name.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => { [$((stringify!($test), $test as crate::Test)),+] };
}
use tests;
