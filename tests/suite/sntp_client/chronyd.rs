//! A server that others wrote: chronyd, which serves this machine's clock, so that the true offset
//! is zero, and sets nothing (`-x`).

use std::net::{SocketAddr, UdpSocket};

use libtest_mimic::Trial;
use netcheck::{Need, Process, Run, Skip, evidence, need};
use serde_json::json;
use tempfile::TempDir;

use super::{SOON, answer, client, number, responder};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic("sntp_client", tests![chronyd_is_believed, chronyd_believes_our_responder])
}

/// chronyd's options that let it run for a test, as any user.
fn chronyd(mode: &str, directives: &[&str]) -> Run {
    let user = Run::program("id").arg("-un").finish().stdout_text();
    let run = Run::program("chronyd").args([mode, "-x", "-U", "-F", "0", "-u", user.trim()]);
    run.args(directives).args(["cmdport 0", "bindcmdaddress /"])
}

/// One that serves, with its address and the folder of its files.
pub(crate) fn serve() -> (Process, SocketAddr, TempDir) {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (port, pid) =
        (format!("port {}", free.port()), format!("pidfile {}/pid", folder.path().display()));
    let serve = [&port, &pid, "bindaddress 127.0.0.1", "allow 127.0.0.1", "local stratum 3"];
    let server = chronyd("-d", &serve).start();
    let serves = || (client(free, &["--retries", "0"]).code() == Some(0)).then_some(());
    evidence::wait_until(SOON, serves).unwrap_or_else(|| panic!("{}", server.stderr()));
    (server, free, folder)
}

fn chronyd_is_believed() -> Result<(), Skip> {
    need(Need::Chronyd)?;
    let (_server, free, _folder) = serve();
    for args in [&["--ntp-version", "4"][..], &["--ntp-version", "3"], &["--clock", "user"]] {
        is_exact(free, args);
    }
    Ok(())
}

fn is_exact(server: SocketAddr, args: &[&str]) {
    let answer = answer(server, args);
    assert_eq!((&answer["stratum"], &answer["rejected"]), (&json!(3), &json!({})), "{answer}");
    let (offset, bound) = (number(&answer, "offset_ns"), number(&answer, "bound_ns"));
    assert!(offset.abs() <= bound && number(&answer, "delay_ns") > 0, "{answer}");
    let clock = if args.contains(&"user") { "user" } else { "receive" };
    assert_eq!(answer["clock"], clock);
}

fn chronyd_believes_our_responder() -> Result<(), Skip> {
    need(Need::Chronyd)?;
    let server = responder(&["--offset", "1.5s"]);
    let folder = tempfile::tempdir().unwrap();
    let source = format!("server 127.0.0.1 port {} iburst maxsamples 1", server.address().port());
    let pid = format!("pidfile {}/pid", folder.path().display());
    // -Q: ask once, print, set nothing.
    let finished = chronyd("-Q", &[&source, &pid]).finish();
    let said = finished.stderr_text() + &finished.stdout_text();
    assert!(said.contains("System clock wrong by 1.5"), "{said}");
    Ok(())
}
