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

/// The reply of a correct server with a delay of 1 ms in each direction.
fn valid_reply() -> Packet {
    let at = Timestamp::from_utc(now().plus(MS));
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

fn check(bytes: &[u8]) -> Result<Sample, Rejection> {
    validate(&request(), server(), bytes, now().plus(2 * MS), now())
}

fn with(change: impl FnOnce(&mut Packet)) -> Result<Sample, Rejection> {
    let mut packet = valid_reply();
    change(&mut packet);
    check(&packet.to_bytes())
}

fn after(millis: i128) -> Timestamp {
    Timestamp::from_utc(now().plus(millis * MS))
}

#[test]
fn a_valid_reply_is_accepted() {
    let sample = check(&valid_reply().to_bytes()).unwrap();
    assert_eq!((sample.offset(), sample.delay()), (0, 2 * MS));
    for version in [3, 4] {
        assert!(with(|packet| packet.version = version).is_ok());
    }
    for stratum in 1..=15 {
        assert!(with(|packet| packet.stratum = stratum).is_ok());
    }
    // With extension fields, up to the longest packet.
    let mut long = valid_reply().to_bytes().to_vec();
    long.resize(LONGEST, 7);
    assert!(check(&long).is_ok());
}

#[test]
fn every_wrong_field_has_its_reason() {
    type Change = fn(&mut Packet);
    let faults: &[(Rejection, Change)] = &[
        (Rejection::OwnRequest, |packet| *packet = Packet::request(4, NONCE)),
        (Rejection::Mode, |packet| packet.mode = CLIENT),
        (Rejection::Version, |packet| packet.version = 0),
        (Rejection::Version, |packet| packet.version = 2),
        (Rejection::Version, |packet| packet.version = 5),
        (Rejection::Version, |packet| packet.version = 7),
        (Rejection::OriginZero, |packet| packet.origin = Timestamp::NONE),
        (Rejection::OriginEarlier, |packet| packet.origin = EARLIER),
        (Rejection::Leap, |packet| packet.leap = UNSYNCHRONISED),
        (Rejection::StratumZero, |packet| packet.stratum = 0),
        (Rejection::Stratum, |packet| packet.stratum = 16),
        (Rejection::Stratum, |packet| packet.stratum = 255),
        (Rejection::TransmitZero, |packet| packet.transmit = Timestamp::NONE),
        (Rejection::ReceiveZero, |packet| packet.receive = Timestamp::NONE),
        (Rejection::Backwards, |packet| packet.receive.0 += 1),
        (Rejection::RootDelay, |packet| packet.root_delay = Short(16 << 16)),
        (Rejection::RootDispersion, |packet| packet.root_dispersion = Short(16 << 16)),
        (Rejection::RootDistance, |packet| {
            (packet.root_delay, packet.root_dispersion) = (Short(1 << 16), Short(1 << 16));
        }),
        (Rejection::Precision, |packet| packet.precision = 1),
        (Rejection::Precision, |packet| packet.precision = 127),
        (Rejection::NegativeDelay, |packet| packet.transmit = after(4)),
    ];
    for (reason, change) in faults {
        assert_eq!(with(*change).unwrap_err(), *reason);
    }
    for mode in [0, 1, 2, 3, 5, 6, 7] {
        assert_eq!(with(|packet| packet.mode = mode).unwrap_err(), Rejection::Mode);
    }
    for bit in 0..64 {
        let flipped = Timestamp(NONCE.0 ^ 1 << bit);
        assert_eq!(with(|packet| packet.origin = flipped).unwrap_err(), Rejection::Origin);
    }
}

#[test]
fn wrong_lengths_and_sources_have_their_reasons() {
    for length in [0, 1, 47] {
        assert_eq!(check(&valid_reply().to_bytes()[..length]).unwrap_err(), Rejection::Short);
    }
    assert_eq!(check(&[0; 48]).unwrap_err(), Rejection::Mode);
    let mut long = valid_reply().to_bytes().to_vec();
    long.resize(65_507, 0);
    assert_eq!(check(&long).unwrap_err(), Rejection::Long);
    for (from, reason) in
        [("192.0.2.2:123", Rejection::Address), ("192.0.2.1:124", Rejection::Port)]
    {
        let from = from.parse().unwrap();
        let checked = validate(&request(), from, &valid_reply().to_bytes(), now(), now());
        assert_eq!(checked.unwrap_err(), reason);
    }
}

#[test]
fn a_kiss_counts_only_with_our_nonce() {
    let kiss = |code: &[u8; 4], origin| {
        with(|packet| {
            (packet.stratum, packet.leap) = (0, UNSYNCHRONISED);
            (packet.reference_id, packet.origin) = (*code, origin);
        })
    };
    for code in [b"DENY", b"RSTR", b"RATE", b"X\0\0\0", b"1234"] {
        assert_eq!(kiss(code, NONCE).unwrap_err(), Rejection::Kiss(Kiss(*code)));
        assert_eq!(kiss(code, Timestamp(7)).unwrap_err(), Rejection::Origin);
    }
    assert_eq!(Kiss(*b"X\0\0\0").code(), "X");
    for code in [b"\0\0\0\0", b"deny", b"D\0NY", b"\x1b[2J", b"DEN "] {
        assert_eq!(kiss(code, NONCE).unwrap_err(), Rejection::StratumZero);
    }
}

#[test]
fn a_distance_below_one_and_a_half_seconds_is_accepted() {
    let far = |delay, dispersion| {
        with(|packet| {
            (packet.root_delay, packet.root_dispersion) = (Short(delay), Short(dispersion));
        })
    };
    assert!(far(0, 0x0001_7fff).is_ok());
    assert_eq!(far(0, 0x0001_8000).unwrap_err(), Rejection::RootDispersion);
    assert!(far(0x0002_ffff, 0).is_ok());
    assert_eq!(far(0x0003_0000, 0).unwrap_err(), Rejection::RootDelay);
}

#[test]
fn the_precision_of_a_clock_excuses_a_negative_delay() {
    let coarse = |precision, millis| {
        with(|packet| (packet.precision, packet.transmit) = (precision, after(millis)))
    };
    // The exchange took 2 ms, the server claims 10: that is within the precision of a clock of 64 Hz.
    assert!(coarse(-6, 11).is_ok());
    assert_eq!(coarse(-7, 11).unwrap_err(), Rejection::NegativeDelay);
    // A coarser precision excuses no more than that.
    assert_eq!(coarse(0, 30).unwrap_err(), Rejection::NegativeDelay);
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
        let mut packet = valid_reply();
        (packet.receive, packet.transmit) =
            (Timestamp::from_utc(there), Timestamp::from_utc(there));
        // A machine without a battery-backed clock starts in 1970.
        let ours = Utc::from_nanos(0);
        let request = Request { sent: ours, ..request() };
        let pivot = pivot.parse().unwrap();
        let sample = validate(&request, server(), &packet.to_bytes(), ours, pivot).unwrap();
        assert_eq!(sample.corrected(ours), there, "{date}");
    }
}
