//! Many clients at once, good ones and others.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netcheck::{Run, Server, Skip, bin, evidence, peer};
use socket2::{Domain, Socket, Type};

use super::{Checks, Kind, SECOND, at_rest, checks, cpu_share, memory};

pub(super) const CHECKS: Checks = checks![
    echoes_to_several: a_stopped_client_holds_up_nobody;
    serves_each_apart:
        fifty_clients_that_never_read_hold_up_nobody,
        five_hundred_idle_and_a_hundred_busy_clients_hold_up_nobody;
    serves_several:
        fifty_clients_of_the_same_instant_are_all_served,
        at_most_as_many_as_the_limit_are_served_at_once_and_all_in_the_end;
    serves_from_one_process:
        the_soft_limit_of_descriptors_is_no_limit;
    counts_clients:
        max_per_source_counts_each_address_apart,
        max_per_source_counts_an_ipv4_address_once;
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
    let run = run.args(["--port", "0"]).args(kind.options());
    let server = Server::start_run(run);
    let served = |_| kind.probe.served(server.address());
    let clients = (0..100).map(served).collect::<Result<Vec<_>, _>>();
    assert_eq!(clients.expect("each is served").len(), 100, "{}", server.stderr());
    Ok(())
}

fn fifty_clients_that_never_read_hold_up_nobody(kind: &Kind) -> Result<(), Skip> {
    const DEAF: usize = 50;
    let server = kind.with_room(60, &["-q"]);
    let mut good = kind.probe.served(server.address()).unwrap();
    let never_reads = || kind.probe.never_reads(server.address()).unwrap();
    let deaf: Vec<TcpStream> = std::thread::scope(|scope| {
        let deaf = [(); DEAF].map(|()| scope.spawn(never_reads));
        deaf.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // A server that waited for one of them would wait for longer than this client.
    (0..200).for_each(|_| kind.probe.ask(&mut good).unwrap());
    // On a busy machine their last bytes may still be on the way.
    let sleeps = || (cpu_share(&server, SECOND / 2) < 0.05).then_some(());
    evidence::wait_until(10 * SECOND, sleeps).expect("it sleeps");
    let before = memory(&server);
    (0..200).for_each(|_| kind.probe.ask(&mut good).unwrap());
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more are resident");
    drop(deaf);
    Ok(())
}

fn at_most_as_many_as_the_limit_are_served_at_once_and_all_in_the_end(
    kind: &Kind,
) -> Result<(), Skip> {
    const LIMIT: usize = 8;
    const CLIENTS: usize = 40;
    let server = kind.with_room(LIMIT, &[]);
    let joins = |_| {
        let mut client = peer::connect(server.address()).unwrap();
        kind.probe.say_hello(&mut client).unwrap();
        client
    };
    let mut waiting: Vec<TcpStream> = (0..CLIENTS).map(joins).collect();
    let is_served = |client: &TcpStream| {
        client.set_nonblocking(true).unwrap();
        let served = client.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        client.set_nonblocking(false).unwrap();
        served
    };
    let served = |clients: &[TcpStream]| clients.iter().filter(|client| is_served(client)).count();
    while !waiting.is_empty() {
        let expected = LIMIT.min(waiting.len());
        let full = || (served(&waiting) >= expected).then_some(());
        evidence::wait_until(10 * SECOND, full).expect("the limit is used");
        if waiting.len() == CLIENTS {
            // The listener is ready all the time; a server that still waited for it would turn.
            let share = cpu_share(&server, Duration::from_millis(500));
            assert!(share < 0.05, "{:.0} % of a core", share * 100.0);
        }
        assert_eq!(served(&waiting), expected);
        let (leave, stay) = waiting.into_iter().partition(is_served);
        waiting = stay;
        let mut leave: Vec<TcpStream> = leave;
        leave.iter_mut().for_each(|client| kind.probe.hear_reply(client).unwrap());
        // Those that stay are served only now.
        assert_eq!(served(&waiting), 0);
    }
    let said = server.stderr().contains("limit of 8 clients reached\n");
    assert_eq!(said, kind.counts_clients(), "{}", server.stderr());
    Ok(())
}

/// A client whose own address is this one, and whether it is served.
fn from(kind: &Kind, source: IpAddr, server: SocketAddr) -> (TcpStream, bool) {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.set_read_timeout(Some(10 * SECOND)).unwrap();
    let mut stream = TcpStream::from(socket);
    let said = kind.probe.say_hello(&mut stream);
    let served = said.and_then(|()| kind.probe.hear_reply(&mut stream)).is_ok();
    (stream, served)
}

fn max_per_source_counts_each_address_apart(kind: &Kind) -> Result<(), Skip> {
    let server = kind.with_room(300, &["--max-per-source", "10"]);
    let from = |source: &str| from(kind, source.parse().unwrap(), server.address());
    let clients: Vec<(TcpStream, bool)> = (0..200).map(|_| from("127.0.0.2")).collect();
    let others: Vec<(TcpStream, bool)> = (0..10).map(|_| from("127.0.0.3")).collect();
    let which: Vec<bool> = clients.iter().map(|(_, served)| *served).collect();
    assert_eq!(which, [&[true; 10][..], &[false; 190]].concat());
    assert!(others.iter().all(|(_, served)| *served), "another source is not concerned");
    let why =
        |log: &str| log.matches("refused: limit of 10 clients of 127.0.0.2 reached").count() == 190;
    assert!(server.wait_stderr(why, 5 * SECOND), "{}", server.stderr());
    // They go, and the places are free.
    drop(clients);
    let again = || from("127.0.0.2").1.then_some(());
    evidence::wait_until(5 * SECOND, again).expect("the place is free again");
    Ok(())
}

fn max_per_source_counts_an_ipv4_address_once(kind: &Kind) -> Result<(), Skip> {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return Err(Skip { reason: "needs IPv6".to_owned() });
    }
    let server = kind.with_room(20, &["--host", "::", "--max-per-source", "1"]);
    let port = server.address().port();
    let from = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        from(kind, address, SocketAddr::new(address, port))
    };
    let (_first, served) = from("127.0.0.1");
    assert!(served, "{}", server.stderr());
    let (_second, served) = from("::ffff:127.0.0.1");
    assert!(!served, "the same address in IPv6's form");
    let why = |log: &str| log.contains("refused: limit of 1 client of 127.0.0.1 reached");
    assert!(server.wait_stderr(why, 5 * SECOND), "{}", server.stderr());
    let (_third, served) = from("::1");
    assert!(served, "another address: {}", server.stderr());
    Ok(())
}
