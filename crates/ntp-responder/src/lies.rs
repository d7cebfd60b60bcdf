//! What a client must not believe, each lie with its name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::time::Duration;

use netcore::ntp::packet::{Packet, Short, UNSYNCHRONISED};
use netcore::ntp::time::Timestamp;

/// Ten years of 365.25 days, a second, and sixteen, as differences of timestamps.
const TEN_YEARS: u64 = 315_576_000 << 32;
const SECOND: u64 = 1 << 32;
const SIXTEEN_SECONDS: Short = Short(16 << 16);

/// Every lie, and what is wrong with it.
pub(crate) const NAMES: &[(&str, &str)] = &[
    ("address", "comes from another address, 127.0.0.2"),
    ("port", "comes from another port"),
    ("empty", "has no bytes at all"),
    ("one-byte", "has one byte"),
    ("short", "has 47 bytes"),
    ("zeros", "is 48 zero bytes"),
    ("origin-zero", "does not say which request it answers"),
    ("origin-bit", "has one bit of the request's nonce wrong"),
    ("origin-earlier", "answers the request before, with the time of now"),
    ("replay", "is the answer to the request before, once more"),
    ("mirror", "is the request, sent back"),
    ("mode-1", "is symmetric active"),
    ("mode-2", "is symmetric passive"),
    ("mode-3", "is a request"),
    ("mode-5", "is a broadcast"),
    ("mode-6", "is a control message"),
    ("mode-7", "is a private message"),
    ("version-0", "has version 0"),
    ("version-5", "has version 5"),
    ("version-7", "has version 7"),
    ("leap-3", "comes from a clock that is not synchronised"),
    ("stratum-0", "is at stratum 0 without a kiss code"),
    ("stratum-16", "is at stratum 16"),
    ("transmit-zero", "does not say when it was sent"),
    ("receive-zero", "does not say when the request was received"),
    ("backwards", "was sent before the request was received"),
    ("root-delay", "is 16 s away from its clock"),
    ("root-dispersion", "may be 16 s off"),
    ("negative-delay", "took longer than the client waited"),
    ("long", "has 65,507 bytes"),
    ("kiss", "denies its service, to a request that nobody sent"),
    ("late", "is the truth, a second too late"),
    ("ten-years", "is ten years ahead; no truth follows"),
    ("all", "is all of them but the last two, one after the other"),
];

/// What `--lie` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lie(String);

impl FromStr for Lie {
    type Err = String;

    fn from_str(text: &str) -> Result<Lie, String> {
        let known = text == "list" || NAMES.iter().any(|(name, _)| *name == text);
        known.then(|| Lie(text.to_owned())).ok_or_else(|| "write list to see the lies".to_owned())
    }
}

/// What is known when a lie is told.
pub(crate) struct Told<'a> {
    pub(crate) request: &'a Packet,
    pub(crate) truth: &'a Packet,
    /// The request before, and its answer.
    pub(crate) last: Option<&'a (Packet, Packet)>,
}

/// A datagram, and the socket that it is sent from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    bytes: Vec<u8>,
    from: From,
}

#[derive(Debug, PartialEq, Eq)]
enum From {
    Here,
    OtherAddress,
    OtherPort,
}

impl Datagram {
    pub(crate) fn send(&self, here: &UdpSocket, to: SocketAddr) -> std::io::Result<()> {
        let local = here.local_addr()?;
        let elsewhere = match self.from {
            From::Here => return here.send_to(&self.bytes, to).map(drop),
            From::OtherAddress => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), local.port())
            }
            From::OtherPort => SocketAddr::new(local.ip(), 0),
        };
        UdpSocket::bind(elsewhere)?.send_to(&self.bytes, to).map(drop)
    }
}

impl Lie {
    pub(crate) fn is_list(&self) -> bool {
        self.0 == "list"
    }

    /// How late the truth is.
    pub(crate) fn late(&self) -> Duration {
        if self.0 == "late" { Duration::from_secs(1) } else { Duration::ZERO }
    }

    pub(crate) fn is_followed_by_the_truth(&self) -> bool {
        self.0 != "ten-years"
    }

    /// The datagrams of this lie. There are none where it would need a request before this one.
    pub(crate) fn tell(&self, told: &Told<'_>) -> Vec<Datagram> {
        if self.0 != "all" {
            return one(&self.0, told).into_iter().collect();
        }
        let names = NAMES.iter().filter(|(name, _)| *name != "ten-years");
        names.filter_map(|(name, _)| one(name, told)).collect()
    }
}

fn one(name: &str, told: &Told<'_>) -> Option<Datagram> {
    let truth = told.truth.to_bytes().to_vec();
    let from = match name {
        "address" => From::OtherAddress,
        "port" => From::OtherPort,
        _ => From::Here,
    };
    let bytes = match name {
        "address" | "port" => truth,
        "empty" => Vec::new(),
        "one-byte" => truth.into_iter().take(1).collect(),
        "short" => truth.into_iter().take(47).collect(),
        "zeros" => vec![0; 48],
        "replay" => told.last?.1.to_bytes().to_vec(),
        "mirror" => told.request.to_bytes().to_vec(),
        "long" => truth.into_iter().chain(std::iter::repeat(0)).take(65_507).collect(),
        _ => changed(name, told)?.to_bytes().to_vec(),
    };
    Some(Datagram { bytes, from })
}

/// The truth with something in it that is not.
fn changed(name: &str, told: &Told<'_>) -> Option<Packet> {
    let mut packet = told.truth.clone();
    let transmit = packet.transmit.0;
    if let Some((field, number)) = name.rsplit_once('-')
        && let Ok(number) = number.parse()
    {
        match field {
            "mode" => packet.mode = number,
            "version" => packet.version = number,
            "leap" => packet.leap = number,
            // Without an address in it that could be read as letters.
            "stratum" => (packet.stratum, packet.reference_id) = (number, [0; 4]),
            _ => return None,
        }
        return Some(packet);
    }
    match name {
        "origin-zero" => packet.origin = Timestamp::NONE,
        "origin-bit" => packet.origin.0 ^= 1,
        "origin-earlier" => packet.origin = told.last?.0.transmit,
        "transmit-zero" => packet.transmit = Timestamp::NONE,
        "receive-zero" => packet.receive = Timestamp::NONE,
        "backwards" => packet.receive.0 = transmit.wrapping_add(SECOND),
        "root-delay" => packet.root_delay = SIXTEEN_SECONDS,
        "root-dispersion" => packet.root_dispersion = SIXTEEN_SECONDS,
        "negative-delay" => packet.transmit.0 = transmit.wrapping_add(16 * SECOND),
        "kiss" => {
            (packet.leap, packet.stratum) = (UNSYNCHRONISED, 0);
            (packet.reference_id, packet.origin.0) = (*b"DENY", !packet.origin.0);
        }
        "ten-years" => {
            packet.receive.0 = packet.receive.0.wrapping_add(TEN_YEARS);
            packet.transmit.0 = transmit.wrapping_add(TEN_YEARS);
        }
        _ => return None,
    }
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lie_but_the_late_truth_says_something_that_is_not_the_truth() {
        let request = Packet::request(4, Timestamp(7));
        let truth = Packet { mode: 4, version: 4, stratum: 1, origin: Timestamp(7), ..request };
        let truth = Packet { receive: Timestamp(1 << 60), transmit: Timestamp(1 << 60), ..truth };
        let request = Packet::request(4, Timestamp(7));
        let last = (Packet::request(4, Timestamp(5)), Packet { stratum: 9, ..truth.clone() });
        let told = Told { request: &request, truth: &truth, last: Some(&last) };
        let honest = Datagram { bytes: truth.to_bytes().to_vec(), from: From::Here };
        let mut count = 0;
        for (name, _) in NAMES {
            let lies = name.parse::<Lie>().unwrap().tell(&told);
            match *name {
                "late" => assert_eq!(lies, []),
                "all" => assert_eq!(lies.len(), count - 1),
                _ => assert_eq!(lies.len(), 1, "{name}"),
            }
            assert!(!lies.contains(&honest), "{name}");
            count += lies.len();
        }
        assert_eq!(count, 2 * NAMES.len() - 5);
    }

    #[test]
    fn what_no_lie_is_called_is_refused() {
        for text in ["", "-1e99", "mode-4", "Mode-1", "truth"] {
            assert!(text.parse::<Lie>().is_err(), "{text}");
        }
        assert!("list".parse::<Lie>().unwrap().is_list());
    }
}
