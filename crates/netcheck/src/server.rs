//! A server that has said that it listens.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::process::Process;
use crate::run::Run;

/// What stands before a name in a readiness line.
const NAMED: &str = "unix:";

/// How long a server may take until its readiness line.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A started server of the workspace; it is its [`Process`], with an address or a name.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: Option<SocketAddr>,
    readiness: String,
}

impl Server {
    /// Starts the workspace's binary `name` and waits for its readiness line.
    ///
    /// # Panics
    /// When it cannot be built or started, or does not listen within 10 s; the message has what it
    /// wrote to its standard error.
    pub fn start<A: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = A>) -> Self {
        Self::start_run(Run::new(name).args(args))
    }

    /// Starts any [`Run`] that prints a readiness line.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn start_run(run: Run) -> Self {
        let mut process = run.start();
        let Some(readiness) = process.next_line(READY_TIMEOUT) else {
            // One that has ended closed its streams; what it said is complete a moment later.
            process.streams_end(Duration::from_secs(1));
            panic!("{}: no readiness line: {}", process.command_line(), process.stderr());
        };
        let address = address_in(&readiness);
        if address.is_none() && !readiness.contains(NAMED) {
            panic!("{}: no address in its readiness line: {readiness}", process.command_line());
        }
        Self { process, address, readiness }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// For one that listens on a name ([`Server::is_named`]).
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens on an address")
    }

    /// Whether it listens on a name, on a unix socket.
    pub fn is_named(&self) -> bool {
        self.address.is_none()
    }

    /// The line with which it said so.
    pub fn readiness(&self) -> &str {
        &self.readiness
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The address in `listening on 127.0.0.1:40123, pid 5120`, or in
/// `{"type":"listening","address":"127.0.0.1","port":40123}`.
fn address_in(readiness: &str) -> Option<SocketAddr> {
    if let Some(rest) = readiness.strip_prefix("listening on ") {
        return rest.split([',', ' ']).next()?.parse().ok();
    }
    let (_, rest) = readiness.split_once(r#""address":""#)?;
    let (address, _) = rest.split_once('"')?;
    let (_, rest) = readiness.split_once(r#""port":"#)?;
    let port = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_every_form_of_the_readiness_line() {
        let forms = [
            ("listening on 127.0.0.1:40123", "127.0.0.1:40123"),
            ("listening on 127.0.0.1:40123, pid 5120", "127.0.0.1:40123"),
            ("listening on [::1]:7", "[::1]:7"),
            (r#"{"type":"listening","address":"127.0.0.1","port":40123}"#, "127.0.0.1:40123"),
            (r#"{"type":"listening","port":7,"address":"::1","pid":5}"#, "[::1]:7"),
        ];
        for (line, address) in forms {
            assert_eq!(address_in(line), Some(address.parse().unwrap()), "{line}");
        }
        assert_eq!(address_in("hello"), None);
    }

    #[test]
    fn a_server_is_ready_once_it_has_said_so() {
        let script = "echo 'listening on 127.0.0.1:7, pid 1'; exec sleep 60";
        let server = Server::start_run(Run::program("sh").args(["-c", script]));
        assert_eq!(server.address(), "127.0.0.1:7".parse().unwrap());
        assert!(server.still_running());
    }

    #[test]
    fn a_server_may_listen_on_a_name() {
        let script = "echo 'listening on unix:/tmp/x.sock'; exec sleep 60";
        assert!(Server::start_run(Run::program("sh").args(["-c", script])).is_named());
    }

    #[test]
    #[should_panic(expected = "no readiness line: no such host")]
    fn a_server_that_fails_is_told_with_its_own_words() {
        Server::start_run(Run::program("sh").args(["-c", "echo no such host >&2; exit 68"]));
    }
}
