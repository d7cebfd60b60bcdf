//! A server that others wrote, and a client: chronyd.

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, need};
use scenarios::chronyd;

use super::{answer, is_exact};
use crate::ntp::responder;
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic("sntp_client", tests![chronyd_is_believed, chronyd_believes_our_responder])
}

fn chronyd_is_believed() -> Result<(), Skip> {
    need(Need::Chronyd)?;
    let server = chronyd::serve().unwrap();
    for args in [&["--ntp-version", "4"][..], &["--ntp-version", "3"], &["--clock", "user"]] {
        let answer = answer(server.address, args);
        is_exact(&answer, chronyd::STRATUM);
        let clock = if args.contains(&"user") { "user" } else { "receive" };
        assert_eq!(answer["clock"], clock);
    }
    Ok(())
}

fn chronyd_believes_our_responder() -> Result<(), Skip> {
    need(Need::Chronyd)?;
    let server = responder(&["--offset", "1.5s"]);
    let source = format!("server 127.0.0.1 port {} iburst maxsamples 1", server.address().port());
    // -Q: ask once, print, set nothing.
    let folder = tempfile::tempdir().unwrap();
    let args = chronyd::args("-Q", "pid", &[&source]);
    let finished = Run::program("chronyd").args(args).folder(folder.path()).finish();
    let said = finished.stderr_text() + &finished.stdout_text();
    assert!(said.contains("System clock wrong by 1.5"), "{said}");
    Ok(())
}
