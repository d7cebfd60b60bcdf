//! The scenarios: stories of what the kernel does, each step a command that can be typed, each
//! statement with its evidence. `cargo xtask scenario NAME` tells them, `cargo test` runs the very
//! same ones.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use netcheck::{Halt, Scenario, Server, Signal, Story, peer};

pub mod chronyd;

#[path = "scenario/buffers.rs"]
mod buffers;
#[path = "scenario/chat.rs"]
mod chat;
#[path = "scenario/chatter.rs"]
mod chatter;
#[path = "scenario/echo.rs"]
mod echo;
#[path = "scenario/epoll.rs"]
mod epoll;
#[path = "scenario/errors.rs"]
mod errors;
#[path = "scenario/forking.rs"]
mod forking;
#[path = "scenario/forking_limit.rs"]
mod forking_limit;
#[path = "scenario/forking_stop.rs"]
mod forking_stop;
#[path = "scenario/half_close.rs"]
mod half_close;
#[path = "scenario/modes.rs"]
mod modes;
#[path = "scenario/names.rs"]
mod names;
#[path = "scenario/no_zombies.rs"]
mod no_zombies;
#[path = "scenario/ntp_2036.rs"]
mod ntp_2036;
#[path = "scenario/ntp_majority.rs"]
mod ntp_majority;
#[path = "scenario/poll.rs"]
mod poll;
#[path = "scenario/prefork.rs"]
mod prefork;
#[path = "scenario/reuse.rs"]
mod reuse;
#[path = "scenario/sntp.rs"]
mod sntp;
#[path = "scenario/threads.rs"]
mod threads;
#[path = "scenario/timeouts.rs"]
mod timeouts;
#[path = "scenario/udp.rs"]
mod udp;
#[path = "scenario/uring.rs"]
mod uring;

#[path = "scenario/web.rs"]
mod web;

pub use chatter::{Chatter, framed};

/// Every scenario, in the order for readers.
pub const ALL: &[Scenario] = &[
    echo::SCENARIO,
    half_close::SCENARIO,
    forking::SCENARIO,
    forking_limit::SCENARIO,
    forking_stop::SCENARIO,
    no_zombies::SCENARIO,
    prefork::SCENARIO,
    threads::SCENARIO,
    poll::SCENARIO,
    epoll::SCENARIO,
    uring::SCENARIO,
    udp::SCENARIO,
    chat::SCENARIO,
    web::SCENARIO,
    timeouts::SCENARIO,
    errors::SCENARIO,
    buffers::SCENARIO,
    modes::SCENARIO,
    reuse::SCENARIO,
    names::SCENARIO,
    sntp::SCENARIO,
    ntp_majority::SCENARIO,
    ntp_2036::SCENARIO,
];

/// A client of an echo server that has had a reply, so that it is surely being served, and stays.
///
/// # Errors
/// What the system calls say; `WouldBlock` when no reply comes within 10 s.
pub fn served(address: SocketAddr) -> io::Result<TcpStream> {
    let mut client = peer::connect(address)?;
    client.write_all(b"hello")?;
    client.read_exact(&mut [0; 5])?;
    Ok(client)
}

/// Who served the clients of forking-client: `client 1 <- pid 5123   29 bytes   0.9 ms`.
fn served_by(said: &str) -> BTreeSet<i32> {
    said.lines()
        .filter_map(|line| line.split("pid ").nth(1)?.split_whitespace().next()?.parse().ok())
        .collect()
}

/// The last statement about a server: SIGTERM ends it with 0. Not told of one that is to be kept.
fn ends(story: &mut Story, server: &Server) -> Result<(), Halt> {
    if story.keep {
        return Ok(());
    }
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    let status = server.wait(Duration::from_secs(10));
    let took = asked.elapsed().as_millis();
    let code = status.and_then(|status| status.code());
    story.check_eq("ends", "SIGTERM ends it with 0", Some(0), code, format_args!("{took} ms"))
}
