//! What must hold for every datagram and every clock. The fuzz target and the seeded test of
//! `netcore::ntp::validate` run this same function.
//!
//! The rules are written a second time here, on the bytes: a mistake in one place is found.

use std::net::SocketAddr;

use netcore::ntp::Sample;
use netcore::ntp::packet::{Packet, SERVER, Short};
use netcore::ntp::time::{Timestamp, Utc};
use netcore::ntp::validate::{Rejection, Request, validate};

/// The nonce of the request, and that of the request before it.
pub(crate) const NONCE: u64 = 0x0123_4567_89ab_cdef;
pub(crate) const EARLIER: u64 = 0x1111_2222_3333_4444;

/// T1 of the valid exchange, and the delay of each direction.
const SENT: i128 = 1_795_576_202 * SECOND;
const DELAY: i128 = SECOND / 1_000;

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// The bytes before the datagram: one of choices, and three times 16 of the clocks.
pub(crate) const HEAD: usize = 1 + 3 * 16;

/// Checks the valid reply with these changes, so that no changes are the valid reply itself, and few
/// changes reach the last checks: the choices of sender and version, what is added to T1, to T4 and
/// to the pivot, and the bits that are flipped in a datagram of that length.
///
/// Returns `accepted`, or the name of the reason.
///
/// # Panics
/// When something does not hold.
pub(crate) fn check(changes: &[u8]) -> &'static str {
    let Some((head, flips)) = changes.split_first_chunk::<HEAD>() else { return "too few bytes" };
    let clock = |index: usize, valid: i128| {
        let bytes = head.iter().skip(1 + 16 * index).take(16);
        let added = bytes.rev().fold(0_i128, |sum, byte| sum << 8 | i128::from(*byte));
        Utc::from_nanos(valid.wrapping_add(added))
    };
    let (sent, arrived) = (clock(0, SENT), clock(1, SENT + 2 * DELAY));
    let pivot = clock(2, SENT);
    let choices = head[0];
    let server = SocketAddr::from(([192, 0, 2, 1], 123));
    let from = match choices & 7 {
        1 => SocketAddr::from(([192, 0, 2, 2], 123)),
        2 => SocketAddr::from(([192, 0, 2, 1], 124)),
        _ => server,
    };
    let version = 4 - (choices >> 3 & 1);
    let request = Request {
        server,
        version,
        nonce: Timestamp(NONCE),
        earlier: vec![Timestamp(EARLIER)],
        sent,
    };
    let mut datagram = flips.to_vec();
    datagram.iter_mut().zip(valid_reply()).for_each(|(byte, valid)| *byte ^= valid);

    eras(sent, pivot);
    let Some(packet) = survives_its_bytes(&datagram) else {
        return too_short(&request, from, &datagram, arrived, pivot);
    };
    arithmetic([sent, pivot, pivot, arrived], &packet);
    arithmetic([pivot, arrived, sent, sent], &packet);
    let rules = from == server && datagram.len() <= 1_500 && is_valid(&datagram);
    match validate(&request, from, &datagram, arrived, pivot) {
        Ok(sample) => {
            assert!(rules, "accepted: {packet:?}");
            assert_eq!((sample.t1, sample.t4, &sample.packet), (sent, arrived, &packet));
            near(sample.t3, packet.transmit, pivot);
            near(sample.t2, packet.receive, sample.t3);
            // A clock of 64 Hz at the coarsest, and a drift of 15 in a million.
            let tolerance = 15_625_000 + arrived.since(sent).max(0) * 15 / 1_000_000;
            assert!(sample.delay() >= -tolerance, "{sample:?}");
            arithmetic([sample.t1, sample.t2, sample.t3, sample.t4], &packet);
            "accepted"
        }
        Err(Rejection::NegativeDelay) => {
            assert!(rules, "{packet:?}");
            Rejection::NegativeDelay.name()
        }
        Err(reason) => {
            assert!(!rules, "rejected, {reason}: {packet:?}");
            // A kiss without the nonce does not count.
            let kiss = matches!(reason, Rejection::Kiss(_));
            let answers = packet.mode == SERVER && packet.origin.0 == NONCE && packet.stratum == 0;
            assert!(!kiss || answers && from == server, "{packet:?}");
            // The letters of its code come from the peer, and are printed.
            assert!(!kiss || !reason.to_string().chars().any(char::is_control), "{reason}");
            reason.name()
        }
    }
}

/// The reply of a server at stratum 2, with a delay of a millisecond in each direction.
pub(crate) fn valid_reply() -> [u8; 48] {
    let at = Timestamp::from_utc(Utc::from_nanos(SENT + DELAY));
    Packet {
        version: 4,
        mode: SERVER,
        stratum: 2,
        precision: -20,
        root_delay: Short(0x0100),
        root_dispersion: Short(0x0200),
        reference_id: [192, 0, 2, 9],
        reference: Timestamp(at.0 - (64 << 32)),
        origin: Timestamp(NONCE),
        receive: at,
        transmit: at,
        ..Packet::default()
    }
    .to_bytes()
}

/// The packet of a datagram, which becomes the same bytes again.
fn survives_its_bytes(datagram: &[u8]) -> Option<Packet> {
    let packet = Packet::from_bytes(datagram);
    assert_eq!(packet.is_some(), datagram.len() >= 48);
    let packet = packet?;
    assert!(datagram.starts_with(&packet.to_bytes()), "{packet:?}");
    Some(packet)
}

/// A datagram that is too short for a packet is rejected for its source or its length.
fn too_short(
    request: &Request,
    from: SocketAddr,
    datagram: &[u8],
    arrived: Utc,
    pivot: Utc,
) -> &'static str {
    let reason = validate(request, from, datagram, arrived, pivot).expect_err("no packet");
    assert!(matches!(reason, Rejection::Address | Rejection::Port | Rejection::Short), "{reason}");
    reason.name()
}

/// All the rules but those of sender, length and delay, read from the bytes themselves.
fn is_valid(datagram: &[u8]) -> bool {
    let byte = |at: usize| datagram.get(at).copied().unwrap_or_default();
    let bytes = |from: usize, count: usize| {
        let bytes = datagram.iter().skip(from).take(count);
        bytes.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (receive, transmit) = (bytes(32, 8), bytes(40, 8));
    let (mode, version, leap) = (byte(0) & 7, byte(0) >> 3 & 7, byte(0) >> 6);
    mode == 4
        && (version == 3 || version == 4)
        && leap < 3
        && (1..16).contains(&byte(1))
        // A precision of 2 s or worse.
        && byte(3).cast_signed() <= 0
        // Half the root delay and the dispersion are less than 1.5 s, in 65,536ths.
        && bytes(4, 4) + 2 * bytes(8, 4) < 3 << 16
        && bytes(24, 8) == NONCE
        && receive != 0
        && transmit != 0
        && transmit.wrapping_sub(receive) < 1 << 63
}

/// The formulas of RFC 4330 §5 hold for any four instants, and no clock overflows them.
fn arithmetic([t1, t2, t3, t4]: [Utc; 4], packet: &Packet) {
    let sample = Sample { t1, t2, t3, t4, packet: packet.clone() };
    let (offset, delay, bound) = (sample.offset(), sample.delay(), sample.bound());
    let [one, two, three, four] = [t1, t2, t3, t4].map(Utc::nanos);
    let twice = (two - one) + (three - four);
    assert!(twice == 2 * offset || twice == 2 * offset + 1, "{sample:?}");
    assert_eq!(delay, (four - one) - (three - two), "{sample:?}");
    // The error is at most half of the delay, whichever direction took all of it.
    assert!(bound >= delay / 2 && bound >= 0, "{sample:?}");
    let corrected = sample.corrected(t4);
    let ends = [Utc::from_nanos(i128::MIN), Utc::from_nanos(i128::MAX)];
    assert!(corrected.since(t4) == offset || ends.contains(&corrected), "{sample:?}");
}

/// The instant has these bits, and is within 68 years of the pivot that decided its era.
fn near(instant: Utc, bits: Timestamp, pivot: Utc) {
    let half = SECOND << 31;
    let far = pivot.nanos().abs() > Utc::from_nanos(i128::MAX).nanos() - 3 * half;
    // A nanosecond is 4.3 of the bits: rounding moves them by half of that.
    let same = Timestamp::from_utc(instant).since(bits).abs() <= 3;
    assert!(far || same && instant.since(pivot).abs() <= half + 1, "{instant:?} of {bits:?}");
}

/// An instant survives the wire if the pivot is near it, and is in the era that `era` returns.
fn eras(instant: Utc, pivot: Utc) {
    let bits = Timestamp::from_utc(instant);
    near(bits.near(instant), bits, instant);
    near(bits.near(pivot), bits, pivot);
    let half = SECOND << 31;
    if instant.since(pivot).abs() < half - SECOND {
        assert!(bits.near(pivot).since(instant).abs() <= 1, "{instant:?} by {pivot:?}");
    }
    if let Ok(era) = u8::try_from(instant.era()) {
        let begin = Utc::start_of_era(era);
        assert!((0..2 * half).contains(&instant.since(begin)), "{instant:?} in era {era}");
        assert_eq!(begin.plus(-1).era(), instant.era() - 1, "the last of the era before {era}");
    }
}
