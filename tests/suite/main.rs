//! The suite over every binary of the workspace: its contract, its header, its behaviour with peers
//! of every kind, and the scenarios as named tests.
//!
//! It runs on libtest-mimic: binaries and scenarios are found by looking, and what this machine
//! can't test is reported as ignored, with the reason, and counted. With `REQUIRE_ALL=1` that is a
//! failure instead.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test says that something is wrong"
)]

mod buffer_size;
mod byte_order;
mod chat_client;
mod chat_server;
mod contract;
mod echo_client;
mod echo_load;
mod echo_server;
mod epoll_web;
mod forking_client;
mod forking_echo;
mod forking_output;
mod host_info;
mod ipv4_convert;
mod ntp_responder;
mod ntp_spoofed;
mod ntp_time;
mod peers;
mod prefork_echo;
mod remote_ip;
mod reuse_addr;
mod service_name;
mod sntp_client;
mod socket_errors;
mod socket_modes;
mod socket_timeout;
mod stream_servers;
mod threaded_echo;
mod try_it;
mod udp_client;
mod udp_echo;
mod uring_echo;

use std::num::NonZero;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netcheck::{Need, Run, Skip, Voice, need, require_all};

fn main() -> ExitCode {
    netcheck::sys::give_memory_back();
    let scenarios = scenarios::ALL.iter().map(|scenario| {
        Trial::ignorable_test(format!("scenario::{}", scenario.name), || {
            let (result, summary) = scenario.play(Voice::Quiet, false);
            result.map_err(|halt| Failed::from(halt.to_string()))?;
            Ok(match summary.skipped {
                0 => Completion::Completed,
                n => Completion::ignored_with(format!("{n} of its checks were skipped")),
            })
        })
    });
    let mut trials: Vec<Trial> = scenarios.collect();
    trials.extend(echo_server::trials());
    trials.extend(echo_client::trials());
    trials.extend(forking_echo::trials());
    trials.extend(forking_output::trials());
    trials.extend(forking_client::trials());
    trials.extend(prefork_echo::trials());
    trials.extend(threaded_echo::trials());
    trials.extend(uring_echo::trials());
    trials.extend(stream_servers::trials());
    trials.extend(udp_echo::trials());
    trials.extend(udp_client::trials());
    trials.extend(echo_load::trials());
    trials.extend(peers::trials());
    trials.extend(epoll_web::trials());
    for recipe in [
        chat_server::trials,
        chat_client::trials,
        socket_timeout::trials,
        socket_errors::trials,
        buffer_size::trials,
        socket_modes::trials,
        reuse_addr::trials,
        host_info::trials,
        remote_ip::trials,
        ipv4_convert::trials,
        service_name::trials,
        byte_order::trials,
        sntp_client::trials,
        ntp_time::trials,
        ntp_responder::trials,
        ntp_spoofed::trials,
    ] {
        trials.extend(recipe());
    }
    trials.extend(contract::trials());
    trials.extend(try_it::trials());
    let mut arguments = Arguments::from_args();
    // Most tests wait most of the time, for a peer or a deadline.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads.get_or_insert(2 * cores);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test: it panics when something is wrong, and returns the reason when it can't be done here.
type Test = fn() -> Result<(), Skip>;

/// The tests of a topic, named by their functions: statements.
fn topic<const N: usize>(name: &str, tests: [(&str, Test); N]) -> Vec<Trial> {
    tests.map(|(test, body)| trial(format!("{name}::{test}"), body)).into()
}

/// One test by its full name.
fn trial(name: String, body: impl FnOnce() -> Result<(), Skip> + Send + 'static) -> Trial {
    let rings = name.split("::").any(|part| part.starts_with("uring-echo"));
    let needs = move || if rings { need(Need::IoUring) } else { Ok(()) };
    Trial::ignorable_test(name, move || match needs().and_then(|()| body()) {
        Ok(()) => Ok(Completion::Completed),
        Err(skip) if require_all() => {
            Err(Failed::from(format!("{skip}, and nothing may be skipped")))
        }
        Err(skip) => Ok(Completion::ignored_with(skip.reason)),
    })
}

/// Signals a process that a server started, or with a minus a whole group: the shell has `kill` built in.
fn kill(pid: i32, signal: &str) {
    let line = format!("kill -{signal} {pid}");
    assert!(Run::program("sh").args(["-c", &line]).finish().status.success(), "{line}");
}

/// `tests![first, second]`: each function with its name.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => { [$((stringify!($test), $test as crate::Test)),+] };
}
use tests;
