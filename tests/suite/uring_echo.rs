//! uring-echo where there is no io_uring, and epoll-echo with too many watches.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Signal, Skip, need, peer};
use scenarios::served;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "uring_echo",
        tests![
            a_kernel_without_it_is_a_clear_refusal,
            a_kernel_without_memory_for_a_request_is_asked_again,
            long_messages_come_in_long_pieces,
        ],
    )
    .into_iter()
    .chain(topic("epoll_echo", tests![a_list_that_is_full_costs_that_client_only]))
    .collect()
}

fn a_kernel_without_memory_for_a_request_is_asked_again() -> Result<(), Skip> {
    need(Need::IoUring)?;
    need(Need::Strace)?;
    for errno in ["EAGAIN", "ENOMEM"] {
        let inject = format!("inject=io_uring_enter:error={errno}:when=2..3");
        let run = Run::new("uring-echo").args(["--port", "0"]);
        let (run, _trace) = run.traced(&["trace=io_uring_enter", &inject]);
        let server = Server::start_run(run);
        assert_eq!(peer::exchange(server.address(), b"hello").unwrap(), b"hello", "{errno}");
        assert!(server.still_running(), "{errno}: {}", server.stderr());
    }
    Ok(())
}

fn a_kernel_without_it_is_a_clear_refusal() -> Result<(), Skip> {
    need(Need::Strace)?;
    for (errno, code) in [("ENOSYS", 71), ("EPERM", 77)] {
        let run = Run::new("uring-echo").args(["--port", "0"]);
        let inject = format!("inject=io_uring_setup:error={errno}");
        let (run, trace) = run.traced(&["trace=io_uring_setup,socket", &inject]);
        let finished = run.finish();
        assert_eq!(finished.code(), Some(code), "{}", finished.stderr_text());
        assert_eq!(finished.stdout_text(), "");
        let said = finished.stderr_text();
        let right = said.starts_with("uring-echo: io_uring_setup: ")
            && said.contains(&format!("({errno})\nhint: "));
        assert!(right && said.lines().count() == 2, "{said}");
        let opened = trace.calls().iter().any(|call| call.name == "socket");
        assert!(!opened, "nothing was opened");
    }
    Ok(())
}

fn long_messages_come_in_long_pieces() -> Result<(), Skip> {
    need(Need::Strace)?;
    let run = Run::new("uring-echo").args(["--port", "0"]);
    let (run, trace) = run.traced(&["trace=io_uring_enter"]);
    let server = Server::start_run(run);
    let bytes = peer::pattern(1, 8 << 20);
    assert!(peer::exchange(server.address(), &bytes).unwrap() == bytes);
    server.signal(Signal::SIGTERM);
    server.wait(Duration::from_secs(10)).expect("it ends");
    // Of 512 bytes each, the buffer that a client begins with, it would be 16,384 at least.
    let calls = trace.calls().len();
    assert!(calls < 4096, "{calls} calls for 8 MiB");
    Ok(())
}

fn a_list_that_is_full_costs_that_client_only() -> Result<(), Skip> {
    need(Need::Strace)?;
    // The first three are for the signals, the listener and the timer.
    let run = Run::new("epoll-echo").args(["--port", "0"]);
    let (run, _trace) = run.traced(&["trace=epoll_ctl", "inject=epoll_ctl:error=ENOSPC:when=5"]);
    let server = Server::start_run(run);
    let first = served(server.address()).unwrap();
    let refused = peer::exchange(server.address(), b"second");
    assert!(refused.is_err() || refused.unwrap().is_empty());
    assert_eq!(peer::exchange(server.address(), b"third").unwrap(), b"third");
    drop(first);
    let said = server.wait_stderr(|log| log.contains("ENOSPC"), Duration::from_secs(10));
    let log = server.stderr();
    assert!(said, "{log}");
    let why = "0 bytes in, 0 out,";
    let line = log.lines().find(|line| line.contains("ENOSPC")).unwrap_or_default();
    assert!(line.contains(why) && line.contains("add to the list: "), "{log}");
    Ok(())
}
