//! Servers that others wrote, which serve this machine's clock, beside one of ours that lies.

use std::net::SocketAddr;

use libtest_mimic::Trial;
use netcheck::{Need, Process, Run, Server, Skip, need};
use scenarios::chronyd;
use serde_json::json;

use super::answer;
use crate::ntp::{is_off_by, number};
use crate::sntp_client::ntpd_server;
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "ntp_time",
        tests![
            chronyd_is_believed_and_outvotes_a_falseticker,
            ntpd_is_believed_and_outvotes_a_falseticker,
        ],
    )
}

fn chronyd_is_believed_and_outvotes_a_falseticker() -> Result<(), Skip> {
    need(Need::Chronyd)?;
    let server = chronyd::serve().unwrap();
    outvotes_a_falseticker(&server.process, server.address, |run| run);
    Ok(())
}

fn ntpd_is_believed_and_outvotes_a_falseticker() -> Result<(), Skip> {
    let (server, _folder) = ntpd_server()?;
    outvotes_a_falseticker(&server, ([127, 0, 0, 1], 123).into(), |run| run.beside(&server));
    Ok(())
}

/// That it does so together with an honest responder; `place` puts a program where its network is.
fn outvotes_a_falseticker(server: &Process, address: SocketAddr, place: impl Fn(Run) -> Run) {
    let responder = |offset| {
        let args = ["--port", "0", "--offset", offset];
        Server::start_run(place(Run::new("ntp-responder").args(args)))
    };
    let (honest, falseticker) = (responder("0"), responder("3s"));
    let words = [address, honest.address(), falseticker.address()].map(|word| word.to_string());
    let run = Run::new("ntp-time").args(["--json", "--timeout", "5s"]).args(words);
    let finished = place(run).finish();
    let said = server.stdout() + &server.stderr();
    let answer = answer(&finished);
    is_off_by(&answer, 0);
    assert_eq!(answer["falsetickers"], json!([falseticker.address().to_string()]), "{said}");
    assert_eq!(number(&answer, "agree"), 2, "{answer}");
}
