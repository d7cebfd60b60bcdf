//! echo-load --udp: servers that echo, lose, repeat, change, and fall silent.

use std::net::{SocketAddr, UdpSocket};
use std::thread;

use libtest_mimic::Trial;
use netcheck::{Server, Skip};

use super::{load, measured, number};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "echo_load",
        tests![
            datagrams_of_every_size_come_back,
            datagrams_that_are_lost_or_repeated_are_counted,
            a_changed_or_shorter_datagram_is_65,
            a_server_of_datagrams_that_is_silent_is_75_and_absent_69,
        ],
    )
}

/// A server that sends what `replies` makes of each datagram, given its number from 0 on.
fn server(replies: impl Fn(u64, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        for number in 0.. {
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { return };
            for reply in replies(number, buffer[..length].to_vec()) {
                let _ = socket.send_to(&reply, peer);
            }
        }
    });
    address
}

fn datagrams_of_every_size_come_back() -> Result<(), Skip> {
    let server = Server::start("udp-echo", ["--port", "0", "-q"]);
    for (size, under_way) in [("8", "1"), ("64", "32"), ("1473", "8"), ("65507", "2")] {
        let args = ["--udp", "--size", size, "--connections", under_way, "--duration", "200ms"];
        let figures = measured(server.address(), &args);
        assert_eq!((&figures["mode"], number(&figures, "late")), (&"udp".into(), 0), "{figures}");
        let bytes = number(&figures, "round_trips") * size.parse::<u64>().unwrap();
        assert!(bytes > 0 && number(&figures, "bytes") == bytes, "{figures}");
    }
    Ok(())
}

fn datagrams_that_are_lost_or_repeated_are_counted() -> Result<(), Skip> {
    // The first shows that there is an echo. Of the four under way, each third one is lost, and each fourth
    // one comes back twice: two in twelve are lost that would have come back, two are repeated.
    let address = server(|number, datagram| match (number % 3, number % 4) {
        (1, _) => vec![],
        (_, 2) => vec![datagram.clone(), datagram],
        _ => vec![datagram],
    });
    let args = ["--udp", "--connections", "4", "--duration", "1s"];
    let figures = measured(address, &args);
    let [whole, lost, late] = ["round_trips", "lost", "late"].map(|key| number(&figures, key));
    assert!(lost >= 4 && late >= 1, "{figures}");
    // Twice as many come back as are lost, but for those of the first and the last twelve.
    assert!(whole.abs_diff(2 * lost) <= 24, "{figures}");
    Ok(())
}

fn a_changed_or_shorter_datagram_is_65() -> Result<(), Skip> {
    let changed = server(|number, mut datagram| {
        datagram[63] ^= u8::from(number == 20);
        vec![datagram]
    });
    let shorter = server(|number, mut datagram| {
        datagram.truncate(if number == 20 { 63 } else { 64 });
        vec![datagram]
    });
    let unknown = server(|number, mut datagram| {
        datagram[0] |= u8::from(number == 20);
        vec![datagram]
    });
    for (address, words) in [
        (changed, "byte 63 was sent as 0x"),
        (shorter, "63 bytes came back of 64"),
        (unknown, "byte 0 was sent as 0x00 and came back as 0x01"),
    ] {
        let finished = load(address, &["--udp"]).finish();
        assert_eq!(finished.code(), Some(65), "{finished:?}");
        assert!(finished.stderr_text().contains(words), "{}", finished.stderr_text());
    }
    Ok(())
}

fn a_server_of_datagrams_that_is_silent_is_75_and_absent_69() -> Result<(), Skip> {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quiet_later = server(|number, datagram| if number < 20 { vec![datagram] } else { vec![] });
    let absent = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, option, code, words) in [
        (silent.local_addr().unwrap(), "--timeout", 75, "timed out after 300ms"),
        (quiet_later, "--idle-timeout", 75, "timed out after 300ms of silence"),
        (absent, "--timeout", 69, "Connection refused"),
    ] {
        let finished = load(address, &["--udp", option, "300ms"]).finish();
        let said = finished.stderr_text();
        assert_eq!(finished.code(), Some(code), "{said}");
        assert!(said.contains(words), "{words}? {said}");
    }
    Ok(())
}
