//! What must not stop a server: a log that nothing reads, a full file, a peer that does not read, a
//! filter, a parent that is killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant};

use netcheck::{Link, Need, Process, Run, Server, Signal, Skip, bin, evidence, need, peer};
use scenarios::served;

use super::peers::serves_the_next;
use super::{Checks, Kind, SECOND, checks, cpu_share, family};
use crate::in_time;

pub(super) const CHECKS: Checks = checks![
    any:
        a_stopped_reader_of_the_log_stops_nothing,
        a_stopped_reader_of_the_log_does_not_keep_it_from_ending,
        a_log_file_at_its_limit_stops_nothing,
        a_client_that_never_reads_is_closed_in_time,
        a_client_whose_cable_is_pulled_is_closed_in_time,
        a_storm_of_signals_ends_nothing,
        a_server_that_says_that_it_listens_has_what_it_needs;
    keeps_part_of_a_message: a_client_for_which_there_is_no_memory_ends_alone;
    // epoll-web needs a descriptor for each file: it answers 503.
    echoes_to_several: a_limit_below_the_descriptors_it_has_cuts_off_no_client;
    calls_accept: an_accept_that_always_fails_does_not_spin;
    forks: a_stopped_child_ends_with_its_parent;
];

/// `O_NONBLOCK` of open(2).
const O_NONBLOCK: i32 = 0o4000;

/// A server whose log goes to a FIFO; the FIFO is read only by the test.
fn with_fifo(kind: &Kind, args: &[&str]) -> (Process, SocketAddr, File, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    assert!(Run::program("mkfifo").arg(&path).finish().status.success());
    // Read and write: it opens at once, and never ends.
    let mut options = OpenOptions::new();
    let fifo = options.read(true).write(true).custom_flags(O_NONBLOCK).open(&path).unwrap();
    let line = r#"log=$1; shift; exec "$0" "$@" 2> "$log""#;
    let run = Run::program("sh").args(["-c", line]).arg(bin(&kind.name)).arg(&path);
    let server = run.args(["--port", "0"]).args(kind.options()).args(args);
    let mut process = server.start();
    let readiness = process.next_line(10 * SECOND).expect("it listens");
    let address = readiness.strip_prefix("listening on ").expect("an address");
    let address = address.split(',').next().unwrap().parse().unwrap();
    (process, address, fifo, folder)
}

/// More lines than the 64 KiB of a pipe hold, from clients that are all served.
fn fill(kind: &Kind, address: SocketAddr, connections: usize) {
    for _ in 0..connections {
        kind.probe.exchange(address).unwrap();
    }
}

fn a_stopped_reader_of_the_log_stops_nothing(kind: &Kind) -> Result<(), Skip> {
    const CONNECTIONS: usize = 700;
    let (_server, address, mut fifo, _folder) = with_fifo(kind, &[]);
    fill(kind, address, CONNECTIONS);
    // It is read again. Each event is a whole line, or among those that are said to be lost.
    let (mut log, mut connections) = (Vec::new(), CONNECTIONS);
    let complete = || {
        // The end is "nothing more now".
        let _ = fifo.read_to_end(&mut log);
        let text = String::from_utf8_lossy(&log);
        let begins = format!("{}: ", kind.name);
        assert!(text.lines().all(|line| line.starts_with(&begins)), "{text}");
        let lost = text.lines().filter_map(|line| {
            line.strip_prefix(&begins)?.strip_suffix(" lines of this log lost: it had no room")
        });
        let lost: Vec<usize> = lost.map(|lines| lines.parse().unwrap()).collect();
        let events = text.lines().count() - lost.len();
        // A loss is said with the next line.
        fill(kind, address, 1);
        connections += 1;
        let expected = kind.lines_of_a_client() * (connections - 1);
        (!lost.is_empty() && events + lost.iter().sum::<usize>() == expected).then_some(())
    };
    assert!(evidence::wait_until(10 * SECOND, complete).is_some(), "{}", log.len());
    Ok(())
}

fn a_stopped_reader_of_the_log_does_not_keep_it_from_ending(kind: &Kind) -> Result<(), Skip> {
    let (server, address, _fifo, _folder) = with_fifo(kind, &["--grace", "100ms"]);
    fill(kind, address, 700);
    let _client = kind.probe.served(address).unwrap();
    server.signal(Signal::SIGTERM);
    let status = server.wait(10 * SECOND).expect("it ends");
    assert_eq!(status.code(), Some(0));
    Ok(())
}

fn a_log_file_at_its_limit_stops_nothing(kind: &Kind) -> Result<(), Skip> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    // A block is 512 or 1,024 bytes: nine connections are more.
    let line = r#"log=$1; shift; ulimit -f 1; exec "$0" "$@" 2> "$log""#;
    let run = Run::program("sh").args(["-c", line]).arg(bin(&kind.name)).arg(&path);
    let server = Server::start_run(run.args(["--port", "0"]).args(kind.options()));
    fill(kind, server.address(), 30);
    assert!(server.still_running());
    let size = path.metadata().unwrap().len();
    assert!((1..=1024).contains(&size), "{size} bytes");
    Ok(())
}

/// The idle timeout of a server whose clients do not read, or cannot.
const IDLE: Duration = Duration::from_secs(2);

fn a_client_that_never_reads_is_closed_in_time(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["--idle-timeout", "2s"]);
    let closed = |log: &str| log.matches("timed out after 2s").count();
    in_time(|| {
        let (begun, before) = (Instant::now(), closed(&server.stderr()));
        // It is reset while it still sends, or later; kept open either way.
        let _deaf = kind.probe.never_reads(server.address());
        let full = Instant::now();
        let ended = server.wait_stderr(|log| closed(log) > before, 10 * SECOND);
        let (longest, shortest) = (begun.elapsed(), full.elapsed());
        assert!(ended && longest >= IDLE, "{longest:?}: {}", server.stderr());
        serves_the_next(kind, &server);
        shortest < IDLE * 3 / 2 + kind.goodbye()
    });
    Ok(())
}

fn a_client_whose_cable_is_pulled_is_closed_in_time(kind: &Kind) -> Result<(), Skip> {
    need(Need::Link)?;
    in_time(|| pull_cable(kind) < IDLE * 3 / 2 + kind.goodbye());
    Ok(())
}

/// How long after the cable was pulled the server closes a client, in the middle of a transfer in both
/// directions.
fn pull_cable(kind: &Kind) -> Duration {
    let link = Link::start().unwrap();
    let host = Link::NEAR.to_string();
    let run = kind.run("0").args(["--host", &host, "--idle-timeout", "2s"]);
    let server = Server::start_run(link.near(run));
    let client = kind.probe.served_over(link.connect(server.address()).unwrap()).unwrap();
    let (mut sender, mut receiver) = (&client, &client);
    thread::scope(|scope| {
        scope.spawn(move || while sender.write_all(&kind.probe.much()).is_ok() {});
        io::copy(&mut receiver.take(4 << 20), &mut io::sink()).unwrap();
        scope.spawn(move || io::copy(&mut receiver, &mut io::sink()));
        let begun = Instant::now();
        link.pull().unwrap();
        let pulled = Instant::now();
        let ended = server.wait_stderr(|log| log.contains("timed out after 2s"), 10 * SECOND);
        let (longest, shortest) = (begun.elapsed(), pulled.elapsed());
        client.shutdown(Shutdown::Both).unwrap();
        assert!(ended && longest >= IDLE, "{longest:?}: {}", server.stderr());
        shortest
    })
}

fn a_client_for_which_there_is_no_memory_ends_alone(kind: &Kind) -> Result<(), Skip> {
    need(Need::Prlimit)?;
    let server = kind.with_room(300, &[]);
    let join = |_| kind.probe.served(server.address()).unwrap();
    let mut clients: Vec<TcpStream> = (0..200).map(join).collect();
    // Room for 64 of these messages, or for less.
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: usize = size.trim().trim_end_matches(" kB").parse().unwrap();
    let limit = |limit: String| {
        let prlimit = Run::program("prlimit").args(["--pid", &server.pid().to_string(), &limit]);
        assert!(prlimit.finish().status.success());
    };
    limit(format!("--as={}:", (kilobytes + 256) * 1024));
    let part = kind.probe.part_of_a_message();
    clients.iter_mut().for_each(|client| client.write_all(&part).unwrap_or_default());
    let why = |log: &str| log.contains(", no memory for ");
    assert!(server.wait_stderr(why, 10 * SECOND), "{}", server.stderr());
    assert!(server.still_running());
    drop(clients);
    let served = || kind.probe.exchange(server.address()).ok();
    let is_served = evidence::wait_until(10 * SECOND, served).is_some();
    assert!(is_served, "{}", server.stderr());
    Ok(())
}

fn a_limit_below_the_descriptors_it_has_cuts_off_no_client(kind: &Kind) -> Result<(), Skip> {
    need(Need::Prlimit)?;
    let server = kind.with_room(40, &[]);
    let join = |_| kind.probe.served(server.address()).unwrap();
    let mut clients: Vec<TcpStream> = (0..20).map(join).collect();
    let limit = |limit: &str| {
        let prlimit = Run::program("prlimit").args(["--pid", &server.pid().to_string(), limit]);
        assert!(prlimit.finish().status.success());
    };
    // poll(2): EINVAL for a list that is longer.
    limit("--nofile=8:");
    for client in &mut clients {
        kind.probe.ask(client).unwrap_or_else(|why| panic!("{why}: {}", server.stderr()));
    }
    limit("--nofile=100:");
    // It may be refusing one.
    let served = || kind.probe.exchange(server.address()).ok();
    evidence::wait_until(10 * SECOND, served).expect("it serves the next client");
    Ok(())
}

fn a_server_that_says_that_it_listens_has_what_it_needs(kind: &Kind) -> Result<(), Skip> {
    for descriptors in 4..12 {
        let mut process = kind.run("0").limit_nofile(descriptors).start();
        if process.next_line(10 * SECOND).is_some() {
            process.signal(Signal::SIGTERM);
            let status = process.wait(10 * SECOND).expect("it ends");
            assert_eq!(status.code(), Some(0), "{descriptors}: {}", process.stderr());
        } else {
            let status = process.wait(10 * SECOND).expect("it ends");
            // 74: a folder that is served is a file.
            let code = status.code().filter(|code| [71, 74].contains(code));
            assert!(code.is_some(), "{descriptors}: {}", process.stderr());
        }
    }
    Ok(())
}

fn an_accept_that_always_fails_does_not_spin(kind: &Kind) -> Result<(), Skip> {
    need(Need::Strace)?;
    // What a seccomp filter or a firewall may answer to each; and no descriptor, no memory.
    std::thread::scope(|scope| {
        for errno in ["EPERM", "EMFILE", "ENOMEM"] {
            scope.spawn(move || an_accept_that_always_fails(kind, errno));
        }
    });
    Ok(())
}

fn an_accept_that_always_fails(kind: &Kind, errno: &str) {
    let inject = format!("inject=accept4:error={errno}");
    let (run, trace) = kind.run("0").traced(&["trace=accept4", &inject]);
    let server = Server::start_run(run);
    let _pending = peer::connect(server.address());
    let before = trace.calls().len();
    let share = cpu_share(&server, 2 * SECOND);
    assert!(share < 0.2, "{errno}: {:.0} % of a core", share * 100.0);
    let calls = trace.calls().len() - before;
    let workers = if kind.has_workers() { 8 } else { 1 };
    // Without a descriptor each is two accepts: the second one spends the reserve.
    assert!(calls < workers * 200, "{errno}: {calls} calls in 2 s");
    let complaints = server.stderr().matches(errno).count();
    assert!((1..=4 * workers).contains(&complaints), "{errno}: {}", server.stderr());
}

fn a_storm_of_signals_ends_nothing(kind: &Kind) -> Result<(), Skip> {
    // After a stop some calls end with EINTR without any handler: a recv with a timeout, epoll_wait
    // (signal(7)).
    const STORM: &str = r#"
        for round in $(seq 1500); do
            for signal in STOP CONT CHLD STOP CONT WINCH URG; do
                kill -"$signal" "$@" 2> /dev/null || true
            done
        done"#;
    let server = kind.start(&[]);
    let mut client = kind.probe.served(server.address()).unwrap();
    let family = family(&server);
    let storm = Run::script(STORM).args(family.iter().map(i32::to_string)).start();
    let mut meanwhile = 0;
    while storm.still_running() {
        kind.probe.ask(&mut client).unwrap();
        if kind.serves_several() {
            kind.probe.exchange(server.address()).unwrap();
        }
        meanwhile += 1;
    }
    assert!(meanwhile > 0);
    kind.probe.ask(&mut client).expect("it serves on");
    drop(client);
    server.signal(Signal::SIGTERM);
    let status = server.wait(10 * SECOND).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    Ok(())
}

fn a_stopped_child_ends_with_its_parent(kind: &Kind) -> Result<(), Skip> {
    // The shell stays in the process group: of one that becomes orphaned the kernel wakes the stopped
    // members (setpgid(2)), which would hide the fault.
    let line = format!(r#""$0" --port 0 {} & wait; exec tail -f /dev/null"#, kind.variant());
    let shell = Server::start_run(Run::program("sh").args(["-c", &line]).arg(bin(&kind.name)));
    let _client = served(shell.address()).unwrap();
    let parent = evidence::children(shell.pid())[0];
    let children = evidence::descendants(parent);
    assert!(!children.is_empty());
    let kill = |signal: &str, pid: i32| {
        assert!(Run::program("kill").args([signal, &pid.to_string()]).finish().status.success());
    };
    children.iter().for_each(|child| kill("-STOP", *child));
    kill("-KILL", parent);
    let gone = |pid: &i32| evidence::state(*pid).is_none_or(|state| state == 'Z');
    let none = || children.iter().all(gone).then_some(());
    evidence::wait_until(5 * SECOND, none).expect("a stopped child ends with its parent");
    Ok(())
}
