//! Clients that say nothing, clients that drip, and clients that do not read; and one that behaves.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use netcheck::peer::{self, Pace};
use netcheck::{Need, Scenario, ScenarioRun, Stopped, need};

use crate::{ends, served};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "slow-peers",
    summary: "500 idle, 100 dripping, 50 deaf clients: who else is served, and when each is closed",
    run,
};

const IDLE: usize = 500;
const DRIPPING: usize = 100;
const DEAF: usize = 50;
const TIMEOUT: Duration = Duration::from_secs(1);
/// Between two bytes of a client that drips.
const DRIP: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    one_at_a_time(scenario)?;
    match need(Need::Descriptors(2200)) {
        Ok(()) => all_at_once(scenario),
        Err(skip) => scenario.skip("650 slow clients hold up nobody", &skip),
    }
}

fn one_at_a_time(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("echo-server", ["--port", "0", "--idle-timeout", "1s"]);
    let _idle = served(server.address())?;
    let begun = Instant::now();
    drop(served(server.address())?);
    let waited = begun.elapsed();
    let evidence = format!("served after {} ms", waited.as_millis());
    let statement = "one client at a time: the next one waits until the idle one is closed";
    // It was idle for a moment before the other one came.
    scenario.check("waits", statement, waited > TIMEOUT / 2, evidence)?;
    ends(scenario, &server)
}

/// How many clients of each kind a server has.
#[derive(Clone, Copy)]
struct Crowd {
    idle: usize,
    dripping: usize,
    deaf: usize,
}

/// What the clients of one server have seen.
struct Seen {
    peers: Peers,
    trips: usize,
    slowest: Duration,
}

fn all_at_once(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let args = ["--port", "0", "--idle-timeout", "1s", "--max-clients", "700", "--backlog", "1024"];
    let servers = ["forking-echo", "threaded-echo", "epoll-echo"];
    let servers = servers.map(|name| (name, scenario.serve(name, args)));
    let crowd = Crowd {
        idle: scenario.many("idle clients", IDLE, 3),
        dripping: scenario.many("dripping ones", DRIPPING, 1),
        deaf: scenario.many("deaf ones", DEAF, 1),
    };
    let seen: Vec<io::Result<Seen>> = thread::scope(|scope| {
        let addresses = servers.iter().map(|(_, server)| server.address());
        let threads: Vec<_> = addresses.map(|it| scope.spawn(move || look(it, crowd))).collect();
        let lost = |_| Err(io::Error::other("a panic"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(lost)).collect()
    });
    for ((name, server), seen) in servers.iter().zip(seen) {
        judge(scenario, name, crowd, &seen?)?;
        ends(scenario, server)?;
    }
    Ok(())
}

/// A good client beside all others, until the idle and the deaf ones are closed.
fn look(server: SocketAddr, crowd: Crowd) -> io::Result<Seen> {
    let mut peers = Peers::connect(server, crowd)?;
    let mut good = served(server)?;
    let (mut trips, mut slowest) = (0, Duration::ZERO);
    let begun = Instant::now();
    while peers.slow.iter().any(|peer| peer.closed.is_none()) && begun.elapsed() < SOON {
        let asked = Instant::now();
        good.write_all(b"hello")?;
        good.read_exact(&mut [0; 5])?;
        slowest = slowest.max(asked.elapsed());
        trips += 1;
        peers.go_on();
    }
    Ok(Seen { peers, trips, slowest })
}

fn judge(scenario: &mut ScenarioRun, name: &str, crowd: Crowd, seen: &Seen) -> Result<(), Stopped> {
    let Crowd { idle, dripping, deaf } = crowd;
    let Seen { peers, trips, slowest } = seen;
    let evidence = format!("{trips} round trips, the slowest of {} ms", slowest.as_millis());
    let all = idle + dripping + deaf;
    let statement = format!("{name}: a good client is served beside {all} slow ones");
    scenario.check("beside", &statement, *slowest < 3 * TIMEOUT, evidence)?;
    for (id, expected, is_deaf) in [("idle", idle, false), ("deaf", deaf, true)] {
        let of_kind = || peers.slow.iter().filter(|peer| peer.is_deaf == is_deaf);
        let closed = of_kind().filter(|peer| peer.closed.is_some()).count();
        let after = |peer: &Slow, since: Instant| peer.closed.map(|closed| closed - since);
        let first = of_kind().filter_map(|peer| after(peer, peer.connected)).min();
        let last = of_kind().filter_map(|peer| after(peer, peer.last)).max();
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        let in_time = first >= TIMEOUT && last < 3 * TIMEOUT;
        let evidence = format!(
            "{closed} closed, the first after {} ms, none later than {} ms after its last byte",
            first.as_millis(),
            last.as_millis()
        );
        let statement =
            format!("{name}: each of {expected} {id} clients is closed when its time is over");
        scenario.check(id, &statement, closed == expected && in_time, evidence)?;
    }
    let open = peers.dripping.len();
    let evidence = format!("{open} open, {} bytes came back", peers.drops);
    let statement = format!("{name}: a client that drips is not idle, and stays");
    scenario.check("drips", &statement, open == dripping && peers.drops > 0, evidence)
}

struct Peers {
    slow: Vec<Slow>,
    dripping: Vec<TcpStream>,
    dripped: Instant,
    /// Bytes that they have received.
    drops: usize,
}

/// A client that says nothing, or does not read.
struct Slow {
    stream: TcpStream,
    is_deaf: bool,
    connected: Instant,
    /// When a byte of it was last taken, by the kernel if not by the server.
    last: Instant,
    /// When it found itself closed.
    closed: Option<Instant>,
}

impl Peers {
    fn connect(server: SocketAddr, crowd: Crowd) -> io::Result<Peers> {
        let slow = |is_deaf: bool| {
            let connected = Instant::now();
            let pace = if is_deaf { Pace::SmallBuffers(4096) } else { Pace::Fast };
            let stream = peer::connect_at(server, pace)?;
            stream.set_nonblocking(true)?;
            Ok::<_, io::Error>(Slow { stream, is_deaf, connected, last: connected, closed: None })
        };
        let slow =
            (0..crowd.idle + crowd.deaf).map(|n| slow(n < crowd.deaf)).collect::<Result<_, _>>()?;
        // Last, so that no time is over before they begin.
        let dripping = peer::hold(server, crowd.dripping)?;
        dripping.iter().try_for_each(|client| client.set_nonblocking(true))?;
        Ok(Peers { slow, dripping, dripped: Instant::now(), drops: 0 })
    }

    /// Each does what it does.
    fn go_on(&mut self) {
        self.slow.iter_mut().for_each(Slow::go_on);
        if self.dripped.elapsed() >= DRIP {
            self.dripping.retain_mut(|client| {
                let received = client.write(b"x").and_then(|_| client.read(&mut [0; 64]));
                self.drops += *received.as_ref().unwrap_or(&0);
                matches!(&received, Ok(1..))
                    || received.is_err_and(|why| why.kind() == ErrorKind::WouldBlock)
            });
            self.dripped = Instant::now();
        }
    }
}

impl Slow {
    fn go_on(&mut self) {
        if self.closed.is_some() {
            return;
        }
        let stream = &mut self.stream;
        let block = [b'x'; 64 * 1024];
        let done = if self.is_deaf { stream.write(&block) } else { stream.read(&mut [0]) };
        match done {
            Ok(1..) => self.last = Instant::now(),
            Err(why) if why.kind() == ErrorKind::WouldBlock => {}
            // The end of the stream, or reset.
            Ok(0) | Err(_) => drop(self.closed.get_or_insert_with(Instant::now)),
        }
    }
}
