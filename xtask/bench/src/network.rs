//! A network of its own, with one congestion control for all, and counters that nobody else moves.
//!
//! The control decides how fast bytes go over loopback: bbr paces them, cubic, which most machines have, does
//! not. A route names the control of its connections, so that no server needs an option.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use netcheck::{Need, Run, need};
use nix::sys::socket::{getsockopt, sockopt::TcpCongestion};
use xtask::Failure;

/// What most machines have.
pub(crate) const USUAL: &str = "cubic";
/// What some have, and what loopback is slower with.
pub(crate) const PACED: &str = "bbr";

/// The routes of loopback; `$0` is the control of what goes over them.
const ROUTES: &str = "for net in 127.0.0.0/8 127.0.0.1; do \
    ip route replace local $net dev lo table local proto kernel scope host src 127.0.0.1 congctl $0; \
done";

/// Becomes this program once more, in a network namespace, with the same words and `--inside`. Returns only
/// where there can be none.
///
/// # Errors
/// The start fails although there can be one.
pub(crate) fn enter() -> Result<(), Failure> {
    let has_ip = Run::program("sh").args(["-c", "ip -V"]).finish().status.success();
    if need(Need::UserNamespace).is_err() || !has_ip {
        return Ok(());
    }
    let own = env::current_exe().map_err(Failure::program("find the path of this program"))?;
    // Without the routes it is measured all the same, and said under which control.
    let script = format!("ip link set lo up && {{ {ROUTES}; }} 2> /dev/null; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c", &script, USUAL]).arg(own);
    let why = command.args(env::args_os().skip(1)).arg("--inside").exec();
    Err(Failure::program("exec unshare")(why))
}

/// Gives the connections that begin from now on this control; whether it has worked.
pub(crate) fn set_control(control: &str) -> bool {
    Run::program("sh").args(["-c", ROUTES, control]).finish().status.success()
        && self::control() == control
}

/// The control of a connection over loopback, as the kernel says it.
pub(crate) fn control() -> String {
    let connection = || -> Option<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).ok()?;
        let stream = TcpStream::connect(listener.local_addr().ok()?).ok()?;
        Some(getsockopt(&stream, TcpCongestion).ok()?.to_string_lossy().into_owned())
    };
    connection().unwrap_or_else(|| "unknown".to_owned())
}
