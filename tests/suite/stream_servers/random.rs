//! Conversations at random, the same ones each time: whatever clients say, and however they leave, the
//! server serves the next one, and keeps nothing of those before. `CONVERSATIONS=100000` makes it more.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use netcheck::Skip;
use netcheck::peer::{self, pattern};
use scenarios::Probe;
use socket2::SockRef;

use super::{Checks, Kind, at_rest, checks};
use crate::{conversations, in_threads};

pub(super) const CHECKS: Checks = checks![
    any: random_conversations_leave_nothing;
];

/// Clients at once.
const CLIENTS: usize = 4;

fn random_conversations_leave_nothing(kind: &Kind) -> Result<(), Skip> {
    let server = kind.start(&["-q", "--backlog", "64"]);
    let probe = kind.probe;
    probe.exchange(server.address()).unwrap();
    let before = at_rest(&server);
    let honest =
        in_threads(CLIENTS, conversations(100), |seed| talk(probe, server.address(), seed));
    assert!(honest.iter().any(|honest| *honest), "none of them was honest");
    probe.exchange(server.address()).expect("it serves the next one");
    assert_eq!(at_rest(&server), before);
    Ok(())
}

/// One conversation; returns whether the client kept to the protocol.
fn talk(probe: Probe, address: SocketAddr, seed: u64) -> bool {
    let random = pattern(seed, 16);
    let number = |at: usize| usize::from(random[at]) << 8 | usize::from(random[at + 1]);
    if number(0) % 4 == 0 {
        probe.exchange(address).unwrap_or_else(|why| panic!("conversation {seed}: {why}"));
        return true;
    }
    let mut client = peer::connect(address).unwrap();
    // What it says: noise, the right thing with a byte that is not, a part of it, or that and noise.
    let mut said = probe.hello(&format!("n{seed}"));
    let noise = pattern(seed ^ 0xff, number(2) % 6_000);
    match number(4) % 4 {
        0 => said.clone_from(&noise),
        1 => {
            let at = number(6) % said.len();
            said[at] = random[8];
        }
        2 => said.truncate(number(6) % said.len()),
        _ => said.extend(&noise),
    }
    // The server may have closed already: an error is an answer too.
    for piece in said.chunks(1 + number(8) % 3_000) {
        if client.write_all(piece).is_err() {
            break;
        }
    }
    match number(10) % 4 {
        0 => drop(SockRef::from(&client).set_linger(Some(Duration::ZERO))), // the close is a reset
        1 => {}
        2 => {
            // It need not have said anything that has a reply.
            let _ = client.set_read_timeout(Some(Duration::from_millis(2)));
            let _ = client.read(&mut [0; 100]);
        }
        _ => {
            let _ = client.shutdown(Shutdown::Write);
            let mut received = Vec::new();
            if client.read_to_end(&mut received).is_ok() && probe == Probe::Echo {
                assert!(received == said, "conversation {seed}: {} bytes", received.len());
            }
        }
    }
    false
}
