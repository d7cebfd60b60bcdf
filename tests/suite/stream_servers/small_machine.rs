//! A server without privileges, and one with little memory.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use netcheck::peer::{self, Pace};
use netcheck::{Need, Run, Server, Signal, Skip, bin, evidence, need};

use super::{Checks, Kind, SECOND, checks};

pub(super) const CHECKS: Checks = checks![
    any:
        without_any_privilege_it_serves_on_a_read_only_machine,
        with_little_memory_left_no_client_ends_the_others;
];

/// Takes away what a program could change the machine with, and runs it.
const NO_PRIVILEGES: &str = r#"
    mount -o remount,bind,ro / || exit 42
    exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@""#;

fn without_any_privilege_it_serves_on_a_read_only_machine(kind: &Kind) -> Result<(), Skip> {
    need(Need::UserNamespace)?;
    let run = |args: &[&str]| {
        let run = Run::script(NO_PRIVILEGES).arg(bin(&kind.name)).args(args);
        run.args(kind.options()).unshared(&["--mount"])
    };
    if run(&["--help"]).finish().code() != Some(0) {
        return Err(Skip { reason: "needs setpriv, and a mount of its own".to_owned() });
    }
    let server = Server::start_run(run(&["--port", "0"]));
    let file = |name| fs::read_to_string(format!("/proc/{}/{name}", server.pid())).unwrap();
    let status = file("status");
    for line in ["CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n"] {
        assert!(status.contains(line), "{status}");
    }
    let mounts = file("mountinfo");
    assert!(mounts.lines().any(|line| line.contains(" / / ro,")), "{mounts}");
    (0..3).for_each(|_| kind.probe.exchange(server.address()).unwrap());
    ends(&server);
    Ok(())
}

fn ends(server: &Server) {
    server.signal(Signal::SIGTERM);
    let status = server.wait(10 * SECOND).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
}

/// Clients with small buffers that send as long as anything is taken from them, or a part of a message,
/// and read nothing.
fn deaf(kind: &Kind, address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let client = peer::connect_at(address, Pace::SmallBuffers(4096)).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    };
    let mut clients: Vec<TcpStream> = (0..count).map(connect).collect();
    let bytes = kind.probe.part_of_a_message().repeat(if kind.echoes() { 16 } else { 1 });
    let mut last = Instant::now();
    let full = || {
        // One for which there is no memory is closed.
        let send_some = |client: &mut TcpStream| client.write(&bytes).unwrap_or_default();
        if clients.iter_mut().map(send_some).sum::<usize>() > 0 {
            last = Instant::now();
        }
        (last.elapsed() > SECOND / 5 || !kind.echoes()).then_some(())
    };
    evidence::wait_until(10 * SECOND, full);
    clients
}

fn with_little_memory_left_no_client_ends_the_others(kind: &Kind) -> Result<(), Skip> {
    need(Need::Prlimit)?;
    // Stacks take the last of it, which ends threaded-echo (What can go wrong): its limit has to fit.
    let room = if kind.name == "threaded-echo" { 4 } else { 1000 };
    let server = match kind.has_workers() {
        true => kind.start(&["--backlog", "1024"]),
        false => kind.with_room(room, &[]),
    };
    kind.probe.exchange(server.address()).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: usize = size.trim().trim_end_matches(" kB").parse().unwrap();
    let limit = format!("--as={}:", (kilobytes + 2048) * 1024);
    let prlimit = Run::program("prlimit").args(["--pid", &server.pid().to_string(), &limit]);
    assert!(prlimit.finish().status.success());
    // Those that do not read take the memory; the lists of clients have to grow after that.
    let deaf = deaf(kind, server.address(), 100);
    let silent = peer::hold(server.address(), 600).unwrap();
    assert!(server.still_running(), "{}", server.stderr());
    drop((deaf, silent));
    let served = || kind.probe.exchange(server.address()).ok();
    assert!(evidence::wait_until(10 * SECOND, served).is_some(), "{}", server.stderr());
    ends(&server);
    Ok(())
}
