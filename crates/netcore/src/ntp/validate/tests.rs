use super::super::packet::{CLIENT, Short};
use super::*;

const MS: i128 = 1_000_000;
const NONCE: Timestamp = Timestamp(0x0123_4567_89ab_cdef);
const EARLIER: Timestamp = Timestamp(0x1111_2222_3333_4444);

fn server() -> SocketAddr {
    "192.0.2.1:123".parse().unwrap()
}

fn now() -> Utc {
    "2026-11-25T03:10:02Z".parse().unwrap()
}

fn request() -> Request {
    Request { server: server(), version: 4, nonce: NONCE, earlier: vec![EARLIER], sent: now() }
}

/// What an honest server says that is 1 ms away.
fn honest() -> Packet {
    let at = Timestamp::of(now().plus(MS));
    Packet {
        version: 4,
        mode: SERVER,
        stratum: 2,
        precision: -20,
        reference_id: [192, 0, 2, 9],
        origin: NONCE,
        receive: at,
        transmit: at,
        ..Packet::default()
    }
}

fn judge(bytes: &[u8]) -> Result<Sample, Refusal> {
    validate(&request(), server(), bytes, now().plus(2 * MS), now())
}

fn lie(change: impl FnOnce(&mut Packet)) -> Result<Sample, Refusal> {
    let mut packet = honest();
    change(&mut packet);
    judge(&packet.to_bytes())
}

fn after(millis: i128) -> Timestamp {
    Timestamp::of(now().plus(millis * MS))
}

#[test]
fn an_honest_answer_is_believed() {
    let sample = judge(&honest().to_bytes()).unwrap();
    assert_eq!((sample.offset(), sample.delay()), (0, 2 * MS));
    for version in [3, 4] {
        assert!(lie(|packet| packet.version = version).is_ok());
    }
    for stratum in 1..=15 {
        assert!(lie(|packet| packet.stratum = stratum).is_ok());
    }
    // With extensions, as long as a packet may be.
    let mut long = honest().to_bytes().to_vec();
    long.resize(LONGEST, 7);
    assert!(judge(&long).is_ok());
}

#[test]
fn every_field_that_lies_has_its_reason() {
    type Change = fn(&mut Packet);
    let lies: &[(Refusal, Change)] = &[
        (Refusal::OwnRequest, |packet| *packet = Packet::request(4, NONCE)),
        (Refusal::Mode, |packet| packet.mode = CLIENT),
        (Refusal::Version, |packet| packet.version = 0),
        (Refusal::Version, |packet| packet.version = 2),
        (Refusal::Version, |packet| packet.version = 5),
        (Refusal::Version, |packet| packet.version = 7),
        (Refusal::OriginZero, |packet| packet.origin = Timestamp::NONE),
        (Refusal::OriginEarlier, |packet| packet.origin = EARLIER),
        (Refusal::Leap, |packet| packet.leap = UNSYNCHRONISED),
        (Refusal::StratumZero, |packet| packet.stratum = 0),
        (Refusal::Stratum, |packet| packet.stratum = 16),
        (Refusal::Stratum, |packet| packet.stratum = 255),
        (Refusal::TransmitZero, |packet| packet.transmit = Timestamp::NONE),
        (Refusal::ReceiveZero, |packet| packet.receive = Timestamp::NONE),
        (Refusal::Backwards, |packet| packet.receive.0 += 1),
        (Refusal::RootDelay, |packet| packet.root_delay = Short(16 << 16)),
        (Refusal::RootDispersion, |packet| packet.root_dispersion = Short(16 << 16)),
        (Refusal::RootDistance, |packet| {
            (packet.root_delay, packet.root_dispersion) = (Short(1 << 16), Short(1 << 16));
        }),
        (Refusal::Precision, |packet| packet.precision = 1),
        (Refusal::Precision, |packet| packet.precision = 127),
        (Refusal::NegativeDelay, |packet| packet.transmit = after(4)),
    ];
    for (reason, change) in lies {
        assert_eq!(lie(*change).unwrap_err(), *reason);
    }
    for mode in [0, 1, 2, 3, 5, 6, 7] {
        assert_eq!(lie(|packet| packet.mode = mode).unwrap_err(), Refusal::Mode);
    }
    for bit in 0..64 {
        let flipped = Timestamp(NONCE.0 ^ 1 << bit);
        assert_eq!(lie(|packet| packet.origin = flipped).unwrap_err(), Refusal::Origin);
    }
}

#[test]
fn lengths_and_senders_that_lie_have_their_reasons() {
    for length in [0, 1, 47] {
        assert_eq!(judge(&honest().to_bytes()[..length]).unwrap_err(), Refusal::Short);
    }
    assert_eq!(judge(&[0; 48]).unwrap_err(), Refusal::Mode);
    let mut long = honest().to_bytes().to_vec();
    long.resize(65_507, 0);
    assert_eq!(judge(&long).unwrap_err(), Refusal::Long);
    for (from, reason) in [("192.0.2.2:123", Refusal::Address), ("192.0.2.1:124", Refusal::Port)] {
        let from = from.parse().unwrap();
        let judged = validate(&request(), from, &honest().to_bytes(), now(), now());
        assert_eq!(judged.unwrap_err(), reason);
    }
}

#[test]
fn a_kiss_counts_only_with_our_nonce() {
    let kiss = |code: &[u8; 4], origin| {
        lie(|packet| {
            (packet.stratum, packet.leap) = (0, UNSYNCHRONISED);
            (packet.reference_id, packet.origin) = (*code, origin);
        })
    };
    for code in [b"DENY", b"RSTR", b"RATE", b"X\0\0\0", b"1234"] {
        assert_eq!(kiss(code, NONCE).unwrap_err(), Refusal::Kiss(Kiss(*code)));
        assert_eq!(kiss(code, Timestamp(7)).unwrap_err(), Refusal::Origin);
    }
    assert_eq!(Kiss(*b"X\0\0\0").code(), "X");
    for code in [b"\0\0\0\0", b"deny", b"D\0NY", b"\x1b[2J", b"DEN "] {
        assert_eq!(kiss(code, NONCE).unwrap_err(), Refusal::StratumZero);
    }
}

#[test]
fn a_distance_below_one_and_a_half_seconds_is_accepted() {
    let far = |delay, dispersion| {
        lie(|packet| {
            (packet.root_delay, packet.root_dispersion) = (Short(delay), Short(dispersion));
        })
    };
    assert!(far(0, 0x0001_7fff).is_ok());
    assert_eq!(far(0, 0x0001_8000).unwrap_err(), Refusal::RootDispersion);
    assert!(far(0x0002_ffff, 0).is_ok());
    assert_eq!(far(0x0003_0000, 0).unwrap_err(), Refusal::RootDelay);
}

#[test]
fn the_grain_of_a_clock_excuses_a_delay_below_zero() {
    let coarse = |precision, millis| {
        lie(|packet| (packet.precision, packet.transmit) = (precision, after(millis)))
    };
    // Both ways took 2 ms, the server says 10: a clock of 64 Hz may say so, a finer one may not.
    assert!(coarse(-6, 11).is_ok());
    assert_eq!(coarse(-7, 11).unwrap_err(), Refusal::NegativeDelay);
    // And it is no licence for one that says that it is coarser.
    assert_eq!(coarse(0, 30).unwrap_err(), Refusal::NegativeDelay);
}

#[test]
fn a_reply_of_another_era_is_right_with_its_pivot() {
    for (date, pivot) in [
        ("2036-02-07T06:28:16.5Z", "2026-11-25"),
        ("2036-02-07T06:28:15.5Z", "2036-02-08"),
        ("2037-01-01T00:00:00Z", "2026-11-25"),
        ("2104-06-01T12:00:00Z", "2100-01-01"),
        ("2026-11-25T03:10:02Z", "1970-01-01"),
    ] {
        let there: Utc = date.parse().unwrap();
        let mut packet = honest();
        (packet.receive, packet.transmit) = (Timestamp::of(there), Timestamp::of(there));
        // A machine without a clock of its own begins in 1970.
        let ours = Utc::from_nanos(0);
        let request = Request { sent: ours, ..request() };
        let pivot = pivot.parse().unwrap();
        let sample = validate(&request, server(), &packet.to_bytes(), ours, pivot).unwrap();
        assert_eq!(sample.corrected(ours), there, "{date}");
    }
}
