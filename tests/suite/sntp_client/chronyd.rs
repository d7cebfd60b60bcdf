//! A server that others wrote, and a client: chronyd.

use std::net::SocketAddr;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, need};
use scenarios::chronyd;
use serde_json::json;

use super::{answer, number, responder};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic("sntp_client", tests![chronyd_is_believed, chronyd_believes_our_responder])
}

fn chronyd_is_believed() -> Result<(), Skip> {
    need(Need::Chronyd)?;
    let server = chronyd::serve().unwrap();
    for args in [&["--ntp-version", "4"][..], &["--ntp-version", "3"], &["--clock", "user"]] {
        is_exact(server.address, args);
    }
    Ok(())
}

fn is_exact(server: SocketAddr, args: &[&str]) {
    let answer = answer(server, args);
    assert_eq!(
        (&answer["stratum"], &answer["rejected"]),
        (&json!(chronyd::STRATUM), &json!({})),
        "{answer}"
    );
    let (offset, bound) = (number(&answer, "offset_ns"), number(&answer, "bound_ns"));
    assert!(offset.abs() <= bound && number(&answer, "delay_ns") > 0, "{answer}");
    let clock = if args.contains(&"user") { "user" } else { "receive" };
    assert_eq!(answer["clock"], clock);
}

fn chronyd_believes_our_responder() -> Result<(), Skip> {
    need(Need::Chronyd)?;
    let server = responder(&["--offset", "1.5s"]);
    let source = format!("server 127.0.0.1 port {} iburst maxsamples 1", server.address().port());
    // -Q: ask once, print, set nothing.
    let folder = tempfile::tempdir().unwrap();
    let args = chronyd::args("-Q", &folder.path().join("pid"), &[&source]);
    let finished = Run::program("chronyd").args(args).finish();
    let said = finished.stderr_text() + &finished.stdout_text();
    assert!(said.contains("System clock wrong by 1.5"), "{said}");
    Ok(())
}
