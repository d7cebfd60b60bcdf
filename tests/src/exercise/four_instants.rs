//! four-instants: from two readings of two clocks a client computes their offset, and the delay of the network.

use std::time::{Duration, SystemTime};

use super::ntp::{Reply, SECOND, answer, nanos, seconds};
use super::{Check, DatagramCaller, Exercise, Fault, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "four-instants",
    recipe: "sntp-client",
    args: &["--json", "{host}:{port}"],
    checks: &[
        Check {
            id: "offset",
            statement: "the offset of a clock that is ahead, and of one that is behind",
            run: offset,
        },
        Check {
            id: "delay",
            statement: "the delay is that of the network, without the time that the server has taken",
            run: delay,
        },
        Check {
            id: "one-way",
            statement: "a request that takes longer than its reply moves the offset by half of that",
            run: one_way,
        },
        Check {
            id: "era",
            statement: "a clock in 2040, when the seconds have begun again at 0, is years ahead",
            run: era,
        },
    ],
};

/// A server of ours.
#[derive(Clone, Copy, Default)]
struct Server {
    /// Its clock minus ours, about: the fraction of T2 is always the same.
    offset: i128,
    /// How long a request is on its way.
    there: Duration,
    /// How long the server has it.
    busy: Duration,
}

fn offset(subject: &Subject) -> Result<String, Fault> {
    let ahead = answered(subject, Server { offset: 2 * SECOND, ..Server::default() })?.offset()?;
    let behind =
        answered(subject, Server { offset: -90 * SECOND, ..Server::default() })?.offset()?;
    Ok(format!("{ahead}; {behind}"))
}

fn delay(subject: &Subject) -> Result<String, Fault> {
    let busy = Duration::from_millis(300);
    let answered = answered(subject, Server { offset: 2 * SECOND, busy, ..Server::default() })?;
    let offset = answered.offset()?;
    Ok(format!("{}; {offset}", answered.delay()?))
}

fn one_way(subject: &Subject) -> Result<String, Fault> {
    let there = Duration::from_millis(300);
    answered(subject, Server { offset: 2 * SECOND, there, ..Server::default() })?.offset()
}

fn era(subject: &Subject) -> Result<String, Fault> {
    /// 2040-01-01, in nanoseconds since 1970.
    const LATER: i128 = 2_208_988_800 * SECOND;
    let offset = LATER - nanos(SystemTime::now());
    answered(subject, Server { offset, ..Server::default() })?.offset()
}

/// What a client has printed, and the instants, in nanoseconds since 1970, of which T1 and T4 are known to be
/// between two: T1 between the start of the program and the arrival of its request, T4 between the sending of the
/// reply and the end of the program. This holds on a busy machine too.
struct Answered {
    caller: DatagramCaller,
    offset: i128,
    delay: i128,
    t1: (i128, i128),
    t2: i128,
    t3: i128,
    t4: (i128, i128),
}

fn answered(subject: &Subject, server: Server) -> Result<Answered, Fault> {
    let start = nanos(SystemTime::now());
    let (caller, request) = subject.call_datagrams()?;
    let wait = |time: Duration| caller.process().wait(time).is_some();
    let ends_early = wait(server.there) || wait(server.busy);
    // The server's time when the request has reached it, with a fraction that does not vanish.
    let arrives = nanos(request.at) + server.there.as_nanos().cast_signed();
    let t2 = (arrives + server.offset).div_euclid(SECOND) * SECOND + 5 * SECOND / 8;
    let sent = nanos(SystemTime::now());
    let t3 = sent + t2 - arrives;
    if !ends_early {
        caller.reply(&request, &Reply::new(&request, t2, t3).bytes())?;
    }
    let (offset, delay) = answer(&caller)?;
    let (t1, t4) = ((start, nanos(request.at)), (sent, nanos(SystemTime::now())));
    Ok(Answered { caller, offset, delay, t1, t2, t3, t4 })
}

impl Answered {
    /// Whether the offset can be right.
    fn offset(&self) -> Result<String, Fault> {
        let Answered { t1, t2, t3, t4, .. } = self;
        let bounds = [(t2 - t1.1 + t3 - t4.1) / 2, (t2 - t1.0 + t3 - t4.0) / 2];
        self.judge("offset", bounds, self.offset)
    }

    /// Whether the delay can be right.
    fn delay(&self) -> Result<String, Fault> {
        let Answered { t1, t2, t3, t4, .. } = self;
        let bounds = [t4.0 - t1.1 - (t3 - t2), t4.1 - t1.0 - (t3 - t2)];
        self.judge("delay", bounds, self.delay)
    }

    fn judge(&self, what: &str, bounds: [i128; 2], got: i128) -> Result<String, Fault> {
        /// Timestamps are rounded to 2^-32 s, and halves to nanoseconds.
        const ROUNDED: i128 = 1_000;
        let [least, most] = bounds;
        if (least - ROUNDED..=most + ROUNDED).contains(&got) {
            return Ok(format!("{what} {}", seconds(got)));
        }
        let expected = format!("{what} from {} to {}", seconds(least), seconds(most));
        let request = self.t1.1;
        let evidence = format!(
            "the request came at 0 s, T2 was {}, T3 was {}, the reply was sent at {}",
            seconds(self.t2 - request),
            seconds(self.t3 - request),
            seconds(self.t4.0 - request)
        );
        Err(self.caller.wrong(&expected, seconds(got), evidence))
    }
}
