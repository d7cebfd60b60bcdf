use super::*;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Ipv4PacketInfo;
use socket2::Socket;

use crate::addr::socket_address;

fn server() -> (Socket, SocketAddr) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let address = socket.local_addr().unwrap();
    setsockopt(&socket, Ipv4PacketInfo, &true).unwrap();
    (socket.into(), address)
}

fn client(address: SocketAddr, host: [u8; 4]) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((Ipv4Addr::from(host), address.port())).unwrap();
    socket
}

/// Echoes what is there.
fn echo(socket: &Socket, batch: &mut Batch) -> nix::Result<usize> {
    recvmmsg(socket, batch, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC)?;
    let replies: Vec<Outgoing<'_>> = batch
        .datagrams()
        .map(|received| {
            let all: Vec<Control> = received.control.iter().collect();
            let [Control::Ipv4PacketInfo(info)] = all[..] else { panic!("{} of them", all.len()) };
            let source = Destination::V4(info).as_source();
            Outgoing { bytes: received.bytes, to: received.from, source }
        })
        .collect();
    sendmmsg(socket, &replies, MsgFlags::MSG_DONTWAIT)
}

#[test]
fn each_datagram_has_its_own_bytes_source_and_destination() {
    let (socket, address) = server();
    let mut batch = Batch::new(4, 100).unwrap();
    let hosts = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]];
    // More than the batch has room for, and more than once: lengths of the last call are not used again.
    for _ in 0..3 {
        let clients = hosts.map(|host| client(address, host));
        for (length, client) in clients.iter().enumerate() {
            client.send(&b"hello"[..length]).unwrap();
            client.send(b"again").unwrap();
        }
        assert_eq!((echo(&socket, &mut batch), echo(&socket, &mut batch)), (Ok(4), Ok(2)));
        assert_eq!(echo(&socket, &mut batch), Err(Errno::EAGAIN));
        for (length, client) in clients.iter().enumerate() {
            // A connected socket hears nobody but the address that it asked.
            let mut buffer = [0; 100];
            assert_eq!(client.recv(&mut buffer).unwrap(), length);
            assert_eq!(client.recv(&mut buffer).unwrap(), 5);
            assert_eq!(&buffer[..5], b"again");
        }
    }
}

#[test]
fn a_datagram_that_is_too_long_has_its_length_and_its_start() {
    let (socket, address) = server();
    let client = client(address, [127, 0, 0, 1]);
    client.send(b"hello").unwrap();
    let mut batch = Batch::new(2, 3).unwrap();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    assert_eq!(recvmmsg(&socket, &mut batch, flags), Ok(1));
    let received = batch.datagrams().next().unwrap();
    assert_eq!((received.bytes, received.length), (&b"hel"[..], 5));
    let from = received.from.and_then(|from| socket_address(&from));
    assert_eq!(from, client.local_addr().ok());
}

#[test]
fn the_error_of_a_datagram_is_that_of_the_call_that_begins_with_it() {
    let (socket, address) = server();
    let peer = client(address, [127, 0, 0, 1]);
    let to = Some(SockaddrStorage::from(peer.local_addr().unwrap()));
    // Longer than a datagram may be.
    let long = vec![0; 65_508];
    let datagrams = [&b"one"[..], &long, b"three"].map(|bytes| Outgoing {
        bytes,
        to,
        source: Destination::Unknown,
    });
    let send = |from: usize| sendmmsg(&socket, &datagrams[from..], MsgFlags::MSG_DONTWAIT);
    assert_eq!([send(0), send(1), send(2)], [Ok(1), Err(Errno::EMSGSIZE), Ok(1)]);
}
