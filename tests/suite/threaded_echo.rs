//! threaded-echo: its threads, and those that it could not have.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Attached, Need, Run, Server, Skip, evidence, need, peer};
use scenarios::served;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "threaded_echo",
        tests![
            a_thread_refused_closes_that_client_only,
            a_thread_without_memory_closes_that_client_only,
            threads_that_ended_are_joined_while_others_serve,
        ],
    )
}

const SECOND: Duration = Duration::from_secs(1);

/// Waits until the process has so many threads, the first one included.
fn has_threads(server: &Server, count: usize) {
    let right = || (evidence::threads(server.pid()).len() == count).then_some(());
    if evidence::wait_until(5 * SECOND, right).is_none() {
        panic!("{:?} are not {count} threads", evidence::threads(server.pid()));
    }
}

fn a_thread_refused_closes_that_client_only() -> Result<(), Skip> {
    need(Need::Strace)?;
    let inject = "inject=clone,clone3:error=EAGAIN:when=2..3";
    // A client without a thread takes no place.
    let run = Run::new("threaded-echo").args(["--port", "0", "--max-clients", "2"]);
    let (run, _trace) = run.traced(&["trace=?clone,clone3", inject]);
    let server = Server::start_run(run);
    let exchange = || peer::exchange(server.address(), b"hello");
    let served: Vec<bool> =
        (0..4).map(|_| exchange().is_ok_and(|reply| reply == b"hello")).collect();
    assert_eq!(served, [true, false, false, true], "{}", server.stderr());
    let twice = |log: &str| {
        let why: Vec<_> = log.lines().filter(|line| line.contains("pthread_create: ")).collect();
        why.len() == 2 && why.iter().all(|line| line.ends_with("(EAGAIN)"))
    };
    assert!(server.wait_stderr(twice, 5 * SECOND), "{}", server.stderr());
    Ok(())
}

fn a_thread_without_memory_closes_that_client_only() -> Result<(), Skip> {
    need(Need::Attach)?;
    let server = Server::start("threaded-echo", ["--port", "0"]);
    let exchange = || peer::exchange(server.address(), b"hello");
    // libc keeps the stack of a thread that has ended: the second of two at once takes a new one.
    let _stays = served(server.address()).unwrap();
    let attached = Attached::to(&[server.pid()], &["trace=mmap", "inject=mmap:error=ENOMEM"]);
    assert_ne!(exchange().unwrap_or_default(), b"hello");
    assert!(attached.detach().iter().any(|call| call.result.contains("ENOMEM")));
    assert!(server.wait_stderr(|log| log.contains("EAGAIN"), 5 * SECOND), "{}", server.stderr());
    assert_eq!(exchange().unwrap(), b"hello");
    Ok(())
}

fn threads_that_ended_are_joined_while_others_serve() -> Result<(), Skip> {
    let server = Server::start("threaded-echo", ["--port", "0", "--max-clients", "2"]);
    // One place is taken for the whole time; each of the others needs the one that ended before it.
    let _stays = served(server.address()).unwrap();
    for _ in 0..50 {
        assert_eq!(peer::exchange(server.address(), b"hello").unwrap(), b"hello");
    }
    has_threads(&server, 2);
    Ok(())
}
