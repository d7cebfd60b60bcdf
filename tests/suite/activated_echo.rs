//! `activated-echo`: the launcher and its servers, and what a server that is started by somebody else is
//! given.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Server, Signal, Skip, bin, evidence, need, peer};
use scenarios::served;

use crate::{kill, tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "activated_echo",
        tests![
            a_server_is_started_by_the_first_client_and_ends_without_one,
            what_is_sent_before_there_is_a_server_is_echoed,
            a_server_that_is_replaced_finishes_its_client,
            a_server_that_fails_at_once_is_started_with_pauses,
            servers_end_with_their_launcher,
            a_client_may_finish_after_sigterm,
            a_listener_that_was_passed_is_served_and_outlives_its_server,
            a_listener_is_closed_on_exec_from_then_on,
            variables_of_another_process_mean_nothing,
            a_number_of_sockets_that_is_not_one_is_refused,
            what_does_not_listen_is_refused,
            a_connection_that_is_standard_input_is_served,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

/// O_CLOEXEC, as /proc/PID/fdinfo shows it on every architecture but two (open(2)).
const CLOEXEC: i32 = 0o2_000_000;

fn launcher(args: &[&str]) -> Server {
    Server::start_run(Run::new("activated-echo").args(["--port", "0"]).args(args))
}

/// Its only server, once there is one.
fn server_of(launcher: &Server) -> i32 {
    let only = || match evidence::children(launcher.pid())[..] {
        [server] => Some(server),
        _ => None,
    };
    evidence::wait_until(SOON, only).expect("one server")
}

fn is_gone(pid: i32) {
    let gone = || evidence::state(pid).is_none().then_some(());
    evidence::wait_until(SOON, gone).expect("it ends");
}

fn a_server_is_started_by_the_first_client_and_ends_without_one() -> Result<(), Skip> {
    let launcher = launcher(&["--idle-exit", "200ms", "-v"]);
    assert!(launcher.readiness().ends_with(", no server yet"), "{}", launcher.readiness());
    assert!(evidence::children(launcher.pid()).is_empty());
    let mut pids = Vec::new();
    for _ in 0..2 {
        assert_eq!(peer::exchange(launcher.address(), b"hello").unwrap(), b"hello");
        let server = server_of(&launcher);
        is_gone(server);
        pids.push(server);
    }
    let ended = |log: &str| log.matches(" ended: exit code 0, ").count() == 2;
    assert!(launcher.wait_stderr(ended, SOON), "{}", launcher.stderr());
    assert_ne!(pids[0], pids[1]);
    Ok(())
}

fn what_is_sent_before_there_is_a_server_is_echoed() -> Result<(), Skip> {
    let launcher = launcher(&["-q"]);
    launcher.stop();
    let mut clients: Vec<TcpStream> =
        (0..10).map(|_| peer::connect(launcher.address()).unwrap()).collect();
    for client in &mut clients {
        client.write_all(b"early").unwrap();
    }
    assert!(evidence::children(launcher.pid()).is_empty());
    launcher.cont();
    for mut client in clients {
        let mut back = [0; 5];
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"early");
    }
    Ok(())
}

fn a_server_that_is_replaced_finishes_its_client() -> Result<(), Skip> {
    let launcher = launcher(&[]);
    let mut client = served(launcher.address()).unwrap();
    let old = server_of(&launcher);
    launcher.signal(Signal::SIGHUP);
    let two = || (evidence::children(launcher.pid()).len() == 2).then_some(());
    evidence::wait_until(SOON, two).expect("a second server");
    // The new one serves, while the old one waits for its client.
    let other = served(launcher.address()).unwrap();
    client.write_all(b"still here").unwrap();
    let mut back = [0; 10];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"still here");
    drop(client);
    is_gone(old);
    assert_ne!(server_of(&launcher), old);
    drop(other);
    Ok(())
}

fn a_server_that_fails_at_once_is_started_with_pauses() -> Result<(), Skip> {
    need(Need::Prlimit)?;
    let launcher = launcher(&["-v"]);
    let (pid, open) = (launcher.pid().to_string(), evidence::descriptors(launcher.pid()).len());
    // The launcher has all that it needs, and no server has.
    let limit = format!("--nofile={open}:{open}");
    assert!(Run::program("prlimit").args(["--pid", &pid, &limit]).finish().status.success());
    let _client = peer::connect(launcher.address()).unwrap();
    evidence::wait_until(Duration::from_secs(2), || None::<()>);
    let log = launcher.stderr();
    // 0, 0.1, 0.3, 0.7 and 1.5 s after the client.
    let starts = log.matches(" started").count();
    assert!((2..=5).contains(&starts), "{starts}: {log}");
    assert!(log.contains(" ended: exit code 71, "), "{log}");
    launcher.signal(Signal::SIGTERM);
    assert_eq!(launcher.wait(SOON).and_then(|status| status.code()), Some(0));
    Ok(())
}

fn servers_end_with_their_launcher() -> Result<(), Skip> {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let launcher = launcher(&["-q", "--grace", "0"]);
        let _client = served(launcher.address()).unwrap();
        let server = server_of(&launcher);
        launcher.signal(signal);
        let code = launcher.wait(SOON).expect("it ends").code();
        assert_eq!(code, (signal != Signal::SIGKILL).then_some(0), "{}", launcher.stderr());
        is_gone(server);
    }
    // A server that obeys nothing is killed in the end.
    let launcher = launcher(&["-q", "--grace", "0"]);
    let _client = served(launcher.address()).unwrap();
    let server = server_of(&launcher);
    kill(server, "STOP");
    launcher.signal(Signal::SIGTERM);
    assert_eq!(launcher.wait(SOON).and_then(|status| status.code()), Some(0));
    is_gone(server);
    Ok(())
}

fn a_client_may_finish_after_sigterm() -> Result<(), Skip> {
    let launcher = launcher(&[]);
    let mut client = served(launcher.address()).unwrap();
    launcher.signal(Signal::SIGTERM);
    let refused = || peer::connect(launcher.address()).is_err().then_some(());
    evidence::wait_until(SOON, refused).expect("nobody listens");
    client.write_all(b"finish").unwrap();
    let mut back = [0; 6];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"finish");
    drop(client);
    assert_eq!(launcher.wait(SOON).and_then(|status| status.code()), Some(0));
    Ok(())
}

/// Starts it as systemd does: `what` is descriptor 3, LISTEN_FDS is `fds`, and LISTEN_PID its own number or
/// another one.
fn passed(what: &str, fds: &str, pid: &str) -> Run {
    let script = "import os, socket, sys\n\
        what, fds, pid, *program = sys.argv[1:]\n\
        s = socket.socket(type=socket.SOCK_DGRAM if what == 'datagrams' else socket.SOCK_STREAM)\n\
        s.bind(('127.0.0.1', 0))\n\
        if what in ('listener', 'connection'): s.listen()\n\
        address = s.getsockname()\n\
        if what == 'connection': s = socket.create_connection(address)\n\
        if what == 'file': s = open('/dev/null')\n\
        os.dup2(s.fileno(), 3)\n\
        os.set_inheritable(3, True)\n\
        if what == 'closed': os.close(3)\n\
        print('listening on %s:%d' % address, flush=True)\n\
        os.environ.update(LISTEN_FDS=fds, LISTEN_PID=pid or str(os.getpid()))\n\
        os.execv(program[0], program)";
    let run = Run::program("python3").args(["-c", script, what, fds, pid]);
    run.arg(bin("activated-echo"))
}

fn a_listener_that_was_passed_is_served_and_outlives_its_server() -> Result<(), Skip> {
    need(Need::Python3)?;
    let server = Server::start_run(passed("listener", "1", "").args(["--idle-exit", "300ms"]));
    assert_eq!(peer::exchange(server.address(), b"hello").unwrap(), b"hello");
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0), "{}", server.stderr());
    assert!(server.stderr().starts_with("activated-echo: 127.0.0.1:"), "{}", server.stderr());
    Ok(())
}

fn a_listener_is_closed_on_exec_from_then_on() -> Result<(), Skip> {
    let launcher = launcher(&["-q"]);
    let _client = served(launcher.address()).unwrap();
    let server = server_of(&launcher);
    let flags = evidence::descriptor_flags(server, 3).expect("descriptor 3");
    assert_ne!(flags & CLOEXEC, 0, "{flags:o}");
    // And it is the listener of the launcher.
    let owners = evidence::listener_owners(launcher.address());
    assert!(owners.contains(&(server, 3)) && owners.len() == 2, "{owners:?}");
    Ok(())
}

fn ended(finished: &Finished, code: i32, said: &str) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    assert!(finished.stderr_text().starts_with(said), "{said:?}? {finished:?}");
}

fn variables_of_another_process_mean_nothing() -> Result<(), Skip> {
    need(Need::Python3)?;
    for pid in ["1", "text", "-1"] {
        let said = "activated-echo: no listener was passed: give --port, or --inetd, ";
        ended(&passed("listener", "1", pid).finish(), 2, said);
    }
    ended(&passed("listener", "0", "").finish(), 2, "activated-echo: no listener was passed");
    // With a port it is a launcher, whose servers get variables of their own.
    let mut launcher = passed("listener", "1", "1").args(["--port", "0", "-q"]).start();
    launcher.next_line(SOON).expect("the line of the script");
    let line = launcher.next_line(SOON).expect("a readiness line");
    let address = line.trim_start_matches("listening on ").split(',').next().unwrap();
    assert_eq!(peer::exchange(address.parse().unwrap(), b"hello").unwrap(), b"hello");
    Ok(())
}

fn a_number_of_sockets_that_is_not_one_is_refused() -> Result<(), Skip> {
    need(Need::Python3)?;
    for fds in ["2", "-1", "text", ""] {
        let said = format!("activated-echo: LISTEN_FDS={fds}: one socket is served\n");
        ended(&passed("listener", fds, "").finish(), 2, &said);
    }
    Ok(())
}

fn what_does_not_listen_is_refused() -> Result<(), Skip> {
    need(Need::Python3)?;
    for (what, said) in [
        ("closed", "fcntl F_SETFD of descriptor 3: Bad file number (EBADF)"),
        ("file", "getsockopt SO_ACCEPTCONN of descriptor 3: Socket operation on non-socket"),
        ("datagrams", "accept on descriptor 3, which does not listen: Invalid argument (EINVAL)"),
        ("bound", "accept on descriptor 3, which does not listen: Invalid argument (EINVAL)"),
        ("connection", "accept on descriptor 3, which does not listen: Invalid argument (EINVAL)"),
    ] {
        ended(&passed(what, "1", "").finish(), 71, &format!("activated-echo: {said}"));
    }
    Ok(())
}

fn a_connection_that_is_standard_input_is_served() -> Result<(), Skip> {
    need(Need::Python3)?;
    let script = "import os, socket, sys\n\
        s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
        print('listening on %s:%d' % s.getsockname(), flush=True)\n\
        client, _ = s.accept()\n\
        for fd in (0, 1, 2): os.dup2(client.fileno(), fd)\n\
        os.execv(sys.argv[1], sys.argv[1:])";
    let run = || Run::program("python3").args(["-c", script]).arg(bin("activated-echo"));
    let server = Server::start_run(run().arg("--inetd"));
    let bytes = peer::pattern(5, 1 << 20);
    // Not a byte of a log is among them.
    assert!(peer::exchange(server.address(), &bytes).unwrap() == bytes, "1 MiB");
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
    let server = Server::start_run(run().args(["--inetd", "--idle-timeout", "200ms"]));
    assert_eq!(peer::connect(server.address()).unwrap().read(&mut [0]).unwrap(), 0, "it closed");
    let finished = Run::new("activated-echo").args(["--inetd"]).finish();
    let said = "activated-echo: getpeername of standard input: Socket operation on non-socket";
    ended(&finished, 71, said);
    Ok(())
}
