//! `forge FROM TO [FROM TO…]`: sends a datagram for each pair of IPv4 addresses with ports, which claims to come
//! from the first. All have the bytes of standard input. It takes CAP_NET_RAW, and so a namespace.

use std::env::args;
use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::process::ExitCode;

use netcheck::Forger;

fn main() -> ExitCode {
    let addresses: Result<Vec<SocketAddrV4>, _> = args().skip(1).map(|word| word.parse()).collect();
    match addresses {
        Ok(addresses) if !addresses.is_empty() && addresses.len() % 2 == 0 => {
            match send(&addresses) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => failed(&why.to_string()),
            }
        }
        _ => failed("usage: forge FROM TO [FROM TO...]"),
    }
}

fn send(addresses: &[SocketAddrV4]) -> io::Result<()> {
    let mut payload = Vec::new();
    io::stdin().read_to_end(&mut payload)?;
    let forger = Forger::new()?;
    for pair in addresses.chunks_exact(2) {
        if let [from, to] = *pair {
            forger.send(from, to, &payload)?;
        }
    }
    Ok(())
}

/// 125, as env(1) and its kin end when they themselves fail.
fn failed(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "forge: {why}");
    ExitCode::from(125)
}
