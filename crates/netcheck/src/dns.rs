//! A name server with the answers that the tests need (RFC 1035). It knows the zone `test.` only.
//!
//! | name | answer |
//! | --- | --- |
//! | `four.test` | 192.0.2.4, no IPv6 address |
//! | `both.test` | 192.0.2.1 and 2001:db8::1 |
//! | `alias.test` | another name of `both.test` |
//! | `fifty.test` | 198.51.100.1 to 198.51.100.50, too long for a datagram |
//! | `cut.test` | over UDP cut to nothing, over TCP 192.0.2.9 |
//! | `servfail.test` | SERVFAIL |
//! | `refused.test` | REFUSED |
//! | `silent.test` | no answer at all |
//! | `nameless.test` | 203.0.113.1 to 203.0.113.3, whose reverse queries get no answer at all |
//! | any other | NXDOMAIN |
//!
//! A reverse query for 192.0.2.77 fails (SERVFAIL). 192.0.2.1 and 192.0.2.66 both have the name `both.test`,
//! which has the address of the first only; the name of 192.0.2.99 contains a terminal's escape sequence.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;
const NXDOMAIN: u8 = 3;

/// What fits into a datagram without EDNS (RFC 1035 §4.2.1).
const DATAGRAM: usize = 512;

/// Serves port 53 of 127.0.0.1, over UDP and TCP, until this process ends.
///
/// # Errors
/// Those of bind(2): the port takes a right, and is free in a namespace of one's own.
pub(crate) fn serve() -> io::Result<()> {
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53))?;
    let streams = TcpListener::bind((Ipv4Addr::LOCALHOST, 53))?;
    thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((length, peer)) = datagrams.recv_from(&mut query) {
            let reply = query.get(..length).and_then(|query| reply(query, true));
            if let Some(reply) = reply {
                let _ = datagrams.send_to(&reply, peer);
            }
        }
    });
    thread::spawn(move || {
        for stream in streams.incoming().flatten() {
            let _ = over_tcp(stream);
        }
    });
    Ok(())
}

/// Every message has its length before it (RFC 1035 §4.2.2).
fn over_tcp(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut query)?;
        let Some(reply) = reply(&query, false) else { return Ok(()) };
        stream.write_all(&[short(reply.len()).to_be_bytes().as_slice(), &reply].concat())?;
    }
}

/// The answer to a question; `None` for what is no question, or gets none.
fn reply(query: &[u8], datagram: bool) -> Option<Vec<u8>> {
    let [id_1, id_2, flags, _, _, _, _, _, _, _, _, _, body @ ..] = query else { return None };
    let (name, rest) = name_at(body)?;
    let kind = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
    let question = body.get(..body.len() - rest.len() + 4)?;
    let (code, records) = records(&name, kind)?;
    let mut answers = Vec::new();
    for (owner, kind, data) in &records {
        answers.extend(owner);
        answers.extend(kind.to_be_bytes());
        // Class IN, for a minute.
        answers.extend([0, 1, 0, 0, 0, 60]);
        answers.extend(short(data.len()).to_be_bytes());
        answers.extend(data);
    }
    let mut count = short(records.len());
    // TC: ask again over TCP.
    let cut = datagram && (12 + question.len() + answers.len() > DATAGRAM || name == "cut.test");
    if cut {
        (answers, count) = (Vec::new(), 0);
    }
    // An authoritative answer, with recursion for those who asked for it.
    let mut reply = vec![*id_1, *id_2, 0x84 | flags & 1 | u8::from(cut) << 1, 0x80 | code, 0, 1];
    reply.extend(count.to_be_bytes());
    reply.extend([0, 0, 0, 0]);
    reply.extend(question);
    reply.extend(answers);
    Some(reply)
}

/// A length as it is sent: whatever this zone says is short.
fn short(length: usize) -> u16 {
    u16::try_from(length).expect("less than 64 KiB")
}

/// A record: whose it is, as it is sent, its type, and its data.
type Record = (Vec<u8>, u16, Vec<u8>);

/// The name in the question, written as a pointer to it (RFC 1035 §4.1.4).
const ASKED: [u8; 2] = [0xc0, 12];

/// A response code and the records of one name; `None` where nothing is answered.
fn records(name: &str, kind: u16) -> Option<(u8, Vec<Record>)> {
    let v4 = |last: u8| (A, Ipv4Addr::new(192, 0, 2, last).octets().to_vec());
    let v6 = || (AAAA, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets().to_vec());
    let both = labels(&["both", "test"]);
    let all = match name {
        "silent.test" => return None,
        reverse if reverse.ends_with(".113.0.203.in-addr.arpa") => return None,
        "nameless.test" => {
            (1..=3).map(|last| (A, Ipv4Addr::new(203, 0, 113, last).octets().to_vec())).collect()
        }
        "servfail.test" | "77.2.0.192.in-addr.arpa" => return Some((SERVFAIL, Vec::new())),
        "refused.test" => return Some((REFUSED, Vec::new())),
        "four.test" => vec![v4(4)],
        "both.test" | "alias.test" => vec![v4(1), v6()],
        "cut.test" => vec![v4(9)],
        "fifty.test" => {
            (1..=50).map(|last| (A, Ipv4Addr::new(198, 51, 100, last).octets().to_vec())).collect()
        }
        "1.2.0.192.in-addr.arpa" | "66.2.0.192.in-addr.arpa" => vec![(PTR, both.clone())],
        "99.2.0.192.in-addr.arpa" => vec![(PTR, labels(&["\x1b]0;owned\x07", "test"]))],
        _ => return Some((NXDOMAIN, Vec::new())),
    };
    // An alias comes with what its name stands for, whose owner is then that name.
    let (owner, mut records) = match name {
        "alias.test" => (both.clone(), vec![(ASKED.to_vec(), CNAME, both)]),
        _ => (ASKED.to_vec(), Vec::new()),
    };
    for (own, data) in all.into_iter().filter(|(own, _)| *own == kind) {
        records.push((owner.clone(), own, data));
    }
    Some((NOERROR, records))
}

/// A name as it is sent: each label with its length before it.
fn labels(labels: &[&str]) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        name.push(u8::try_from(label.len()).expect("a label is short"));
        name.extend(label.bytes());
    }
    name.push(0);
    name
}

/// A name with dots, in lower case, and what follows it. A question has no compressed name.
fn name_at(mut bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut name = String::new();
    loop {
        let (length, rest) = bytes.split_first()?;
        if *length == 0 {
            return Some((name, rest));
        }
        let (label, rest) = rest.split_at_checked((*length).into())?;
        if !name.is_empty() {
            name.push('.');
        }
        name += &String::from_utf8_lossy(label).to_lowercase();
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &[&str], kind: u16, datagram: bool) -> Option<Vec<u8>> {
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(labels(name));
        query.extend(kind.to_be_bytes());
        query.extend([0, 1]);
        reply(&query, datagram)
    }

    #[test]
    fn a_reply_has_the_question_and_its_answer() {
        let reply = query(&["Four", "test"], A, true).unwrap();
        assert_eq!(reply[..8], [7, 9, 0x85, 0x80, 0, 1, 0, 1]);
        assert!(reply.ends_with(&[0, 4, 192, 0, 2, 4]));
        assert_eq!(query(&["four", "test"], AAAA, true).unwrap()[3..8], [0x80, 0, 1, 0, 0]);
        assert_eq!(query(&["other", "test"], A, true).unwrap()[3], 0x80 | NXDOMAIN);
        assert_eq!(query(&["silent", "test"], A, true), None);
    }

    #[test]
    fn what_is_too_long_is_cut_over_udp_only() {
        let cut = query(&["fifty", "test"], A, true).unwrap();
        assert_eq!((cut[2] & 2, cut[7]), (2, 0));
        let whole = query(&["fifty", "test"], A, false).unwrap();
        assert_eq!((whole[2] & 2, whole[7]), (0, 50));
    }

    #[test]
    fn no_bytes_panic() {
        let query = [7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, b'x', 0, 0, 1];
        for length in 0..=query.len() {
            assert_eq!(query.get(..length).and_then(|query| reply(query, true)), None);
        }
    }
}
