//! try-again: a client of datagrams sends again what was lost, and knows which reply belongs to what.

use std::time::Duration;

use netcheck::Arrival;

use super::{Check, DatagramCaller, Exercise, Fault, Subject, shown};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "try-again",
    recipe: "udp-client",
    args: &[
        "--host",
        "{host}",
        "--port",
        "{port}",
        "--count",
        "3",
        "--backoff",
        "100ms",
        "--retries",
        "4",
        "--timeout",
        "2s",
    ],
    checks: &[
        Check {
            id: "again",
            statement: "a datagram without a reply is sent again, and the next ones follow",
            run: again,
        },
        Check {
            id: "backoff",
            statement: "it waits 100 ms before the first retry, and each time twice as long",
            run: backoff,
        },
        Check {
            id: "its-own",
            statement: "a second reply to the first datagram is not taken for one to the second",
            run: its_own,
        },
        Check {
            id: "changed",
            statement: "a reply with another byte is no echo: the exit code is not 0",
            run: changed,
        },
        Check {
            id: "refused",
            statement: "a server that has replied may be away for a moment: it is tried again",
            run: refused,
        },
    ],
};

/// How many datagrams are to be echoed.
const COUNT: u32 = 3;

/// How often each may be sent again.
const RETRIES: u32 = 4;

fn again(subject: &Subject) -> Result<String, Fault> {
    let (caller, first) = lost_once(subject)?;
    caller.reply(&first, &first.bytes)?;
    echo_from(&caller, 2)?;
    ends_well(&caller)?;
    Ok("datagram 1 was sent twice, 2 and 3 followed".to_owned())
}

fn backoff(subject: &Subject) -> Result<String, Fault> {
    /// Of 700 ms; a timer may be late, but not early.
    const LEAST: Duration = Duration::from_millis(600);
    let (caller, first) = subject.call_datagrams()?;
    let mut last = first.at;
    let mut gaps = Vec::new();
    let reply = loop {
        let retry = expect(&caller, 1, "again: no reply has come")?;
        gaps.push(retry.at.duration_since(last).unwrap_or_default());
        last = retry.at;
        if gaps.len() == 3 {
            break retry;
        }
    };
    let shown: Vec<_> = gaps.iter().map(|gap| format!("{} ms", gap.as_millis())).collect();
    let shown = shown.join(", ");
    if gaps.iter().sum::<Duration>() < LEAST {
        let expected = "it waits 100, 200 and 400 ms before it sends datagram 1 again";
        return Err(caller.wrong(expected, shown, "SO_TIMESTAMPNS of the 4 datagrams"));
    }
    caller.reply(&reply, &reply.bytes)?;
    echo_from(&caller, 2)?;
    ends_well(&caller)?;
    Ok(format!("{shown} (SO_TIMESTAMPNS)"))
}

fn its_own(subject: &Subject) -> Result<String, Fault> {
    let (caller, first) = lost_once(subject)?;
    caller.reply(&first, &first.bytes)?;
    let second = expect(&caller, 2, "")?;
    // The reply comes twice, and the second time while another one is waited for, which was not sent again yet.
    while caller.arrived()?.is_some() {}
    caller.reply(&second, &first.bytes)?;
    let second = expect(&caller, 2, "again: what has come is the echo of 1, a second time")?;
    caller.reply(&second, &second.bytes)?;
    echo_from(&caller, 3)?;
    ends_well(&caller)?;
    Ok("after it the second was sent again, and not the third".to_owned())
}

fn changed(subject: &Subject) -> Result<String, Fault> {
    let (caller, first) = lost_once(subject)?;
    let mut bytes = first.bytes.clone();
    bytes.iter_mut().next_back().into_iter().for_each(|byte| *byte ^= 1);
    caller.reply(&first, &bytes)?;
    while let Ok(next) = caller.next("") {
        caller.reply(&next, &next.bytes)?;
    }
    let expected = "an exit code that is not 0";
    let status = caller.end(expected)?;
    match status.success() {
        false => Ok(status.to_string()),
        true => {
            let evidence = "the last byte of the reply to datagram 1 was another";
            Err(caller.wrong(expected, "0", evidence))
        }
    }
}

fn refused(subject: &Subject) -> Result<String, Fault> {
    /// The first retry comes 100 ms after the datagram, the second 200 ms later.
    const AWAY: Duration = Duration::from_millis(250);
    let (mut caller, first) = lost_once(subject)?;
    caller.reply(&first, &first.bytes)?;
    expect(&caller, 2, "")?;
    caller.close();
    if caller.process().wait(AWAY).is_some() {
        let expected = "it sends datagram 2 again, until that is lost";
        let evidence = "the kernel has replied with ICMP, port unreachable (ECONNREFUSED)";
        return Err(caller.wrong(expected, "it gives up", evidence));
    }
    caller.open()?;
    let second = expect(&caller, 2, "again: the server is back")?;
    caller.reply(&second, &second.bytes)?;
    echo_from(&caller, 3)?;
    ends_well(&caller)?;
    Ok(format!("the server was away for {} ms", AWAY.as_millis()))
}

/// A client whose first datagram is lost: the same again. Without that there is nothing to look for.
fn lost_once(subject: &Subject) -> Result<(DatagramCaller, Arrival), Fault> {
    let (caller, first) = subject.call_datagrams()?;
    check_number(&caller, &first, 1, "")?;
    let again = expect(&caller, 1, "again: no reply has come")?;
    Ok((caller, again))
}

/// The next datagram, which has that number; `why` says what has happened before. Where this machine was busy, and
/// the reply to the one before it late, that was sent again, and has arrived first.
fn expect(caller: &DatagramCaller, number: u32, why: &str) -> Result<Arrival, Fault> {
    let expected = format!("datagram {number} {why}");
    let mut next = caller.next(expected.trim_end())?;
    for _ in 0..RETRIES {
        if number_of(&next).is_none_or(|sent| sent.checked_add(1) != Some(number)) {
            break;
        }
        next = caller.next(expected.trim_end())?;
    }
    check_number(caller, &next, number, why)?;
    Ok(next)
}

/// The number that it begins with.
fn number_of(datagram: &Arrival) -> Option<u32> {
    datagram.bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn check_number(
    caller: &DatagramCaller,
    datagram: &Arrival,
    number: u32,
    why: &str,
) -> Result<(), Fault> {
    let sent = number_of(datagram);
    if sent == Some(number) {
        return Ok(());
    }
    let got =
        sent.map_or("a datagram without a number".to_owned(), |sent| format!("datagram {sent}"));
    let expected = format!("datagram {number} {why}");
    let evidence = format!("its bytes are {}", shown(&datagram.bytes));
    Err(caller.wrong(expected.trim_end(), got, evidence))
}

/// Sends the rest back, from that number on.
fn echo_from(caller: &DatagramCaller, number: u32) -> Result<(), Fault> {
    for number in number..=COUNT {
        let next = expect(caller, number, "")?;
        caller.reply(&next, &next.bytes)?;
    }
    Ok(())
}

fn ends_well(caller: &DatagramCaller) -> Result<(), Fault> {
    let expected = "exit code 0, once all are echoed";
    let status = caller.end(expected)?;
    match status.success() {
        true => Ok(()),
        false => Err(caller.wrong(expected, status.to_string(), "")),
    }
}
