//! `forger SECONDS PROGRAM [ARGUMENT…]`: a time server on loopback, and beside it somebody who forges its
//! sender. The program is run with the server's address as its last argument. For so long after its
//! request, or until it has ended, it is flooded with answers that are perfect but for their nonce;
//! after that the server answers. It takes a raw socket, and so a namespace (`in-namespace`).
//!
//! It ends as the program does, and says on standard error: `forged 250000, dropped 40000`. Those that
//! are dropped found the queue of the program's socket full.

use std::env::args;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netcheck::{Forger, evidence};

/// How long a request, or an empty queue, is waited for.
const SOON: Duration = Duration::from_secs(10);

/// Between two looks at what happened meanwhile.
const BURST: u32 = 50;

/// From 1900 to 1970, and ten years, in seconds.
const UNIX: u64 = 2_208_988_800;
const TEN_YEARS: u64 = 315_576_000;

fn main() -> ExitCode {
    let words: Vec<String> = args().skip(1).collect();
    let [seconds, program, arguments @ ..] = words.as_slice() else {
        return failed("usage: forger SECONDS PROGRAM [ARGUMENT...]");
    };
    let Ok(seconds) = seconds.parse() else { return failed("SECONDS is a number") };
    match play(Duration::from_secs(seconds), program, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(why) => failed(&why.to_string()),
    }
}

/// 125, as env(1) and its kin end when they themselves fail.
fn failed(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "forger: {why}");
    ExitCode::from(125)
}

fn play(length: Duration, program: &str, arguments: &[String]) -> io::Result<u8> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = server.local_addr()?;
    let forger = Forger::new()?;
    let on_loopback = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    server.set_read_timeout(Some(SOON))?;
    let mut program = Command::new(program).args(arguments).arg(address.to_string()).spawn()?;
    let mut asked = Asked::wait(&server)?;
    server.set_nonblocking(true)?;

    let (begun, mut forged, mut random) = (Instant::now(), 0_u32, 1);
    while begun.elapsed() < length && program.try_wait()?.is_none() {
        for _ in 0..BURST {
            let answer = asked.answer(next(&mut random), TEN_YEARS);
            let [from, to] = [address, asked.peer].map(|address| on_loopback(address.port()));
            forger.send(from, to, &answer)?;
            forged += 1;
        }
        // It may have given up and asked again, from another port.
        match Asked::wait(&server) {
            Ok(again) => asked = again,
            Err(why) if why.kind() == ErrorKind::WouldBlock => {}
            Err(why) => return Err(why),
        }
    }
    let dropped = dropped_when_all_is_read(asked.peer, &mut program);
    let _ = server.send_to(&asked.answer(asked.nonce, 0), asked.peer);
    let status = program.wait()?;
    let _ = writeln!(io::stderr(), "forged {forged}, dropped {dropped}");
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(125))
}

/// A request.
struct Asked {
    peer: SocketAddr,
    nonce: u64,
    /// T2.
    at: u64,
}

impl Asked {
    fn wait(server: &UdpSocket) -> io::Result<Asked> {
        let mut bytes = [0; 48];
        let (_, peer) = server.recv_from(&mut bytes)?;
        let nonce = bytes.last_chunk().copied().map(u64::from_be_bytes).unwrap_or_default();
        Ok(Asked { peer, nonce, at: now() })
    }

    /// What a server at stratum 1 answers, so many seconds ahead.
    fn answer(&self, nonce: u64, ahead: u64) -> Vec<u8> {
        let time = |instant: u64| instant.wrapping_add(ahead << 32).to_be_bytes();
        // Version 4, mode 4; a clock of a microsecond; nothing known of the clock behind it.
        let head = [0x24, 1, 0, 0xec];
        [&head[..], &[0; 20], &nonce.to_be_bytes(), &time(self.at), &time(now())].concat()
    }
}

/// The time as NTP counts it: seconds since 1900, and 2^-32 s.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    (now.as_secs() + UNIX) << 32 | fraction
}

/// The next number of SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Waits until the program has read all that lies in its socket's queue, or has ended: what comes while
/// the queue is full is dropped, and the server's answer must not be.
fn dropped_when_all_is_read(peer: SocketAddr, program: &mut Child) -> u64 {
    let read = evidence::wait_until(SOON, || match queue(peer.port()) {
        Some((0, dropped)) => Some(dropped),
        Some(_) => None,
        None => program.try_wait().ok().flatten().map(|_| 0),
    });
    read.unwrap_or_default()
}

/// Bytes in the receive queue of the UDP socket of that port, and datagrams that it dropped (proc(5),
/// `/proc/net/udp`).
fn queue(port: u16) -> Option<(u64, u64)> {
    let local = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/udp").ok()?;
    let mut sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let socket = sockets.find(|fields| fields.get(1).is_some_and(|own| own.ends_with(&local)))?;
    let (_, received) = socket.get(4)?.split_once(':')?;
    Some((u64::from_str_radix(received, 16).ok()?, socket.last()?.parse().ok()?))
}
