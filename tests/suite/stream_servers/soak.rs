//! Clients of every kind at once, for a while: a second, or as many as `SOAK` says (`SOAK=3600`).

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netcheck::peer::{self, Pace};
use netcheck::{Skip, evidence};

use super::{Checks, Kind, SECOND, at_rest, checks, memory};

pub(super) const CHECKS: Checks =
    checks![echoes_to_several: clients_of_every_kind_at_once_wear_nothing_out;];

/// A client that comes once; the number makes it another one each time.
type Client = fn(SocketAddr, u64) -> std::io::Result<()>;

const CLIENTS: [Client; 8] =
    [fast, slow_reader, small_buffers, dripping, half_closed, reset, deaf, silent];

fn echoes(address: SocketAddr, number: u64, length: u64, pace: Pace) -> std::io::Result<()> {
    let length = usize::try_from(number % length + 1).unwrap_or_default();
    let bytes = peer::pattern(number, length);
    let echoed = peer::exchange_with(address, &bytes, pace)?;
    assert!(echoed == bytes, "{} of {length} bytes, {pace:?}", echoed.len());
    Ok(())
}

fn fast(address: SocketAddr, number: u64) -> std::io::Result<()> {
    echoes(address, number, 100_000, Pace::Fast)
}

fn slow_reader(address: SocketAddr, number: u64) -> std::io::Result<()> {
    let pace = Pace::SlowReader { buffer: 1024, pause: Duration::from_millis(1) };
    echoes(address, number, 50_000, pace)
}

fn small_buffers(address: SocketAddr, number: u64) -> std::io::Result<()> {
    echoes(address, number, 100_000, Pace::SmallBuffers(4096))
}

fn dripping(address: SocketAddr, number: u64) -> std::io::Result<()> {
    echoes(address, number, 20, Pace::ByteEvery(Duration::from_millis(5)))
}

fn half_closed(address: SocketAddr, number: u64) -> std::io::Result<()> {
    let bytes = peer::pattern(number, 40_000);
    assert!(peer::half_close(address, &bytes)? == bytes);
    Ok(())
}

fn reset(address: SocketAddr, number: u64) -> std::io::Result<()> {
    let length = [0, 1, 4_095, 100_000].into_iter().cycle().nth((number % 4) as usize);
    // A large one may find its connection full.
    peer::reset(address, &peer::pattern(number, length.unwrap_or_default()))
}

fn deaf(address: SocketAddr, _: u64) -> std::io::Result<()> {
    let mut client = peer::connect(address)?;
    client.set_nonblocking(true)?;
    let block = [b'x'; 64 * 1024];
    for _ in 0..100 {
        let _ = client.write(&block);
        evidence::wait_until(Duration::from_millis(1), || None::<()>);
    }
    Ok(())
}

fn silent(address: SocketAddr, _: u64) -> std::io::Result<()> {
    let _client = peer::connect(address)?;
    evidence::wait_until(Duration::from_millis(100), || None::<()>);
    Ok(())
}

fn clients_of_every_kind_at_once_wear_nothing_out(kind: &Kind) -> Result<(), Skip> {
    let seconds = std::env::var("SOAK").ok().and_then(|text| text.parse().ok());
    let lasts = seconds.map_or(SECOND, Duration::from_secs);
    // As in a night, or as many as a busy machine serves beside other tests.
    let of_each = if seconds.is_some() { 25 } else { 2 };
    let server = kind.with_room(CLIENTS.len() * of_each * 3 / 2, &["-q"]);
    let address = server.address();
    kind.probe.exchange(address).unwrap();
    let first = at_rest(&server);
    let number = AtomicU64::new(1);
    let during = |time: Duration| -> Duration {
        let end = Instant::now() + time;
        let took = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let clients = CLIENTS.iter().cycle().take(of_each * CLIENTS.len());
            for client in clients {
                scope.spawn(|| {
                    while Instant::now() < end {
                        client(address, number.fetch_add(1, Ordering::Relaxed)).unwrap();
                    }
                });
            }
            while Instant::now() < end {
                let begun = Instant::now();
                fast(address, 63).unwrap();
                took.lock().unwrap().push(begun.elapsed());
            }
        });
        let mut took = took.into_inner().unwrap();
        took.sort_unstable();
        took[took.len() * 99 / 100]
    };
    let begin = during(lasts / 4);
    assert_eq!(at_rest(&server), first, "the processes and descriptors of the start");
    let before = memory(&server);
    during(lasts / 2);
    crate::in_time(|| during(lasts / 4) < 2 * begin + SECOND / 5);
    assert_eq!(at_rest(&server), first, "the processes and descriptors of the start");
    // uring-echo keeps 64 buffers of 64 KiB for later clients, and each worker of prefork-echo has one.
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 6 << 20, "{grown} bytes more are resident");
    Ok(())
}
