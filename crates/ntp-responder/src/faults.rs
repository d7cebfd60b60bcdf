//! The faulty datagrams that a client has to reject, each with its name.

use std::str::FromStr;
use std::time::Duration;

use netcore::ntp::packet::{Packet, Short, UNSYNCHRONISED};
use netcore::ntp::time::Timestamp;

/// Ten years of 365.25 days, a second, and sixteen, as differences of timestamps.
const TEN_YEARS: u64 = 315_576_000 << 32;
const SECOND: u64 = 1 << 32;
const SIXTEEN_SECONDS: Short = Short(16 << 16);

/// Every fault, and what is wrong with the datagram.
pub(crate) const FAULTS: &[(&str, &str)] = &[
    ("address", "from another source address, 127.0.0.2"),
    ("port", "from another source port"),
    ("empty", "0 bytes long"),
    ("one-byte", "1 byte long"),
    ("short", "47 bytes long"),
    ("zeros", "48 zero bytes"),
    ("origin-zero", "origin timestamp 0"),
    ("origin-bit", "origin timestamp with one wrong bit"),
    ("origin-earlier", "origin timestamp of the previous request"),
    ("replay", "copy of the previous reply"),
    ("mirror", "copy of the request"),
    ("mode-1", "mode 1, symmetric active"),
    ("mode-2", "mode 2, symmetric passive"),
    ("mode-3", "mode 3, client"),
    ("mode-5", "mode 5, broadcast"),
    ("mode-6", "mode 6, control message"),
    ("mode-7", "mode 7, private use"),
    ("version-0", "version 0"),
    ("version-5", "version 5"),
    ("version-7", "version 7"),
    ("leap-3", "leap indicator 3, clock not synchronised"),
    ("stratum-0", "stratum 0 without a kiss code"),
    ("stratum-16", "stratum 16"),
    ("transmit-zero", "transmit timestamp 0"),
    ("receive-zero", "receive timestamp 0"),
    ("backwards", "transmit timestamp before the receive timestamp"),
    ("root-delay", "root delay of 16 s"),
    ("root-dispersion", "root dispersion of 16 s"),
    ("negative-delay", "more time in the server than the client waited"),
    ("long", "65,507 bytes long"),
    ("kiss", "kiss-o'-death DENY with a wrong origin timestamp"),
    ("late", "the valid reply, one second late"),
    ("ten-years", "ten years ahead, and no valid reply follows"),
    ("all", "all of the above but the last two"),
];

/// The fault that `--lie` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(String);

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let known = text == "list" || FAULTS.iter().any(|(name, _)| *name == text);
        known
            .then(|| Fault(text.to_owned()))
            .ok_or_else(|| "--lie list prints the names".to_owned())
    }
}

/// What a faulty datagram is made from.
pub(crate) struct Exchange<'a> {
    pub(crate) request: &'a Packet,
    pub(crate) reply: &'a Packet,
    /// The previous request, and its reply.
    pub(crate) previous: Option<&'a (Packet, Packet)>,
}

/// A datagram, and the socket that sends it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    pub(crate) source: Source,
}

/// Where a datagram is sent from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The socket of the server.
    Socket,
    OtherAddress,
    OtherPort,
}

impl Fault {
    pub(crate) fn is_list(&self) -> bool {
        self.0 == "list"
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Whether it sends requests: a server replies to them.
    pub(crate) fn sends_requests(&self) -> bool {
        matches!(self.0.as_str(), "mirror" | "mode-3" | "all")
    }

    /// Whether a forged source address could do harm with it: it sends requests, or many bytes.
    pub(crate) fn is_for_loopback(&self) -> bool {
        self.sends_requests() || self.0 == "long"
    }

    /// How late the valid reply is.
    pub(crate) fn late(&self) -> Duration {
        if self.0 == "late" { Duration::from_secs(1) } else { Duration::ZERO }
    }

    pub(crate) fn has_valid_reply(&self) -> bool {
        self.0 != "ten-years"
    }

    /// The datagrams of this fault. There is none if it needs a previous request, and there was none.
    pub(crate) fn datagrams(&self, exchange: &Exchange<'_>) -> Vec<Datagram> {
        if self.0 != "all" {
            return one(&self.0, exchange).into_iter().collect();
        }
        let names = FAULTS.iter().filter(|(name, _)| *name != "ten-years");
        names.filter_map(|(name, _)| one(name, exchange)).collect()
    }
}

fn one(name: &str, exchange: &Exchange<'_>) -> Option<Datagram> {
    let reply = exchange.reply.to_bytes().to_vec();
    let source = match name {
        "address" => Source::OtherAddress,
        "port" => Source::OtherPort,
        _ => Source::Socket,
    };
    let bytes = match name {
        "address" | "port" => reply,
        "empty" => Vec::new(),
        "one-byte" => reply.into_iter().take(1).collect(),
        "short" => reply.into_iter().take(47).collect(),
        "zeros" => vec![0; 48],
        "replay" => exchange.previous?.1.to_bytes().to_vec(),
        "mirror" => exchange.request.to_bytes().to_vec(),
        "long" => reply.into_iter().chain(std::iter::repeat(0)).take(65_507).collect(),
        _ => changed(name, exchange)?.to_bytes().to_vec(),
    };
    Some(Datagram { bytes, source })
}

/// The valid reply with one wrong field.
fn changed(name: &str, exchange: &Exchange<'_>) -> Option<Packet> {
    let mut packet = exchange.reply.clone();
    let transmit = packet.transmit.0;
    if let Some((field, number)) = name.rsplit_once('-')
        && let Ok(number) = number.parse()
    {
        match field {
            "mode" => packet.mode = number,
            "version" => packet.version = number,
            "leap" => packet.leap = number,
            // With a reference id that is not a kiss code.
            "stratum" => (packet.stratum, packet.reference_id) = (number, [0; 4]),
            _ => return None,
        }
        return Some(packet);
    }
    match name {
        "origin-zero" => packet.origin = Timestamp::NONE,
        "origin-bit" => packet.origin.0 ^= 1,
        "origin-earlier" => packet.origin = exchange.previous?.0.transmit,
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
    fn every_fault_but_late_differs_from_the_valid_reply() {
        let request = Packet::request(4, Timestamp(7));
        let reply = Packet { mode: 4, version: 4, stratum: 1, origin: Timestamp(7), ..request };
        let reply = Packet { receive: Timestamp(1 << 60), transmit: Timestamp(1 << 60), ..reply };
        let request = Packet::request(4, Timestamp(7));
        let previous = (Packet::request(4, Timestamp(5)), Packet { stratum: 9, ..reply.clone() });
        let exchange = Exchange { request: &request, reply: &reply, previous: Some(&previous) };
        let valid = Datagram { bytes: reply.to_bytes().to_vec(), source: Source::Socket };
        let mut count = 0;
        for (name, _) in FAULTS {
            let faults = name.parse::<Fault>().unwrap().datagrams(&exchange);
            match *name {
                "late" => assert_eq!(faults, []),
                "all" => assert_eq!(faults.len(), count - 1),
                _ => assert_eq!(faults.len(), 1, "{name}"),
            }
            assert!(!faults.contains(&valid), "{name}");
            count += faults.len();
        }
        assert_eq!(count, 2 * FAULTS.len() - 5);
    }

    #[test]
    fn a_fault_for_loopback_is_one_that_sends_requests_or_many_bytes() {
        let request = Packet::request(4, Timestamp(7));
        let reply = Packet { mode: 4, transmit: Timestamp(1 << 60), ..request.clone() };
        for (name, _) in FAULTS {
            let exchange = Exchange { request: &request, reply: &reply, previous: None };
            let fault = name.parse::<Fault>().unwrap();
            let datagrams = fault.datagrams(&exchange);
            let is_request = |sent: &Datagram| {
                Packet::from_bytes(&sent.bytes).is_some_and(|packet| packet.mode == 3)
            };
            assert_eq!(datagrams.iter().any(is_request), fault.sends_requests(), "{name}");
            let bytes: usize = datagrams.iter().map(|datagram| datagram.bytes.len()).sum();
            assert_eq!(fault.is_for_loopback(), fault.sends_requests() || bytes > 48, "{name}");
        }
    }

    #[test]
    fn an_unknown_fault_is_refused() {
        for text in ["", "-1e99", "mode-4", "Mode-1", "truth"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
        assert!("list".parse::<Fault>().unwrap().is_list());
    }
}
