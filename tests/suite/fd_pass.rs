//! `fd-pass`: what a front and a worker do with each other, and with what is neither.

use std::io::{Read, Write};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{NOBODY, Need, Run, Server, Signal, Skip, evidence, need, peer};
use scenarios::served;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "fd_pass",
        tests![
            every_byte_goes_through_the_worker,
            a_client_hears_the_end_when_the_worker_dies,
            a_front_without_a_worker_closes_the_client_and_goes_on,
            connections_wait_in_flight_for_a_worker_that_is_busy,
            what_is_no_connection_is_refused_and_closed,
            a_worker_without_descriptors_goes_on,
            a_silent_client_is_closed_and_the_next_one_served,
            a_client_that_never_reads_is_closed_and_the_next_one_served,
            resets_leave_nothing_in_either_process,
            a_path_is_refused,
        ],
    );
    trials.extend(topic("fd_pass::as_root", tests![another_user_hands_nothing_over]));
    trials
}

const SOON: Duration = Duration::from_secs(10);

/// A name that no other test has.
fn name(of_test: &str) -> String {
    format!("@fd-pass-{of_test}-{}", std::process::id())
}

fn worker(name: &str, args: &[&str]) -> Server {
    Server::start_run(Run::new("fd-pass").arg(name).args(args))
}

fn front(name: &str) -> Server {
    Server::start_run(Run::new("fd-pass").args([name, "--port", "0"]))
}

fn every_byte_goes_through_the_worker() -> Result<(), Skip> {
    let name = name("bytes");
    let (_worker, front) = (worker(&name, &["-q"]), front(&name));
    let bytes = peer::pattern(3, 4 << 20);
    assert!(peer::exchange(front.address(), &bytes).unwrap() == bytes, "4 MiB");
    assert_eq!(peer::half_close(front.address(), b"half").unwrap(), b"half");
    Ok(())
}

fn a_client_hears_the_end_when_the_worker_dies() -> Result<(), Skip> {
    let name = name("dies");
    let (worker, front) = (worker(&name, &[]), front(&name));
    let mut client = served(front.address()).unwrap();
    worker.signal(Signal::SIGKILL);
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    assert!(front.still_running());
    Ok(())
}

fn a_front_without_a_worker_closes_the_client_and_goes_on() -> Result<(), Skip> {
    let name = name("alone");
    let front = front(&name);
    let mut client = peer::connect(front.address()).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let said = |log: &str| log.contains("lost: connect to unix:@fd-pass-alone");
    assert!(front.wait_stderr(said, SOON), "{}", front.stderr());
    let _worker = worker(&name, &["-q"]);
    assert_eq!(peer::exchange(front.address(), b"now").unwrap(), b"now");
    Ok(())
}

fn connections_wait_in_flight_for_a_worker_that_is_busy() -> Result<(), Skip> {
    let name = name("flight");
    let (_worker, front) = (worker(&name, &["-q"]), front(&name));
    let first = served(front.address()).unwrap();
    let mut others: Vec<_> = (0..10).map(|_| peer::connect(front.address()).unwrap()).collect();
    for other in &mut others {
        other.write_all(b"x").unwrap();
    }
    let handed = |log: &str| log.matches(" handed to pid ").count() == 11;
    assert!(front.wait_stderr(handed, SOON), "{}", front.stderr());
    // Nobody has them: the front has closed, and the worker has not taken them yet.
    drop(first);
    for mut other in others {
        let mut back = [0];
        other.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"x");
    }
    Ok(())
}

/// Sends so many messages as a front would, with what `fds` makes.
fn hands_over(name: &str, fds: &str, times: usize) -> Run {
    let script = "import os, socket, sys\n\
        def tcp():\n\
        \x20   s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); return s\n\
        listener = tcp(); client = socket.create_connection(listener.getsockname())\n\
        plain = open('/dev/null')\n\
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.connect(('127.0.0.1', 9))\n\
        for _ in range(int(sys.argv[3])):\n\
        \x20   s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
        \x20   s.connect('\\0' + sys.argv[1][1:])\n\
        \x20   socket.send_fds(s, [b'c'], [f.fileno() for f in eval(sys.argv[2])])\n\
        \x20   s.close()";
    Run::program("python3").args(["-c", script, name, fds, &times.to_string()])
}

fn what_is_no_connection_is_refused_and_closed() -> Result<(), Skip> {
    need(Need::Python3)?;
    let name = name("hostile");
    let worker = worker(&name, &[]);
    let before = evidence::descriptors(worker.pid()).len();
    // A user without rights may have as many in flight as a process of theirs may have open
    // (ETOOMANYREFS, unix(7)).
    let cases = ["[]", "[plain]", "[listener]", "[udp]", "[client] * 2", "[client] * 253"];
    let mut sent = 0;
    for fds in cases {
        let times = if fds.ends_with("253") { 2 } else { 20 };
        sent += times;
        let finished = hands_over(&name, fds, times).finish();
        assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
        let refused = |log: &str| log.matches("nothing taken over: ").count() == sent;
        assert!(worker.wait_stderr(refused, SOON), "{fds}: {}", worker.stderr());
        let closed = || (evidence::descriptors(worker.pid()).len() == before).then_some(());
        assert!(evidence::wait_until(SOON, closed).is_some(), "{fds} leaves descriptors open");
    }
    let front = front(&name);
    assert_eq!(peer::exchange(front.address(), b"next").unwrap(), b"next");
    Ok(())
}

fn a_worker_without_descriptors_goes_on() -> Result<(), Skip> {
    need(Need::Prlimit)?;
    let name = name("limit");
    let (worker, front) = (worker(&name, &[]), front(&name));
    let limit = |descriptors: usize| {
        let (pid, limit) = (worker.pid().to_string(), format!("--nofile={descriptors}:"));
        let finished = Run::program("prlimit").args(["--pid", &pid, &limit]).finish();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
    };
    // One more for the message of the front, and none for what it carries.
    limit(evidence::descriptors(worker.pid()).len() + 1);
    let mut client = peer::connect(front.address()).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "it hears the end");
    let refused = |log: &str| log.contains("nothing taken over: not one descriptor");
    assert!(worker.wait_stderr(refused, SOON), "{}", worker.stderr());
    limit(64);
    assert_eq!(peer::exchange(front.address(), b"next").unwrap(), b"next");
    Ok(())
}

fn a_silent_client_is_closed_and_the_next_one_served() -> Result<(), Skip> {
    let name = name("silent");
    let (worker, front) = (worker(&name, &["--idle-timeout", "200ms"]), front(&name));
    let mut silent = peer::connect(front.address()).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "it closed");
    assert!(worker.wait_stderr(|log| log.contains("timed out after 200ms"), SOON));
    assert_eq!(peer::exchange(front.address(), b"next").unwrap(), b"next");
    Ok(())
}

fn a_client_that_never_reads_is_closed_and_the_next_one_served() -> Result<(), Skip> {
    let name = name("deaf");
    let (worker, front) = (worker(&name, &["--idle-timeout", "500ms"]), front(&name));
    let _deaf = peer::never_reads(front.address());
    let closed = |log: &str| log.contains("send timed out after 500ms");
    assert!(worker.wait_stderr(closed, SOON), "{}", worker.stderr());
    assert_eq!(peer::exchange(front.address(), b"next").unwrap(), b"next");
    Ok(())
}

fn resets_leave_nothing_in_either_process() -> Result<(), Skip> {
    let name = name("reset");
    let (worker, front) = (worker(&name, &["-q"]), front(&name));
    let exchange = || peer::exchange(front.address(), b"next").unwrap();
    assert_eq!(exchange(), b"next");
    let open = || [&worker, &front].map(|server| evidence::descriptors(server.pid()).len());
    let before = open();
    for start in [&b""[..], b"x", &[b'x'; 4_095]].iter().cycle().take(60) {
        peer::reset(front.address(), start).unwrap();
    }
    assert_eq!(exchange(), b"next");
    let settled = || (open() == before).then_some(());
    assert!(evidence::wait_until(SOON, settled).is_some(), "{:?}, before {before:?}", open());
    Ok(())
}

fn a_path_is_refused() -> Result<(), Skip> {
    let finished = Run::new("fd-pass").arg("/tmp/w.sock").finish();
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    assert!(finished.stderr_text().contains("write @ and an abstract name"), "{finished:?}");
    Ok(())
}

fn another_user_hands_nothing_over() -> Result<(), Skip> {
    need(Need::OtherUser)?;
    let name = name("user");
    let worker = worker(&name, &[]);
    let front = Run::new("fd-pass").args([&name, "--port", "0"]).uid(NOBODY);
    let front = Server::start_run(front);
    let mut client = peer::connect(front.address()).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "it hears the end");
    let refused = |log: &str| log.contains("nothing taken over: not a process of this user");
    assert!(worker.wait_stderr(refused, SOON), "{}", worker.stderr());
    Ok(())
}
