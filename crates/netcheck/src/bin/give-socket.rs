//! `give-socket DOMAIN TYPE`: makes a socket in the network namespace that it runs in, and sends it over its
//! standard input, a Unix socket. The harness, which cannot enter that namespace, then uses it.

use std::env::args;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use socket2::{Domain, Socket, Type};

fn main() -> ExitCode {
    let numbers: Vec<i32> = args().skip(1).flat_map(|word| word.parse()).collect();
    let [domain, kind] = numbers[..] else {
        return failed("usage: give-socket DOMAIN TYPE");
    };
    match give(domain.into(), kind.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why.to_string()),
    }
}

fn give(domain: Domain, kind: Type) -> io::Result<()> {
    let socket = Socket::new(domain, kind, None)?;
    netcheck::sys::send_descriptor(io::stdin().as_fd(), socket.as_fd())
}

/// 125, as env(1) and its kin end when they themselves fail.
fn failed(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "give-socket: {why}");
    ExitCode::from(125)
}
