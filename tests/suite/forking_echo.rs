//! forking-echo: what becomes of its children, whatever happens to them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Signal, Skip, evidence, need, peer};
use scenarios::served;

use crate::{kill, tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "forking_echo",
        tests![
            parent_and_child_each_close_what_is_not_theirs,
            a_child_has_the_signals_of_a_fresh_process,
            a_child_takes_memory_for_what_it_receives_only,
            twenty_children_killed_harm_nobody,
            a_stopped_child_is_killed_at_the_end,
            ctrl_c_in_a_terminal_lets_the_children_finish,
            it_reaps_when_started_with_sigchld_ignored,
            it_works_as_process_1,
            fork_refused_closes_that_client_only,
            a_full_server_refuses_all_but_its_limit_when_it_is_told_to,
            a_child_that_fails_before_it_serves_is_logged_and_counted,
        ],
    );
    trials.extend(topic(
        "forking_echo::as_root",
        tests![the_limit_of_processes_refuses_that_client_only],
    ));
    trials
}

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn start(args: &[&str]) -> Server {
    Server::start("forking-echo", ["--port", "0"].iter().chain(args))
}

/// It still serves, and once its clients have gone no child is left.
fn still_whole(server: &Server) {
    assert_eq!(peer::exchange(server.address(), b"still here").unwrap(), b"still here");
    let none = || evidence::children(server.pid()).is_empty().then_some(());
    evidence::wait_until(5 * SECOND, none).expect("no child is left, alive or zombie");
}

fn sockets(pid: i32) -> usize {
    evidence::descriptors(pid).values().filter(|link| link.starts_with("socket:")).count()
}

fn answers(stream: &mut TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut reply = [0; 5];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"hello");
}

fn parent_and_child_each_close_what_is_not_theirs() -> Result<(), Skip> {
    let server = start(&[]);
    let _clients = [served(server.address()).unwrap(), served(server.address()).unwrap()];
    // A child may serve before its parent has closed the connection.
    let closed = || (sockets(server.pid()) == 1).then_some(());
    evidence::wait_until(5 * SECOND, closed).expect("the parent has the listener only");
    let children = evidence::children(server.pid());
    assert_eq!(children.len(), 2);
    for child in children {
        assert_eq!(sockets(child), 1, "the child has its connection");
    }
    let owners = evidence::listener_owners(server.address());
    assert!(owners.iter().all(|(pid, _)| *pid == server.pid()), "{owners:?}");
    Ok(())
}

fn a_child_has_the_signals_of_a_fresh_process() -> Result<(), Skip> {
    let server = start(&[]);
    let _client = served(server.address()).unwrap();
    let child = evidence::children(server.pid())[0];
    let masks = evidence::signal_masks(child).unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGINT] {
        assert!(!masks.blocked.contains(signal), "{signal} is blocked");
    }
    assert!(masks.ignored.contains(Signal::SIGINT), "Ctrl-C is the parent's business");
    assert!(!masks.ignored.contains(Signal::SIGTERM));
    Ok(())
}

fn a_child_takes_memory_for_what_it_receives_only() -> Result<(), Skip> {
    let server = start(&[]);
    let mut client = served(server.address()).unwrap();
    let child = evidence::children(server.pid())[0];
    let before = evidence::anonymous(child).unwrap();
    let stopped = || (evidence::state(child) == Some('T')).then_some(());
    // Of a stopped child the kernel queues what comes, and one recv takes all of it; less, where some
    // was still on its way. Pages that the parent had touched would have been there since the fork.
    let grows = || {
        kill(child, "STOP");
        evidence::wait_until(5 * SECOND, stopped).expect("it obeys SIGSTOP");
        client.write_all(&[b'x'; 40 * 1024]).unwrap();
        kill(child, "CONT");
        client.read_exact(&mut [0; 40 * 1024]).unwrap();
        (evidence::anonymous(child)? >= before + 32 * 1024).then_some(())
    };
    evidence::wait_until(5 * SECOND, grows)
        .expect("a child touches what it fills, and no more before");
    Ok(())
}

fn twenty_children_killed_harm_nobody() -> Result<(), Skip> {
    let server = start(&["--max-clients", "30"]);
    let mut survivor = served(server.address()).unwrap();
    let own = evidence::children(server.pid());
    let mut victims: Vec<TcpStream> = (0..20).map(|_| served(server.address()).unwrap()).collect();
    let children = evidence::children(server.pid());
    for (n, child) in children.into_iter().filter(|child| !own.contains(child)).enumerate() {
        kill(child, if n % 2 == 0 { "SEGV" } else { "KILL" });
    }
    for victim in &mut victims {
        assert_eq!(victim.read(&mut [0; 1]).unwrap_or(0), 0, "the kernel closed its connection");
    }
    let all = |log: &str| log.matches(" lost: its child ").count() == 20;
    assert!(server.wait_stderr(all, 5 * SECOND), "{}", server.stderr());
    assert_eq!(server.stderr().matches("SIGSEGV").count(), 10, "{}", server.stderr());
    answers(&mut survivor);
    drop(survivor);
    still_whole(&server);
    server.signal(Signal::SIGUSR1);
    let counts = "forked 22, reaped 22, refused 0, crashed 20";
    assert!(server.wait_stderr(|log| log.contains(counts), 10 * SECOND), "{}", server.stderr());
    Ok(())
}

fn a_stopped_child_is_killed_at_the_end() -> Result<(), Skip> {
    let server = start(&["--grace", "50ms"]);
    let _client = served(server.address()).unwrap();
    let child = evidence::children(server.pid())[0];
    kill(child, "STOP");
    server.signal(Signal::SIGTERM);
    // It obeys neither the grace nor SIGTERM; SIGKILL follows a second later.
    let status = server.wait(10 * SECOND).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(server.stderr().contains("forked 1, reaped 1"), "{}", server.stderr());
    assert!(server.stderr().contains("crashed 0"), "it was told to end: {}", server.stderr());
    Ok(())
}

fn ctrl_c_in_a_terminal_lets_the_children_finish() -> Result<(), Skip> {
    let server = start(&["--grace", "30s"]);
    let mut client = served(server.address()).unwrap();
    // The terminal sends SIGINT to the whole foreground group; the harness gave it one of its own.
    kill(-server.pid(), "INT");
    let closed = || (!evidence::is_listening(server.address())).then_some(());
    evidence::wait_until(2 * SECOND, closed).expect("the listener is closed");
    answers(&mut client);
    drop(client);
    assert_eq!(server.wait(10 * SECOND).and_then(|status| status.code()), Some(0));
    Ok(())
}

fn it_reaps_when_started_with_sigchld_ignored() -> Result<(), Skip> {
    let run = Run::new("forking-echo").args(["--port", "0"]).before_exec_ignore_sigchld();
    let server = Server::start_run(run);
    for _ in 0..10 {
        peer::exchange(server.address(), b"x").unwrap();
    }
    still_whole(&server);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(10 * SECOND).and_then(|status| status.code()), Some(0));
    assert!(server.stderr().contains("forked 11, reaped 11"), "{}", server.stderr());
    Ok(())
}

fn it_works_as_process_1() -> Result<(), Skip> {
    need(Need::PidNamespace)?;
    let server = netcheck::bin("forking-echo");
    let unshare = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let run = Run::program("unshare").args(unshare).arg(server).args(["--port", "0", "--show-pid"]);
    let outside = Server::start_run(run);
    assert!(outside.readiness().ends_with(", pid 1"), "{}", outside.readiness());
    for _ in 0..10 {
        let reply = peer::exchange(outside.address(), b"hello").unwrap();
        assert!(reply.ends_with(b": hello"), "{reply:?}");
    }
    let process_1 = evidence::descendants(outside.pid())[0];
    let none = || evidence::children(process_1).is_empty().then_some(());
    evidence::wait_until(5 * SECOND, none).expect("all are reaped");
    // Process 1 gets no signal that it does not ask for.
    kill(process_1, "TERM");
    assert_eq!(outside.wait(10 * SECOND).and_then(|status| status.code()), Some(0));
    assert!(outside.stderr().contains("forked 10, reaped 10"), "{}", outside.stderr());
    Ok(())
}

fn fork_refused_closes_that_client_only() -> Result<(), Skip> {
    need(Need::Strace)?;
    // The counter of strace is one for each process: the parent's second and third fork fail.
    let inject = "inject=clone,clone3,fork,vfork:error=EAGAIN:when=2..3";
    let run = Run::new("forking-echo").args(["--port", "0"]);
    let (run, _trace) = run.traced(&["trace=clone,clone3,fork,vfork", inject]);
    let server = Server::start_run(run);
    refuses_two_of_four(&server, |_| {});
    Ok(())
}

fn the_limit_of_processes_refuses_that_client_only() -> Result<(), Skip> {
    need(Need::OtherUser)?;
    need(Need::Prlimit)?;
    // A user that nothing else runs as: root is not bound by the limit.
    const USER: u32 = 61_234;
    let server = Server::start_run(Run::new("forking-echo").args(["--port", "0"]).uid(USER));
    let limit = |processes: &str| {
        let pid = server.pid().to_string();
        let soft = format!("--nproc={processes}:");
        let prlimit = Run::program("prlimit").args(["--pid", &pid, &soft]).uid(USER).finish();
        assert!(prlimit.status.success(), "{}", prlimit.stderr_text());
    };
    refuses_two_of_four(&server, |number| match number {
        1 => limit("1"),
        3 => limit("1000"),
        _ => {}
    });
    Ok(())
}

/// Four clients, one after the other, of which the second and the third get no child.
fn refuses_two_of_four(server: &Server, before: impl Fn(usize)) {
    let mut served = Vec::new();
    for number in 0..4 {
        before(number);
        served
            .push(peer::exchange(server.address(), b"hello").is_ok_and(|reply| reply == b"hello"));
        let none = || evidence::children(server.pid()).is_empty().then_some(());
        evidence::wait_until(5 * SECOND, none).expect("the child is reaped");
    }
    assert_eq!(served, [true, false, false, true], "{}", server.stderr());
    let twice = |log: &str| {
        let why: Vec<_> = log.lines().filter(|line| line.contains("fork: ")).collect();
        why.len() == 2 && why.iter().all(|line| line.ends_with("(EAGAIN)"))
    };
    assert!(server.wait_stderr(twice, 5 * SECOND), "{}", server.stderr());
}

fn a_full_server_refuses_all_but_its_limit_when_it_is_told_to() -> Result<(), Skip> {
    let server = start(&["--max-clients", "8", "--when-full", "refuse", "--backlog", "64"]);
    let mut clients: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut client = peer::connect(server.address()).unwrap();
            let _ = client.write_all(b"hello"); // refused, it may be reset already
            client
        })
        .collect();
    let is_served = |client: &mut TcpStream| client.read_exact(&mut [0; 5]).is_ok();
    let served = clients.iter_mut().map(is_served).filter(|served| *served).count();
    assert_eq!((served, evidence::children(server.pid()).len()), (8, 8));
    let why = |log: &str| log.matches(" refused: limit of 8 clients reached").count() == 32;
    assert!(server.wait_stderr(why, 5 * SECOND), "{}", server.stderr());
    Ok(())
}

fn a_child_that_fails_before_it_serves_is_logged_and_counted() -> Result<(), Skip> {
    need(Need::Strace)?;
    let run = Run::new("forking-echo").args(["--port", "0"]);
    let (run, _trace) = run.traced(&["trace=prctl", "inject=prctl:error=EPERM"]);
    let server = Server::start_run(run);
    let reply = peer::exchange(server.address(), b"hello").unwrap_or_default();
    assert!(reply.is_empty(), "{reply:?}");
    for said in [" closed: 0 bytes in, 0 out, ", " exited with 1\n"] {
        let said = |log: &str| log.contains(said) && log.contains("prctl: ");
        assert!(server.wait_stderr(said, 5 * SECOND), "{}", server.stderr());
    }
    server.signal(Signal::SIGUSR1);
    let counted = |log: &str| log.contains(" reaped 1, refused 0, crashed 1,");
    assert!(server.wait_stderr(counted, 5 * SECOND), "{}", server.stderr());
    Ok(())
}
