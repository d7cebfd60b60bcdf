//! Many clients at once, good ones and others.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netcheck::{Run, Server, Skip, bin, evidence, peer};
use socket2::{Domain, Socket, Type};

use super::{Checks, Kind, SECOND, at_rest, checks, cpu_share};

pub(super) const CHECKS: Checks = checks![
    echoes_to_several: a_stopped_client_holds_up_nobody;
    serves_each_apart: five_hundred_idle_and_a_hundred_busy_clients_hold_up_nobody;
    serves_several:
        fifty_clients_of_the_same_instant_are_all_served,
        a_full_server_lets_the_next_client_wait_and_sleeps;
    serves_from_one_process:
        the_soft_limit_of_descriptors_is_no_limit;
    counts_clients:
        max_per_source_counts_each_address_apart;
];

fn a_stopped_client_holds_up_nobody(kind: &Kind) -> Result<(), Skip> {
    let server = kind.with_room(4, &[]);
    let port = server.address().port().to_string();
    let client =
        Run::new("forking-client").args(["--port", &port, "--clients", "1", "--hold", "1h"]);
    let client = client.start();
    let accepted = server.wait_stderr(|log| log.contains(" opened"), 10 * SECOND);
    assert!(accepted, "{}", server.stderr());
    client.stop();
    for _ in 0..20 {
        assert_eq!(peer::exchange(server.address(), b"beside it").unwrap(), b"beside it");
    }
    client.cont();
    drop(client);
    at_rest(&server);
    Ok(())
}

/// The round trips of one client, the slowest of a hundred last.
fn round_trips(kind: &Kind, client: &mut TcpStream) -> Duration {
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            kind.probe.ask(client).unwrap();
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

fn five_hundred_idle_and_a_hundred_busy_clients_hold_up_nobody(kind: &Kind) -> Result<(), Skip> {
    let server = kind.with_room(700, &[]);
    let served = || kind.probe.served(server.address()).unwrap();
    let mut good = served();
    let alone = round_trips(kind, &mut good);
    let idle: Vec<TcpStream> = (0..500).map(|_| served()).collect();
    let mut busy: Vec<TcpStream> = (0..100).map(|_| served()).collect();
    let over = AtomicBool::new(false);
    let p99 = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                busy.iter_mut().for_each(|client| kind.probe.ask(client).unwrap());
            }
        });
        let p99 = round_trips(kind, &mut good);
        over.store(true, Ordering::Relaxed);
        p99
    });
    drop((idle, busy));
    // A machine that is busy with other things lets also a single client wait.
    let limit = Duration::from_millis(50) + 10 * alone;
    assert!(p99 < limit, "{p99:?}, without the others {alone:?}");
    Ok(())
}

fn fifty_clients_of_the_same_instant_are_all_served(kind: &Kind) -> Result<(), Skip> {
    let server = kind.with_room(60, &[]);
    let first = at_rest(&server);
    let together = Barrier::new(50);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                together.wait();
                kind.probe.exchange(server.address()).unwrap();
            });
        }
    });
    let same = || (at_rest(&server) == first).then_some(());
    evidence::wait_until(5 * SECOND, same).expect("nothing is left of them");
    Ok(())
}

fn the_soft_limit_of_descriptors_is_no_limit(kind: &Kind) -> Result<(), Skip> {
    let run = Run::script(r#"ulimit -Sn 32; exec "$@""#).arg(bin(&kind.name));
    let run = run.args(["--port", "0", "--backlog", "128"]).args(kind.options());
    let server = Server::start_run(run);
    let served = |_| kind.probe.served(server.address());
    let clients = (0..100).map(served).collect::<Result<Vec<_>, _>>();
    assert_eq!(clients.expect("each is served").len(), 100, "{}", server.stderr());
    Ok(())
}

fn a_full_server_lets_the_next_client_wait_and_sleeps(kind: &Kind) -> Result<(), Skip> {
    let server = kind.with_room(2, &[]);
    let served = || kind.probe.served(server.address()).unwrap();
    let (first, _second) = (served(), served());
    let mut third = peer::connect(server.address()).unwrap();
    kind.probe.say_hello(&mut third).unwrap();
    // The listener is ready all the time; a server that still waited for it would turn.
    let share = cpu_share(&server, Duration::from_millis(500));
    assert!(share < 0.05, "{:.0} % of a core", share * 100.0);
    third.set_nonblocking(true).unwrap();
    assert!(third.read(&mut [0; 5]).is_err(), "it waits");
    third.set_nonblocking(false).unwrap();
    drop(first);
    kind.probe.hear_reply(&mut third).unwrap();
    Ok(())
}

fn max_per_source_counts_each_address_apart(kind: &Kind) -> Result<(), Skip> {
    let server = kind.with_room(20, &["--max-per-source", "2"]);
    let from = |source: &str| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let source: SocketAddr = format!("{source}:0").parse().unwrap();
        socket.bind(&source.into()).unwrap();
        socket.connect(&server.address().into()).unwrap();
        socket.set_read_timeout(Some(10 * SECOND)).unwrap();
        let mut stream = TcpStream::from(socket);
        let said = kind.probe.say_hello(&mut stream);
        let served = said.and_then(|()| kind.probe.hear_reply(&mut stream)).is_ok();
        (stream, served)
    };
    let clients: Vec<(TcpStream, bool)> = (0..3).map(|_| from("127.0.0.2")).collect();
    let (_other, served) = from("127.0.0.3");
    let which: Vec<bool> = clients.iter().map(|(_, served)| *served).collect();
    assert_eq!(which, [true, true, false]);
    assert!(served, "another source is not concerned");
    let why = |log: &str| log.contains("refused: limit of 2 clients of 127.0.0.2 reached");
    assert!(server.wait_stderr(why, 5 * SECOND), "{}", server.stderr());
    // One of them goes, and its place is free.
    drop(clients);
    let again = || from("127.0.0.2").1.then_some(());
    evidence::wait_until(5 * SECOND, again).expect("the place is free again");
    Ok(())
}
