//! An NTP server that others wrote: chronyd, which serves this machine's clock, so that the true
//! offset is zero, and sets nothing (`-x`).

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use netcheck::{Process, Run, evidence};
use tempfile::TempDir;

/// The stratum that it says it has.
pub const STRATUM: u8 = 3;

/// How long it may take until it answers.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The options that let it run as any user and beside another one with another file for its PID, and
/// these directives. The file is in the folder that it is started in: a path in a directive can have no
/// blank.
#[must_use]
pub fn args(mode: &str, pidfile: &str, directives: &[&str]) -> Vec<String> {
    let pidfile = format!("pidfile {pidfile}");
    let user = Run::program("id").arg("-un").finish().stdout_text();
    let options = [mode, "-x", "-U", "-F", "0", "-u", user.trim()];
    let alone = ["cmdport 0", "bindcmdaddress /", &pidfile];
    [&options, directives, &alone].concat().into_iter().map(str::to_owned).collect()
}

/// One that serves on loopback; dropped, it is killed.
pub struct Chronyd {
    /// The server.
    pub process: Process,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where its files are.
    pub folder: TempDir,
}

/// Starts one.
///
/// # Errors
/// No folder or port for it, or no answer within 10 s: then what it printed.
pub fn serve() -> Result<Chronyd, String> {
    let folder = tempfile::tempdir().map_err(|why| format!("mkdir: {why}"))?;
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = free.map_err(|why| format!("bind 127.0.0.1: {why}"))?;
    let (port, stratum) = (format!("port {}", address.port()), format!("local stratum {STRATUM}"));
    let serve = [&port, "bindaddress 127.0.0.1", "allow 127.0.0.1", &stratum];
    let run = Run::program("chronyd").args(args("-d", "pid", &serve)).folder(folder.path());
    let process = run.start();
    let query = ["--timeout", "1s", "--retries", "0", &address.to_string()];
    let serves = || (Run::new("sntp-client").args(query).finish().code() == Some(0)).then_some(());
    match evidence::wait_until(READY_TIMEOUT, serves) {
        Some(()) => Ok(Chronyd { process, address, folder }),
        None => Err(format!("chronyd does not answer: {}", process.stderr())),
    }
}
