//! believe-no-one: a client of NTP takes the time from a valid reply, and from no other datagram.

use std::net::{Ipv4Addr, UdpSocket};

use netcheck::Arrival;

use super::ntp::{Reply, SECOND, answer, nanos, number, seconds};
use super::{Check, DatagramCaller, Exercise, Fault, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "believe-no-one",
    recipe: "sntp-client",
    args: &["--json", "{host}:{port}"],
    checks: &[
        Check {
            id: "origin",
            statement: "a datagram that does not return the request's 64 bits is no reply",
            run: origin,
        },
        Check {
            id: "source",
            statement: "a reply from another port, or another address, is not the server's",
            run: source,
        },
        Check {
            id: "unsynchronised",
            statement: "a server that does not know the time itself is not believed",
            run: unsynchronised,
        },
        Check {
            id: "kiss",
            statement: "a kiss-o'-death has no time, and ends the client, without another request",
            run: kiss,
        },
        Check { id: "zero", statement: "a timestamp of zero is no time", run: zero },
        Check {
            id: "shape",
            statement: "what is too short, or no reply of a server, is not read as one",
            run: shape,
        },
    ],
};

/// How far the clock of the server is ahead, and that of what is not to be believed: exactly these, so that they
/// can be told apart.
const RIGHT: i128 = 2 * SECOND;
const WRONG: i128 = 1_000 * SECOND;

fn origin(subject: &Subject) -> Result<String, Fault> {
    believed(subject, "its origin timestamp is not that of the request", |wrong| {
        let kiss = Reply { leap: 3, stratum: 0, reference_id: *b"RATE", ..wrong };
        let origin = wrong.origin;
        let with = |reply: Reply, origin| Reply { origin, ..reply }.bytes();
        vec![
            with(wrong, 0),
            with(wrong, origin ^ 1),
            with(wrong, origin.swap_bytes() ^ origin),
            with(kiss, origin ^ 1),
        ]
    })
}

fn source(subject: &Subject) -> Result<String, Fault> {
    let (caller, request) = subject.call_datagrams()?;
    let broken = |why: std::io::Error| Fault::Broken(format!("send from another socket: {why}"));
    let wrong = reply(&request, WRONG).bytes();
    // Another port of the same address, and the same port of another address of this machine.
    for from in [(Ipv4Addr::LOCALHOST, 0), (Ipv4Addr::new(127, 0, 0, 2), caller.address().port())] {
        let sent = UdpSocket::bind(from).and_then(|socket| socket.send_to(&wrong, request.from));
        sent.map_err(broken)?;
    }
    right_after(&caller, &request, "they came from another socket", 2)
}

fn unsynchronised(subject: &Subject) -> Result<String, Fault> {
    let why = "leap indicator 3, stratum 16, stratum 0 without a kiss code";
    believed(subject, why, |wrong| {
        vec![
            Reply { leap: 3, ..wrong }.bytes(),
            Reply { stratum: 16, ..wrong }.bytes(),
            Reply { stratum: 0, reference_id: [0; 4], ..wrong }.bytes(),
        ]
    })
}

fn kiss(subject: &Subject) -> Result<String, Fault> {
    let (caller, request) = subject.call_datagrams()?;
    let kiss = Reply { leap: 3, stratum: 0, reference_id: *b"RATE", ..reply(&request, WRONG) };
    caller.reply(&request, &kiss.bytes())?;
    let expected = "it ends, without an offset, and with an exit code that is not 0";
    let evidence = "the reply has stratum 0 and the kiss code RATE";
    let status = caller.end(expected)?;
    if let Some(offset) = number(&caller.process().stdout(), "offset_ns") {
        let got = format!("an offset of {}", seconds(offset));
        return Err(caller.wrong(expected, got, evidence));
    }
    if status.success() {
        return Err(caller.wrong(expected, "exit code 0", evidence));
    }
    match caller.arrived()? {
        Some(_) => Err(caller.wrong("no further request", "one", evidence)),
        None => Ok(format!("{status}, and no further request")),
    }
}

fn zero(subject: &Subject) -> Result<String, Fault> {
    believed(subject, "receive and transmit timestamp are zero", |wrong| {
        vec![Reply { receive: 0, transmit: 0, ..wrong }.bytes()]
    })
}

fn shape(subject: &Subject) -> Result<String, Fault> {
    believed(subject, "47 bytes, mode 3 (client), mode 5 (broadcast)", |wrong| {
        let mut short = wrong.bytes();
        short.truncate(47);
        vec![short, Reply { mode: 3, ..wrong }.bytes(), Reply { mode: 5, ..wrong }.bytes()]
    })
}

/// Sends what is not to be believed, and after it a valid reply: the client has to take the time of that one.
fn believed(
    subject: &Subject,
    why: &str,
    wrong: impl FnOnce(Reply) -> Vec<Vec<u8>>,
) -> Result<String, Fault> {
    let (caller, request) = subject.call_datagrams()?;
    let wrong = wrong(reply(&request, WRONG));
    for bytes in &wrong {
        caller.reply(&request, bytes)?;
    }
    right_after(&caller, &request, why, wrong.len())
}

/// A valid reply but for the time, which is so far ahead.
fn reply(request: &Arrival, ahead: i128) -> Reply {
    let time = nanos(request.at) + ahead;
    Reply::new(request, time, time)
}

/// Sends the valid reply, and looks whose time was taken.
fn right_after(
    caller: &DatagramCaller,
    request: &Arrival,
    why: &str,
    count: usize,
) -> Result<String, Fault> {
    caller.reply(request, &reply(request, RIGHT).bytes())?;
    let (offset, _) = answer(caller)?;
    let evidence = format!("{count} before it were not valid: {why}");
    // The delay makes the offset smaller, by half of it.
    if (RIGHT / 2..=RIGHT + SECOND).contains(&offset) {
        return Ok(format!("offset {}; {evidence}", seconds(offset)));
    }
    let expected = format!("an offset of about {}, that of the last datagram", seconds(RIGHT));
    Err(caller.wrong(&expected, seconds(offset), evidence))
}
