//! The same replies for this client and for another one, the crate sntpc: both compute the same, and
//! where only one of them accepts a reply, the reason is known.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sntpc::{NtpContext, NtpResult, NtpTimestampGenerator, NtpUdpSocket};

use super::{Packet, Rejection, Request, SERVER, Sample, Timestamp, Utc, validate};
use crate::ntp::packet::{LENGTH, Short};
use crate::seeded::Random;

/// How many replies are checked.
const MANY: u32 = 200_000;

/// In microseconds.
const SECOND: u64 = 1_000_000;
const DECADE: u64 = 315_576_000 * SECOND;

/// T1, in seconds after 1970: today, around the ends of three eras, and between them.
const BEGINS: [u64; 6] =
    [1_795_576_202, 2_085_978_495, 2_085_978_496, 4_228_588_800, 6_380_945_792, 10_675_913_088];

/// A socket that returns one datagram, and keeps the request.
struct Socket {
    server: SocketAddr,
    request: Cell<[u8; LENGTH]>,
    answer: Cell<[u8; LENGTH]>,
}

impl NtpUdpSocket for Socket {
    async fn send_to(&self, bytes: &[u8], _: SocketAddr) -> sntpc::Result<usize> {
        self.request.set(bytes.try_into().unwrap());
        Ok(bytes.len())
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        buffer.copy_from_slice(&self.answer.get());
        Ok((LENGTH, self.server))
    }
}

/// A clock that shows so many microseconds after 1970.
#[derive(Clone, Copy)]
struct Clock(u64);

impl NtpTimestampGenerator for Clock {
    fn init(&mut self) {}

    fn timestamp_sec(&self) -> u64 {
        self.0 / SECOND
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        u32::try_from(self.0 % SECOND).unwrap()
    }
}

/// The result of a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn utc(micros: u64) -> Utc {
    Utc::from_nanos(i128::from(micros) * 1_000)
}

/// The reply of a server whose clock is wrong by up to fifty years; some replies have wrong bits.
fn answer(origin: Timestamp, received: u64, spent: u64, random: &mut Random) -> [u8; LENGTH] {
    let off = (random.next() % (5 * DECADE)) >> (4 * random.below(15));
    let received = if random.below(2) == 0 { received + off } else { received - off };
    let mut short = |most: u64| Short(u32::try_from(random.next() % most).unwrap());
    let (root_delay, root_dispersion) = (short(1 << 16), short(1 << 15));
    let [flags, poll, precision, reference_id] = [(); 4].map(|()| random.next().to_le_bytes());
    let packet = Packet {
        leap: flags[0] % 3,
        version: [4, 4, 4, 4, 4, 4, 3, 2][usize::from(flags[2] % 8)],
        mode: SERVER,
        stratum: 1 + flags[1] % 15,
        poll: poll[0].cast_signed(),
        precision: -1 - (precision[0] % 32).cast_signed(),
        root_delay,
        root_dispersion,
        reference_id: [0, 1, 2, 3].map(|index| reference_id[index]),
        reference: Timestamp::from_utc(utc(received - 64 * SECOND)),
        origin,
        receive: Timestamp::from_utc(utc(received)),
        transmit: Timestamp::from_utc(utc(received + spent)),
    };
    let mut bytes = packet.to_bytes();
    if random.below(4) == 0 {
        let field = [[0, 4], [4, 12], [32, 40], [0, LENGTH]][random.below(4)];
        bytes[field[0] + random.below(field[1] - field[0])] ^= 1 << random.below(8);
    }
    if random.below(100) == 0 {
        bytes[32..40].fill(0);
    }
    bytes
}

fn equal(ours: &Sample, theirs: &NtpResult) {
    let packet = &ours.packet;
    let said = (packet.leap, packet.stratum, packet.poll, packet.precision, packet.reference_id);
    let theirs_said =
        (theirs.leap_indicator, theirs.stratum, theirs.poll, theirs.precision, theirs.reference_id);
    assert_eq!(said, theirs_said);
    assert_eq!(packet.root_delay, Short(theirs.root_delay));
    assert_eq!(packet.root_dispersion, Short(theirs.root_dispersion));
    assert_eq!(packet.reference, Timestamp(theirs.reference_timestamp));
    // The era too. A fraction of 2^-32 s is a quarter of a nanosecond.
    let fraction = (i128::from(theirs.seconds_fraction) * 1_000_000_000) >> 32;
    let time = i128::from(theirs.seconds) * 1_000_000_000 + fraction;
    assert!((ours.t3.nanos() - time).abs() <= 1, "{ours:?}, {theirs:?}");
    // sntpc computes in microseconds, with a delay of at least one.
    let off = (ours.offset() - i128::from(theirs.offset) * 1_000).abs();
    let late = (ours.delay().max(1_000) - i128::from(theirs.roundtrip) * 1_000).abs();
    assert!(off <= 1_002 && late <= 1_002, "{ours:?}, {theirs:?}");
}

/// The checks that sntpc does not make: version 3 or 4, a root distance below 1.5 s and not 16, and those
/// of T2, T3 and the precision.
const STRICTER: [Rejection; 8] = [
    Rejection::Version,
    Rejection::ReceiveZero,
    Rejection::Backwards,
    Rejection::RootDelay,
    Rejection::RootDispersion,
    Rejection::RootDistance,
    Rejection::Precision,
    Rejection::NegativeDelay,
];

#[test]
fn another_client_reads_the_same_in_every_answer() {
    let server = SocketAddr::from(([192, 0, 2, 1], 123));
    let empty = || Cell::new([0; LENGTH]);
    let socket = Socket { server, request: empty(), answer: empty() };
    let (mut random, mut reached) = (Random(1), BTreeMap::new());
    for _ in 0..MANY {
        let mut micros = |most: u64| random.next() % most;
        let (there, spent, back) = (micros(SECOND), micros(1_000), micros(SECOND));
        let sent = micros(2 * SECOND);
        let sent = sent + (BEGINS[random.below(BEGINS.len())] - 1) * SECOND;
        let arrived = sent + there + spent + back;

        let context = NtpContext::new(Clock(sent));
        let asked = at_once(sntpc::sntp_send_request(server, &socket, context)).unwrap();
        let nonce = Packet::from_bytes(&socket.request.get()).unwrap().transmit;
        let bytes = answer(nonce, sent + there, spent, &mut random);
        socket.answer.set(bytes);
        let context = NtpContext::new(Clock(arrived));
        let theirs = at_once(sntpc::sntp_process_response(server, &socket, context, asked));

        let request = Request { server, version: 4, nonce, earlier: Vec::new(), sent: utc(sent) };
        let ours = validate(&request, server, &bytes, utc(arrived), utc(arrived));
        let outcome = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                equal(ours, theirs);
                "accepted"
            }
            // The check that only sntpc makes: a clock that was last set after now.
            (Ok(_), Err(sntpc::Error::BackwardReferenceTimestamp)) => "reference",
            (Err(reason), Ok(_)) if STRICTER.contains(reason) => reason.name(),
            (Err(Rejection::Kiss(_)), Err(sntpc::Error::KissOfDeath(_))) => "kiss",
            (Err(Rejection::Kiss(_)), Err(_)) | (Ok(_), _) | (_, Ok(_)) => {
                panic!("{ours:?}, {theirs:?}")
            }
            (Err(_), Err(_)) => "rejected",
        };
        *reached.entry(outcome).or_insert(0_u32) += 1;
    }
    let names = STRICTER.map(Rejection::name);
    for name in names.iter().chain(&["accepted", "rejected", "reference"]) {
        assert!(reached.contains_key(name), "{name} of {reached:?}");
    }
    assert!(reached["accepted"] > MANY / 2, "{reached:?}");
}
