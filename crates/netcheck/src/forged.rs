//! Datagrams with a sender of one's choice, from a raw socket (raw(7)). It takes CAP_NET_RAW, which root of
//! a namespace has.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};

/// A raw socket, which sends with an IP header of ours, whatever sender it names.
#[derive(Debug)]
pub struct Forger(Socket);

impl Forger {
    /// A socket in the network namespace of this process.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW.
    pub fn new() -> io::Result<Self> {
        let protocol = Protocol::from(libc::IPPROTO_RAW);
        Socket::new(Domain::IPV4, Type::RAW, Some(protocol)).map(Self)
    }

    /// Sends a datagram that claims to come from there.
    ///
    /// # Errors
    /// Those of sendto(2); EMSGSIZE for what no datagram holds.
    pub fn send(&self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> io::Result<()> {
        let Some(datagram) = datagram(from, to, payload) else {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        };
        // The port is that of the header.
        let address = SocketAddr::from((*to.ip(), 0));
        self.0.send_to(&datagram, &address.into()).map(drop)
    }
}

/// An IP and a UDP header (RFC 791, RFC 768), and the payload. The kernel fills in what is zero in the first;
/// a checksum of zero in the second means that there is none.
fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(8 + payload.len()).ok()?;
    let length = udp_length.checked_add(20)?;
    let mut bytes = vec![0x45, 0];
    bytes.extend(length.to_be_bytes());
    // Identification and fragments, then 64 hops, UDP, and the checksum.
    bytes.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend([from.ip(), to.ip()].map(Ipv4Addr::octets).concat());
    for field in [from.port(), to.port(), udp_length, 0] {
        bytes.extend(field.to_be_bytes());
    }
    bytes.extend(payload);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_has_both_headers_and_no_more_than_fits() {
        let (from, to) = ("192.0.2.1:7", "192.0.2.2:258");
        let bytes = datagram(from.parse().unwrap(), to.parse().unwrap(), b"hello").unwrap();
        assert_eq!((bytes.len(), &bytes[2..4]), (33, &[0, 33][..]));
        assert_eq!(bytes[12..28], [192, 0, 2, 1, 192, 0, 2, 2, 0, 7, 1, 2, 0, 13, 0, 0]);
        assert_eq!(datagram(from.parse().unwrap(), to.parse().unwrap(), &[0; 65_508]), None);
    }
}
